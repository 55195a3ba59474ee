"""The search methods by name, and the three that model what they have seen: forest, gp, agent.

In: a ``Problem``, a ``History``, a seed. Out: the index to look at next. Next: ``run`` asks any of them, in
one loop, under the budget.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from archwalk.errors import SearchError, unknown
from archwalk.searching.baselines import evolution, local, random, reinforce
from archwalk.searching.gp.surrogate import STRUCTURE, WITH_SOURCES, expected_improvement, improvement
from archwalk.searching.problem import Floats, History, Problem

KNOWS_SOURCES = {"agent"}  # all other methods are given a problem without sources
Method = Callable[[Problem, History, int], int]
FIRST = 5  # random looks before a model is asked
FIRST_WITH_SOURCES = 3
TREES = 50


def forest(problem: Problem, history: History, seed: int) -> int:
    """A random forest (scikit-learn) on one-hot slots, and expected improvement under the spread of its
    trees (SMAC, Hutter et al. 2011). The first ``FIRST`` looks are random."""
    if len(history) < FIRST:
        return random(problem, history, seed)
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(TREES, max_features=0.5, random_state=seed)
    features = problem.one_hot[1]
    model.fit(features[history.indices], history.rewards)
    trees = np.stack([tree.predict(features) for tree in model.estimators_])
    deviation = np.maximum(trees.std(0), 1e-9)
    return best_open(expected_improvement(trees.mean(0), deviation, history.rewards.max()), history, seed)


def gp(problem: Problem, history: History, seed: int) -> int:
    """A Gaussian process with Hamming kernels, and expected improvement. The first ``FIRST`` looks are
    random; nothing is known of other tasks."""
    if len(history) < FIRST:
        return random(problem, history, seed)
    return best_open(improvement(problem, history, STRUCTURE), history, seed)


def agent(problem: Problem, history: History, seed: int) -> int:
    """The default: what source tasks and their agents say goes into the Gaussian process.

    The first look is the sources' proposal, where their greedy walks end; two random ones follow, so that
    the hypotheses about the sources can be told apart; then expected improvement. Without sources it is
    ``gp``.
    """
    if problem.proposal is None:
        return gp(problem, history, seed)
    if not history.taken[problem.proposal]:
        return problem.proposal
    if len(history) < FIRST_WITH_SOURCES:
        return random(problem, history, seed)
    return best_open(improvement(problem, history, WITH_SOURCES), history, seed)


def best_open(values: Floats, history: History, seed: int) -> int:
    """The largest value among what is not taken, ties broken at random."""
    free = np.flatnonzero(~history.taken)
    best = free[values[free] >= values[free].max() - 1e-12]
    return int(np.random.default_rng([seed, len(history)]).choice(best))


METHODS: dict[str, Method] = {
    "random": random,
    "local": local,
    "evolution": evolution,
    "reinforce": reinforce,
    "forest": forest,
    "gp": gp,
    "agent": agent,
}


def check_method(name: str) -> None:
    """Raises ``SearchError`` for an unknown method, or one whose library is not installed."""
    if name not in METHODS:
        raise SearchError(*unknown("method", name, METHODS))
    if name == "forest" and find_spec("sklearn") is None:
        raise SearchError("scikit-learn, for the method forest", "none", "pip install 'archwalk[search]'")
