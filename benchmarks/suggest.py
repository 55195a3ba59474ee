"""What a suggestion of each search method costs, in a space that nobody lists or in a table: seconds, memory.

    OMP_NUM_THREADS=1 python benchmarks/suggest.py [--space SPACE] [--evaluations 200,2000] [--methods a,b]
    OMP_NUM_THREADS=1 python benchmarks/suggest.py --table FILE --target TASK --evaluations 100,1000

By default the space has 24 slots of 6 choices: 4.7e18 architectures, 120 neighbours each. Evaluated are
random architectures, and neighbours of the best of them, so that there is something to climb; the reward is
a sum over pairs of slots. Of a table the evaluated are random, and the sources all its other tasks, whole;
what is found out about them once is left out.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import numpy as np
import torch

from archwalk.searching.experience.source import Source
from archwalk.searching.gp.beliefs import beliefs
from archwalk.searching.history import make_history
from archwalk.searching.open import OpenProblem, make_problem
from archwalk.searching.problem import Problem
from archwalk.searching.registry import find_method
from archwalk.spaces.registry import open_space
from archwalk.tasks.registry import load_table

SLOTS = {"name": "suggest", "slots": {f"s{i}": {"choices": list("abcdef")} for i in range(24)}}

parser = argparse.ArgumentParser()
parser.add_argument("--space", default=None)
parser.add_argument("--table", default=None)
parser.add_argument("--target", default=None)
parser.add_argument("--evaluations", default="200,2000")
parser.add_argument("--methods", default="random,local,evolution,reinforce,forest,gp,rl")
parser.add_argument("--repeats", type=int, default=3)
args = parser.parse_args()
torch.set_num_threads(1)
table = load_table(args.table) if args.table else None
space = table.space if table else open_space(args.space or SLOTS)
print(
    f"{space.name}: {space.size or float('nan'):.2g} architectures, at most {space.max_neighbours} neighbours"
)
generator = np.random.default_rng(0)
slots, choices = len(space.slot_sizes), max(space.slot_sizes) + 1
weights = generator.standard_normal((slots, slots, choices, choices)) / slots


def reward(codes: np.ndarray) -> np.ndarray:
    total = np.zeros(len(codes))
    for a in range(slots):
        for b in range(a, slots):
            total += weights[a, b, codes[:, a], codes[:, b]]
    return total


def evaluated(count: int) -> tuple[Problem, np.ndarray, np.ndarray]:
    """A problem, the ids evaluated in it, [count], and their rewards, [count]."""
    if table is not None:
        codes = table.space.codes[table.rows].astype(np.int16)
        sources = [Source(task, codes, table.reward(task)) for task in table.tasks if task != args.target]
        known = make_problem(table.space, table.rows, measured_apart=True, experience=sources)
        ids = np.random.default_rng(1).permutation(len(known))[:count]
        return known, ids, table.reward(args.target)[ids]
    problem = OpenProblem(space, measured_apart=True)
    ids = np.unique(problem.sample(count, np.random.default_rng(1)))[: count // 2]
    while len(ids) < count:
        best = ids[np.argsort(-reward(problem.codes(ids)))[:5]]
        around = problem.neighbours(best).ravel()
        fresh = np.setdiff1d(around[around >= 0], ids)
        ids = np.concatenate([ids, fresh])[:count]
    return problem, ids, reward(problem.codes(ids))


print(f"| {'method':10} | evaluations | core seconds a suggestion | wall seconds | peak memory, MB |")
print("|---|---|---|---|---|")
for count in map(int, args.evaluations.split(",")):
    for name in args.methods.split(","):
        problem, ids, rewards = evaluated(count)
        if table is not None and (known := beliefs(problem)):
            _ = known.encoding
        cores, walls = [], []
        for repeat in range(args.repeats):
            optimizer = find_method(name).make(problem, repeat)
            optimizer.update(make_history(problem, ids.tolist(), rewards.tolist()))
            core, wall = time.process_time(), time.perf_counter()
            optimizer.suggest(1)
            cores.append(time.process_time() - core)
            walls.append(time.perf_counter() - wall)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        core, wall = statistics.median(cores), statistics.median(walls)
        print(f"| {name:10} | {count:11,} | {core:25.2f} | {wall:12.2f} | {peak:15,.0f} |", flush=True)
