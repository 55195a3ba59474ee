"""The Gaussian process with what source tasks and their agents say."""

from __future__ import annotations

import numpy as np

from archwalk.searching.acquisition import maximise
from archwalk.searching.gp.surrogate import WITH_SOURCES, Improvement
from archwalk.searching.history import History
from archwalk.searching.methods.gp import gp
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Problem

FIRST = 3  # evaluations before the model is asked: the proposal, two random ones


def transfer_gp(problem: Problem, history: History, seed: int) -> int:
    """Gaussian process with what source tasks and a trained agent know; without sources it is gp.

    The first evaluation is the sources' proposal, where their greedy walks end; two random ones follow, so
    that the hypotheses about the sources can be told apart; then expected improvement.
    """
    if problem.proposal is None:
        return gp(problem, history, seed)
    if not history.visited(np.array([problem.proposal]))[0]:
        return problem.proposal
    if len(history) < FIRST:
        return random(problem, history, seed)
    return maximise(problem, history, Improvement(problem, history, WITH_SOURCES), seed)


METHOD = make_method("transfer-gp", transfer_gp, source="this project; docs/search.md", knows_sources=True)
