"""Networks of many cells as one program: the same skeleton around each, all trained side by side.

In: cells as codes, a task. Out: predictions for all of them, and parameter and FLOP counts of one.
Next: ``training`` trains and scores a chunk of cells.

The skeleton (``digits8``): 3×3 convolution of stride 2 to 8 channels at 8×8, the cell, 3×3 convolution of
stride 2 to 16 channels at 4×4, the cell again with weights of its own, the task's head. Normalisation stands
in the skeleton only; inside a cell ``skip`` is the identity, ``none`` is zero, and a convolution is
ReLU-convolution without bias, so cells with one canonical key are the same function.

Activations of K cells are [images, K × channels, rows, columns]; a convolution on one edge of all cells that
have it there is one grouped convolution. What one cell computes never depends on the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from archwalk.benchmark.digits.scenes import SIZE
from archwalk.benchmark.digits.tasks import Task
from archwalk.space.catalog import make_space
from archwalk.space.cells import EDGES, CellSpace

STAGES = ((8, 8), (16, 4))  # (channels, side) of the first and of the second cell
SKIP, CONV1, CONV3 = 1, 2, 3
MOMENTUM, EPSILON = 0.1, 1e-5


def draw(seed: int, task: str, name: str, shape: Sequence[int], scale: float) -> Tensor:
    """Normal numbers that depend on these words only, not on the cells in a batch or on their order."""
    digest = hashlib.sha256(f"{seed}/{task}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return scale * torch.randn(*shape, generator=generator)


def patches(task: str, seed: int, stage: int, channels: int, inputs: int) -> Tensor:
    """First weights of a skeleton convolution over 2×2 patches, [channels, inputs, 2, 2].

    The first one starts as the four Haar filters and their negatives, so that nothing of the picture is lost
    even behind a ReLU; the second as a random orthogonal map. Plain random ones made the seed matter more
    than the cell.
    """
    if inputs == 1:
        haar = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
        return torch.cat([haar, -haar]).view(channels, 1, 2, 2)
    q, _ = torch.linalg.qr(draw(seed, task, f"down{stage}", (4 * inputs, channels), 1.0))
    first: Tensor = q.T.reshape(channels, inputs, 2, 2).contiguous()
    return first


class CellNetworks:
    """The networks of K cells on one task.

    Args:
        codes: operations of each cell, in the order of ``EDGES``, [K, 6].
        task: decides the head.
        seed: of the first weights.
        device: where to compute.

    Attributes:
        parameters: name → tensor, every one with the cells as leading axis (of those that have it).
    """

    def __init__(self, codes: Sequence[Sequence[int]], task: Task, seed: int, device: torch.device) -> None:
        space = make_space("digits-micro")
        assert isinstance(space, CellSpace)
        self.task, self.cells, self.device = task, len(codes), device
        live = [space.live_edges(code) for code in codes]
        # (start node, operation) → the edges on which it is used, each with the cells that use it there
        self.users: dict[tuple[int, int], list[tuple[int, Tensor]]] = {}
        for edge, (start, _) in enumerate(EDGES):
            for operation in (SKIP, CONV1, CONV3):
                who = [k for k, code in enumerate(codes) if edge in live[k] and code[edge] == operation]
                if who:
                    used = self.users.setdefault((start, operation), [])
                    used.append((edge, torch.tensor(who, device=device)))
        self.parameters: dict[str, Tensor] = {}
        self.running: dict[str, tuple[Tensor, Tensor]] = {}
        self._make(seed)

    def _make(self, seed: int) -> None:
        def add(name: str, copies: int, shape: tuple[int, ...], fan_in: int, gain: float = 1.0) -> None:
            one = draw(seed, self.task.name, name, shape, (gain / fan_in) ** 0.5)
            many = one.expand(copies, *shape).contiguous().to(self.device)
            self.parameters[name] = many.requires_grad_()

        inputs = 1
        for stage, (channels, _) in enumerate(STAGES):
            first = patches(self.task.name, seed, stage, channels, inputs)
            many = first.expand(self.cells, *first.shape).contiguous().to(self.device)
            self.parameters[f"down{stage}"] = many.requires_grad_()
            self._add_norm(f"down{stage}", channels)
            for edge, operation, who in self._convolutions():
                side = 3 if operation == CONV3 else 1
                shape = (channels, channels, side, side)
                add(f"cell{stage}/{edge}/{operation}", len(who), shape, side**2 * channels, gain=2.0)
            inputs = channels
        self._add_norm("head", inputs)
        head = head_inputs(self.task)
        add("head", self.cells, (head_outputs(self.task), head), head, gain=0.1)
        zeros = torch.zeros(self.cells, head_outputs(self.task), device=self.device)
        self.parameters["head/bias"] = zeros.requires_grad_()

    def _convolutions(self) -> Iterator[tuple[int, int, Tensor]]:
        for (_, operation), used in self.users.items():
            if operation != SKIP:
                for edge, who in used:
                    yield edge, operation, who

    def _add_norm(self, name: str, channels: int) -> None:
        n = self.cells * channels
        self.parameters[f"{name}/scale"] = torch.ones(n, device=self.device).requires_grad_()
        self.parameters[f"{name}/shift"] = torch.zeros(n, device=self.device).requires_grad_()
        self.running[name] = (torch.zeros(n, device=self.device), torch.ones(n, device=self.device))

    def __call__(self, images: Tensor, training: bool) -> Tensor:
        """Predictions, [images, cells, outputs] or [images, cells, outputs, 16, 16].

        Args:
            images: [images, 1, 16, 16].
            training: normalise by the batch's statistics and keep a running mean, else by the running mean.
        """
        x = images
        for stage, (channels, _) in enumerate(STAGES):
            weight = self.parameters[f"down{stage}"].flatten(0, 1)
            x = F.conv2d(x, weight, stride=2, groups=self.cells if stage else 1)
            x = self._norm(f"down{stage}", x, training)
            x = self._cell(stage, channels, x)
        return self._head(self._norm("head", x, training))

    def _norm(self, name: str, x: Tensor, training: bool) -> Tensor:
        mean, variance = self.running[name]
        scale, shift = self.parameters[f"{name}/scale"], self.parameters[f"{name}/shift"]
        return F.batch_norm(x, mean, variance, scale, shift, training, MOMENTUM, EPSILON)

    def _cell(self, stage: int, channels: int, x: Tensor) -> Tensor:
        n, _, rows, columns = x.shape
        features = channels * rows * columns
        nodes = [x.view(n, self.cells, features)]
        nodes += [x.new_zeros(n, self.cells, features) for _ in range(3)]
        for start in range(3):
            active = nodes[start].relu()
            for operation in (SKIP, CONV1, CONV3):
                used = self.users.get((start, operation))
                if not used:
                    continue
                # One gather, one grouped convolution for all edges that leave this node.
                everyone = torch.cat([who for _, who in used])
                source = (nodes[start] if operation == SKIP else active).index_select(1, everyone)
                if operation != SKIP:
                    source = self._convolve(stage, operation, used, source.view(n, -1, rows, columns))
                    source = source.view(n, len(everyone), features)
                parts = torch.split(source, [len(who) for _, who in used], 1)
                for (edge, who), part in zip(used, parts, strict=True):
                    nodes[EDGES[edge][1]].index_add_(1, who, part)
        return nodes[3].view(x.shape)

    def _convolve(self, stage: int, operation: int, used: list[tuple[int, Tensor]], x: Tensor) -> Tensor:
        """Each user's convolution on its own channels of x, [images, users × channels, rows, columns]."""
        parts = [self.parameters[f"cell{stage}/{edge}/{operation}"] for edge, _ in used]
        weight = parts[0] if len(parts) == 1 else torch.cat(parts)
        if operation == CONV3:
            return F.conv2d(x, weight.flatten(0, 1), padding=1, groups=len(weight))
        # As matrix products a 1×1 convolution took a third of the time of a grouped one.
        channels = weight.shape[1]
        pixels = x.view(len(x), len(weight), channels, -1)
        return torch.matmul(weight.flatten(2), pixels)

    def _head(self, x: Tensor) -> Tensor:
        channels, side = STAGES[-1]
        x = x.view(len(x), self.cells, channels, side * side)
        weight, bias = self.parameters["head"], self.parameters["head/bias"]
        if self.task.head == "pixels":
            out = torch.einsum("nkcp,koc->nkop", x, weight) + bias[:, :, None]
            patch = SIZE // side
            out = out.view(len(x), self.cells, self.task.outputs, patch, patch, side, side)
            return out.permute(0, 1, 2, 5, 3, 6, 4).reshape(len(x), self.cells, -1, SIZE, SIZE)
        x = x.relu()
        if self.task.head == "pooled":
            x = x.mean(3)
        else:
            half = side // 2
            x = x.view(len(x), self.cells, channels, 2, half, 2, half).mean((4, 6)).flatten(2)
        return torch.einsum("nki,koi->nko", x, weight) + bias


def head_inputs(task: Task) -> int:
    """Length of the vector that the head's linear map reads."""
    channels, _ = STAGES[-1]
    return 4 * channels if task.head == "placed" else channels


def head_outputs(task: Task) -> int:
    """Length of the vector that the head's linear map gives: for pixels, a patch of each output."""
    return task.outputs * (SIZE // STAGES[-1][1]) ** 2 if task.head == "pixels" else task.outputs


def count(code: Sequence[int], task: Task) -> tuple[int, int]:
    """Parameters, and FLOPs of one image forward (2 × multiply-adds of convolutions and of the head).

    Edges on no path from input to output are not there, so they count nothing.
    """
    space = make_space("digits-micro")
    assert isinstance(space, CellSpace)
    live = space.live_edges(code)
    parameters = multiply_adds = 0
    inputs = 1
    for channels, side in STAGES:
        down = channels * inputs * 4
        kernels = sum(channels**2 * {CONV1: 1, CONV3: 9}.get(code[edge], 0) for edge in live)
        parameters += down + kernels + 2 * channels
        multiply_adds += (down + kernels) * side**2
        inputs = channels
    head = head_inputs(task) * head_outputs(task)
    parameters += 2 * inputs + head + head_outputs(task)
    multiply_adds += head * (STAGES[-1][1] ** 2 if task.head == "pixels" else 1)
    return parameters, 2 * multiply_adds
