"""``AskTell``: the one place where an architecture is suggested, claimed, and what is told of it kept.

In: a ``Problem``, a ``Ledger``, a method, a metric, a seed, limits. Out: claimed suggestions; evaluations. A
suggestion follows from the problem, the evaluations, what is pending and the seed alone, so processes may
share a ledger, and one that was killed repeats itself. Next: ``loop`` evaluates each suggestion where it was
made; ``asking`` hands them to the
user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from archwalk.errors import SearchError
from archwalk.searching.history import (
    History,
    KnownValues,
    Objectives,
    bounded,
    make_history,
    worst_of_failed,
)
from archwalk.searching.limits import Limits
from archwalk.searching.optimizer import Method
from archwalk.searching.pareto import scalarised
from archwalk.searching.problem import Floats, Ints, Problem
from archwalk.tasks.ledger import Evaluation, EvaluationFailed, Ledger, Metrics
from archwalk.tasks.metrics import Metric

REFUSALS = 200  # suggestions in a row that break a limit known before training, after which the search ends


@dataclass(frozen=True)
class Asked:
    """A suggestion.

    Attributes:
        architecture: its string.
        key: equal for architectures of which one evaluation tells all.
        known: what is known of it before any evaluation: name → value of each limited quantity.
    """

    architecture: str
    key: str
    known: dict[str, float]


def rewards_of(evaluations: Sequence[Evaluation], metric: Metric) -> Floats:
    """Larger is better; NaN where an evaluation failed, [evaluations]."""
    return np.array(
        [metric.scale * e.metrics[metric.name] if e.status == "ok" else np.nan for e in evaluations]
    )


def check_fit(method: Method, problem: Problem, checksum: str = "", tasks: Sequence[str] = ()) -> None:
    """Refuse a method that cannot serve a problem.

    Args:
        method: the method.
        problem: what is searched.
        checksum: of the table that answers, if one does.
        tasks: the tasks searched.

    Raises:
        SearchError: it needs a space that can be listed, or sources, and there are none; it was trained on a
            task that is searched; or it refuses by itself.
    """
    if known := [task for task in tasks if (checksum, task) in method.learned]:
        raise SearchError(
            "a method that knows nothing of the searched task",
            f"{method.name}, whose agent was trained on {known[0]!r} of this very table",
            "choose another agent, or train one with --left-out: 'archwalk agents train --help'",
        )
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
    method.check(problem)


class AskTell:
    """Suggest and tell, over a ledger that others may share.

    Args:
        problem: what to search.
        ledger: counts, claims and keeps.
        method: see ``registry.find_method``.
        metric: what to improve.
        seed: decides all randomness.
        costs: more metrics to improve. A method sees them as ``History.objectives``; its rewards are then
            the metrics made one, under weights drawn anew for each suggestion.
        limits: what an architecture must keep to.

    Raises:
        SearchError: the method does not fit the problem.
    """

    def __init__(
        self,
        problem: Problem,
        ledger: Ledger,
        method: Method,
        metric: Metric,
        *,
        seed: int,
        costs: Sequence[Metric] = (),
        limits: Limits | None = None,
    ) -> None:
        check_fit(method, problem)
        self.ledger, self.metric, self.costs = ledger, metric, tuple(costs)
        self.limits = limits
        self._seed = seed
        self._problem = problem if limits is None else limits.bar(problem)
        with problem.lock:
            if limits is not None:
                limits.bind(ledger)
            self._method = method.make(self._problem, seed)
            self._known = (None, *(self._known_values(cost) for cost in self.costs))

    def evaluations(self) -> list[Evaluation]:
        """All that are finished, by whomever, in the order of their claims."""
        return self.ledger.evaluations()

    def suggest(
        self,
        budget: int | None = None,
        hold: float | None = None,
        evaluations: Sequence[Evaluation] | None = None,
    ) -> Asked | None:
        """The next architecture to evaluate, claimed for this process.

        Args:
            budget: see ``Ledger.claim``.
            hold: see ``Ledger.claim``.
            evaluations: those of now, where they have been read already.

        Returns:
            None where every architecture that keeps to the limits is evaluated or pending.

        Raises:
            BudgetSpent: none is left, or somebody was faster with this one: ask again.
            SearchError: the method suggests what is visited; the ledger has strangers; what is suggested
                breaks a limit again and again.
        """
        evaluations = self.evaluations() if evaluations is None else evaluations
        screening = True  # anew at each suggestion, so that a search that was killed repeats itself
        for _ in range(REFUSALS):
            with self._problem.lock:
                if self.limits is not None:
                    self.limits.attach(self.ledger)
                    self.limits.screening = screening
                history = self._history(evaluations)
                if history.exhausted():
                    if self.limits is None or not screening:
                        return None
                    screening = False  # a forecast alone bars nothing for good
                    continue
                self._method.update(history)
                index = int(self._method.suggest(1)[0])
                text, key = self._problem.text(index), self._problem.key_text(index)
                if self.limits is not None and not self.limits.met_before(text):
                    continue
                known = {} if self.limits is None else self.limits.known(text)
            if self.ledger.claim(text, key, budget, hold) is None:
                return Asked(text, key, known)
            evaluations = self.evaluations()  # another process has finished it meanwhile
        assert self.limits is not None, "evaluated by others faster than it can be suggested"
        raise SearchError(
            f"architectures with {self.limits.before_text}",
            f"{REFUSALS} suggestions in a row that break it, measured one by one",
            "loosen the limit, or begin from --experience of small architectures",
        )

    def evaluate(self, asked: Asked) -> Evaluation:
        """Evaluate a suggestion here, by the ledger's evaluator. Raises as ``Ledger.tell`` does."""
        return self.ledger.answer(asked.architecture, asked.key)

    def tell(self, architecture: str, answer: Metrics | EvaluationFailed, seconds: float = 0.0) -> Evaluation:
        """Keep what an evaluation found, suggested or not. Bad input changes nothing.

        Raises:
            SearchError: no architecture of the problem, an answer without a required metric, or another
                answer than was told before.
        """
        with self._problem.lock:
            index = int(self._problem.ids([architecture])[0])
            text, key = self._problem.text(index), self._problem.key_text(index)
        if not isinstance(answer, EvaluationFailed):
            missing = self.ledger.missing(answer)
            if missing:
                raise SearchError(
                    f"metrics with {', '.join(map(repr, missing))}",
                    ", ".join(map(repr, answer)) or "none",
                    "tell all of them, or that the evaluation failed",
                )
        return self.ledger.tell(text, key, answer, seconds)

    def _history(self, evaluations: Sequence[Evaluation]) -> History:
        problem = self._problem
        indices = problem.ids(e.architecture for e in evaluations).tolist()
        rewards, objectives = rewards_of(evaluations, self.metric), None
        if self.costs:
            each = [bounded(r) for r in (rewards, *(rewards_of(evaluations, c) for c in self.costs))]
            rewards = scalarised(np.stack(each, 1), [self._seed, len(evaluations)])
            objectives = self._objectives(evaluations, each)
        if self.limits is not None:
            rewards = self.limits.feasible_first(evaluations, rewards)
        pending = problem.ids(self.ledger.pending()).tolist()
        return replace(make_history(problem, indices, rewards.tolist(), pending), objectives=objectives)

    def _objectives(self, evaluations: Sequence[Evaluation], each: list[Floats]) -> Objectives:
        usable = np.array([e.status == "ok" for e in evaluations], dtype=np.bool_)
        if self.limits is not None:
            usable = self.limits.feasible(evaluations)
            each = [self.limits.feasible_first(evaluations, each[0]), *each[1:]]
        return Objectives(np.stack([worst_of_failed(r) for r in each], 1), usable, self._known)

    def _known_values(self, cost: Metric) -> KnownValues | None:
        """A cost of any architecture, larger is better, where that is known before any evaluation."""
        quantity = None if self.limits is None else self.limits.known_of_all(cost.name)
        if quantity is None:
            return None
        problem = self._problem

        def values(ids: Ints) -> Floats:
            found = cost.scale * quantity.values(problem.codes(ids).astype(np.int16))
            return np.where(np.isnan(found), -np.inf, found)  # of what nobody knows nothing is expected

        if not problem.listed:
            return lambda ids: values(np.arange(len(problem)) if ids is None else ids)
        whole = values(np.arange(len(problem)))
        return lambda ids: whole if ids is None else whole[ids]
