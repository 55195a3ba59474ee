"""DARTS cells, as a module and as source code.

In: an operation for each possible edge of a cell. Out: a module from the outputs of the last two cells to
those of the last and of its own, or the text of a class that computes the same. Next: ``build`` stacks cells;
``export`` writes their text.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from archwalk.networks import layers
from archwalk.spaces.base import Code
from archwalk.spaces.darts import DARTS_EDGES, NODES

# One maker an operation, in the order of ``DARTS_OPERATIONS``; the first, "none", has none.
OPERATIONS = (
    None,
    layers.max_pool3x3,
    layers.avg_pool3x3,
    layers.skip,
    layers.sep_conv3x3,
    layers.sep_conv5x5,
    layers.dil_conv3x3,
    layers.dil_conv5x5,
)


class DartsCell(nn.Module):
    """Two inputs, four nodes that each sum two edges, and all four as output.

    Pairs ([n, before, h, w] or twice that resolution, [n, last, h, w]) → (the second,
    [n, 4 * channels, h, w] or half that resolution).

    Args:
        code: 14 operations, in the order of ``DARTS_EDGES``; edge a→b is the submodule ``edge_ab``.
        reduction: whether the edges that leave the inputs have stride 2.
        before: channels of the output of the cell before the last.
        last: channels of that of the last.
        channels: of each node.
        halve: whether the first input has twice the resolution of the second.
    """

    def __init__(
        self, code: Code, reduction: bool, before: int, last: int, channels: int, halve: bool
    ) -> None:
        super().__init__()
        self.fit_0 = layers.fitted(before, channels, halve)
        self.fit_1 = layers.fitted(last, channels, False)
        for (start, end), operation in zip(DARTS_EDGES, code, strict=True):
            make = OPERATIONS[operation]
            if make is not None:
                stride = 2 if reduction and start < 2 else 1
                self.add_module(f"edge_{start}{end}", make(channels, channels, stride))

    def forward(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The last cell's output, which the next cell reads first, and this one's."""
        nodes = [self.fit_0(pair[0]), self.fit_1(pair[1])]
        edges = dict(self.named_children())
        for node in NODES:
            terms = [edges[f"edge_{a}{node}"](nodes[a]) for a in range(node) if f"edge_{a}{node}" in edges]
            nodes.append(reduce(add, terms))
        return pair[1], torch.cat(nodes[2:], 1)


def cell_sources(code: Code) -> dict[str, str]:
    """Classes ``NormalCell`` and ``ReductionCell`` of a genotype, edges and sums written out."""
    half = len(code) // 2
    return {
        "NormalCell": _source("NormalCell", code[:half], False),
        "ReductionCell": _source("ReductionCell", code[half:], True),
    }


def _source(name: str, code: Code, reduction: bool) -> str:
    made, sums = [], []
    for node in NODES:
        terms = []
        for (start, end), operation in zip(DARTS_EDGES, code, strict=True):
            make = OPERATIONS[operation]
            if end == node and make is not None:
                stride = 2 if reduction and start < 2 else 1
                made.append(f"        self.edge_{start}{end} = {make.__name__}(channels, channels, {stride})")
                terms.append(f"self.edge_{start}{end}(x{start})")
        sums.append(f"        x{node} = {' + '.join(terms)}")
    return "\n".join(
        [
            f"class {name}(nn.Module):",
            '    """Two inputs, four nodes that each sum two edges, and all four as output."""',
            "",
            "    def __init__(self, before: int, last: int, channels: int, halve: bool) -> None:",
            "        super().__init__()",
            "        self.fit_0 = fitted(before, channels, halve)",
            "        self.fit_1 = fitted(last, channels, False)",
            *made,
            "",
            "    def forward(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:",
            '        """The last cell\'s output, and this one\'s."""',
            "        x0, x1 = self.fit_0(pair[0]), self.fit_1(pair[1])",
            *sums,
            "        return pair[1], torch.cat([x2, x3, x4, x5], 1)",
        ]
    )
