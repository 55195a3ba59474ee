"""The model of the reward: what an architecture is worth that nobody has evaluated, and how sure that is.

In: a ``History``. Out: for any ids, an optimistic reward and the expected improvement. Next: ``region`` offers
the optimistic reward to walks in the model, and the method ranks by the improvement where the walks lead.

Where a step leads is known exactly, so the reward is all that there is to learn. It is the Gaussian process of
``gp.surrogate``, with the sources' part where there are sources.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwalk.searching.gp.surrogate import Improvement, Kernel
from archwalk.searching.history import History
from archwalk.searching.problem import Floats, Ints, Problem

KNOWN = 500  # evaluations that the model is conditioned on: the better half of the best, then the latest
OPTIMISM = 1.0  # posterior deviations above the mean


def representative(history: History) -> Ints:
    """Positions of at most ``KNOWN`` evaluations, ascending: the best ones, then the latest of the others.

    A Gaussian process takes the cube of their number; far more than are needed near the best say little.
    """
    n = len(history)
    if n <= KNOWN:
        return np.arange(n)
    order = np.argsort(-history.rewards, kind="stable")
    best, others = order[: KNOWN // 2], np.sort(order[KNOWN // 2 :])
    return np.sort(np.concatenate([best, others[-(KNOWN - KNOWN // 2) :]]))


class RewardModel:
    """Posterior of the rewards, in units of their deviation (``gp.surrogate.warped``).

    Args:
        problem, history: what is known; at least one evaluation.
        kernels: hypotheses; the likeliest are averaged.
    """

    def __init__(self, problem: Problem, history: History, kernels: Sequence[Kernel]) -> None:
        kept = representative(history)
        self._problem, self._rows = problem, history.indices[kept]
        known = History(problem, self._rows, history.rewards[kept], history.pending)
        self._average = Improvement(problem, known, kernels)

    def upper(self, ids: Ints) -> Floats:
        """Mean plus ``OPTIMISM`` deviations of the reward without its noise, [n]."""
        mean, square = np.zeros(len(ids)), np.zeros(len(ids))
        for weight, fit in zip(self._average.weights, self._average.fits, strict=True):
            cross = fit.kernel(self._problem, self._rows, ids)
            one, deviation = fit.predict(cross, fit.kernel.variance(self._problem, ids))
            mean += weight * one
            square += weight * (np.maximum(deviation**2 - fit.noise * fit.variance, 0) + one**2)
        return np.asarray(mean + OPTIMISM * np.sqrt(np.maximum(square - mean**2, 0)))

    def improvement(self, ids: Ints) -> Floats:
        """Expected improvement over the best evaluation, [n]."""
        return self._average(ids)
