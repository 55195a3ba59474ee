"""Several new tasks at once, sharing one budget, each with what the others have found so far.

In: a problem, a ledger and a metric a task, a method. Out: the evaluations of each task. The next suggestion
is for the task with the fewest evaluations, in the order given; the other tasks' evaluations are sources of
its problem. So everything follows from the ledgers, and a search that was killed repeats itself. Next:
``verbs`` keeps a folder a task; ``compare`` runs seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from archwalk.searching.asktell import rewards_of
from archwalk.searching.experience.source import LEAST, Source, make_source
from archwalk.searching.limits import Limits
from archwalk.searching.loop import OnSuggest
from archwalk.searching.loop import search as search_one
from archwalk.searching.optimizer import Method
from archwalk.searching.problem import Problem
from archwalk.tasks.ledger import Evaluation, Ledger
from archwalk.tasks.metrics import Metric

APART = 1_000  # between the seeds of two tasks, which would begin with the same architectures otherwise
Done = Callable[[Sequence[Evaluation]], bool]
OnTask = Callable[[str, Evaluation, int], None]  # task, evaluation, evaluations of all tasks so far


def _never(evaluations: Sequence[Evaluation]) -> bool:
    return False


@dataclass(frozen=True)
class JointTask:
    """One of the tasks.

    Attributes:
        name: of the task, which its source has too.
        problem: its architectures, and what is known of it beforehand. Problems of several tasks may be one
            object.
        ledger: of this task alone.
        metric: to improve.
        costs: more metrics to improve.
        limits: what its architectures must keep to.
        done: whether the task needs no more evaluations, by those it has.
    """

    name: str
    problem: Problem
    ledger: Ledger
    metric: Metric
    costs: tuple[Metric, ...] = ()
    limits: Limits | None = None
    done: Done = field(default=_never)


def source_of(task: JointTask, evaluations: Sequence[Evaluation]) -> Source | None:
    """What a task's evaluations say so far; None while fewer than two succeeded."""
    rewards = rewards_of(evaluations, task.metric)
    good = np.flatnonzero(np.isfinite(rewards))
    if len(good) < LEAST:
        return None
    ids = task.problem.ids(evaluations[i].architecture for i in good.tolist())
    return make_source(task.name, task.problem.codes(ids).astype(np.int16), rewards[good])


def search_jointly(
    tasks: Sequence[JointTask],
    method: Method,
    *,
    budget: int,
    seed: int,
    on_suggest: OnSuggest | None = None,
    on_evaluation: OnTask | None = None,
) -> dict[str, list[Evaluation]]:
    """Spend one budget on several tasks, in turns.

    Args:
        tasks: over spaces with the same codes, so that one may learn from the other.
        method: see ``registry.find_method``.
        budget: evaluations of all tasks together, failures and those that are there already included.
        seed: decides all randomness; tasks have streams of their own, the first that of a search alone.
        on_suggest: called with each suggestion before it is evaluated, and the evaluations of its task.
        on_evaluation: called with each new evaluation.

    Returns:
        Task → its evaluations, in order. Fewer than the budget if every task is done or used up.

    Raises:
        SearchError: as ``loop.search`` does.
    """
    used_up: set[str] = set()
    while True:
        found = {task.name: task.ledger.evaluations() for task in tasks}
        total = sum(map(len, found.values()))
        left = [t for t in tasks if t.name not in used_up and not t.done(found[t.name])]
        if total >= budget or not left:
            return found
        task = min(left, key=lambda t: len(found[t.name]))  # the first of those with the fewest
        others = (source_of(t, found[t.name]) for t in tasks if t is not task)
        known = (*task.problem.experience, *(source for source in others if source is not None))
        so_far = len(found[task.name])

        def tell(evaluation: Evaluation, _: int, name: str = task.name, count: int = total + 1) -> None:
            if on_evaluation:
                on_evaluation(name, evaluation, count)

        after = search_one(
            task.problem.with_experience(known),
            task.ledger,
            method,
            task.metric,
            budget=so_far + 1,
            seed=seed + APART * tasks.index(task),
            costs=task.costs,
            limits=task.limits,
            on_suggest=on_suggest,
            on_evaluation=tell,
        )
        if len(after) == so_far:
            used_up.add(task.name)
