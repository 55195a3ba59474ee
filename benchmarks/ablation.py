"""What each difference between the presets `laptop` and `paper` does: one setting put back at a time.

    python benchmarks/ablation.py --benchmark FILE --tasks a,b --seeds 2 --steps 300000

Prints validation score (mean over tasks and seeds, and the range) and trained steps a second. Resumable.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import archwalk
from archwalk.config import load_preset

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "laptop": {},
    "3-step targets": {"learner": {"n_step": 3}},
    "double Q-learning": {"learner": {"double": True}},
    "discount 0.99": {"learner": {"discount": 0.99}},
    "discount 0.9": {"learner": {"discount": 0.9}},
    "apex ladder": {"exploration": {"schedule": "apex"}},
    "replay 25,000": {"replay": {"capacity": 25_000}},
    "no standardisation": {"reward": {"standardise": False}},
    "constant step size": {"learner": {"halving_steps": 0}},
    "step size 5e-5": {"learner": {"learning_rate": 5e-5, "halving_steps": 0}},
    "graph tokens": {"observation": {"tokens": "graph"}},
    "two layers": {"network": {"layers": 2}},
    "copies every 8,192": {"learner": {"target_period": 8_192}, "training": {"actor_period": 8_192}},
}

parser = argparse.ArgumentParser()
parser.add_argument("--benchmark", default="synthetic")
parser.add_argument("--tasks", default="alpha,delta")
parser.add_argument("--seeds", type=int, default=2)
parser.add_argument("--steps", type=int, default=300_000)
parser.add_argument("--run-dir", type=Path, default=Path("runs/ablation"))
parser.add_argument("--variants", default=",".join(VARIANTS))
args = parser.parse_args()

print(f"| {'variant':20} | validation score, mean (range) | trained steps/s |\n|---|---|---|")
for name in args.variants.split(","):
    settings = load_preset("laptop").replace(**VARIANTS[name])
    settings = settings.replace(training={"evaluate_every": args.steps, "trained_steps": args.steps})
    scores, speeds = [], []
    for task in args.tasks.split(","):
        for seed in range(args.seeds):
            folder = args.run_dir / name.replace(" ", "-").replace(",", "") / f"{task}-{seed}"
            run = archwalk.train(args.benchmark, task, folder, preset=settings, seed=seed)
            scores.append(run.rows()[-1]["greedy_validation_score"])
            speeds.append(run.costs().trained_steps / run.costs().seconds)
    mean = sum(scores) / len(scores)
    spread = f"{mean:.3f} ({min(scores):.3f} to {max(scores):.3f})"
    print(f"| {name:20} | {spread:30} | {sum(speeds) / len(speeds):,.0f} |", flush=True)
