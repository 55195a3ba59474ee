"""Training and scoring a chunk of cells on one task: the measurement itself.

In: cells as codes, a task, a seed. Out: ``Measured``, a score for each cell, epoch and split. Next: ``build``
does this for all cells and tasks and keeps what it has done.

All cells see the same batches in the same order and have the same first weights where they have the same
operation on the same edge, so cells of one seed are compared on equal terms.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archwalk.datasets.digits.network import CellNetworks
from archwalk.datasets.digits.scenes import SPLITS, Split
from archwalk.datasets.digits.tasks import Data, Task, losses, make_data, scores, tallies
from archwalk.errors import SettingsError

SCORED = 50  # scenes scored at a time


@dataclass(frozen=True)
class Settings:
    """How a network is trained and scored; the shipped table was made with the defaults.

    Attributes:
        train: scenes trained on.
        measured: of those, how many the train metric is taken on.
        valid: scenes of the validation split.
        test: scenes of the test split.
        epochs: passes over the training scenes; scores are taken after each.
        batch: scenes a step.
        learning_rate: of Adam, the highest: it rises over the first tenth of the steps and falls to zero on
            half a cosine.
    """

    train: int = 3072
    measured: int = 300
    valid: int = 1500
    test: int = 1500
    epochs: int = 3
    batch: int = 32
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        counts = (self.train, self.measured, self.valid, self.test, self.epochs, self.batch)
        if min(counts) < 1 or self.measured > self.train or self.batch > self.train:
            raise SettingsError("positive counts, measured and batch within train", str(self), "change them")

    def scenes(self, split: Split) -> int:
        """How many scenes of a split are made."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[split]

    @property
    def epoch_names(self) -> tuple[str, ...]:
        """As in the table: numbers, and ``final`` for the last."""
        return (*map(str, range(1, self.epochs)), "final")


@dataclass(frozen=True)
class Measured:
    """Scores [epochs, splits, cells] in the task's metric, and seconds of processor time for the chunk."""

    scores: NDArray[np.float64]
    seconds: float


def train_cells(
    codes: Sequence[Sequence[int]],
    task: Task,
    seed: int,
    settings: Settings,
    device: torch.device | None = None,
) -> Measured:
    """Train the networks of some cells side by side, from scratch, and score them after each epoch.

    Args:
        codes: operations of each cell, [cells, 6].
        task: what they learn.
        seed: of the first weights and of the order of the scenes.
        settings: see there.
        device: where to compute; the processor by default.
    """
    device = device or torch.device("cpu")
    data = {split: _to(device, make_data(task, split, settings.scenes(split))) for split in SPLITS}
    networks = CellNetworks(codes, task, seed, device)
    optimiser = torch.optim.Adam(list(networks.parameters.values()), betas=(0.9, 0.99))
    order = np.random.default_rng([seed, 2])
    steps_an_epoch = settings.train // settings.batch
    steps = steps_an_epoch * settings.epochs
    measured = np.empty((settings.epochs, len(SPLITS), len(codes)))
    start = _seconds(device)
    for epoch in range(settings.epochs):
        batches = torch.from_numpy(order.permutation(settings.train)).to(device)
        for step in range(steps_an_epoch):
            chosen = batches[step * settings.batch : (step + 1) * settings.batch]
            rate = learning_rate(epoch * steps_an_epoch + step, steps, settings.learning_rate)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad()
            predicted = networks(data["train"].inputs[chosen], training=True)
            # A sum, so that each cell's gradient is that of its own loss.
            losses(task, predicted, data["train"].targets[chosen]).sum().backward()
            optimiser.step()
        for at, split in enumerate(SPLITS):
            count = settings.measured if split == "train" else len(data[split])
            measured[epoch, at] = score(networks, data[split], count).cpu().numpy()
    return Measured(measured, _seconds(device) - start)


def learning_rate(step: int, steps: int, highest: float) -> float:
    """Linear rise over the first tenth of the steps, under half a cosine that ends at zero."""
    rise = min(1.0, (step + 1) / (0.1 * steps))
    return highest * rise * (0.5 + 0.5 * math.cos(math.pi * step / steps))


@torch.no_grad()
def score(networks: CellNetworks, data: Data, count: int) -> Tensor:
    """The task's metric of each cell on the first ``count`` scenes, [cells]."""
    tally: Tensor | int = 0
    for at in range(0, count, SCORED):
        some = slice(at, min(at + SCORED, count))
        tally = tally + tallies(networks.task, networks(data.inputs[some], False), data.targets[some])
    assert isinstance(tally, Tensor)
    return scores(networks.task, tally, count)


def _to(device: torch.device, data: Data) -> Data:
    return Data(data.inputs.to(device), data.targets.to(device))


def _seconds(device: torch.device) -> float:
    """Processor time on a CPU, where other programs may run beside; else time on the wall, work done."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()
