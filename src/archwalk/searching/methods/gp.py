"""A Gaussian process with Hamming kernels as the model: the default where nothing is known of other tasks."""

from __future__ import annotations

from archwalk.searching.acquisition import maximise
from archwalk.searching.gp.front import improvement
from archwalk.searching.gp.surrogate import structure_kernels
from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Problem

FIRST = 5  # random evaluations before the model is asked
FIRST_OF_SEVERAL = 20  # where there are costs that only evaluations tell: their extremes must be met first


def gp(problem: Problem, history: History, seed: int) -> int:
    """Gaussian process with Hamming kernels, expected improvement; of several objectives that of the
    hypervolume."""
    several = history.objectives
    if len(history) < (FIRST if several is None or all(several.known[1:]) else FIRST_OF_SEVERAL):
        return random(problem, history, seed)
    return maximise(problem, history, improvement(problem, history, structure_kernels(problem)), seed)


METHOD = make_method("gp", gp, source="Jones et al. 1998; Rasmussen and Williams 2006")
