"""A Gaussian process over architectures, averaged over kernels; expected improvement.

In: a ``Problem`` and a ``History``. Out: the expected improvement of every architecture. Next: ``methods``.

A kernel is a correlation of Hamming distances, k = exp(-distance / length), a mixture of two views of an
architecture: its canonical form, and the architecture without edges that no signal passes. Where there are
sources it may be multiplied by a correlation of what the sources say. Kernels and noise levels are
hypotheses; each one's posterior is weighted by its marginal likelihood, so that a source that does not
predict the target loses its say after a few looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import ndtr

from archwalk.searching.problem import Floats, History, Ints, Problem

Floats32 = NDArray[np.float32]
COARSE = np.float32(0.7)  # weight of the canonical view
NOISES = (0.003, 0.03, 0.1, 0.3)  # variance of the noise over that of the process
MOST = 3  # hypotheses that a proposal averages over: the likeliest


@dataclass(frozen=True)
class Kernel:
    """A correlation function on architectures.

    Attributes:
        length: Hamming distance (slots) over which the correlation of structure falls to 1/e.
        share: of the structure's correlation that is multiplied by that of the sources, 0 to 1.
        source_length: Euclidean distance of standardised source columns at which theirs falls to e^-1/2.
    """

    length: float
    share: float = 0.0
    source_length: float = 1.0

    def __call__(self, problem: Problem, rows: Ints, columns: Ints | slice = slice(None)) -> Floats32:
        """Correlations [rows, columns], 1 on the diagonal; columns are all architectures by default."""
        steps = np.exp(-np.arange(problem.codes.shape[1] + 1) / self.length).astype(np.float32)
        canonical, live = (problem.distances(view, rows)[:, columns] for view in (0, 1))
        structure = COARSE * steps[canonical] + (1 - COARSE) * steps[live]
        if not self.share:
            return structure
        sources = problem.sources.astype(np.float32)
        a, b = sources[rows], sources[columns]
        squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        near = np.exp(np.maximum(squared, 0) * np.float32(-0.5 / self.source_length**2))
        return structure * (np.float32(1 - self.share) + np.float32(self.share) * near)


STRUCTURE = tuple(Kernel(length) for length in (1.0, 3.0, 8.0))
WITH_SOURCES = STRUCTURE + tuple(
    Kernel(length, share, source_length)
    for length in (3.0, 8.0)
    for share in (0.5, 1.0)
    for source_length in (1.0, 3.0)
)


@dataclass(frozen=True)
class Fit:
    """A Gaussian process with one kernel and one noise level, conditioned on n looks.

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

    def predict(self, cross: Floats32) -> tuple[Floats, Floats]:
        """Posterior mean and standard deviation, from correlations with the looks, [n, N] → [N], [N].

        The noise is part of the deviation: what a table or a training run answers has it too.
        """
        half = solve_triangular(self.factor.astype(np.float32), cross, lower=True, check_finite=False)
        left = 1 + self.noise - np.einsum("ij,ij->j", half, half).astype(np.float64)
        return self.mean + (self.whitened @ half), np.sqrt(self.variance * np.maximum(left, 1e-9))


def fit(correlation: Floats32, y: Floats, kernel: Kernel, noise: float) -> Fit:
    """Condition on looks (Rasmussen and Williams 2006, eq. 2.23-2.30).

    The mean has the prior N(0, 10 variance), the variance an inverse gamma prior worth one look of size 1,
    so ``y`` is expected standardised, [n].
    """
    n = len(y)
    covariance = correlation.astype(np.float64) + (noise + 1e-6) * np.eye(n)
    factor = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    ones = solve_triangular(factor, np.ones(n), lower=True, check_finite=False)
    white = solve_triangular(factor, y, lower=True, check_finite=False)
    mean = float(ones @ white / (ones @ ones + 0.1))
    whitened = white - mean * ones
    variance = float((whitened @ whitened + 1) / (n + 1))
    evidence = -(n + 1) / 2 * np.log(variance) - np.log(np.diag(factor)).sum()
    return Fit(kernel, noise, float(evidence), factor, whitened, mean, variance)


def expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """E[max(f - best, 0)] for f ~ N(mean, deviation²) (Jones et al. 1998), elementwise."""
    z = (mean - best) / deviation
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return np.asarray(deviation * (z * ndtr(z) + density))


def improvement(problem: Problem, history: History, kernels: Sequence[Kernel]) -> Floats:
    """Expected improvement of every architecture over the best look, averaged over hypotheses, [N]."""
    rewards = history.rewards
    y = (rewards - rewards.mean()) / max(float(rewards.std()), 1e-12)
    fits = [
        fit(correlation, y, kernel, noise)
        for kernel in kernels
        for correlation in [kernel(problem, history.indices, history.indices)]
        for noise in NOISES
    ]
    fits = sorted(fits, key=lambda f: -f.evidence)[:MOST]
    weights = np.exp([f.evidence - fits[0].evidence for f in fits])
    total = np.zeros(len(problem))
    for weight, likely in zip(weights / weights.sum(), fits, strict=True):
        mean, deviation = likely.predict(likely.kernel(problem, history.indices))
        total += weight * expected_improvement(mean, deviation, float(y.max()))
    return total
