"""Random search: the baseline that every other method has to beat."""

from __future__ import annotations

import numpy as np

from archwalk.searching.history import History, draw
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Problem


def random(problem: Problem, history: History, seed: int) -> int:
    """One random order of all architectures; in an open space, one sample after the other."""
    if not problem.listed:
        left = draw(problem, history, seed)
        assert left is not None, "asked for an architecture when all are visited"
        return left
    order = np.random.default_rng(seed).permutation(len(problem))
    return int(order[np.argmax(~history.visited(order))])


METHOD = make_method("random", random, source="Li and Talwalkar 2019, arXiv:1902.07638")
