"""How much tasks agree, and how the gamma transform spreads rewards.

In: reward columns. Out: tau matrix, spread curves. Next: ``archwalk.reporting``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]
GAMMAS = np.round(np.arange(0.01, 2.0001, 0.001), 3)


def kendall_matrix(columns: list[Values]) -> Values:
    """Kendall's tau-b between all pairs of columns, [tasks, tasks]; 1 on the diagonal (paper, figure 1)."""
    n = len(columns)
    matrix = np.eye(n)
    for i in range(n):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = stats.kendalltau(columns[i], columns[j]).statistic
    return matrix


class Sweep(NamedTuple):
    """Spread of R^γ over all architectures, for every γ.

    Attributes:
        gammas: [gammas].
        deviation: standard deviation, [gammas].
        extent: largest minus smallest, [gammas].
    """

    gammas: Values
    deviation: Values
    extent: Values

    @property
    def best_deviation(self) -> float:
        """The γ of the largest standard deviation."""
        return float(self.gammas[self.deviation.argmax()])

    @property
    def best_extent(self) -> float:
        """The γ of the largest extent."""
        return float(self.gammas[self.extent.argmax()])


def gamma_sweep(rewards: Values, gammas: Values = GAMMAS) -> Sweep:
    """The spread of R' = R^γ (paper, section 3.2 and figure 4; the paper does not say which spread it means).

    Args:
        rewards: at least 0, [architectures].
        gammas: positive exponents.
    """
    powers = [rewards**gamma for gamma in gammas]
    return Sweep(
        gammas,
        np.array([power.std() for power in powers]),
        np.array([np.ptp(power) for power in powers]),
    )
