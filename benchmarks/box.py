"""The agent in the box on tasks none of whose numbers it knows, against gp and random.

    python benchmarks/box.py --tables FOLDER --seeds 20

FOLDER holds micro.parquet and nb201.parquet, made by ``archwalk data import``. Lines: the method
``in-context`` with the agent in the box; the shipped default with what that agent expects as its only
experience; gp; random.
Prints the geometric mean rank of the best found after 1, 10, 25 and 50 evaluations, and the geometric mean
over targets of the ratio to gp's with a 95 % interval over targets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from archwalk.analysis.statistics import mean_interval
from archwalk.searching.experience.source import Source
from archwalk.searching.history import make_history
from archwalk.searching.incontext.box import agent_for
from archwalk.searching.incontext.opinion import expected
from archwalk.searching.open import make_problem
from archwalk.searching.registry import find_method
from archwalk.tasks.registry import load_table

TABLES = ("micro.parquet@transnas-best", "nb201.parquet")
MARKS = (1, 10, 25, 50)
LINES = {"in-context": "in-context", "default + box": "agent", "gp": "gp", "random": "random"}

parser = argparse.ArgumentParser()
parser.add_argument("--tables", type=Path, required=True)
parser.add_argument("--seeds", type=int, default=20)
args = parser.parse_args()

logs: dict[tuple[str, str], dict[str, np.ndarray]] = {}
for name in TABLES:
    table = load_table(f"{args.tables}/{name}")
    agent = agent_for(table.space)
    assert agent is not None
    bare = make_problem(table.space, table.rows, measured_apart=True)
    codes = table.space.codes[table.rows].astype(np.int16)
    opinion = Source(agent.card.name, codes, expected(agent, table.space, codes))
    for task in table.tasks:
        reward = table.reward(task)
        ranks = len(reward) - np.searchsorted(np.sort(reward), reward, side="right") + 1
        for line, method in LINES.items():
            problem = bare.with_experience([opinion]) if line == "default + box" else bare
            found = []
            for seed in range(args.seeds):
                optimizer, ids = find_method(method).make(problem, seed), []
                for _ in range(max(MARKS)):
                    optimizer.update(make_history(problem, ids, reward[ids].tolist()))
                    ids.append(int(optimizer.suggest(1)[0]))
                best = np.minimum.accumulate(ranks[ids])
                found.append([best[mark - 1] for mark in MARKS])
            logs.setdefault((name, task), {})[line] = np.log(found).mean(0)
        shown = [" / ".join(f"{v:.1f}" for v in np.exp(logs[name, task][line])) for line in LINES]
        print(f"| {name.partition('.')[0]}, {task} | {' | '.join(shown)} |", flush=True)

for line in ("in-context", "default + box", "random"):
    gaps = np.array([of[line] - of["gp"] for of in logs.values()])
    cells = []
    for i, mark in enumerate(MARKS):
        low, high = np.exp(mean_interval(gaps[:, i]))
        cells.append(f"{mark}: {np.exp(gaps[:, i].mean()):.2f} [{low:.2f}, {high:.2f}]")
    print(f"{line} / gp over {len(gaps)} targets: {'; '.join(cells)}")
