"""Training curves: smoothing, bands, and how long it takes to match an agent trained from scratch.

In: one curve a seed, its values larger is better. Out: bands and matrices of pairs. Next:
``archwalk.reporting``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from archwalk.analysis.statistics import LEVEL, Interval, crossed_interval

Values = NDArray[np.float64]
KERNEL = 16  # evaluations (paper, section 4.3)


def moving_average(values: Values, kernel: int = KERNEL) -> Values:
    """Mean of the last ``kernel`` evaluations at each one, of all so far where there are fewer, [..., n].

    It looks back only, so that a smoothed curve reaches a level no earlier than the run did.
    """
    total = np.cumsum(values, axis=-1)
    total[..., kernel:] -= total[..., :-kernel].copy()
    return total / np.minimum(np.arange(1, values.shape[-1] + 1), kernel)


def band(curves: Values) -> tuple[Values, Values, Values]:
    """Mean over seeds with Student's 95 % interval at every point, three times [points]; NaN below 2 seeds.

    Args:
        curves: [seeds, points].
    """
    n = len(curves)
    mean = curves.mean(0)
    if n < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = stats.t.ppf(0.5 + LEVEL / 2, n - 1) * curves.std(0, ddof=1) / np.sqrt(n)
    return mean, mean - half, mean + half


class Curve(NamedTuple):
    """One run's evaluations during training.

    Attributes:
        score: larger is better, not smoothed, [points].
        cost: what had been spent at each, ascending, [points].
    """

    score: Values
    cost: Values


class Match(NamedTuple):
    """What it took transferred runs to match runs from scratch, over all pairs.

    Attributes:
        cost: at the point of matching, [transferred seeds, scratch seeds]; where a run never matched, its
            whole cost, which is a lower bound.
        reached: whether it matched, same shape.
    """

    cost: Values
    reached: NDArray[np.bool_]

    @property
    def censored(self) -> int:
        """Pairs that never matched."""
        return int((~self.reached).sum())

    @property
    def mean(self) -> float:
        """Mean over all pairs, censored ones at their bound; a lower bound itself where any is."""
        return float(self.cost.mean())

    @property
    def std(self) -> float:
        """Standard deviation over all pairs, censored ones at their bound."""
        return float(self.cost.std(ddof=1)) if self.cost.size > 1 else 0.0

    @property
    def mean_reached(self) -> float:
        """Mean over the pairs that matched; NaN if none did."""
        return float(self.cost[self.reached].mean()) if self.reached.any() else float("nan")

    @property
    def interval(self) -> Interval:
        """95 % interval of ``mean``, with seeds on both sides as units."""
        return crossed_interval(self.cost)


def match(moved: Sequence[Curve], scratch: Sequence[Curve], kernel: int = KERNEL) -> Match:
    """All-to-all comparison of transferred runs with runs from scratch on the same task (paper, section 4.3).

    Every transferred run against every run from scratch: the cost at the first evaluation at which the
    transferred run's smoothed curve is at least the last value of the scratch run's smoothed curve.

    Args:
        moved: transferred runs, or the runs from scratch themselves for the reference bars.
        scratch: runs from scratch.
        kernel: of the moving average.
    """
    levels = np.array([moving_average(curve.score, kernel)[-1] for curve in scratch])
    smooth = [moving_average(curve.score, kernel) for curve in moved]
    above = [curve[:, None] >= levels for curve in smooth]
    reached = np.array([a.any(0) for a in above])
    cost = np.array(
        [np.where(a.any(0), c.cost[a.argmax(0)], c.cost[-1]) for a, c in zip(above, moved, strict=True)]
    )
    return Match(cost, reached)


def reach(curve: Curve, level: float) -> tuple[float, bool]:
    """The cost at which a run's score is first at least a level, unsmoothed; where it never is, the run's
    whole cost, which is a lower bound. And whether it was."""
    above = curve.score >= level
    return float(curve.cost[above.argmax() if above.any() else -1]), bool(above.any())
