"""A search method of one's own: a function from what is known to what to evaluate next.

    python examples/own_method.py [FOLDER] [SEEDS]

In this folder, by name from the command line:

    archwalk search --space digits --task jigsaw --method own_method:stroll --budget 30 --out runs/stroll
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import archwalk
from archwalk.searching.history import History
from archwalk.searching.problem import Problem


def stroll(problem: Problem, history: History, seed: int) -> int:
    """A free neighbour of one of the five best so far: the best one that still has any; else anything free.

    The same arguments always give the same answer, so that a search that was killed repeats itself.
    """
    generator = np.random.default_rng([seed, len(history)])
    best = history.indices[np.argsort(-history.rewards, kind="stable")[:5]]
    for here in best:
        around = problem.neighbours(np.array([here]))[0]
        around = around[around >= 0]  # fewer neighbours than columns are filled up with -1
        free = around[~history.visited(around)]
        if len(free):
            return int(generator.choice(free))
    while True:
        found = problem.sample(1, generator)
        if not history.visited(found)[0]:
            return int(found[0])


def main() -> None:
    """It beside random search and the package's model: mean rank of the best cell of 4,096, 1 is best."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/own_method")
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    rows = archwalk.compare(
        "digits", "jigsaw", folder, methods=["random", "gp", stroll], budgets=[10, 30], seeds=seeds
    )
    for row in rows:
        print(f"{row.method:>20}  after {row.budget:2} evaluations: rank {row.rank_mean:6.1f}")


if __name__ == "__main__":
    main()
