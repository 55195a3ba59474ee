"""Regularised evolution (Real et al. 2019): the oldest dies, whoever it is."""

from __future__ import annotations

import numpy as np

from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Problem

POPULATION, TOURNAMENT = 20, 5


def evolution(problem: Problem, history: History, seed: int) -> int:
    """Regularised evolution: a child one edit away from the best of a random few of the latest.

    The first ``POPULATION`` evaluations are random. Then the best of ``TOURNAMENT`` drawn from the
    ``POPULATION`` latest has a child. An edit that leads to a visited architecture is drawn again, since a
    known one costs nothing and tells nothing.
    """
    if len(history) < POPULATION:
        return random(problem, history, seed)
    generator = np.random.default_rng([seed, len(history)])
    for _ in range(100):
        pick = len(history) - 1 - generator.choice(POPULATION, TOURNAMENT, replace=False)
        parent = history.indices[pick[history.rewards[pick].argmax()]]
        around = problem.neighbours(parent[None])[0]
        child = int(generator.choice(around[around >= 0])) if (around >= 0).any() else int(parent)
        if not history.visited(np.array([child]))[0]:
            return child
    return random(problem, history, seed)


METHOD = make_method("evolution", evolution, source="Real et al. 2019, arXiv:1802.01548")
