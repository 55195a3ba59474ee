"""A Gaussian process over architectures: covariances of structure, conditioning, prediction.

In: a ``Problem``, standardised rewards of some of its architectures. Out: a ``Fit``, and what it predicts.
Next: ``beliefs`` fits one to each source, ``surrogate`` averages those that are likely on the target.

The correlation of structure is exp(-distance / length) of Hamming distances, of a listed problem a mixture of
two views of an architecture: its canonical form, and the architecture without edges that no signal passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular

from archwalk.searching.problem import Floats, Floats32, Ints, Problem, normal_scores

COARSE = np.float32(0.7)  # weight of the canonical view
NOISES = (0.003, 0.03, 0.1, 0.3)  # variance of the noise over that of the process
LENGTHS = (1.0, 3.0, 8.0)  # slots
OPEN_SHARES = (0.5, 2.0)  # lengths in slots of a space, where there are many: few are near each other
KNOWN = 500  # evaluations that a process is conditioned on at most


def structure(problem: Problem, length: float, rows: Ints, columns: Ints | None = None) -> Floats32:
    """Correlations [rows, columns]; columns are all architectures of a listed problem by default.

    Args:
        problem: says how far apart architectures are.
        length: distance (slots) over which the correlation falls to 1/e.
        rows, columns: ids.
    """
    slots = len(problem.space.slot_sizes)
    steps = np.exp(-np.arange(slots + 1) / length).astype(np.float32)
    if problem.views == 1:
        return np.asarray(steps[problem.distances(0, rows, columns)])
    canonical, live = (problem.distances(view, rows, columns) for view in (0, 1))
    return np.asarray(COARSE * steps[canonical] + (1 - COARSE) * steps[live])


def structure_lengths(problem: Problem) -> tuple[float, ...]:
    """The lengths that are tried, ascending, in slots.

    In an open space they grow with the number of slots: random architectures differ in most slots there, and
    a correlation that has died away at such distances learns nothing from a few dozen of them.
    """
    if problem.listed:
        return LENGTHS
    slots = len(problem.space.slot_sizes)
    return tuple(sorted({*LENGTHS[1:], *(share * slots for share in OPEN_SHARES if share * slots)}))


def representative(rewards: Floats) -> Ints:
    """Positions of at most ``KNOWN`` evaluations, ascending: half of them the best, then the latest others.

    A Gaussian process costs the cube of their number, and a bad architecture of long ago says little about
    where the best is.
    """
    n = len(rewards)
    if n <= KNOWN:
        return np.arange(n)
    order = np.argsort(-rewards, kind="stable")
    best, others = order[: KNOWN // 2], np.sort(order[KNOWN // 2 :])
    return np.sort(np.concatenate([best, others[-(KNOWN - KNOWN // 2) :]]))


@dataclass(frozen=True)
class Fit:
    """A Gaussian process with one kernel and one noise level, conditioned on n evaluations.

    Attributes:
        noise: variance of the noise, a share of ``variance``.
        evidence: log marginal likelihood, up to a constant that all fits share.
        factor: lower Cholesky factor of K + noise I, [n, n].
        whitened: factor⁻¹ (y - mean), [n].
        mean, variance: of the process, estimated in closed form under weak priors.
    """

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


def fit(covariance: Floats32, y: Floats, noise: float) -> Fit:
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
    return Fit(noise, float(evidence), factor, whitened, mean, variance)


def warped(rewards: Floats) -> Floats:
    """Half the standardised rewards, half their normal scores, [n].

    Most spaces have a long tail of bad architectures. Standardised alone, the tail is most of the variance
    and the best ones look the same; by rank alone, how far the best is ahead is lost.
    """
    standardised = (rewards - rewards.mean()) / max(float(rewards.std()), 1e-12)
    return (standardised + normal_scores(rewards)) / 2
