"""The model of the reward: what an architecture is worth that nobody has evaluated, and how sure that is.

In: a ``History``. Out: for any ids, an optimistic reward and the expected improvement. Next: ``region``
offers the optimistic reward to walks in the model; the method ranks what they come by by the improvement.

Where a step leads is known exactly, so the reward is all that there is to learn. The model is the Gaussian
process of ``gp.surrogate``, with the sources' part where there are sources.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwalk.searching.gp.process import representative
from archwalk.searching.gp.surrogate import Improvement, Kernel
from archwalk.searching.history import History
from archwalk.searching.problem import Floats, Ints, Problem

OPTIMISM = 1.0  # posterior deviations above the mean


class RewardModel:
    """Posterior of the rewards, in the units of ``gp.surrogate.warped``.

    Args:
        problem, history: what is known; at least one evaluation.
        kernels: hypotheses; the likeliest are averaged.
    """

    def __init__(self, problem: Problem, history: History, kernels: Sequence[Kernel]) -> None:
        known = history.only(representative(history.rewards))
        self._problem, self._rows = problem, known.indices
        self._average = Improvement(problem, known, kernels)

    def moments(self, ids: Ints) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the reward, its noise left out, [n] → [n], [n]."""
        mean, square = np.zeros(len(ids)), np.zeros(len(ids))
        for weight, (kernel, fit) in zip(self._average.weights, self._average.fits, strict=True):
            cross = kernel(self._problem, self._rows, ids)
            one, deviation = fit.predict(cross, kernel.variance(self._problem, ids))
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
