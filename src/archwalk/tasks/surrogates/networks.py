"""A small ensemble of networks over slots, all members computed in one product.

In: codes. Out: the mean of the members and their spread. Next: ``fit`` trains them; ``task`` asks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from archwalk.spaces.base import Codes, SearchSpace
from archwalk.tasks.surrogates.file import Arrays
from archwalk.tasks.surrogates.models import Floats, Prediction

# Rows computed at once, always as many: the same kernels on the same shapes give an architecture the same
# bits in whatever batch it comes.
_BLOCK = 128


class Inputs:
    """What the networks see: a column for each choice of each slot, and its place in an ordered one.

    Args:
        slot_sizes: of the space.
        ordered: whether the choices of each slot have an order, [slots].
    """

    def __init__(self, slot_sizes: Sequence[int], ordered: Sequence[bool]) -> None:
        self.slot_sizes, self.ordered = tuple(slot_sizes), tuple(map(bool, ordered))
        self._starts = np.cumsum([0, *(1 + size for size in slot_sizes)])
        self.width = int(self._starts[-1]) + sum(self.ordered)

    def __call__(self, codes: Codes) -> Tensor:
        """[n, width]; a place is -1 to 1, and 0 where the slot is absent."""
        columns = np.zeros((len(codes), self.width), dtype=np.float32)
        columns[np.arange(len(codes))[:, None], self._starts[:-1] + codes + 1] = 1
        which = np.flatnonzero(self.ordered)
        last = np.maximum(np.array(self.slot_sizes)[which] - 1, 1)
        place = codes[:, which] * (2 / last) - 1
        columns[:, self._starts[-1] :] = np.where(codes[:, which] < 0, 0, place)
        return torch.from_numpy(columns)


def forward(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """Members' outputs, [members, n], of inputs [members or 1, n, width]."""
    x = x.expand(len(weights[0]), -1, -1)
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = torch.baddbmm(bias[:, None], F.silu(x) if layer else x, weight)
    return x.squeeze(2)


class Networks:
    """The mean over members of multilayer perceptrons; their spread, scaled, is the error's deviation.

    Args:
        space: of the architectures.
        ordered: whether the choices of each slot have an order, [slots].
        weights: of each layer, [members, in, out].
        biases: of each layer, [members, out].
        level: what an output of 0 stands for.
        scale: what an output of 1 adds.
        spread_scale: from the members' standard deviation to that of the error.
    """

    kind = "networks"

    def __init__(
        self,
        space: SearchSpace,
        ordered: Sequence[bool],
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        level: float,
        scale: float,
        spread_scale: float = 1.0,
    ) -> None:
        self.inputs = Inputs(space.slot_sizes, ordered)
        self.weights, self.biases = list(weights), list(biases)
        self.level, self.scale, self.spread_scale = level, scale, spread_scale

    def settings(self) -> dict[str, Any]:
        """Order, level and scales."""
        return {
            "ordered": list(self.inputs.ordered),
            "level": self.level,
            "scale": self.scale,
            "spread_scale": self.spread_scale,
        }

    def arrays(self) -> Arrays:
        """Weights and biases of each layer."""
        named = {f"weight{i}": w.numpy() for i, w in enumerate(self.weights)}
        return named | {f"bias{i}": b.numpy() for i, b in enumerate(self.biases)}

    def predict(self, codes: Codes, output: int = 0) -> Prediction:
        """Of codes [n, slots]."""
        members = self.members(codes)
        spread = members.std(axis=1, ddof=1) * self.scale * self.spread_scale
        return Prediction(members.mean(axis=1) * self.scale + self.level, spread)

    def members(self, codes: Codes) -> Floats:
        """What each member puts out, [n, members]."""
        n = len(codes)
        found = np.empty((-(-n // _BLOCK) * _BLOCK, len(self.weights[0])))
        columns = F.pad(self.inputs(codes), (0, 0, 0, len(found) - n))
        with torch.inference_mode():
            for start in range(0, len(found), _BLOCK):
                block = forward(columns[start : start + _BLOCK][None], self.weights, self.biases)
                found[start : start + _BLOCK] = block.T.double().numpy()
        return found[:n]


def make_networks(space: SearchSpace, arrays: Arrays, ordered: Sequence[bool], **settings: Any) -> Networks:
    """Networks from a file's arrays and settings. Raises ``ValueError`` if they do not fit together."""
    layers = len(arrays) // 2
    weights = [arrays[f"weight{i}"] for i in range(layers)]
    biases = [arrays[f"bias{i}"] for i in range(layers)]
    width = Inputs(space.slot_sizes, ordered).width
    members = len(weights[0])
    for weight, bias in zip(weights, biases, strict=True):
        if weight.shape[:2] != (members, width) or bias.shape != (members, weight.shape[2]):
            raise ValueError(f"networks that do not fit to a space of {len(space.slot_sizes)} slots")
        width = weight.shape[2]
    if width != 1 or len(ordered) != len(space.slot_sizes) or len(arrays) != 2 * layers:
        raise ValueError("networks with another number of layers, outputs or slots")
    return Networks(space, ordered, _tensors(weights), _tensors(biases), **settings)


def _tensors(arrays: Sequence[NDArray[Any]]) -> list[Tensor]:
    return [torch.from_numpy(array.astype(np.float32)) for array in arrays]
