"""A random forest (scikit-learn) as the model (SMAC, Hutter et al. 2011)."""

from __future__ import annotations

import numpy as np

from archwalk.searching.acquisition import expected_improvement, maximise
from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Ints, Problem

FIRST, TREES = 5, 50  # random evaluations before a model is asked


def forest(problem: Problem, history: History, seed: int) -> int:
    """Random forest on one-hot slots, expected improvement under the spread of its trees."""
    if len(history) < FIRST:
        return random(problem, history, seed)
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(TREES, max_features=0.5, random_state=seed)
    model.fit(problem.one_hot(history.indices), history.rewards)
    best = float(history.rewards.max())

    def value(ids: Ints | None) -> Floats:
        features = problem.one_hot(ids)
        trees = np.stack([tree.predict(features) for tree in model.estimators_])
        return expected_improvement(trees.mean(0), np.maximum(trees.std(0), 1e-9), best)

    return maximise(problem, history, value, seed)


METHOD = make_method("forest", forest, source="Hutter et al. 2011, SMAC", needs=("scikit-learn",))
