"""The one loop under every method: suggest, evaluate, learn, until the budget is spent.

In: a ``Problem``, a ``Ledger``, a method, a seed, a budget. Out: the evaluations. Next: ``verbs`` says which
architecture was best; ``compare`` runs the loop over methods and seeds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import numpy as np

from archwalk.errors import SearchError, reason
from archwalk.searching.history import History, bounded, make_history
from archwalk.searching.optimizer import Method
from archwalk.searching.pareto import scalarised
from archwalk.searching.problem import Floats, Problem
from archwalk.tasks.ledger import BudgetSpent, Evaluation, Ledger
from archwalk.tasks.metrics import Metric

ALIKE = 3  # evaluations that fail in the same way end a search in which nothing has succeeded
WAIT = 0.2  # seconds between two glances at what another process is evaluating
OnEvaluation = Callable[[Evaluation, int], None]


def rewards_of(evaluations: Sequence[Evaluation], metric: Metric) -> Floats:
    """Larger is better; NaN where an evaluation failed, [evaluations]."""
    return np.array(
        [metric.scale * e.metrics[metric.name] if e.status == "ok" else np.nan for e in evaluations]
    )


def check_fit(method: Method, problem: Problem) -> None:
    """Raises ``SearchError`` if a problem lacks what a method needs: a space that can be listed, sources, or
    what the method's own ``check`` asks for."""
    if "sources" in method.needs and not problem.experience:
        raise SearchError(
            f"sources, for the method {method.name}",
            "none",
            "name what is known of other tasks, or choose a method that does not need it: 'archwalk methods'",
        )
    if "listed" in method.needs and not problem.listed:
        raise SearchError(
            f"a space that can be listed, for the method {method.name}",
            f"the space {problem.space.name!r}",
            "choose a method that does not need it: 'archwalk methods'",
        )
    if method.check is not None:
        method.check(problem)


def search(
    problem: Problem,
    ledger: Ledger,
    method: Method,
    metric: Metric,
    *,
    budget: int,
    seed: int,
    cost: Metric | None = None,
    on_evaluation: OnEvaluation | None = None,
) -> list[Evaluation]:
    """Spend the budget.

    Evaluations that are there already count, wherever they came from, and are learned from: that is how a
    search that was killed goes on.

    Args:
        problem: what to search.
        ledger: counts and keeps the evaluations.
        method: see ``registry.find_method``.
        metric: what to improve.
        budget: evaluations in all, failures included.
        seed: decides all randomness.
        cost: a second metric to improve; each evaluation then aims at a random point of the front.
        on_evaluation: called with each new evaluation and the number of them so far.

    Returns:
        All evaluations, at most ``budget`` unless more were there.

    Raises:
        SearchError: the method does not fit, or suggests what is visited; the ledger has strangers; the first
            evaluations all fail in the same way.
    """
    check_fit(method, problem)
    before = len(ledger.evaluations())
    with problem.lock:
        optimizer = method.make(problem, seed)
    while True:
        evaluations = ledger.evaluations()
        if len(evaluations) >= budget:
            return evaluations
        _check_sense(evaluations, before)
        with problem.lock:
            history = _history(problem, evaluations, ledger.pending(), metric, cost, seed)
            if history.exhausted():
                return evaluations
            optimizer.update(history)
            index = int(optimizer.suggest(1)[0])
            text, key = problem.text(index), problem.key_text(index)
        try:
            evaluation = ledger.evaluate(text, key, budget)
        except BudgetSpent:
            if not ledger.pending():
                return ledger.evaluations()
            time.sleep(WAIT)  # another process has the last evaluations in hand, and may die with them
            continue
        if on_evaluation:
            on_evaluation(evaluation, len(evaluations) + 1)


def _check_sense(evaluations: Sequence[Evaluation], before: int) -> None:
    """Raises ``SearchError`` if nothing has ever succeeded, and what failed in this sitting, a few
    evaluations, failed in one way."""
    new = evaluations[before:]
    if len(new) < ALIKE or any(e.status == "ok" for e in evaluations) or len({_way(e) for e in new}) > 1:
        return
    said = f"{new[-1].status}: {reason(new[-1].message)}"
    raise SearchError(
        "an evaluator that can answer",
        f"{len(new)} evaluations that all failed in the same way: {said}",
        "mend it, then give the same command with --retry-failed; without that the search goes on",
    )


def _way(evaluation: Evaluation) -> tuple[str, str]:
    """How an evaluation failed, without what differs from one to the next."""
    message = evaluation.message.replace(evaluation.architecture, "")
    return evaluation.status, re.sub(r"0x[0-9a-fA-F]+|\d+", "", message)[-200:]


def _history(
    problem: Problem,
    evaluations: Sequence[Evaluation],
    pending: Sequence[str],
    metric: Metric,
    cost: Metric | None,
    seed: int,
) -> History:
    indices = problem.ids(e.architecture for e in evaluations).tolist()
    rewards = rewards_of(evaluations, metric)
    if cost is not None:
        both = [bounded(r) for r in (rewards, rewards_of(evaluations, cost))]
        rewards = scalarised(np.stack(both, 1), [seed, len(evaluations)])
    return make_history(problem, indices, rewards.tolist(), problem.ids(pending).tolist())


def best_of(rewards: Floats) -> int | None:
    """Position of the best evaluation; None if all failed."""
    return None if np.isnan(rewards).all() else int(np.nanargmax(rewards))
