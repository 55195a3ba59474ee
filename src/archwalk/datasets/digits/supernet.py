"""One set of weights for the networks of all cells (ENAS, Pham et al. 2018), and scores under it.

In: a task, cells as codes. Out: ``SharedNetworks``, which is trained and scored as ``CellNetworks`` is, but
whose cells have their operations' weights in common. Next: the search method ``enas``.

There is one tensor for each operation on each edge, one stem, two normalisations and one head. A forward
normalises by its own batch, in training and in scoring, since running means of one cell say nothing of
another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archwalk.datasets.digits.network import CHANNELS, CONV1, CONV3, CellNetworks
from archwalk.datasets.digits.tasks import Data, Task, scores, tallies
from archwalk.spaces.cells import EDGES

TOGETHER, SCORED = 64, 125  # cells and scenes that are scored at once


def shared_weights(task: Task, seed: int) -> dict[str, Tensor]:
    """First weights, those that the networks of a seed begin with, by their names in ``CellNetworks``."""
    every = [[operation] * len(EDGES) for operation in (CONV1, CONV3)]
    parameters = CellNetworks(every, task, seed, torch.device("cpu")).parameters
    shared = {}
    for name, value in parameters.items():
        norm = name.endswith(("scale", "shift"))
        shared[name] = value.detach()[: CHANNELS if norm else 1].clone().requires_grad_()
    return shared


class SharedNetworks(CellNetworks):
    """The networks of K cells on one task, with weights in common.

    Args:
        codes: operations of each cell, in the order of ``EDGES``, [K, 6].
        task: decides the head.
        weights: as ``shared_weights`` names them; gradients arrive there, summed over the cells.
    """

    def __init__(self, codes: Sequence[Sequence[int]], task: Task, weights: Mapping[str, Tensor]) -> None:
        self._weights = weights
        super().__init__(codes, task, 0, torch.device("cpu"))

    def _make(self, seed: int) -> None:
        copies = {f"cell/{edge}/{operation}": len(who) for edge, operation, who in self._convolutions()}
        for name, value in self._weights.items():
            many = copies.get(name, 0 if name.startswith("cell/") else self.cells)
            if name.endswith(("scale", "shift")):
                self.parameters[name] = value.repeat(many)
            elif many:
                self.parameters[name] = value.expand(many, *value.shape[1:])
        for name in ("stem", "head"):
            n = self.cells * CHANNELS
            self.running[name] = (torch.zeros(n), torch.ones(n))


@torch.no_grad()
def one_shot(
    codes: Sequence[Sequence[int]], task: Task, weights: Mapping[str, Tensor], data: Data
) -> NDArray[np.float64]:
    """The task's metric of each cell under the shared weights, larger is better, [cells].

    Args:
        codes: [cells, 6].
        task: what is scored.
        weights: see ``SharedNetworks``.
        data: scenes to score on, taken ``SCORED`` at a time.
    """
    found = np.empty(len(codes))
    for first in range(0, len(codes), TOGETHER):
        some = codes[first : first + TOGETHER]
        networks = SharedNetworks(some, task, weights)
        tally: Tensor | int = 0
        for at in range(0, len(data), SCORED):
            images, targets = data.inputs[at : at + SCORED], data.targets[at : at + SCORED]
            tally = tally + tallies(task, networks(images, training=True), targets)
        assert isinstance(tally, Tensor)
        found[first : first + len(some)] = scores(task, tally, len(data)).numpy()
    return found
