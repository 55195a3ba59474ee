"""The one loop under every method: propose, look, learn, until the budget is spent.

In: a ``Problem``, ``Evaluations``, a method's name, a seed, a budget. Out: the looks. Next: ``verbs``
says which architecture was best; ``compare`` runs the loop over methods and seeds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from archwalk.searching.pareto import scalarised
from archwalk.searching.problem import Floats, History, Problem, make_history
from archwalk.searching.registry import METHODS
from archwalk.tasks.ledger import BudgetSpent, Evaluations, Look
from archwalk.tasks.metrics import Metric

WAIT = 0.2  # seconds between two glances at what another process is evaluating
OnLook = Callable[[Look, int], None]


def rewards_of(looks: Sequence[Look], metric: Metric) -> Floats:
    """Larger is better; NaN where a look failed, [looks]."""
    return np.array([metric.scale * look.metrics[metric.name] if look.metrics else np.nan for look in looks])


def search(
    problem: Problem,
    evaluations: Evaluations,
    method: str,
    metric: Metric,
    *,
    budget: int,
    seed: int,
    cost: Metric | None = None,
    on_look: OnLook | None = None,
) -> list[Look]:
    """Spend the budget.

    Looks that are there already count, wherever they came from, and are learned from: that is how a search
    that was killed goes on.

    Args:
        problem: what to search.
        evaluations: counts and keeps the looks.
        method: a name in ``METHODS``.
        metric: what to improve.
        budget: looks in all, failures included.
        seed: decides all randomness.
        cost: a second metric to improve; each look then aims at a random point of the front.
        on_look: called with each new look and the number of looks so far.

    Returns:
        All looks, at most ``budget`` unless more were there.
    """
    position = {name: i for i, name in enumerate(problem.architectures)}
    while True:
        looks = evaluations.looks()
        busy = [position[name] for name in evaluations.under_way()]
        history = _history(problem, looks, busy, position, metric, cost, seed)
        if len(looks) >= budget or history.taken.all():
            return looks
        index = METHODS[method](problem, history, seed)
        key = problem.architectures[int(np.argmax(problem.keys == problem.keys[index]))]
        try:
            look = evaluations.look(problem.architectures[index], key, budget)
        except BudgetSpent:
            if not evaluations.under_way():
                return evaluations.looks()
            time.sleep(WAIT)  # another process has the last looks in hand, and may die with them
            continue
        if on_look:
            on_look(look, len(looks) + 1)


def _history(
    problem: Problem,
    looks: Sequence[Look],
    busy: Sequence[int],
    position: dict[str, int],
    metric: Metric,
    cost: Metric | None,
    seed: int,
) -> History:
    indices = [position[look.architecture] for look in looks]
    rewards = rewards_of(looks, metric)
    if cost is not None:
        rewards = scalarised(np.stack([rewards, rewards_of(looks, cost)], 1), [seed, len(looks)])
    return make_history(problem, indices, rewards.tolist(), busy)


def best_of(rewards: NDArray[np.float64]) -> int | None:
    """Position of the best look; None if all failed."""
    return None if np.isnan(rewards).all() else int(np.nanargmax(rewards))
