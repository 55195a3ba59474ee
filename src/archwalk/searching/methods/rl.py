"""Model-based reinforcement learning: walks planned in a model of the reward lead to what is evaluated."""

from __future__ import annotations

import numpy as np

from archwalk.searching.acquisition import maximise
from archwalk.searching.gp.beliefs import beliefs
from archwalk.searching.gp.surrogate import source_kernels, structure_kernels
from archwalk.searching.history import History
from archwalk.searching.methods import gp, transfer_gp
from archwalk.searching.open import OpenProblem
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Ints, Problem
from archwalk.searching.rl.region import Region, planned_walks
from archwalk.searching.rl.reward import RewardModel

DISCOUNT = 0.9
BEST, RANDOM = 8, 8  # walks begin at so many of the best evaluated and random ones, and at the latest


def rl(problem: Problem, history: History, seed: int) -> int:
    """An agent that plans walks in a model of the reward, and evaluates the best of what they come by.

    The first evaluations are those of ``gp``, or of ``transfer_gp`` where there are sources. Nothing is kept
    between suggestions.
    """
    known = beliefs(problem)
    if len(history) < (gp.FIRST if known is None else transfer_gp.FIRST):
        return transfer_gp.transfer_gp(problem, history, seed)
    kernels = structure_kernels(problem) if known is None else source_kernels(problem)
    mark = len(problem) if isinstance(problem, OpenProblem) else 0
    model = RewardModel(problem, history, kernels)
    chosen = _walked_to(problem, history, model, np.random.default_rng([seed, len(history)]))
    if isinstance(problem, OpenProblem):
        codes = problem.codes(chosen).astype(np.int16)
        problem.forget(mark)  # what the walks only came by
        chosen = problem.intern(codes)
    return int(chosen[0]) if len(chosen) else maximise(problem, history, model.improvement, seed)


def _walked_to(
    problem: Problem, history: History, model: RewardModel, generator: np.random.Generator
) -> Ints:
    """The unvisited architecture on the walks, or else around them, of the largest expected improvement.

    Returns:
        Its id, [1]; [0] if all around is visited.
    """
    best = history.indices[np.argsort(-history.rewards, kind="stable")[:BEST]]
    starts = np.concatenate([best, problem.sample(RANDOM, generator), history.indices[-1:]])
    region = Region(problem, model.upper, DISCOUNT)
    path = planned_walks(region, starts)
    free = path[:0].ravel()
    for reached in (path[::-1].ravel(), region.ids):
        ids = np.array([*dict.fromkeys(reached.tolist())], dtype=np.int64)
        free = ids[~history.visited(ids)]
        if len(free):
            return free[[model.improvement(free).argmax()]]
    return free


METHOD = make_method("rl", rl, source="Dyna: Sutton 1991", knows_sources=True)
