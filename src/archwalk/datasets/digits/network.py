"""Networks of many cells as one program: the same skeleton around each, all trained side by side.

In: cells as codes, a task. Out: predictions for all of them, and parameter and FLOP counts of one.
Next: ``training`` trains and scores a chunk of cells.

The skeleton (``digits16``): a convolution over patches of 4×4 pixels to 16 channels at 4×4, normalised; the
cell; normalised again; the task's head. Inside the cell ``skip`` is the identity, ``none`` is zero, and a
convolution is ReLU-convolution without bias, so cells with one canonical key are the same function.

Activations of K cells are [images, K × channels, rows, columns]; a convolution on one edge of all cells that
have it there is one grouped convolution. What one cell computes never depends on the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from archwalk.datasets.digits.scenes import SIZE
from archwalk.datasets.digits.tasks import Task
from archwalk.spaces.cells import EDGES, CellSpace
from archwalk.spaces.registry import make_listed

CHANNELS, SIDE = 16, 4  # of every activation in the cell
PATCH = SIZE // SIDE
SKIP, CONV1, CONV3 = 1, 2, 3
MOMENTUM, EPSILON = 0.1, 1e-5


def draw(seed: int, task: str, name: str, shape: Sequence[int], scale: float) -> Tensor:
    """Normal numbers that depend on these words only, not on the cells in a batch or on their order."""
    digest = hashlib.sha256(f"{seed}/{task}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return scale * torch.randn(*shape, generator=generator)


def cosines() -> Tensor:
    """The 16 cosine filters of a 4×4 patch (DCT-II, orthonormal), first weights of the stem, [16, 1, 4, 4].

    Nothing of the picture is lost at the start; random filters lose a part of it, and the seed says which.
    """
    at = torch.arange(PATCH)
    basis = torch.cos(torch.pi * (at + 0.5) * at[:, None] / PATCH)
    basis = basis / basis.norm(dim=1, keepdim=True)
    return torch.einsum("ay,bx->abyx", basis, basis).reshape(CHANNELS, 1, PATCH, PATCH)


class CellNetworks:
    """The networks of K cells on one task.

    Args:
        codes: operations of each cell, in the order of ``EDGES``, [K, 6].
        task: decides the head.
        seed: of the first weights.
        device: where to compute.

    Attributes:
        parameters: name → tensor. The cells (for an edge: those with that operation there) are the
            leading axis; normalisations have cells × channels in one.
    """

    def __init__(self, codes: Sequence[Sequence[int]], task: Task, seed: int, device: torch.device) -> None:
        space = make_listed("digits-micro")
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

        stem = cosines().expand(self.cells, -1, -1, -1, -1).contiguous().to(self.device)
        self.parameters["stem"] = stem.requires_grad_()
        for edge, operation, who in self._convolutions():
            side = 3 if operation == CONV3 else 1
            shape = (CHANNELS, CHANNELS, side, side)
            add(f"cell/{edge}/{operation}", len(who), shape, side**2 * CHANNELS, gain=2.0)
        for name in ("stem", "head"):
            self._add_norm(name)
        inputs, outputs = head_size(self.task)
        if self.task.code:
            add("code", self.cells, (self.task.code, CHANNELS), CHANNELS)
        add("head", self.cells, (outputs, inputs), inputs, gain=0.1)
        self.parameters["head/bias"] = torch.zeros(self.cells, outputs, device=self.device).requires_grad_()

    def _convolutions(self) -> Iterator[tuple[int, int, Tensor]]:
        for (_, operation), used in self.users.items():
            if operation != SKIP:
                for edge, who in used:
                    yield edge, operation, who

    def _add_norm(self, name: str) -> None:
        n = self.cells * CHANNELS
        self.parameters[f"{name}/scale"] = torch.ones(n, device=self.device).requires_grad_()
        self.parameters[f"{name}/shift"] = torch.zeros(n, device=self.device).requires_grad_()
        self.running[name] = (torch.zeros(n, device=self.device), torch.ones(n, device=self.device))

    def __call__(self, images: Tensor, training: bool) -> Tensor:
        """Predictions, [images, cells, outputs] or [images, cells, outputs, 16, 16].

        Args:
            images: [images, 1, 16, 16].
            training: normalise by the batch's statistics and keep a running mean, else by the running mean.
        """
        # The picture is the same for all cells, so their stems are one convolution with many filters.
        x = F.conv2d(images, self.parameters["stem"].flatten(0, 1), stride=PATCH)
        x = self._cell(self._norm("stem", x, training))
        return self._head(self._norm("head", x, training))

    def _norm(self, name: str, x: Tensor, training: bool) -> Tensor:
        mean, variance = self.running[name]
        scale, shift = self.parameters[f"{name}/scale"], self.parameters[f"{name}/shift"]
        return F.batch_norm(x, mean, variance, scale, shift, training, MOMENTUM, EPSILON)

    def _cell(self, x: Tensor) -> Tensor:
        n, features = len(x), CHANNELS * SIDE**2
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
                    source = self._convolve(operation, used, source.view(n, -1, SIDE, SIDE))
                    source = source.view(n, len(everyone), features)
                parts = torch.split(source, [len(who) for _, who in used], 1)
                for (edge, who), part in zip(used, parts, strict=True):
                    nodes[EDGES[edge][1]].index_add_(1, who, part)
        return nodes[3].view(x.shape)

    def _convolve(self, operation: int, used: list[tuple[int, Tensor]], x: Tensor) -> Tensor:
        """Each user's convolution on its own channels of x, [images, users × channels, rows, columns]."""
        parts = [self.parameters[f"cell/{edge}/{operation}"] for edge, _ in used]
        weight = parts[0] if len(parts) == 1 else torch.cat(parts)
        if operation == CONV3:
            return F.conv2d(x, weight.flatten(0, 1), padding=1, groups=len(weight))
        # As matrix products a 1×1 convolution took a third of the time of a grouped one.
        pixels = x.view(len(x), len(weight), CHANNELS, -1)
        return torch.matmul(weight.flatten(2), pixels)

    def _head(self, x: Tensor) -> Tensor:
        n = len(x)
        x = x.view(n, self.cells, CHANNELS, SIDE**2)
        weight, bias = self.parameters["head"], self.parameters["head/bias"]
        if self.task.head == "pooled":
            return torch.einsum("nki,koi->nko", x.relu().mean(3), weight) + bias
        if self.task.code:
            x = torch.einsum("nkcp,kdc->nkdp", x, self.parameters["code"])
        out = torch.einsum("nkcp,koc->nkop", x, weight) + bias[:, :, None]
        out = out.view(n, self.cells, self.task.outputs, PATCH, PATCH, SIDE, SIDE)
        return out.permute(0, 1, 2, 5, 3, 6, 4).reshape(n, self.cells, -1, SIZE, SIZE)


def head_size(task: Task) -> tuple[int, int]:
    """Numbers that the head's last linear map reads and gives: for pixels, a patch of every output."""
    return task.code or CHANNELS, task.outputs * (PATCH**2 if task.head == "pixels" else 1)


def count(code: Sequence[int], task: Task) -> tuple[int, int]:
    """Parameters, and FLOPs of one image forward (2 × multiply-adds of convolutions and of the head).

    Edges on no path from input to output are not there, so they count nothing.
    """
    space = make_listed("digits-micro")
    assert isinstance(space, CellSpace)
    live = space.live_edges(code)
    kernels = sum(CHANNELS**2 * {CONV1: 1, CONV3: 9}.get(code[edge], 0) for edge in live)
    stem = CHANNELS * PATCH**2
    inputs, outputs = head_size(task)
    head = inputs * outputs + CHANNELS * task.code
    parameters = stem + kernels + 4 * CHANNELS + head + outputs
    positions = SIDE**2
    multiply_adds = positions * (stem + kernels + (head if task.head == "pixels" else 0))
    multiply_adds += 0 if task.head == "pixels" else head
    return parameters, 2 * multiply_adds
