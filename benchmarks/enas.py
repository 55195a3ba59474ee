"""One-shot scores of a supernet of ``digits`` beside what was measured: Kendall's tau and its interval.

    OMP_NUM_THREADS=1 python benchmarks/enas.py --tasks class_object,jigsaw --seeds 1

A line a task and seed: seconds on the wall and of the processor, tau over the 1,011 functions that cells
compute with its 95 % interval (bootstrap over these), rank of the best among the first of the method's
suggestions, and the mean one-shot score beside the mean measured one. With several seeds a last line a task:
tau's mean over them, its 95 % interval and the mean ranks.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.stats import kendalltau

from archwalk.analysis.statistics import mean_interval
from archwalk.searching.listed import ListedProblem
from archwalk.searching.methods.enas import Schedule, order_of, train
from archwalk.searching.open import make_problem
from archwalk.tasks.registry import load_table

parser = argparse.ArgumentParser()
parser.add_argument("--tasks", default="class_object,jigsaw")
parser.add_argument("--seeds", type=int, default=1)
args = parser.parse_args()
table = load_table("digits")
problem = make_problem(table.space, table.rows, measured_apart=True)
assert isinstance(problem, ListedProblem)
first = np.unique(problem.tables[0], axis=0, return_index=True)[1]
for task in args.tasks.split(","):
    found: list[list[float]] = []
    for seed in range(args.seeds):
        began, worked = time.perf_counter(), time.process_time()
        trained = train(problem, task, seed, Schedule(), 3_072)
        seconds, worked = time.perf_counter() - began, time.process_time() - worked
        shared, measured = trained.scores[first], table.reward(task)[first]
        generator, taus = np.random.default_rng(0), []
        for _ in range(1_000):
            some = generator.integers(len(first), size=len(first))
            taus.append(kendalltau(shared[some], measured[some])[0])
        low, high = np.percentile(taus, [2.5, 97.5])
        tau = kendalltau(shared, measured)[0]
        reward, order = table.reward(task), order_of(problem, trained, seed)
        ranks = {k: int((reward > reward[order[:k]].max()).sum()) + 1 for k in (1, 10, 25, 50)}
        print(
            f"{task} {seed}: {seconds:.0f} s, {worked:.0f} of the processor, tau {tau:.3f} "
            f"[{low:.3f}, {high:.3f}], ranks {ranks}, "
            f"one-shot {shared.mean():.3g}, measured {measured.mean():.3g}",
            flush=True,
        )
        found.append([tau, *ranks.values()])
    if args.seeds > 1:
        each = np.array(found)
        low, high = mean_interval(each[:, 0])
        mean = " / ".join(f"{rank:.1f}" for rank in each[:, 1:].mean(0))
        print(f"{task}: tau {each[:, 0].mean():.3f} [{low:.3f}, {high:.3f}], ranks {mean}", flush=True)
