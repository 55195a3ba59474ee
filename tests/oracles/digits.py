"""Slow, obviously right versions of what the digits benchmark does many at a time."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from archwalk.datasets.digits.network import CellNetworks
from archwalk.spaces.cells import EDGES


class PlainCell(nn.Module):
    """One network as a usual module, with dead edges left in: they carry zeros or lead nowhere."""

    def __init__(self, code: list[int], outputs: int, pixels: bool, bottleneck: int) -> None:
        super().__init__()
        self.code, self.pixels = code, pixels
        self.stem = nn.Conv2d(1, 16, 4, stride=4, bias=False)
        self.stem_norm, self.head_norm = nn.BatchNorm2d(16), nn.BatchNorm2d(16)
        self.edges = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, bias=False))
            if operation == 3
            else nn.Sequential(nn.ReLU(), nn.Conv2d(16, 16, 1, bias=False))
            if operation == 2
            else nn.Identity()
            for operation in code
        )
        self.squeeze = nn.Conv2d(16, bottleneck, 1, bias=False) if bottleneck else nn.Identity()
        self.head = nn.Conv2d(bottleneck or 16, 16 * outputs, 1) if pixels else nn.Linear(16, outputs)

    def forward(self, images: Tensor) -> Tensor:
        nodes = [self.stem_norm(self.stem(images))]
        for node in (1, 2, 3):
            total = torch.zeros_like(nodes[0])
            for edge, (start, end) in enumerate(EDGES):
                if end == node and self.code[edge] != 0:
                    total = total + self.edges[edge](nodes[start])
            nodes.append(total)
        x = self.head_norm(nodes[3])
        if self.pixels:
            return nn.functional.pixel_shuffle(self.head(self.squeeze(x)), 4)
        return self.head(x.relu().mean((2, 3)))

    def copy_from(self, networks: CellNetworks, k: int) -> None:
        """Take the weights of cell k of a batch of networks."""
        own = networks.parameters
        with torch.no_grad():
            self.stem.weight.copy_(own["stem"][k])
            for name, norm in (("stem", self.stem_norm), ("head", self.head_norm)):
                norm.weight.copy_(own[f"{name}/scale"][16 * k : 16 * k + 16])
                norm.bias.copy_(own[f"{name}/shift"][16 * k : 16 * k + 16])
            for (_, operation), used in networks.users.items():
                for edge, who in used:
                    if operation != 1 and k in who.tolist():
                        weight = own[f"cell/{edge}/{operation}"][who.tolist().index(k)]
                        self.edges[edge][1].weight.copy_(weight)
            if "code" in own:
                self.squeeze.weight.copy_(own["code"][k][:, :, None, None])
            self.head.weight.copy_(own["head"][k].view_as(self.head.weight))
            self.head.bias.copy_(own["head/bias"][k])


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean SSIM of two pictures [16, 16] in [0, 1], window by window."""
    values = []
    for i in range(10):
        for j in range(10):
            x, y = a[i : i + 7, j : j + 7].ravel(), b[i : i + 7, j : j + 7].ravel()
            mx, my = x.mean(), y.mean()
            vx, vy, c = ((x - mx) ** 2).mean(), ((y - my) ** 2).mean(), ((x - mx) * (y - my)).mean()
            top = (2 * mx * my + 1e-4) * (2 * c + 9e-4)
            values.append(top / ((mx * mx + my * my + 1e-4) * (vx + vy + 9e-4)))
    return float(np.mean(values))


def mean_iou(chosen: np.ndarray, true: np.ndarray, labels: int) -> float:
    """Percent, from label maps of any one shape."""
    shares = []
    for label in range(labels):
        a = set(np.flatnonzero(chosen.ravel() == label))
        b = set(np.flatnonzero(true.ravel() == label))
        shares.append(len(a & b) / max(len(a | b), 1))
    return 100 * sum(shares) / labels


def cross_entropy(logits: np.ndarray, target: int) -> float:
    """−log softmax(logits)[target]."""
    return math.log(sum(math.exp(v) for v in logits)) - float(logits[target])
