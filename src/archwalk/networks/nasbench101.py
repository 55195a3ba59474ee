"""Cells of NAS-Bench-101, as a module and as source code.

In: a cell's matrix and operations, in the order in which they are written. Out: a module, or the text of a
class that computes the same. Next: ``build`` stacks cells; ``export`` writes their text.

The channels of a cell are shared out among the vertices that reach its output; where they do not divide, the
first of these have one more, and what flows on is cut to the channels of the vertex that it reaches. So two
ways to write one cell can differ by a few parameters (Ying et al. 2019, section 2.2 and the authors' code).
"""

from __future__ import annotations

from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from archwalk.networks import layers
from archwalk.spaces.graphs import Cell

# The makers' names, which source code uses too.
OPERATIONS = {
    "conv3x3-bn-relu": layers.norm_conv3x3,
    "conv1x1-bn-relu": layers.norm_conv1x1,
    "maxpool3x3": layers.max_pool3x3,
}


class Module101(nn.Module):
    """One module: [n, inputs, h, w] → [n, outputs, h, w].

    Args:
        cell: matrix and operations; vertex v is the submodule ``vertex_v``, the projection of the input to it
            ``project_v``.
        inputs: channels of the input.
        outputs: channels of the output.
    """

    def __init__(self, cell: Cell, inputs: int, outputs: int) -> None:
        super().__init__()
        self.cell, self.channels = cell, vertex_channels(cell, inputs, outputs)
        for v, channels in enumerate(self.channels[1:], 1):
            if cell.matrix[0][v]:
                self.add_module(f"project_{v}", layers.norm_conv1x1(inputs, channels, 1))
            if v <= len(cell.operations):
                make = OPERATIONS[cell.operations[v - 1]]
                self.add_module(f"vertex_{v}", make(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The vertices that reach the output side by side, and the projected input added."""
        matrix, parts = self.cell.matrix, dict(self.named_children())
        values, last = [x], len(matrix) - 1
        for v in range(1, last):
            terms = [values[a][:, : self.channels[v]] for a in range(1, v) if matrix[a][v]]
            terms += [parts[f"project_{v}"](x)] if matrix[0][v] else []
            values.append(parts[f"vertex_{v}"](reduce(add, terms)))
        ends = [values[v] for v in range(1, last) if matrix[v][last]]
        result = [torch.cat(ends, 1)] if ends else []
        result += [parts[f"project_{last}"](x)] if matrix[0][last] else []
        return reduce(add, result)


def vertex_channels(cell: Cell, inputs: int, outputs: int) -> list[int]:
    """Channels of each vertex, input and output among them."""
    last = len(cell.matrix) - 1
    channels = [inputs, *[0] * (last - 1), outputs]
    ends = [v for v in range(1, last) if cell.matrix[v][last]]
    for i, v in enumerate(ends):
        channels[v] = layers.share(outputs, len(ends), i)
    for v in reversed(range(1, last)):
        if v not in ends:
            channels[v] = max(channels[b] for b in range(v + 1, last) if cell.matrix[v][b])
    return channels


def module_source(cell: Cell) -> str:
    """A class ``Module`` with this cell's vertices and sums written out."""
    last = len(cell.matrix) - 1
    ends = [v for v in range(1, last) if cell.matrix[v][last]]
    sized, made, lines = [], [], []
    for v in reversed(range(1, last)):
        behind = [f"c{b}" for b in range(v + 1, last) if cell.matrix[v][b]]
        if v in ends:
            sized.append(f"c{v} = share(outputs, {len(ends)}, {ends.index(v)})")
        else:
            sized.append(f"c{v} = " + (f"max({', '.join(behind)})" if len(behind) > 1 else behind[0]))
    for v in range(1, last + 1):
        channels = f"c{v}" if v < last else "outputs"
        before = [f"x{a}[:, : self.channels[{v}]]" for a in range(1, v) if cell.matrix[a][v]]
        if v == last:
            before = [f"torch.cat([{', '.join(f'x{a}' for a in ends)}], 1)"] if ends else []
        if cell.matrix[0][v]:
            made.append(f"self.project_{v} = norm_conv1x1(inputs, {channels}, 1)")
            before.append(f"self.project_{v}(x0)")
        if v < last:
            make = OPERATIONS[cell.operations[v - 1]].__name__
            made.append(f"self.vertex_{v} = {make}({channels}, {channels}, 1)")
            lines.append(f"x{v} = self.vertex_{v}({' + '.join(before)})")
        else:
            lines.append(f"x{v}: Tensor = {' + '.join(before)}")
    numbers = ", ".join(["inputs", *(f"c{v}" for v in range(1, last)), "outputs"])
    kept = [f"self.channels = ({numbers})"] if any("self.channels" in line for line in lines) else []
    return "\n".join(
        [
            "class Module(nn.Module):",
            '    """A graph of operations; what reaches the output lies side by side."""',
            "",
            "    def __init__(self, inputs: int, outputs: int) -> None:",
            "        super().__init__()",
            *(f"        {line}" for line in [*sized, *kept, *made]),
            "",
            "    def forward(self, x0: Tensor) -> Tensor:",
            '        """The last vertex."""',
            *(f"        {line}" for line in lines),
            f"        return x{last}",
        ]
    )
