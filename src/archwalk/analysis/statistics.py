"""Estimates with intervals, the seed as the unit of replication.

In: one value a seed, or one row a seed. Out: ``Interval``, estimates, p-values. Next: ``archwalk.reporting``.

Which interval, and why: with the 2 to 9 seeds of a usual study a percentile or BCa bootstrap cannot reach
its level, since it never leaves the range of the sample (observed coverage of nominal 95 %: 83 % at 5 seeds,
76 % at 3). So up to 9 seeds the interval of a mean is Student's, which is what the studentised bootstrap
becomes where resamples are drawn from the fitted normal distribution; from 10 seeds on it is the studentised
bootstrap itself. Anything else that is computed over seeds gets the jackknife over whole seeds with Student's
quantile, which for a mean is Student's interval again. The tests check all of them by simulation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

LEVEL = 0.95
BOOTSTRAP_FROM = 10  # seeds
RESAMPLES = 4_999
Values = NDArray[np.float64]


class Interval(NamedTuple):
    """A 95 % confidence interval; NaN where there are too few seeds for any."""

    low: float
    high: float


UNKNOWN = Interval(float("nan"), float("nan"))


def _student(center: float, error: float, freedom: float) -> Interval:
    half = float(stats.t.ppf(0.5 + LEVEL / 2, freedom)) * error
    return Interval(center - half, center + half)


def mean_interval(sample: Values) -> Interval:
    """Interval of the mean of independent values, one a seed, [seeds].

    Student's up to 9 seeds, studentised bootstrap (Efron and Tibshirani 1993, section 12.5) from 10 on; the
    latter draws from a fixed seed, so that equal samples have equal intervals. NaN with fewer than 2 seeds.
    """
    n = len(sample)
    if n < 2:
        return UNKNOWN
    mean, error = float(sample.mean()), float(sample.std(ddof=1) / np.sqrt(n))
    if n < BOOTSTRAP_FROM or error == 0:
        return _student(mean, error, n - 1)
    drawn = sample[np.random.default_rng(0).integers(0, n, (RESAMPLES, n))]
    errors = drawn.std(1, ddof=1) / np.sqrt(n)
    varied = errors > 1e-9 * error  # where all are drawn alike, rounding leaves an error that is none
    t = (drawn.mean(1) - mean)[varied] / errors[varied]
    low, high = np.quantile(t, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean - float(high) * error, mean - float(low) * error)


def jackknife_interval(values: Values, statistic: Callable[[Values], float]) -> Interval:
    """Interval of a statistic of several values a seed: seeds are left out one at a time.

    Standard error: Tukey's, from the n statistics without one seed; quantile: Student's with n - 1 degrees of
    freedom (Efron and Tibshirani 1993, chapter 11). NaN with fewer than 2 seeds.

    Args:
        values: [seeds, ...]; values of one seed may depend on each other.
        statistic: of an array like ``values`` with any number of seeds.
    """
    n = len(values)
    if n < 2:
        return UNKNOWN
    without = np.array([statistic(np.delete(values, seed, axis=0)) for seed in range(n)])
    error = float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    return _student(float(statistic(values)), error, n - 1)


def interquartile_mean(values: Values) -> float:
    """Mean of the middle half of all values (Agarwal et al. 2021), any shape."""
    return float(stats.trim_mean(values, 0.25, axis=None))


def crossed_interval(values: Values) -> Interval:
    """Interval of the mean of a complete matrix of pairs, [moved seeds, reference seeds].

    Pairs that share a seed depend on each other, so neither their number nor their spread alone counts: with
    row means of variance A, column means of variance B and residual mean square E, the variance of the grand
    mean is A/n + B/m - E/(nm), at least the largest of A/n and B/m; degrees of freedom by Satterthwaite.
    NaN with fewer than 2 seeds on either side.
    """
    n, m = values.shape
    if min(n, m) < 2:
        return UNKNOWN
    rows, columns, mean = values.mean(1), values.mean(0), float(values.mean())
    by_rows, by_columns = float(rows.var(ddof=1) / n), float(columns.var(ddof=1) / m)
    residual = values - rows[:, None] - columns + mean
    both = float((residual**2).sum() / ((n - 1) * (m - 1)) / (n * m))
    variance = max(by_rows + by_columns - both, by_rows, by_columns)
    if variance == 0:
        return Interval(mean, mean)
    freedom = (by_rows + by_columns) ** 2 / (by_rows**2 / (n - 1) + by_columns**2 / (m - 1))
    return _student(mean, float(np.sqrt(variance)), freedom)


def pooled_starts(means: Values, deviations: Values, starts: Values) -> tuple[float, Interval]:
    """Standard deviation of all walks of all seeds pooled, and the interval of their mean over starts alone.

    Thousands of walks make the interval tight and normal; it says nothing about other seeds.

    Args:
        means: over the walks of a seed, [seeds].
        deviations: standard deviations over the walks of a seed, [seeds].
        starts: walks of a seed, [seeds].
    """
    mean = float(means.mean())
    deviation = float(np.sqrt((deviations**2).mean() + means.var()))
    half = float(stats.norm.ppf(0.5 + LEVEL / 2) * np.sqrt((deviations**2 / starts).sum())) / len(means)
    return deviation, Interval(mean - half, mean + half)


def probability_of_improvement(ours: Values, theirs: Values) -> float:
    """Probability that a seed of ours beats a seed of theirs, larger is better; ties count half."""
    difference = ours[:, None] - theirs
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def improvement_interval(ours: Values, theirs: Values) -> Interval:
    """Interval of ``probability_of_improvement``: the score interval of Newcombe (2006, method 5).

    It holds at very few seeds and at the ends 0 and 1, where a bootstrap shrinks to a point: the bounds are
    the θ for which (estimate - θ)² = z² θ(1-θ)/(nm) [1 + N ((1-θ)/(2-θ) + θ/(1+θ))], N = (n+m)/2 - 1. NaN
    with fewer than 2 seeds on either side.
    """
    n, m = len(ours), len(theirs)
    if min(n, m) < 2:
        return UNKNOWN
    estimate = probability_of_improvement(ours, theirs)
    z = float(stats.norm.ppf(0.5 + LEVEL / 2))
    given = (estimate, z, n, m)
    inside = min(max(estimate, 1e-9), 1 - 1e-9)  # 0 and 1 are roots, but not the ones that are meant
    low = 0.0 if estimate == 0 else optimize.brentq(_excess, 0.0, inside, given)
    high = 1.0 if estimate == 1 else optimize.brentq(_excess, inside, 1.0, given)
    return Interval(float(low), float(high))


def _excess(p: float, estimate: float, z: float, n: int, m: int) -> float:
    """How much further than z standard errors p lies from the estimate, squared."""
    spread = (n + m) / 2 - 1
    variance = p * (1 - p) / (n * m) * (1 + spread * ((1 - p) / (2 - p) + p / (1 + p)))
    return (estimate - p) ** 2 - z**2 * variance


def difference_test(ours: Values, theirs: Values) -> float:
    """Two-sided p-value of Welch's test that two sets of seeds have the same mean; NaN with fewer than 2.

    A rank test cannot be significant here: with 5 seeds a side its smallest p is 0.008, which no correction
    for a dozen comparisons survives.
    """
    if min(len(ours), len(theirs)) < 2:
        return float("nan")
    scale = max(np.abs(ours).max(), np.abs(theirs).max(), np.finfo(float).tiny)
    a, b = np.round(ours / scale, 9), np.round(theirs / scale, 9)  # a mean over walks has rounding of its own
    if a.std() == 0 and b.std() == 0:  # every walk of every seed ends on the same architecture
        return float(a[0] == b[0])
    test = stats.ttest_ind_from_stats(
        a.mean(), a.std(ddof=1), len(a), b.mean(), b.std(ddof=1), len(b), equal_var=False
    )
    return float(test.pvalue)


def holm(p: Values) -> Values:
    """p-values corrected for their number (Holm 1979): p_(i) becomes max over j <= i of (m - j + 1) p_(j).

    Args:
        p: [tests]; NaN ones are no tests.

    Returns:
        [tests], at most 1, NaN where ``p`` is.
    """
    corrected = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")[: int(np.isfinite(p).sum())]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return corrected
