"""Training rows of the shipped table again, to see that they are what they say.

In: the table, a number of rows. Out: ``Report``, each row's stored and new numbers and whether they agree.

A row trained alone is not bit for bit the row trained in its chunk: sums are taken in another order, and
some hundred steps of training may magnify the difference. ``TOLERANCE`` says how far a metric may move for
this reason. Pictures and layouts hardly move; where a few answers tip over, top-1 moves by up to the noise of
a seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from archwalk.datasets.digits.plan import representatives
from archwalk.datasets.digits.scenes import SPLITS
from archwalk.datasets.digits.tasks import TASKS
from archwalk.datasets.digits.training import Settings, train_cells
from archwalk.errors import SettingsError
from archwalk.tasks.registry import load_table
from archwalk.tasks.table import Benchmark

TOLERANCE = {"top1": 3.0, "mIoU": 0.5, "ssim": 0.005, "neg_loss": 0.01}  # largest absolute difference


@dataclass(frozen=True)
class Row:
    """One retrained row: stored and new final metric on train, valid and test."""

    architecture: str
    task: str
    metric: str
    stored: tuple[float, ...]
    measured: tuple[float, ...]

    @property
    def difference(self) -> float:
        """The largest of the three absolute differences."""
        return max(abs(a - b) for a, b in zip(self.stored, self.measured, strict=True))

    @property
    def agrees(self) -> bool:
        """Whether that is within the metric's tolerance."""
        return self.difference <= TOLERANCE[self.metric]


@dataclass(frozen=True)
class Report:
    """All retrained rows."""

    rows: tuple[Row, ...]

    @property
    def agrees(self) -> bool:
        """Whether every row does."""
        return all(row.agrees for row in self.rows)

    def __str__(self) -> str:
        lines = [
            f"{'ok ' if row.agrees else 'OFF'} {row.architecture}  {row.task:<15} {row.metric:<8} stored "
            f"{' '.join(f'{v:.5g}' for v in row.stored)}  now {' '.join(f'{v:.5g}' for v in row.measured)}"
            f"  (largest difference {row.difference:.2g}, tolerance {TOLERANCE[row.metric]:g})"
            for row in self.rows
        ]
        good = sum(row.agrees for row in self.rows)
        return "\n".join([*lines, f"{good} of {len(self.rows)} rows agree (train, valid, test)"])


def verify(
    sample: int, *, seed: int = 0, benchmark: Benchmark | None = None, settings: Settings | None = None
) -> Report:
    """Train random rows of the table again, about a second each.

    Args:
        sample: how many (cell, task) rows.
        seed: which ones.
        benchmark: the table; the shipped one by default.
        settings: those it was made with; those of the shipped table by default.

    Raises:
        SettingsError: scikit-learn is missing, or ``sample`` is not positive.
    """
    if sample < 1:
        raise SettingsError("a positive sample", str(sample), "give at least 1")
    benchmark = benchmark or load_table("digits")
    settings = settings or Settings()
    groups, firsts = benchmark.space.canonical_groups(), representatives()
    generator = np.random.default_rng(seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as when the table was made, and faster for networks of this size
    try:
        rows = []
        for _ in range(sample):
            at = int(generator.integers(len(benchmark)))
            task = TASKS[benchmark.tasks[int(generator.integers(len(benchmark.tasks)))]]
            first = firsts[groups[benchmark.rows[at]]]
            code = benchmark.space.codes[first].tolist()
            measured = train_cells([code], task, 0, settings).scores[-1, :, 0]
            stored = [benchmark.values(task.name, split, epoch="final")[at] for split in SPLITS]
            rows.append(
                Row(
                    benchmark.architectures[at],
                    task.name,
                    task.metric,
                    tuple(map(float, stored)),
                    tuple(map(float, measured)),
                )
            )
    finally:
        torch.set_num_threads(threads)
    return Report(tuple(rows))
