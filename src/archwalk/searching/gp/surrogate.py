"""The model of the target: Gaussian processes averaged over hypotheses, and their expected improvement.

In: a ``Problem`` and a ``History``. Out: the expected improvement of architectures. Next: ``acquisition``
finds where it is largest.

A kernel is a correlation of structure (``process``), or the one that an encoder learned on the sources. To it
the sources may add a linear part: the target is then a weighted sum of what they say (``beliefs``), with
weights to be found, of either sign, plus something of its own. Kernels and noise levels are hypotheses;
each one's posterior is weighted by its marginal likelihood, so that a source that does not predict the target
loses its say after a few evaluations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archwalk.searching.acquisition import expected_improvement
from archwalk.searching.gp.beliefs import Beliefs, beliefs
from archwalk.searching.gp.process import LENGTHS, NOISES, Fit, fit, structure, structure_lengths, warped
from archwalk.searching.history import History
from archwalk.searching.problem import Floats, Floats32, Ints, Problem

NEGLIGIBLE = 0.01  # likelihood, relative to the likeliest, below which one is left out where time matters
MOST = 3  # hypotheses that a suggestion averages over: the likeliest
SPREADS = (0.0, 0.3, 1.0)  # variance of the linear part, in units of that of structure


@dataclass(frozen=True)
class Kernel:
    """A covariance function on architectures, in units of the variance of structure.

    Attributes:
        length: Hamming distance (slots) over which the correlation of structure falls to 1/e; None: the
            correlation that the encoder learned.
        sources: variance of the part that is linear in the sources.
    """

    length: float | None
    sources: float = 0.0

    def __call__(self, problem: Problem, rows: Ints, columns: Ints | None = None) -> Floats32:
        """Covariances [rows, columns]; columns are all architectures of a listed problem by default."""
        if self.length is not None:
            own = structure(problem, self.length, rows, columns)
        else:
            encoding = _beliefs(problem).encoding
            assert encoding is not None, "no source that knows all"
            own = encoding.correlation(rows, slice(None) if columns is None else columns)
        if not self.sources:
            return own
        linear = _beliefs(problem).covariance(rows, columns)
        return np.add(own, np.float32(self.sources) * linear, dtype=np.float32)

    def variance(self, problem: Problem, ids: Ints | None = None) -> Floats | float:
        """The diagonal of the covariance, over all architectures by default, [n]; one number if all agree."""
        if not self.sources:
            return 1.0
        return np.asarray(1 + self.sources * _beliefs(problem).variance(ids))


def _beliefs(problem: Problem) -> Beliefs:
    found = beliefs(problem)
    assert found is not None, "no sources"
    return found


STRUCTURE = tuple(Kernel(length) for length in LENGTHS)


def structure_kernels(problem: Problem) -> tuple[Kernel, ...]:
    """The hypotheses about structure alone."""
    return tuple(Kernel(length) for length in structure_lengths(problem))


def source_kernels(problem: Problem) -> tuple[Kernel, ...]:
    """The hypotheses where there are sources: each structure with each spread of the linear part, or none."""
    lengths: tuple[float | None, ...] = structure_lengths(problem)
    if _beliefs(problem).encoding is not None:
        lengths = (*lengths, None)
    return tuple(Kernel(length, spread) for length in lengths for spread in SPREADS)


def unhelped_kernels(problem: Problem) -> tuple[Kernel, ...]:
    """Those of ``source_kernels`` in which the sources say nothing of the values."""
    return tuple(kernel for kernel in source_kernels(problem) if not kernel.sources)


class Improvement:
    """Expected improvement over the best evaluation, averaged over hypotheses.

    Args:
        problem, history: what is known.
        kernels: the hypotheses, each at every noise level.

    Attributes:
        fits: the likeliest, with their kernels, the likeliest first.
        weights: of them, together 1.
    """

    def __init__(self, problem: Problem, history: History, kernels: Sequence[Kernel]) -> None:
        y = warped(history.rewards)
        self._problem, self._rows, self._best = problem, history.indices, float(y.max())
        self.fits: list[tuple[Kernel, Fit]] = []
        for kernel in kernels:
            covariance = kernel(problem, history.indices, history.indices)
            for noise in NOISES:  # the likeliest are kept: each holds a matrix
                fits = [*self.fits, (kernel, fit(covariance, y, noise))]
                self.fits = sorted(fits, key=lambda f: -f[1].evidence)[:MOST]
        weights = np.exp([f.evidence - self.fits[0][1].evidence for _, f in self.fits])
        if not problem.listed:  # there time matters, and what hardly counts costs as much as the rest
            self.fits = [f for f, weight in zip(self.fits, weights, strict=True) if weight > NEGLIGIBLE]
            weights = weights[: len(self.fits)]
        self.weights = weights / weights.sum()

    def predictions(self, ids: Ints | None = None) -> list[tuple[Floats, Floats]]:
        """Mean and deviation of some architectures, or of all of a listed problem, [n] each, a pair a
        hypothesis."""
        return [
            likely.predict(kernel(self._problem, self._rows, ids), kernel.variance(self._problem, ids))
            for kernel, likely in self.fits
        ]

    def excess(self, predictions: Sequence[tuple[Floats, Floats]], levels: Floats) -> Floats:
        """E[max(f - level, 0)] from ``predictions``, averaged over hypotheses, [n, levels]; levels as
        ``warped`` rewards."""
        total: Floats | float = 0.0
        for weight, (mean, deviation) in zip(self.weights, predictions, strict=True):
            total = total + weight * expected_improvement(mean[:, None], deviation[:, None], levels)
        return np.asarray(total)

    def __call__(self, ids: Ints | None = None) -> Floats:
        """Of some architectures, or of all of a listed problem, [n]."""
        return self.excess(self.predictions(ids), np.array([self._best]))[:, 0]
