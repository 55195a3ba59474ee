"""The walk through the sources and the clairvoyant's predictions, one architecture at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def walk(codes: Sequence[tuple[int, ...]], sources: Sequence[dict[tuple[int, ...], float]]) -> list[int]:
    """Positions that a source knows, by mean quantile among the sources that know them, ties by position."""
    means = {}
    for position, code in enumerate(codes):
        quantiles = []
        for source in sources:
            if code in source:
                here = set(codes) & set(source)
                above = sum(source[other] > source[code] for other in here)
                same = sum(source[other] == source[code] for other in here)
                quantiles.append((above + (same + 1) / 2 - 0.5) / len(here))
        if quantiles:
            means[position] = round(sum(quantiles) / len(quantiles), 9)
    return sorted(means, key=lambda position: (means[position], position))


def without_each(covariance: np.ndarray, y: np.ndarray, noise: float, prior: float) -> np.ndarray:
    """Prediction at each architecture of a process that is conditioned on all others, one inverse each.

    Args:
        covariance: of all, [n, n].
        y: values, [n].
        noise: variance of an observation.
        prior: variance of the process' constant mean.
    """
    whole = covariance + prior
    predicted = []
    for i in range(len(y)):
        rest = [j for j in range(len(y)) if j != i]
        observed = whole[np.ix_(rest, rest)] + noise * np.eye(len(rest))
        predicted.append(whole[i, rest] @ np.linalg.inv(observed) @ y[rest])
    return np.array(predicted)
