"""What each part of the transfer method adds, and what agents add to it, leave-one-out over a table's tasks.

    python benchmarks/search_parts.py --benchmark FILE [--targets a,b] --run-dir D

Prints the mean rank of the best architecture after each budget over seeds, per target, and the geometric mean
over targets. Sources of a target are all other tasks, whole. For the agents' opinions an agent is trained on
every task once (preset ``--preset``), in ``--run-dir``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import archwalk
from archwalk.searching.acquisition import maximise
from archwalk.searching.experience.opinion import opinion
from archwalk.searching.experience.source import Source
from archwalk.searching.gp.surrogate import Improvement, Kernel, source_kernels
from archwalk.searching.history import History, make_history
from archwalk.searching.methods.gp import gp
from archwalk.searching.methods.random import random
from archwalk.searching.methods.rl import rl
from archwalk.searching.methods.transfer_gp import FIRST, transfer_gp
from archwalk.searching.open import make_problem
from archwalk.searching.problem import Problem
from archwalk.tasks.registry import load_table
from archwalk.training.evaluation import ranks
from archwalk.training.rundir import RunDir
from archwalk.training.runner import load_values

parser = argparse.ArgumentParser()
parser.add_argument("--benchmark", default="digits")
parser.add_argument("--targets", default="")
parser.add_argument("--budgets", default="10,25,50,100")
parser.add_argument("--seeds", type=int, default=10)
parser.add_argument("--preset", default="quick")
parser.add_argument("--run-dir", type=Path, default=Path("runs/search-parts"))
args = parser.parse_args()
budgets = [int(budget) for budget in args.budgets.split(",")]
Suggest = Callable[[Problem, History, int], int]


def with_kernels(wanted: Callable[[Kernel], bool]) -> Suggest:
    """The method with some of its hypotheses, and no suggestion without sources."""

    def suggest(problem: Problem, history: History, seed: int) -> int:
        if len(history) < FIRST:
            return transfer_gp(problem, history, seed)
        kernels = [kernel for kernel in source_kernels(problem) if wanted(kernel)]
        return maximise(problem, history, Improvement(problem, history, kernels), seed)

    return suggest


def random_first(problem: Problem, history: History, seed: int) -> int:
    """Five random evaluations instead of the portfolio."""
    return (random if len(history) < FIRST else transfer_gp)(problem, history, seed)


def in_turns(problem: Problem, history: History, seed: int) -> int:
    """The agent's walks and the model's maximum in turns."""
    return (rl if len(history) % 2 else transfer_gp)(problem, history, seed)


PARTS: dict[str, tuple[Suggest, str]] = {
    "gp: no sources": (gp, "tables"),
    "as shipped: the surrogate alone": (transfer_gp, "tables"),
    "rl: the agent alone, planning in the same model": (rl, "tables"),
    "both, in turns": (in_turns, "tables"),
    "trained agents' opinions beside the tables": (transfer_gp, "both"),
    "trained agents' opinions instead of the tables": (transfer_gp, "opinions"),
    "without the suggestions without sources": (with_kernels(lambda kernel: True), "tables"),
    "without the linear part": (with_kernels(lambda kernel: not kernel.sources), "tables"),
    "without the encoder": (with_kernels(lambda kernel: kernel.length is not None), "tables"),
    "random evaluations first": (random_first, "tables"),
}


def best_ranks(problem: Problem, reward: np.ndarray, suggest: Suggest, seed: int) -> np.ndarray:
    """Rank of the best so far after every evaluation."""
    evaluated: list[int] = []
    while len(evaluated) < max(budgets):
        history = make_history(problem, evaluated, reward[evaluated].tolist())
        evaluated.append(int(suggest(problem, history, seed)))
    return np.minimum.accumulate(ranks(reward)[evaluated])


torch.set_num_threads(1)
benchmark = load_table(args.benchmark)
codes = benchmark.space.codes[benchmark.rows].astype(np.int16)
tables = {task: Source(task, codes, benchmark.reward(task)) for task in benchmark.tasks}
opinions = {}
for task in benchmark.tasks:
    run = RunDir(args.run_dir / task)
    if not run.finished:
        archwalk.train(args.benchmark, task, run.path, preset=args.preset)
    opinions[task] = Source(f"{task}: agent", codes, opinion(load_values(run, benchmark, task)))
targets = args.targets.split(",") if args.targets else list(benchmark.tasks)
print(f"| part | {' | '.join(targets)} | geometric mean |\n|---|{'---|' * (len(targets) + 1)}")
for name, (suggest, given) in PARTS.items():
    cells, logs = [], []
    for target in targets:
        others = [task for task in benchmark.tasks if task != target]
        known = [tables[t] for t in others] if given != "opinions" else []
        known += [opinions[t] for t in others] if given != "tables" else []
        problem = make_problem(benchmark.space, benchmark.rows, measured_apart=True, experience=known)
        found = [best_ranks(problem, benchmark.reward(target), suggest, seed) for seed in range(args.seeds)]
        mean = np.mean([ranked[[budget - 1 for budget in budgets]] for ranked in found], axis=0)
        cells.append(", ".join(f"{value:.1f}" for value in mean))
        logs.append(np.log(mean))
    geometric = ", ".join(f"{value:.1f}" for value in np.exp(np.mean(logs, axis=0)))
    print(f"| {name} | {' | '.join(cells)} | {geometric} |", flush=True)
