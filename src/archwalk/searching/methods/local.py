"""Local search: a hill climb with restarts (White et al. 2021, "Exploring the loss landscape in NAS")."""

from __future__ import annotations

import numpy as np

from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Problem

_CROWDED = 0.9  # share of a listed space above which a random start takes long to find what is left
_RESTARTS = 1_000  # fruitless random starts in an open space, likewise


def local(problem: Problem, history: History, seed: int) -> int:
    """Hill climb with restarts: all neighbours, the best one, a restart at a local optimum.

    Evaluates all neighbours of where it stands in a random order, steps to the best one if that is better,
    and starts again from a random architecture where none is.
    """
    generator = np.random.default_rng(seed)
    fruitless = 0
    while True:
        at = int(problem.sample(1, generator)[0])
        if at not in history.known:
            if not history.visited(np.array([at]))[0]:
                return at
            fruitless += 1
            if fruitless > _RESTARTS or _crowded(problem, history):
                return random(problem, history, seed)
            continue
        while True:
            around = problem.neighbours(np.array([at]))[0]
            around = generator.permutation(around[around >= 0])
            unknown = around[~history.visited(around)]
            if len(unknown):
                return int(unknown[0])
            values = np.array([history.known.get(i, -np.inf) for i in around.tolist()])
            if not len(values) or values.max() <= history.known[at]:
                break
            at = int(around[values.argmax()])


def _crowded(problem: Problem, history: History) -> bool:
    return problem.listed and (len(problem) - len(history.free)) / len(problem) > _CROWDED


METHOD = make_method("local", local, source="White et al. 2021, arXiv:2005.02960")
