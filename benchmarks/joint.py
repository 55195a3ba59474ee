"""Evaluations until the best of the space is found on every task from nothing: jointly, and one by one.

    python benchmarks/joint.py --benchmark nasbench201.parquet --seeds 20 [--tasks a,b,c] [--limit 500]

A task takes no further turns once its best is found. Prints, for each method, the mean over seeds of the
evaluations of each task and of all together, with its 95 % interval (see ``analysis.statistics``).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from archwalk.analysis.statistics import mean_interval
from archwalk.searching.joint import JointTask, search_jointly
from archwalk.searching.open import make_problem
from archwalk.searching.registry import find_method
from archwalk.tasks.evaluators import TableEvaluator
from archwalk.tasks.ledger import Evaluation, Ledger
from archwalk.tasks.registry import load_table

parser = argparse.ArgumentParser()
parser.add_argument("--benchmark", required=True)
parser.add_argument("--tasks", default="")
parser.add_argument("--seeds", type=int, default=20)
parser.add_argument("--limit", type=int, default=500, help="evaluations a task at most")
args = parser.parse_args()
table = load_table(args.benchmark)
tasks = args.tasks.split(",") if args.tasks else list(table.tasks)
problem = make_problem(table.space, table.rows, measured_apart=True)


def spent(names: Sequence[str], method: str, seed: int) -> list[int]:
    """Evaluations of each task until its best is found."""
    searched = []
    for name in names:
        metric = table.metrics[table.reward_column(name).metric]
        best = float(table.reward(name).max())

        def done(evaluations: Sequence[Evaluation], metric=metric, best=best) -> bool:  # type: ignore[no-untyped-def]
            return any(metric.scale * e.metrics[metric.name] >= best for e in evaluations)

        ledger = Ledger(TableEvaluator(table, name), (metric.name,))
        searched.append(JointTask(name, problem, ledger, metric, done=done))
    found = search_jointly(searched, find_method(method), budget=args.limit * len(names), seed=seed)
    return [len(found[name]) for name in names]


for label, method, together in (
    ("jointly, agent", "agent", True),
    ("each alone, gp", "gp", False),
):
    rows = []
    for seed in range(args.seeds):
        if together:
            rows.append(spent(tasks, method, seed))
        else:
            rows.append([spent([task], method, 1_000 * at + seed)[0] for at, task in enumerate(tasks)])
        print(label, seed, rows[-1], flush=True)
    totals = np.array(rows, dtype=np.float64)
    low, high = mean_interval(totals.sum(1))
    each = ", ".join(f"{task} {mean:.1f}" for task, mean in zip(tasks, totals.mean(0), strict=True))
    print(f"{label}: {each}; in all {totals.sum(1).mean():.1f} [{low:.1f}, {high:.1f}]", flush=True)
