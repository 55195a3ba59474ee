"""Methods compared on the same tasks with the same seeds: is one better, on a task and over all tasks?

In: one value a seed and method, or one a task and method; smaller is better. Out: p-values, ratios with
intervals, mean ranks, groups. Next: ``archwalk.searching.comparing.verdicts``, ``archwalk.reporting``.

Which tests, and why: ranks of best architectures have heavy tails, so a test of means would be decided by the
worst seed. Over the seeds of one task it is the signed-rank test, exact whatever the ties, since the ranks of
good searches are small numbers that tie all the time and the normal approximation is poor there. Over tasks
it is the same test of every pair of methods with Holm's correction, after Friedman's, and not Nemenyi's: a
pair's verdict must not depend on which other methods are in the pool (Benavoli et al. 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from archwalk.analysis.statistics import Interval, Values, holm, mean_interval

ALPHA = 0.05


def signed_rank(differences: Values) -> tuple[float, float]:
    """Wilcoxon's signed-rank test, exact: all signs of the differences are taken to be equally likely.

    Zeros take the smallest ranks and then no part (Pratt 1959); ties share their mean rank. The distribution
    of the sum over all 2^n signs is computed by convolution, since twice a mean rank is a whole number.

    Args:
        differences: one a pair, [pairs], at least one.

    Returns:
        Ranks of the positive differences less those of the negative ones, and the two-sided p-value; 0 and 1
        if all differences are zero.
    """
    doubled = np.rint(2 * stats.rankdata(np.abs(differences))).astype(np.int64)[differences != 0]
    balance = int((doubled * np.sign(differences[differences != 0]).astype(np.int64)).sum())
    total = int(doubled.sum())
    ways = np.zeros(total + 1)
    ways[0] = 1.0
    for rank in doubled.tolist():  # ways[s]: probability that the positive ones sum to s / 2
        ways[rank:] = (ways[rank:] + ways[: len(ways) - rank]) / 2
        ways[:rank] /= 2
    far = np.abs(2 * np.arange(total + 1) - total) >= abs(balance)
    return balance / 2, min(float(ways[far].sum()), 1.0)


def ratio(ours: Values, theirs: Values) -> tuple[float, Interval]:
    """Geometric mean over tasks of ours over theirs, and its 95 % interval with the task as the unit.

    Args:
        ours, theirs: positive, [tasks].
    """
    logs = np.log(ours / theirs)
    low, high = mean_interval(logs)
    return float(np.exp(logs.mean())), Interval(float(np.exp(low)), float(np.exp(high)))


@dataclass(frozen=True)
class Ranking:
    """Methods ranked over tasks.

    Attributes:
        mean_ranks: 1 is best, [methods].
        friedman: p-value of Friedman's test that all methods are alike; NaN with fewer than 3 methods or 2
            tasks.
        p_holm: of each pair, signed-rank test over tasks, Holm over the pairs, [methods, methods]; NaN on the
            diagonal.
        groups: largest sets of methods, neighbours in mean rank, of which no pair differs at the 5 % level;
            positions in the order of the methods given. Sets of one are left out.
    """

    mean_ranks: Values
    friedman: float
    p_holm: Values
    groups: tuple[tuple[int, ...], ...]


def ranking(values: Values) -> Ranking:
    """Mean ranks, tests and groups, as a critical-difference diagram shows them (Demšar 2006).

    Args:
        values: smaller is better, [tasks, methods]; differences of different tasks must be comparable.
    """
    tasks, methods = values.shape
    mean_ranks = np.asarray(stats.rankdata(values, axis=1).mean(0))
    friedman = float("nan")
    if methods >= 3 and tasks >= 2:
        alike = bool((values == values[:, :1]).all())
        friedman = 1.0 if alike else float(stats.friedmanchisquare(*values.T).pvalue)
    pairs = list(combinations(range(methods), 2))
    corrected = holm(np.array([signed_rank(values[:, a] - values[:, b])[1] for a, b in pairs]))
    p_holm = np.full((methods, methods), np.nan)
    for (a, b), p in zip(pairs, corrected.tolist(), strict=True):
        p_holm[a, b] = p_holm[b, a] = p
    return Ranking(mean_ranks, friedman, p_holm, _groups(mean_ranks, p_holm))


def _groups(mean_ranks: Values, p_holm: NDArray[np.float64]) -> tuple[tuple[int, ...], ...]:
    order = np.argsort(mean_ranks, kind="stable").tolist()

    def alike(members: Sequence[int]) -> bool:
        return all(p_holm[a, b] >= ALPHA for a, b in combinations(members, 2))

    found: list[tuple[int, ...]] = []
    reached = 0
    for first in range(len(order)):
        last = max(k for k in range(first + 1, len(order) + 1) if alike(order[first:k]))
        if last > reached and last - first > 1:
            found.append(tuple(order[first:last]))
        reached = max(reached, last)
    return tuple(found)
