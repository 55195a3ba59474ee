"""Cells of four nodes and six edges, as a module and as source code.

In: an operation for each edge. Out: a module, or the text of a class that computes the same. Next: ``build``
stacks cells; ``export`` writes their text.
"""

from __future__ import annotations

from functools import reduce
from operator import add

from torch import Tensor, nn

from archwalk.networks import layers
from archwalk.spaces.base import Code
from archwalk.spaces.cells import EDGES

# One maker an operation, in the order of the operations' names in ``cells``; the first, "none", has none.
OPERATIONS = (None, layers.skip, layers.conv1x1, layers.conv3x3, layers.avg_pool3x3)


class Cell(nn.Module):
    """Four nodes; each sums its incoming edges: [n, inputs, h, w] → [n, outputs, ⌈h/stride⌉, ⌈w/stride⌉].

    Args:
        code: the operation on each edge, in the order of ``EDGES``; edge a→b is the submodule ``edge_ab``.
        inputs: channels of the input; the edges that leave it change channels and resolution.
        outputs: channels of every other node.
        stride: 1 or 2.
    """

    def __init__(self, code: Code, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.outputs, self.stride = outputs, stride
        for (start, end), operation in zip(EDGES, code, strict=True):
            make = OPERATIONS[operation]
            if make is not None:
                shape = (inputs, outputs, stride) if start == 0 else (outputs, outputs, 1)
                self.add_module(f"edge_{start}{end}", make(*shape))

    def forward(self, x: Tensor) -> Tensor:
        """The last node."""
        nodes = [x]
        edges = dict(self.named_children())
        for node in (1, 2, 3):
            terms = [
                edges[name](nodes[start])
                for start, end in EDGES
                if end == node and (name := f"edge_{start}{end}") in edges
            ]
            nodes.append(reduce(add, terms) if terms else layers.zeros(x, self.outputs, self.stride))
        return nodes[3]


def cell_source(code: Code) -> str:
    """A class ``Cell`` with this cell's edges and sums written out."""
    made, summed = [], []
    for node in (1, 2, 3):
        terms = []
        for (start, end), operation in zip(EDGES, code, strict=True):
            make = OPERATIONS[operation]
            if end == node and make is not None:
                shape = "inputs, outputs, stride" if start == 0 else "outputs, outputs, 1"
                made.append(f"        self.edge_{start}{end} = {make.__name__}({shape})")
                terms.append(f"self.edge_{start}{end}(x{start})")
        summed.append(" + ".join(terms) or "zeros(x0, self.outputs, self.stride)")
    # A node that sums nothing and that nothing reads would be a line without use.
    lines = [
        f"        x{node} = {text}"
        for node, text in enumerate(summed[:2], 1)
        if "edge" in text or any(f"(x{node})" in later for later in summed)
    ]
    if any("zeros" in line for line in [*lines, summed[2]]):
        made.insert(0, "        self.outputs, self.stride = outputs, stride")
    return "\n".join(
        [
            "class Cell(nn.Module):",
            '    """Four nodes, each the sum of its incoming edges."""',
            "",
            "    def __init__(self, inputs: int, outputs: int, stride: int) -> None:",
            "        super().__init__()",
            *made,
            "",
            "    def forward(self, x0: Tensor) -> Tensor:",
            '        """The last node."""',
            *lines,
            f"        x3: Tensor = {summed[2]}",
            "        return x3",
        ]
    )
