"""Does the size of a space cost training? Trained steps to a score of 0.9, the same settings everywhere.

    archwalk data import nasbench301 surrogate_weights.npz --out nb301.task
    python benchmarks/size.py --micro micro.parquet --nb201 nb201.parquet --nb301 nb301.task --seeds 5

The predecessor of the paper (Cassimon et al. 2024) says that it hardly does. Measured tasks: class_object of
TransNAS-Bench-101's 4,096 cells, cifar100 of NAS-Bench-201's 15,625, and the surrogate of NAS-Bench-301 with
10^18. Formula tasks (``tasks.synthetic``) with 4,096, 15,625 and 26,244 architectures. Score: where greedy
walks end, 0 a random architecture, 1 the best; where nobody knows the best, the best that steepest ascent
finds from 200 random starts. Resumable. Prints steps to the score, evaluations by then, with ranges over
seeds, and the share of the space that was evaluated.
"""

from __future__ import annotations

import argparse
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import archwalk
from archwalk.config import load_preset
from archwalk.spaces import make_space
from archwalk.spaces.base import PAD
from archwalk.tasks.base import Predicted
from archwalk.tasks.registry import load_benchmark
from archwalk.tasks.synthetic import make_synthetic
from archwalk.tasks.table import Benchmark

SLOTS = {4_096: (4,) * 6, 15_625: (5,) * 6, 26_244: (3,) * 8 + (4,)}
STARTS, DRAWN = 200, 10_000


def scale(task: Predicted, name: str) -> tuple[float, float]:
    """Mean and best of the reward where nobody lists the space."""
    generator = np.random.default_rng(0)
    random = task.values(name, task.space.sample(DRAWN, generator))
    here = task.space.sample(STARTS, generator)
    value = task.values(name, here)
    while True:
        best = []
        for one in here:
            around = task.space.neighbours(one[None])[0]
            around = around[(around != PAD).any(1)]
            found = task.values(name, around)
            best.append((float(found.max()), around[found.argmax()]))
        up = np.array([b for b, _ in best]) > value
        if not up.any():
            return float(random.mean()), float(value.max())
        here = np.where(up[:, None], np.array([a for _, a in best]), here)
        value = np.where(up, [b for b, _ in best], value)


def score(row: dict[str, Any], ends: tuple[float, float] | None) -> float:
    """0 a random architecture, 1 the best."""
    if ends is None:
        return float(row["greedy_validation_score"])
    return (row["greedy_valid_mean"] - ends[0]) / (ends[1] - ends[0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--micro")
    parser.add_argument("--nb201")
    parser.add_argument("--nb301")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--score", type=float, default=0.9)
    parser.add_argument("--run-dir", type=Path, default=Path("runs/size"))
    given = parser.parse_args()
    given.run_dir.mkdir(parents=True, exist_ok=True)
    tasks: list[tuple[str, str, str]] = []
    for size, sizes in SLOTS.items():
        file = given.run_dir / f"formula-{size}.parquet"
        if not file.exists():
            slots = {f"s{i}": [str(choice) for choice in range(n)] for i, n in enumerate(sizes)}
            make_synthetic(make_space("slots", slots)).save(file)
        tasks.append((f"formula, {size:,}", str(file), "alpha"))
    measured = (given.micro, "class_object"), (given.nb201, "cifar100"), (given.nb301, "cifar10")
    tasks += [(f"{Path(place).stem}, {name}", place, name) for place, name in measured if place]
    settings = load_preset("laptop").replace(training={"trained_steps": given.steps, "threads": 1})
    print("| task | architectures | neighbours | steps | evaluations | of the space |")
    print("|---|---|---|---|---|---|")
    for title, place, name in tasks:
        opened = load_benchmark(place)
        ends = None if isinstance(opened, Benchmark) else scale(opened, name)
        found: list[dict[str, Any]] = []
        for seed in range(given.seeds):
            folder = given.run_dir / f"{Path(place).stem}-{name}-{seed}"
            rows = archwalk.train(place, name, folder, preset=settings, seed=seed).rows()
            reached = [r for r in rows if "greedy_valid_mean" in r and score(r, ends) >= given.score]
            found.append(reached[0] if reached else {"trained_steps": inf, "evaluations": inf})
        steps, looks = ([f[key] for f in found] for key in ("trained_steps", "evaluations"))
        size = opened.space.size or inf
        share = f"{median(looks) / size:.2g}"
        cells = [f"{median(v):,.0f} ({min(v):,.0f} to {max(v):,.0f})" for v in (steps, looks)]
        print(
            f"| {title} | {size:,} | {opened.space.max_neighbours} | {' | '.join(cells)} | {share} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
