"""Several objectives at once: the Pareto front, its hypervolume, and the scalarisation that lets any method
aim at it.

In: objective values, larger is better. Out: a mask, or one reward an evaluation. Next: ``loop``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import SearchError
from archwalk.searching.problem import Floats

_AUGMENT = 0.05  # Knowles 2006


def pareto_front(objectives: Floats) -> NDArray[np.bool_]:
    """Which points no other one dominates: at least as good in every objective and better in one.

    Args:
        objectives: larger is better, [points, objectives]; a point with NaN is never on the front. Equal
            points are on it together.
    """
    better = np.any(objectives[None] > objectives[:, None], axis=-1)
    worse = np.any(objectives[None] < objectives[:, None], axis=-1)
    usable = ~np.asarray(np.isnan(objectives).any(1))
    dominated = (better & ~worse & usable[None]).any(1)
    return np.asarray(usable & ~dominated)


def hypervolume(objectives: Floats, reference: Sequence[float]) -> float:
    """The volume that points dominate, beyond a reference (Zitzler and Thiele 1998), by the library moocore.

    Args:
        objectives: larger is better, [points, objectives]; a point with NaN counts for nothing.
        reference: the point that must be beaten, [objectives], in the same units.

    Raises:
        SearchError: moocore is not installed, or the reference has another length.
    """
    if find_spec("moocore") is None:
        raise SearchError("moocore, for hypervolumes", "none", "pip install 'archwalk[objectives]'")
    if objectives.shape[1] != len(reference):
        raise SearchError(f"a reference of {objectives.shape[1]} numbers", f"{len(reference)}", "correct it")
    import moocore

    usable = objectives[np.isfinite(objectives).all(1)]
    if not len(usable):
        return 0.0
    return float(moocore.hypervolume(-usable, ref=-np.asarray(reference, dtype=np.float64)))


def scalarised(objectives: Floats, seed: Sequence[int]) -> Floats:
    """One reward a point under weights drawn anew: the augmented Tchebycheff function of ParEGO
    (Knowles 2006), negative so that larger is better, [points].

    Args:
        objectives: [points, objectives], larger is better; a point with NaN gets NaN.
        seed: of the weights, which are uniform over the simplex.
    """
    weights = np.random.default_rng([*seed]).dirichlet(np.ones(objectives.shape[1]))
    if not np.isfinite(objectives).all(1).any():
        return np.full(len(objectives), np.nan)
    low, high = np.nanmin(objectives, 0), np.nanmax(objectives, 0)
    distance = weights * (high - objectives) / np.maximum(high - low, 1e-12)
    return np.asarray(-(distance.max(1) + _AUGMENT * distance.sum(1)))
