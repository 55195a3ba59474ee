"""Where a model's acquisition function is largest: by comparing all architectures, or by climbing.

In: a function from ids to values, a ``Problem``, a ``History``. Out: the unvisited id of the largest value
found.
Next: the methods that model what they have seen suggest it.

In an open problem the function is climbed over neighbours, all starts in one batch, from the best evaluated
architectures, from the best of a random sample, and from architectures suggested by others (the discrete
local search of BoTorch, Balandat et al. 2020, and of SMAC, Hutter et al. 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import ndtr

from archwalk.searching.history import History, draw
from archwalk.searching.open import OpenProblem
from archwalk.searching.problem import Floats, Ints, Problem

Acquisition = Callable[[Ints | None], Floats]  # None: of all, where they are listed
RANDOM, CLIMBS, BEST, STEPS = 500, 4, 4, 40  # sampled, climbed from of these, evaluated climbed from, edits


def expected_improvement(mean: Floats, deviation: Floats, best: Floats | float) -> Floats:
    """E[max(f - best, 0)] for f ~ N(mean, deviation²) (Jones et al. 1998), elementwise."""
    z = (mean - best) / deviation
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return np.asarray(deviation * (z * ndtr(z) + density))


def maximise(
    problem: Problem,
    history: History,
    value: Acquisition,
    seed: int,
    *,
    suggested: Sequence[int] = (),
    climbs: int = CLIMBS,
) -> int:
    """The unvisited architecture of the largest value, as far as can be found.

    Args:
        problem: what is searched.
        history: what is visited.
        value: larger is better.
        seed: breaks ties, and draws the sample.
        suggested: more architectures to climb from, in an open problem.
        climbs: how many of the random sample are climbed from.
    """
    if not isinstance(problem, OpenProblem):
        return best_free(value(None), history, seed)
    mark = len(problem)
    ids, values = _climb(problem, history, value, seed, suggested, climbs)
    order = np.argsort(-values, kind="stable")
    for at in order.tolist():
        if not history.visited(ids[[at]])[0]:
            code = problem.codes(ids[[at]]).astype(np.int16)
            problem.forget(mark)
            return int(problem.intern(code)[0])
    problem.forget(mark)
    left = draw(problem, history, seed)
    assert left is not None, "asked for an architecture when all are visited"
    return left


def _climb(
    problem: OpenProblem,
    history: History,
    value: Acquisition,
    seed: int,
    suggested: Sequence[int],
    climbs: int,
) -> tuple[Ints, Floats]:
    """Everything that was looked at but the evaluated and pending, and its values."""
    generator = np.random.default_rng([seed, len(history)])
    touched = frozenset(history.touched.tolist())
    kept: dict[int, float] = {}

    def values(ids: Ints) -> Floats:
        """Of ids; -inf where there is nothing to gain: padding, evaluated, pending, barred."""
        new = [
            i for i in dict.fromkeys(ids.ravel().tolist()) if i not in kept and i >= 0 and i not in touched
        ]
        if new and problem.barred is not None:
            new = np.array(new)[~problem.barred(np.array(new))].tolist()
        if new:
            kept.update(zip(new, value(np.array(new)).tolist(), strict=True))
        return np.array([kept.get(i, -np.inf) for i in ids.ravel().tolist()]).reshape(ids.shape)

    sample = problem.sample(RANDOM, generator)
    best = history.indices[np.argsort(-history.rewards, kind="stable")[:BEST]]
    starts = [
        sample[np.argsort(-values(sample), kind="stable")[:climbs]],
        best,
        np.array([*suggested], np.int64),
    ]
    at = np.unique(np.concatenate(starts))
    height = values(at)
    for _ in range(STEPS):
        around = problem.neighbours(at)
        heights = values(around)
        step = heights.argmax(1)
        rows = np.arange(len(at))
        up = heights[rows, step] > height
        if not up.any():
            break
        at, first = np.unique(around[rows, step][up], return_index=True)
        height = heights[rows, step][up][first]
    ids = np.array([*kept], dtype=np.int64)
    return ids, np.array([*kept.values()], dtype=np.float64)


def best_free(values: Floats, history: History, seed: int) -> int:
    """The largest value among what is not visited, ties broken at random."""
    free = history.free
    best = free[values[free] >= values[free].max() - 1e-12]
    return int(np.random.default_rng([seed, len(history)]).choice(best))
