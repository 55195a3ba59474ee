"""The Gaussian process with what is known of other tasks."""

from __future__ import annotations

import numpy as np

from archwalk.searching.acquisition import maximise
from archwalk.searching.gp.beliefs import beliefs
from archwalk.searching.gp.front import improvement
from archwalk.searching.gp.process import representative
from archwalk.searching.gp.surrogate import source_kernels, unhelped_kernels
from archwalk.searching.history import History
from archwalk.searching.methods.gp import gp
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Problem

FIRST = 5  # evaluations before the model is asked: what would have been good on the sources
FEWEST = 2  # evaluations that the model needs
TURNS, UNHELPED = 4, 2  # of so many suggestions this one is the model's without the sources


def transfer_gp(problem: Problem, history: History, seed: int) -> int:
    """Gaussian process with what is known of other tasks; without experience it is gp.

    The first evaluations are a portfolio: good on the sources, and apart. Then expected improvement, where
    the marginal likelihood decides how far the sources are believed. Every fourth suggestion is made as if
    there were none, so that sources which mislead cost at most three evaluations in four.
    """
    known = beliefs(problem)
    if known is None:
        return gp(problem, history, seed)
    done = len(history.touched)
    if done < FIRST or len(history) < FEWEST:
        for index in known.portfolio(FIRST, seed):
            if not history.visited(np.array([index]))[0]:
                return index
        if len(history) < FEWEST:
            return random(problem, history, seed)
    kernels = unhelped_kernels if done % TURNS == UNHELPED else source_kernels
    learned = history.only(representative(history.rewards))
    return maximise(problem, history, improvement(problem, learned, kernels(problem)), seed)


METHOD = make_method("transfer-gp", transfer_gp, source="this project; docs/search.md", knows_sources=True)
