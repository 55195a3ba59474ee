"""The one loop under every method: suggest, evaluate, learn, until the budget is spent.

In: a ``Problem``, a ``Ledger``, a method, a seed, a budget. Out: the evaluations. Suggestions come from
``asktell`` alone. Next: ``verbs`` says which architecture was best; ``compare`` runs the loop over methods
and seeds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import numpy as np

from archwalk.errors import SearchError, reason
from archwalk.searching.asktell import Asked, AskTell
from archwalk.searching.limits import Limits
from archwalk.searching.optimizer import Method
from archwalk.searching.problem import Floats, Problem
from archwalk.tasks.ledger import BudgetSpent, Evaluation, Ledger
from archwalk.tasks.metrics import Metric

ALIKE = 3  # evaluations that fail in the same way end a search in which nothing has succeeded
WAIT = 0.2  # seconds between two glances at what another process is evaluating
OnSuggest = Callable[[Asked, int], None]
OnEvaluation = Callable[[Evaluation, int], None]


def search(
    problem: Problem,
    ledger: Ledger,
    method: Method,
    metric: Metric,
    *,
    budget: int,
    seed: int,
    costs: Sequence[Metric] = (),
    limits: Limits | None = None,
    on_suggest: OnSuggest | None = None,
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
        costs: more metrics to improve; each evaluation then aims at a random point of the front.
        limits: what an architecture must keep to.
        on_suggest: called with each suggestion before it is evaluated, and the evaluations so far.
        on_evaluation: called with each new evaluation and the number of them so far.

    Returns:
        All evaluations, at most ``budget`` unless more were there.

    Raises:
        SearchError: the method does not fit, or suggests what is visited; the ledger has strangers; the first
            evaluations all fail in the same way.
    """
    asking = AskTell(problem, ledger, method, metric, seed=seed, costs=costs, limits=limits)
    before = len(ledger.evaluations())
    while True:
        evaluations = asking.evaluations()
        if len(evaluations) >= budget:
            return evaluations
        _check_sense(evaluations, before)
        try:
            asked = asking.suggest(budget, evaluations=evaluations)
        except BudgetSpent:
            if not ledger.pending():
                return asking.evaluations()
            time.sleep(WAIT)  # another process has the last evaluations in hand, and may die with them
            continue
        if asked is None:
            return evaluations
        if on_suggest:
            on_suggest(asked, len(evaluations))
        evaluation = asking.evaluate(asked)
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


def best_of(rewards: Floats) -> int | None:
    """Position of the best evaluation; None if all failed."""
    return None if np.isnan(rewards).all() else int(np.nanargmax(rewards))
