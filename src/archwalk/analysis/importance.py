"""Which slots of an architecture matter for its value, by permutation in a random forest.

In: codes and values of the architectures that were evaluated. Out: ``Importance``. Next:
``archwalk.reporting.searches`` draws it. It needs scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
LEAST = 20  # architectures, below which nothing is said
MOST = 2_000  # architectures that the forests see
_FOLDS, _REPEATS, _TREES, _SHUFFLES = 5, 4, 60, 5


@dataclass(frozen=True)
class Importance:
    """How much of the variance of the ranks a forest can no longer explain without a slot.

    Attributes:
        explained: share of the variance explained on architectures that a forest has not seen (R²), at most
            1; at 0 or below the rest means nothing.
        mean: of each slot, [slots]; NaN where all architectures have the same choice.
        low: lower end of the 95 % interval, [slots].
        high: its upper end, [slots].
        architectures: on which all of it rests.
    """

    explained: float
    mean: Values
    low: Values
    high: Values
    architectures: int


def slot_importance(codes: NDArray[Any], values: Values, seed: int = 0) -> Importance | None:
    """The importance of each slot.

    A random forest (scikit-learn, 60 trees) over one-hot choices, absent ones included, predicts the ranks
    of the values, so that no outlier decides. Permutation importance (Breiman 2001, section 10) on held-out
    architectures: the slot's choices are exchanged among them, five times; what the squared error grows by,
    as a share of the variance of the ranks, is its importance. Four times five-fold cross-validation; the
    interval is Student's, its variance corrected for overlapping training sets (Nadeau and Bengio 2003).

    Args:
        codes: [architectures, slots], -1 where a slot is absent.
        values: finite, [architectures].
        seed: of folds, forests and permutations.

    Returns:
        None for fewer than ``LEAST`` architectures, or where all values or all codes are equal.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    g = np.random.default_rng(seed)
    if len(values) > MOST:
        some = np.sort(g.choice(len(values), MOST, replace=False))
        codes, values = codes[some], values[some]
    varied = np.flatnonzero((codes != codes[:1]).any(0)) if len(codes) else np.array([], dtype=np.int64)
    if len(values) < LEAST or not len(varied) or np.ptp(values) == 0:
        return None
    from scipy.stats import rankdata, t
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import RepeatedKFold

    ranks = rankdata(values) / len(values)
    features, slots = _one_hot(codes[:, varied])
    shares, explained = [], []
    folds = RepeatedKFold(n_splits=_FOLDS, n_repeats=_REPEATS, random_state=seed)
    for number, (seen, unseen) in enumerate(folds.split(features)):
        forest = RandomForestRegressor(_TREES, max_features=0.5, random_state=seed + number)
        forest.fit(features[seen], ranks[seen])
        held, wanted = features[unseen], ranks[unseen]
        tried = [held]
        for s in range(len(varied)):
            for _ in range(_SHUFFLES):
                other = held.copy()
                columns = slots == s
                other[:, columns] = held[g.permutation(len(held))][:, columns]
                tried.append(other)
        errors = np.square(forest.predict(np.concatenate(tried)).reshape(len(tried), -1) - wanted).mean(1)
        shares.append((errors[1:].reshape(len(varied), -1).mean(1) - errors[0]) / ranks.var())
        explained.append(1 - errors[0] / ranks.var())
    drops = np.array(shares)
    count = len(drops)
    error = np.sqrt((1 / count + 1 / (_FOLDS - 1)) * drops.var(0, ddof=1)) * t.ppf(0.975, count - 1)
    full = np.full((3, codes.shape[1]), np.nan)
    full[:, varied] = drops.mean(0) + np.array([[0.0], [-1.0], [1.0]]) * error
    return Importance(float(np.mean(explained)), full[0], full[1], full[2], len(values))


def _one_hot(codes: NDArray[Any]) -> tuple[Values, NDArray[np.int64]]:
    """A column a choice that occurs, [architectures, columns]; and the slot of each column."""
    columns, slots = [], []
    for s in range(codes.shape[1]):
        for choice in np.unique(codes[:, s]):
            columns.append(codes[:, s] == choice)
            slots.append(s)
    return np.stack(columns, 1).astype(np.float64), np.array(slots)
