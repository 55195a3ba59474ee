"""A Gaussian process over architectures, averaged over kernels; expected improvement.

In: a ``Problem`` and a ``History``. Out: the expected improvement of architectures. Next: ``acquisition``
finds where it is largest.

A kernel is a correlation of structure: exp(-distance / length) of Hamming distances, a mixture of two views
of an architecture (its canonical form, and the architecture without edges that no signal passes), or the
correlation that an encoder learned on the sources. To it the sources may add a linear part: the target is
then a weighted sum of what they say, with weights to be found, plus something of its own. Kernels and noise
levels are hypotheses; each one's posterior is weighted by its marginal likelihood, so that a source that does
not predict the target loses its say after a few evaluations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular

from archwalk.searching.acquisition import expected_improvement
from archwalk.searching.history import History
from archwalk.searching.listed import ListedProblem
from archwalk.searching.problem import Floats, Floats32, Ints, Problem, normal_scores

COARSE = np.float32(0.7)  # weight of the canonical view
NOISES = (0.003, 0.03, 0.1, 0.3)  # variance of the noise over that of the process
NEGLIGIBLE = 0.01  # likelihood, relative to the likeliest, below which one is left out where time matters
MOST = 3  # hypotheses that a suggestion averages over: the likeliest


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
        """Covariances [rows, columns]; columns are all architectures by default.

        An open problem has no sources, and its kernels are those of structure.
        """
        structure = self._structure(problem, rows, columns)
        if not self.sources:
            return structure
        assert isinstance(problem, ListedProblem)
        known = problem.sources.astype(np.float32)
        linear = known[rows] @ (known if columns is None else known[columns]).T
        return np.add(structure, np.float32(self.sources / known.shape[1]) * linear, dtype=np.float32)

    def _structure(self, problem: Problem, rows: Ints, columns: Ints | None) -> Floats32:
        if self.length is None:
            assert isinstance(problem, ListedProblem)
            return problem.encoding.correlation(rows, slice(None) if columns is None else columns)
        slots = len(problem.space.slot_sizes)
        steps = np.exp(-np.arange(slots + 1) / self.length).astype(np.float32)
        if problem.views == 1:
            return steps[problem.distances(0, rows, columns)]
        canonical, live = (problem.distances(view, rows, columns) for view in (0, 1))
        return COARSE * steps[canonical] + (1 - COARSE) * steps[live]

    def variance(self, problem: Problem, ids: Ints | None = None) -> Floats | float:
        """The diagonal of the covariance, over all architectures by default, [n]; one number if all agree."""
        if not self.sources:
            return 1.0
        assert isinstance(problem, ListedProblem)
        sources = problem.sources if ids is None else problem.sources[ids]
        return np.asarray(1 + self.sources * (sources**2).mean(1))


STRUCTURE = tuple(Kernel(length) for length in (1.0, 3.0, 8.0))
OPEN_SHARES = (
    0.5,
    2.0,
)  # lengths in slots of a space, where there are many: few evaluations are near each other
WITH_SOURCES = (Kernel(None), *STRUCTURE, Kernel(None, 0.3), Kernel(None, 1.0))


def structure_kernels(problem: Problem) -> tuple[Kernel, ...]:
    """The hypotheses about structure alone.

    In an open space the lengths grow with the number of slots: random architectures differ in most slots
    there, and a correlation that has died away at such distances learns nothing from a few dozen of them.
    """
    if problem.listed:
        return STRUCTURE
    slots = len(problem.space.slot_sizes)
    lengths = {kernel.length for kernel in STRUCTURE[1:]} | {share * slots for share in OPEN_SHARES}
    return tuple(Kernel(length) for length in sorted(length for length in lengths if length))


@dataclass(frozen=True)
class Fit:
    """A Gaussian process with one kernel and one noise level, conditioned on n evaluations.

    Attributes:
        kernel, noise: the hypothesis; noise is a share of ``variance``.
        evidence: log marginal likelihood, up to a constant that all fits share.
        factor: lower Cholesky factor of K + noise I, [n, n].
        whitened: factor⁻¹ (y - mean), [n].
        mean, variance: of the process, estimated in closed form under weak priors.
    """

    kernel: Kernel
    noise: float
    evidence: float
    factor: Floats
    whitened: Floats
    mean: float
    variance: float

    @cached_property
    def _factor32(self) -> Floats32:
        return self.factor.astype(np.float32)

    def predict(self, cross: Floats32, prior: Floats | float) -> tuple[Floats, Floats]:
        """Posterior mean and standard deviation, from covariances with the evaluated and prior variances,
        [n, N], [N] → [N], [N].

        The noise is part of the deviation: what a table or a training run answers has it too.
        """
        half = solve_triangular(self._factor32, cross, lower=True, check_finite=False)
        left = prior + self.noise - np.einsum("ij,ij->j", half, half).astype(np.float64)
        return self.mean + (self.whitened @ half), np.sqrt(self.variance * np.maximum(left, 1e-9))


def fit(covariance: Floats32, y: Floats, kernel: Kernel, noise: float) -> Fit:
    """Condition on evaluations (Rasmussen and Williams 2006, eq. 2.23-2.30).

    The mean has the prior N(0, 10 variance), the variance an inverse gamma prior worth one evaluation of
    size 1, so ``y`` is expected standardised, [n].
    """
    n = len(y)
    noisy = covariance.astype(np.float64) + (noise + 1e-6) * np.eye(n)
    factor = np.asarray(np.linalg.cholesky(noisy), dtype=np.float64)
    ones = solve_triangular(factor, np.ones(n), lower=True, check_finite=False)
    white = solve_triangular(factor, y, lower=True, check_finite=False)
    mean = float(ones @ white / (ones @ ones + 0.1))
    whitened = white - mean * ones
    variance = float((whitened @ whitened + 1) / (n + 1))
    evidence = -(n + 1) / 2 * np.log(variance) - np.log(np.diag(factor)).sum()
    return Fit(kernel, noise, float(evidence), factor, whitened, mean, variance)


def warped(rewards: Floats) -> Floats:
    """Half the standardised rewards, half their normal scores, [n].

    Most spaces have a long tail of bad architectures. Standardised alone, the tail is most of the variance
    and the best ones look the same; by rank alone, how far the best is ahead is lost.
    """
    standardised = (rewards - rewards.mean()) / max(float(rewards.std()), 1e-12)
    return (standardised + normal_scores(rewards)) / 2


class Improvement:
    """Expected improvement over the best evaluation, averaged over hypotheses.

    Args:
        problem, history: what is known.
        kernels: the hypotheses, each at every noise level.
    """

    def __init__(self, problem: Problem, history: History, kernels: Sequence[Kernel]) -> None:
        y = warped(history.rewards)
        self._problem, self._rows, self._best = problem, history.indices, float(y.max())
        self.fits: list[Fit] = []
        for kernel in kernels:
            covariance = kernel(problem, history.indices, history.indices)
            for noise in NOISES:  # the likeliest are kept: each holds a matrix
                fits = [*self.fits, fit(covariance, y, kernel, noise)]
                self.fits = sorted(fits, key=lambda f: -f.evidence)[:MOST]
        weights = np.exp([f.evidence - self.fits[0].evidence for f in self.fits])
        if not problem.listed:  # there time matters, and what hardly counts costs as much as the rest
            self.fits = [f for f, weight in zip(self.fits, weights, strict=True) if weight > NEGLIGIBLE]
            weights = weights[: len(self.fits)]
        self.weights = weights / weights.sum()

    def __call__(self, ids: Ints | None = None) -> Floats:
        """Of some architectures, or of all of a listed problem, [n]."""
        total: Floats | float = 0.0
        for weight, likely in zip(self.weights, self.fits, strict=True):
            cross = likely.kernel(self._problem, self._rows, ids)
            mean, deviation = likely.predict(cross, likely.kernel.variance(self._problem, ids))
            total = total + weight * expected_improvement(mean, deviation, self._best)
        return np.asarray(total)
