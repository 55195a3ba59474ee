"""Several objectives: by how much an architecture is expected to enlarge what the front dominates.

In: a ``Problem`` and a ``History`` with objectives. Out: the expected hypervolume improvement of
architectures. Next: ``acquisition`` finds where it is largest.

Objectives are independent of each other: what is known before any evaluation is a number, anything else has
a Gaussian process of its own (``surrogate``). The expectation is exact, for any number of objectives: the
room that the front leaves is cut into boxes, and of a box it is a product of expectations in one dimension
(Yang et al. 2019, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from archwalk.searching.acquisition import Acquisition
from archwalk.searching.gp.process import warped
from archwalk.searching.gp.surrogate import Improvement, Kernel, structure_kernels
from archwalk.searching.history import History, KnownValues
from archwalk.searching.pareto import pareto_front
from archwalk.searching.problem import Floats, Ints, Problem

Excess = Callable[[Floats], Floats]  # levels, [K] → E[max(value - level, 0)] of n architectures, [n, K]


def expected_hypervolume_improvement(front: Floats, reference: Floats, excess: Sequence[Excess]) -> Floats:
    """The expected volume beyond a reference that each of n architectures adds to a front, [n].

    Args:
        front: points, larger is better, [k, d].
        reference: [d].
        excess: of each objective, d of them.
    """
    front = front[(front > reference).all(1)]
    if len(excess) == 1:
        return excess[0](np.array([max([reference[0], *front[:, 0]])]))[:, 0]
    levels = np.unique([reference[0], *front[:, 0]])
    above = excess[0](levels)
    slabs = above - np.concatenate([above[:, 1:], np.zeros((len(above), 1))], 1)
    total = np.zeros(len(above))
    for level, slab in zip(levels, slabs.T, strict=True):  # within a slab the same points are in the way
        there = front[front[:, 0] > level, 1:]
        total += slab * expected_hypervolume_improvement(there, reference[1:], excess[1:])
    return total


class FrontImprovement:
    """Expected hypervolume improvement beyond the worst that was seen, or is known, in each objective.

    Volumes are in the units of ``gp.process.warped`` for what is modelled, and in those of the objective for
    what is known.

    Args:
        problem: what is searched.
        history: with objectives, and one usable evaluation at least.
        kernels: the hypotheses about the searched metric; others have ``structure_kernels``.
    """

    def __init__(self, problem: Problem, history: History, kernels: Sequence[Kernel]) -> None:
        assert history.objectives is not None
        self._problem, self._known = problem, history.objectives.known
        self._models: list[Improvement | None] = []
        columns = []
        for at, (column, known) in enumerate(
            zip(history.objectives.values.T, history.objectives.known, strict=True)
        ):
            of = structure_kernels(problem) if at else kernels
            model = Improvement(problem, replace(history, rewards=column), of) if known is None else None
            self._models.append(model)
            columns.append(column if model is None else warped(column))
        points = np.stack(columns, 1)[history.objectives.usable]
        self._front, self._reference = points[pareto_front(points)], points.min(0)
        for at, known in enumerate(self._known):
            if known is not None:
                self._reference[at] = self._worst(known, points[:, at])

    def _worst(self, known: KnownValues, seen: Floats) -> float:
        """Of a known objective: of all architectures of a listed problem, else as far below what was seen as
        that reaches. What lies below the reference is never looked at, as nothing is uncertain there."""
        if not self._problem.listed:
            return float(2 * seen.min() - seen.max())
        values = known(None)
        return float(values[np.isfinite(values)].min())

    def __call__(self, ids: Ints | None = None) -> Floats:
        """Of some architectures, or of all of a listed problem, [n]."""
        excess = [self._excess(at, ids) for at in range(len(self._models))]
        return expected_hypervolume_improvement(self._front, self._reference, excess)

    def _excess(self, at: int, ids: Ints | None) -> Excess:
        model, known = self._models[at], self._known[at]
        if model is not None:
            predicted = model.predictions(ids)
            return lambda levels: model.excess(predicted, levels)
        assert known is not None
        values = known(ids)
        return lambda levels: np.maximum(values[:, None] - levels, 0.0)


def improvement(problem: Problem, history: History, kernels: Sequence[Kernel]) -> Acquisition:
    """Expected improvement of the one objective, or of the hypervolume where there are several."""
    if history.objectives is None or not history.objectives.usable.any():
        return Improvement(problem, history, kernels)
    return FrontImprovement(problem, history, kernels)
