"""What each part of the default search adds: one left out at a time, leave-one-out over a benchmark's tasks.

    python benchmarks/search_parts.py --benchmark FILE --tasks a,b,c,d

Prints the mean rank of the best architecture after each budget, and its standard deviation over seeds. The
sources of a target are all other tasks; their agent is trained once and kept in ``--run-dir``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from archwalk.config import load_preset
from archwalk.searching.acquisition import maximise
from archwalk.searching.experience.opinion import make_sources, pretrain
from archwalk.searching.gp.surrogate import STRUCTURE, WITH_SOURCES, Improvement, Kernel
from archwalk.searching.history import make_history
from archwalk.searching.methods.random import random
from archwalk.searching.methods.transfer_gp import FIRST
from archwalk.searching.open import make_problem
from archwalk.searching.problem import Problem
from archwalk.tasks import load_benchmark
from archwalk.training.evaluation import ranks

NO_LINEAR = tuple(kernel for kernel in WITH_SOURCES if not kernel.sources)
NO_ENCODER = (*STRUCTURE, Kernel(3.0, 0.3), Kernel(3.0, 1.0))

parser = argparse.ArgumentParser()
parser.add_argument("--benchmark", default="digits")
parser.add_argument("--tasks", default="class_object,room_layout,segmentsemantic,autoencoder")
parser.add_argument("--budgets", default="50,100")
parser.add_argument("--seeds", type=int, default=10)
parser.add_argument("--preset", default="quick")
parser.add_argument("--run-dir", type=Path, default=Path("runs/search-parts"))
args = parser.parse_args()
budgets = [int(budget) for budget in args.budgets.split(",")]


def best_ranks(problem: Problem, reward: np.ndarray, kernels: tuple[Kernel, ...], seed: int) -> np.ndarray:
    """Rank of the best so far after every evaluation: the method ``transfer-gp``, with other kernels."""
    evaluated: list[int] = []
    while len(evaluated) < max(budgets):
        history = make_history(problem, evaluated, reward[evaluated].tolist())
        if problem.proposal is not None and not evaluated:
            evaluated.append(problem.proposal)
        elif len(evaluated) < FIRST:
            evaluated.append(random(problem, history, seed))
        else:
            evaluated.append(maximise(problem, history, Improvement(problem, history, kernels), seed))
    return np.minimum.accumulate(ranks(reward)[evaluated])


torch.set_num_threads(1)
benchmark = load_benchmark(args.benchmark)
tasks = args.tasks.split(",")
print(f"| {'part':40} | target | {' | '.join(map(str, budgets))} |\n|---|---|{'---|' * len(budgets)}")
for target in tasks:
    others = [task for task in tasks if task != target]
    agent = pretrain(benchmark, others, args.run_dir / target, load_preset(args.preset))
    tables = [benchmark.reward(task) for task in others]
    known = make_sources([agent], tables)

    def problem(measured: list, sources: list, proposal: int = known.proposal) -> Problem:
        return make_problem(
            benchmark.space,
            benchmark.rows,
            measured_apart=True,
            measured=measured,
            sources=sources,
            proposal=proposal,
        )

    whole = problem(tables, [*known.columns])
    variants = {
        "whole": (whole, WITH_SOURCES),
        "without the agent's opinion": (problem(tables, tables), WITH_SOURCES),
        "the agent's opinion alone": (problem(tables, [known.columns[-1]]), WITH_SOURCES),
        "without the linear part": (whole, NO_LINEAR),
        "without the encoder": (whole, NO_ENCODER),
        "without knowing which are one network": (problem([], [*known.columns]), WITH_SOURCES),
    }
    for name, (searched, kernels) in variants.items():
        reward = benchmark.reward(target)
        runs = np.stack([best_ranks(searched, reward, kernels, seed) for seed in range(args.seeds)])
        cells = [f"{runs[:, b - 1].mean():.1f} ± {runs[:, b - 1].std(ddof=1):.1f}" for b in budgets]
        print(f"| {name:40} | {target} | {' | '.join(cells)} |", flush=True)
