"""``SearchRun``: a search under way, of one task or several, here or on Ray.

In: settings of the tasks, experience, a method. Out: ledgers, and the result so far, written as it grows.
Next: ``archwalk.searching.verbs``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from archwalk.config import RaySettings
from archwalk.errors import SearchError
from archwalk.execution.executor import at_once
from archwalk.execution.served import close, make_ready, served
from archwalk.files import write_atomically
from archwalk.searching.asktell import Asked
from archwalk.searching.experience.past import CACHE, JOINT
from archwalk.searching.experience.snapshot import Experience
from archwalk.searching.inputs import EvaluatorGiven, Setting
from archwalk.searching.joint import JointTask, search_jointly
from archwalk.searching.limiting import around, inner
from archwalk.searching.logs import TensorBoardLog
from archwalk.searching.loop import OnEvaluation
from archwalk.searching.loop import search as run_search
from archwalk.searching.optimizer import Method
from archwalk.searching.results import Keeper, make_result, write_result
from archwalk.tasks.evaluators import CommandEvaluator
from archwalk.tasks.ledger import Evaluation, Evaluator, Ledger, read_evaluations


class SearchRun:
    """A search under way: its ledgers, its evaluators, what it writes.

    Args:
        settings: a task each.
        places: their folders.
        folder: of the search.
        known: its experience.
        budget: evaluations in all.
        jobs: at once.
        several: whether tasks are searched together.
        on_suggest, on_evaluation, log: see ``search``.
    """

    def __init__(
        self,
        settings: Sequence[Setting],
        places: Sequence[Path],
        folder: Path,
        known: Experience,
        budget: int,
        jobs: int,
        several: bool,
        on_suggest: Callable[[str, int], None] | None,
        on_evaluation: OnEvaluation | None,
        log: str | None,
    ) -> None:
        self.settings, self.places, self.folder = settings, places, folder
        self.known, self.budget, self.jobs, self.several = known, budget, jobs, several
        self._suggest, self._evaluation, self._log = on_suggest, on_evaluation, log
        self._count = 0  # evaluations told of so far
        self.begun = False  # whether the ledgers are this search's
        self._lock = threading.RLock()
        self._logs: dict[int, TensorBoardLog] = {}
        self._ends: list[Evaluator] = []
        self._keeper = Keeper(lambda: self.keep(finished=False))

    def evaluations(self, i: int) -> list[Evaluation]:
        """Those of a task that are finished."""
        file = self.places[i] / CACHE
        return read_evaluations(file) if file.exists() else []

    def forget_failed(self) -> None:
        """Forget the evaluations that failed, so that they can be made again."""
        for s, place in zip(self.settings, self.places, strict=True):
            with open_ledger(s, place, s.evaluator) as ledger:
                ledger.forget_failed()

    def result(self, finished: bool) -> dict[str, Any]:
        """What was found so far."""
        each = [
            make_result(s, self.evaluations(i), self.budget, finished) for i, s in enumerate(self.settings)
        ]
        result = each[0]
        if self.several:
            result = {
                "evaluations": sum(r["evaluations"] for r in each),
                "seconds": sum(r["seconds"] for r in each),
                "budget": self.budget,
                "finished": finished,
                "tasks": {str(s.task): r for s, r in zip(self.settings, each, strict=True)},
            }
        return result | ({"experience": list(self.known.said)} if self.known.said else {})

    def keep(self, finished: bool) -> dict[str, Any]:
        """Write the result; nothing where nothing was evaluated and more will be."""
        result = self.result(finished)
        if finished or result["evaluations"]:
            for place, one in zip(self.places, result.get("tasks", {}).values(), strict=False):
                write_result(place, one)
            write_result(self.folder, result)
        return result

    def served(self, evaluator: Evaluator) -> Evaluator:
        """An evaluator for ``jobs`` at once, ended with the search."""
        found = served(inner(evaluator), self.jobs)
        self._ends.append(found)
        return around(evaluator, found)

    def close(self) -> None:
        """End evaluators and logs."""
        for evaluator in self._ends:
            close(evaluator)
        for log in self._logs.values():
            log.close()

    def suggested(self, asked: Asked, count: int) -> None:
        """Tell of a suggestion."""
        if self._suggest:
            with self._lock:
                self._suggest(asked.architecture, count)

    def evaluated(self, evaluation: Evaluation, count: int, i: int = 0) -> None:
        """Tell of an evaluation, and write what was found so far."""
        with self._lock:
            self._count = count = max(count, self._count + 1)  # several may come from one suggestion's past
            if self._log:
                if i not in self._logs:
                    before = [e for e in self.evaluations(i) if e != evaluation]
                    s = self.settings[i]
                    to = self.folder / self._log / (str(s.task) if self.several else "")
                    self._logs[i] = TensorBoardLog(to, s.metric, before, s.limits)
                self._logs[i](evaluation, count)
            self._keeper()
            if self._evaluation:
                self._evaluation(evaluation, count)

    def _begin(self) -> None:
        """Once the ledgers are open."""
        if not self.begun:
            self.known.keep(self.folder)
            self.begun = True

    def jointly(self, method: Method, seed: int) -> None:
        """A search of several tasks."""
        with ExitStack() as stack:
            tasks = [
                JointTask(
                    str(s.task),
                    s.problem,
                    stack.enter_context(open_ledger(s, place, self.served(s.evaluator))),
                    s.metric,
                    s.costs,
                    s.limits,
                )
                for s, place in zip(self.settings, self.places, strict=True)
            ]
            self._begin()
            write_atomically(self.folder / JOINT, json.dumps([task.name for task in tasks]).encode())
            place_of = {task.name: i for i, task in enumerate(tasks)}
            search_jointly(
                tasks,
                method,
                budget=self.budget,
                seed=seed,
                on_suggest=self.suggested,
                on_evaluation=lambda task, e, n: self.evaluated(e, n, place_of[task]),
            )

    def alone(
        self, method: Method, seed: int, where: RaySettings | None, evaluator: EvaluatorGiven | None
    ) -> None:
        """A search of one task."""
        setting = self.settings[0]

        def spend(evaluate: Evaluator) -> None:
            with open_ledger(setting, self.folder, evaluate) as ledger:
                self._begin()
                if len(ledger.evaluations()) < self.budget:
                    make_ready(inner(evaluate))
                run_search(
                    setting.problem,
                    ledger,
                    method,
                    setting.metric,
                    budget=self.budget,
                    seed=seed,
                    costs=setting.costs,
                    limits=setting.limits,
                    on_suggest=self.suggested,
                    on_evaluation=self.evaluated,
                )

        if where is None and self.jobs == 1:
            spend(self.served(setting.evaluator))
        elif where is None:
            here = self.served(setting.evaluator)
            with open_ledger(setting, self.folder, here):  # there before many ask for it at once
                self._begin()
                at_once(lambda: spend(here), self.jobs, lambda: close(inner(here)))
        else:
            self._on_ray(spend, where, evaluator)

    def _on_ray(
        self, spend: Callable[[Evaluator], None], where: RaySettings, evaluator: EvaluatorGiven | None
    ) -> None:
        from archwalk.execution.cluster import connected
        from archwalk.searching.remote import RayEvaluator, make_work

        setting = self.settings[0]
        command = inner(setting.evaluator)
        if not isinstance(command, CommandEvaluator) or command.choices is not None:
            raise SearchError(
                "a command, or module:function that takes an architecture's string, for --executor ray",
                "an evaluator that lives in this process or asks for a mapping",
                "leave --executor out, or put the function into a module",
            )
        with connected(where):
            function = evaluator if isinstance(evaluator, str) else None
            elsewhere = RayEvaluator(make_work(function, command), where)
            evaluate = around(setting.evaluator, elsewhere)
            with open_ledger(setting, self.folder, evaluate):  # there before many ask for it at once
                self._begin()
                at_once(lambda: spend(evaluate), elsewhere.size, elsewhere.close)


def open_ledger(setting: Setting, folder: Path, evaluate: Evaluator) -> closing[Ledger]:
    """The ledger of a search. Raises ``SearchError`` for one of another task, or a damaged one."""
    names = (*(m.name for m in setting.identity.metrics), *setting.required)
    return closing(Ledger(evaluate, names, setting.identity, folder / CACHE))
