"""What each difference between the presets `laptop` and `paper` does: one setting put back at a time.

    python benchmarks/ablation.py --benchmark micro.parquet --seeds 5 \\
        --tasks autoencoder,class_object,room_layout,segmentsemantic

Prints, for every variant, the validation score at the end and its difference to `laptop`, paired by seed,
with 95 % intervals over seeds (a seed's value is the mean over the tasks); the trained steps after which it
first was 0.97, by the median of all runs, with how many never were; evaluations; and trained steps a second.
Resumable.
"""

from __future__ import annotations

import argparse
from math import inf
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

import archwalk
from archwalk.analysis.statistics import mean_interval
from archwalk.config import load_preset

PLAIN = {"planning": False}  # a target network in its place, as the settings below it need
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "laptop": {},
    "no planning": {"learner": PLAIN},
    "no planning, 3-step": {"learner": PLAIN | {"n_step": 3}},
    "no planning, double": {"learner": PLAIN | {"double": True}},
    "discount 0.99": {"learner": {"discount": 0.99}},
    "discount 0.95": {"learner": {"discount": 0.95}},
    "apex ladder": {"exploration": {"schedule": "apex"}},
    "replay 25,000": {"replay": {"capacity": 25_000}},
    "2.5 sampled a trained": {"training": {"sampled_per_trained": 2.5}},
    "batches of 256": {"learner": {"batch_size": 256}},
    "batches of 256, half as often halved": {"learner": {"batch_size": 256, "halving_steps": 50_000}},
    "no standardisation": {"reward": {"standardise": False}},
    "constant step size": {"learner": {"halving_steps": 0}},
    "step size 5e-5": {"learner": {"learning_rate": 5e-5, "halving_steps": 0}},
    "graph tokens": {"observation": {"tokens": "graph"}},
    "two layers": {"network": {"layers": 2}},
}

parser = argparse.ArgumentParser()
parser.add_argument("--benchmark", default="synthetic")
parser.add_argument("--tasks", default="alpha,delta")
parser.add_argument("--seeds", type=int, default=2)
parser.add_argument("--steps", type=int, default=100_000)
parser.add_argument("--run-dir", type=Path, default=Path("runs/ablation"))
parser.add_argument("--variants", default=";".join(VARIANTS), help="a;b;c")
args = parser.parse_args()


def interval(values: np.ndarray, sign: str = "") -> str:
    low, high = mean_interval(values)
    return f"{values.mean():{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


print("| variant | validation score | difference | steps to 0.97 (never) | evaluations | trained steps/s |")
print("|---|---|---|---|---|---|")
tasks, laptop = args.tasks.split(","), None
for name in args.variants.split(";"):
    settings = load_preset("laptop").replace(**VARIANTS[name])
    settings = settings.replace(training={"trained_steps": args.steps})
    runs = []
    for seed in range(args.seeds):
        for task in tasks:
            folder = args.run_dir / name.replace(" ", "-").replace(",", "") / f"{task}-{seed}"
            runs.append(archwalk.train(args.benchmark, task, folder, preset=settings, seed=seed))
    scores = (
        np.array([run.rows()[-1]["greedy_validation_score"] for run in runs]).reshape(-1, len(tasks)).mean(1)
    )
    laptop = scores if laptop is None else laptop  # the first variant
    passed = [
        min(
            (r["trained_steps"] for r in run.rows() if r.get("greedy_validation_score", 0) >= 0.97),
            default=inf,
        )
        for run in runs
    ]
    costs = [run.costs() for run in runs]
    steps = "-" if median(passed) == inf else f"{median(passed):,.0f}"
    looks = mean(c.evaluations for c in costs)
    speed = mean(c.trained_steps / c.seconds for c in costs)
    difference = interval(scores - laptop, "+") if scores is not laptop else ""
    print(
        f"| {name} | {interval(scores)} | {difference} | {steps} ({passed.count(inf)} of {len(passed)}) "
        f"| {looks:,.0f} | {speed:,.0f} |",
        flush=True,
    )
