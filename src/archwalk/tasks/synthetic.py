"""``synthetic``: a table computed from a formula, named as what it is.

Nothing here was measured. It gives the tests and the examples four tasks with the shape of real ones (ties
between cells that compute the same function, tasks that agree more or less, a test split that is the
validation split with fresh noise) and it scales to any number of slots for the benchmarks of speed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archwalk.spaces.base import ListedSpace
from archwalk.spaces.registry import make_listed
from archwalk.tasks.metrics import METRICS, Column
from archwalk.tasks.table import Benchmark, make_benchmark

SEED = 20240607
# task → (metric, share of the quality that all tasks have in common, low and high end of the metric)
TASKS = {
    "alpha": ("top1", 0.85, 20.0, 48.0),
    "beta": ("top1", 0.70, 5.0, 70.0),
    "gamma": ("neg_loss", 0.55, -1.1, -0.55),
    "delta": ("ssim", 0.15, 0.05, 0.6),
}


def make_synthetic(space: ListedSpace | None = None) -> Benchmark:
    """Four formula tasks over a space, by default 4,096 cells; the same numbers on every machine.

    Quality of an architecture on a task: main effects of its slots plus effects of all slot pairs, drawn
    once from a fixed seed, mixed with those that all tasks share; validation and test each add noise of a
    tenth of the spread. Architectures with one canonical key share all values.
    """
    space = space or make_listed("synthetic-cells")
    generator = np.random.default_rng(SEED)
    groups = space.canonical_groups()
    _, first = np.unique(groups, return_index=True)
    codes = space.codes[first][groups]  # every architecture reads as the first one of its group
    common = _quality(codes, space.slot_sizes, generator)
    columns: dict[Column, NDArray[np.float64]] = {}
    rewards = {}
    for task, (metric, share, low, high) in TASKS.items():
        own = _quality(codes, space.slot_sizes, generator)
        quality = np.sqrt(share) * common + np.sqrt(1 - share) * own
        for split in ("valid", "test"):
            noisy = quality + 0.1 * generator.standard_normal(groups.max() + 1)[groups]
            squashed = 1 / (1 + np.exp(-noisy))
            columns[Column(task, metric, split, "final")] = np.round(low + (high - low) * squashed, 6)
        rewards[task] = Column(task, metric, "valid", "final")
    return make_benchmark(
        "synthetic",
        space,
        np.arange(len(space)),
        columns,
        {metric: METRICS[metric] for metric, *_ in TASKS.values()},
        rewards,
        source="A formula in archwalk.tasks.synthetic; nothing was measured.",
    )


def _quality(codes: NDArray[np.int8], sizes: tuple[int, ...], g: np.random.Generator) -> NDArray[np.float64]:
    """Standardised main and pair effects, [architectures]."""
    total = np.zeros(len(codes))
    for a, size in enumerate(sizes):
        total += g.standard_normal(size)[codes[:, a]]
        for b in range(a):
            total += 0.6 * g.standard_normal((size, sizes[b]))[codes[:, a], codes[:, b]]
    return np.asarray((total - total.mean()) / total.std())
