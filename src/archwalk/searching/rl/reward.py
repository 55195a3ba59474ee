"""The model of the reward: what an architecture is worth that nobody has evaluated, and how sure that is.

In: a ``History``. Out: for any ids, an optimistic reward and the expected improvement. Next: ``region``
offers the optimistic reward to walks in the model; the method ranks what they come by by the improvement.

Where a step leads is known exactly, so the reward is all that there is to learn. The model is the Gaussian
process of ``gp.surrogate``, with the sources' part where there are sources.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwalk.searching.gp.surrogate import Improvement, Kernel
from archwalk.searching.history import History
from archwalk.searching.problem import Floats, Ints, Problem

KNOWN = 500  # evaluations that the model is conditioned on: the best, then the latest of the others
OPTIMISM = 1.0  # posterior deviations above the mean


def representative(history: History) -> Ints:
    """Positions of at most ``KNOWN`` evaluations, ascending: half of them the best, then the latest others.

    A Gaussian process costs the cube of their number, and a bad architecture of long ago says little about
    where the best is.
    """
    n = len(history)
    if n <= KNOWN:
        return np.arange(n)
    order = np.argsort(-history.rewards, kind="stable")
    best, others = order[: KNOWN // 2], np.sort(order[KNOWN // 2 :])
    return np.sort(np.concatenate([best, others[-(KNOWN - KNOWN // 2) :]]))


class RewardModel:
    """Posterior of the rewards, in the units of ``gp.surrogate.warped``.

    Args:
        problem, history: what is known; at least one evaluation.
        kernels: hypotheses; the likeliest are averaged.
    """

    def __init__(self, problem: Problem, history: History, kernels: Sequence[Kernel]) -> None:
        kept = representative(history)
        self._problem, self._rows = problem, history.indices[kept]
        known = History(problem, self._rows, history.rewards[kept], history.pending)
        self._average = Improvement(problem, known, kernels)

    def moments(self, ids: Ints) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the reward, its noise left out, [n] → [n], [n]."""
        mean, square = np.zeros(len(ids)), np.zeros(len(ids))
        for weight, fit in zip(self._average.weights, self._average.fits, strict=True):
            cross = fit.kernel(self._problem, self._rows, ids)
            one, deviation = fit.predict(cross, fit.kernel.variance(self._problem, ids))
            mean += weight * one
            square += weight * (np.maximum(deviation**2 - fit.noise * fit.variance, 0) + one**2)
        return mean, np.sqrt(np.maximum(square - mean**2, 0))

    def upper(self, ids: Ints) -> Floats:
        """Mean plus ``OPTIMISM`` deviations, [n] → [n]."""
        mean, deviation = self.moments(ids)
        return mean + OPTIMISM * deviation

    def improvement(self, ids: Ints | None = None) -> Floats:
        """Expected improvement over the best evaluation, [n]; None: of all of a listed problem."""
        return self._average(ids)
