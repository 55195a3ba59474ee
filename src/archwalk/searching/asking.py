"""``Optimizer``: ask and tell, for those who evaluate by themselves, in as many processes as they like.

In: a space, a metric, perhaps experience and limits; a folder. Out: suggestions, each given once; what was
told, kept when ``tell`` returns. The folder holds the ledger that ``search`` has, and ``optimizer.json``,
from which ``load`` makes the optimizer again. Next: nothing; a user's loop stands here.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, SupportsFloat

from archwalk.errors import SearchError
from archwalk.files import write_atomically
from archwalk.searching.asktell import AskTell
from archwalk.searching.experience.known import known_beforehand, named_experience
from archwalk.searching.experience.past import CACHE, Named
from archwalk.searching.experience.snapshot import SAID, kept
from archwalk.searching.inputs import Directions, Space, make_settings
from archwalk.searching.limiting import Known, Sizes, check_limits, known_metrics, limited
from archwalk.searching.registry import DEFAULT, find_method
from archwalk.searching.results import make_result, write_result
from archwalk.spaces.registry import make_space
from archwalk.tasks.ledger import STATUSES, BudgetSpent, Evaluation, EvaluationFailed, Ledger, Status
from archwalk.tasks.metrics import Direction
from archwalk.tasks.registry import AnyBenchmark
from archwalk.tasks.table import Benchmark

SETTINGS = "optimizer.json"
_FORMAT = 1
_PAUSE = 0.01  # seconds before a suggestion that another process took is made anew


@dataclass(frozen=True)
class Failure:
    """What is told of an evaluation that gave no number.

    Attributes:
        message: what happened.
        status: ``failed`` (crashed), ``timeout`` or ``invalid``.
    """

    message: str = ""
    status: Status = "failed"


class Optimizer:
    """Suggests architectures, and learns from what is told of them.

    Processes that open the same ``storage`` share one list of evaluations: none is given what another one has
    in hand, and what was told is kept when ``tell`` returns, however the process ends. An instance may be
    used by several threads. Use it as a context manager, or ``close`` it.

    Args:
        space: a space, a table whose architectures to choose from, or a predicting task; an object, a name, a
            file, or a declaration as a mapping.
        metric: to improve: the name under which it is told.
        direction: ``max`` or ``min``; may be left out where the name is known or the table declares it.
        cost: more metrics to improve, by name, or name → direction.
        method: a name, ``module:function``, a function or a class.
        experience: what is known of other tasks; see ``archwalk.search``. By default that with which the
            folder began, or what comes with the package.
        limits: what an architecture must keep to, as ``params <= 1e6``.
        known: what is known before training; see ``archwalk.search``.
        sizes: how networks are counted and timed.
        seed: decides all randomness.
        storage: a folder, shared by all processes of this search; None: in memory.
        task: what the search is called; an optimizer may learn from the folder of another one of another
            name.
        hold: seconds for which a suggestion stays in hand after the process that asked has ended, for
            evaluations that outlive it; by default none.
        on_suggest: called with each suggestion.
        on_evaluation: called with each evaluation told here, and the number of them so far.
        on_end: called with the result when the optimizer is closed.

    Raises:
        ArchwalkError: anything that does not fit, before anything is written.
    """

    def __init__(
        self,
        space: Space,
        *,
        metric: str,
        direction: Direction | None = None,
        cost: str | Sequence[str] | Mapping[str, Direction] = (),
        method: Any = DEFAULT,
        experience: Named | Sequence[Named] | None = None,
        limits: str | Sequence[str] = (),
        known: Known = (),
        sizes: Sizes | None = None,
        seed: int = 0,
        storage: str | Path | None = None,
        task: str | None = None,
        hold: float | None = None,
        on_suggest: Callable[[str], None] | None = None,
        on_evaluation: Callable[[Evaluation, int], None] | None = None,
        on_end: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        if hold is not None and not hold >= 0:
            raise SearchError(
                "seconds for which suggestions are held, at least 0", repr(hold), "correct hold"
            )
        self._seed, self._hold, self._lock = seed, hold, threading.RLock()
        self._on = on_suggest, on_evaluation, on_end
        self._scratch = None if storage is not None else tempfile.TemporaryDirectory(prefix="archwalk-")
        self._folder = Path(self._scratch.name if self._scratch else str(storage))
        costs = (
            {cost: None}
            if isinstance(cost, str)
            else dict.fromkeys(cost) | dict(cost if isinstance(cost, Mapping) else {})
        )
        said = {name: d for name, d in {metric: direction, **costs}.items() if d}
        self._method = find_method(method)
        runs, named = named_experience((), experience)
        directions = Directions(
            [name for name, d in said.items() if d == "min"], [name for name, d in said.items() if d == "max"]
        )
        (setting,) = make_settings(
            _asked_elsewhere,
            None,
            space,
            runs,
            (),
            metric,
            tuple(costs),
            directions,
            None,
            0,
            experience=True,
            known=known_metrics(known),
        )
        identity = replace(setting.identity, evaluator=None if task is None else f"told/{task}")
        texts = (limits,) if isinstance(limits, str) else tuple(limits)
        setting = limited(replace(setting, identity=identity), texts, known, sizes or Sizes())
        check_limits(setting, self._folder / CACHE)
        if experience is None and (self._folder / SAID).exists():
            told = kept(self._folder)
        else:
            told = known_beforehand([setting], self._folder, runs, named, directions, self._method, False)
        self._setting = replace(setting, problem=setting.problem.with_experience(told.sources))
        names = (*(m.name for m in setting.identity.metrics), *setting.required)
        self._ledger = Ledger(_asked_elsewhere, names, setting.identity, self._folder / CACHE)
        told.keep(self._folder)
        self._core = AskTell(
            self._setting.problem,
            self._ledger,
            self._method,
            setting.metric,
            seed=seed,
            costs=setting.costs,
            limits=setting.limits,
        )
        self._about = {
            "format": _FORMAT,
            "space": _reopened(space, setting.problem.space, setting.table),
            "metric": metric,
            "direction": setting.metric.direction,
            "cost": {c.name: c.direction for c in setting.costs},
            "method": self._method.name if isinstance(method, str) else None,
            "limits": list(texts),
            "known": [str(k) for k in known] if not isinstance(known, Mapping) else None,
            "seed": seed,
            "task": task,
        }
        if not (self._folder / SETTINGS).exists():
            write_atomically(self._folder / SETTINGS, json.dumps(self._about, indent=2).encode())

    def suggest(self, n: int = 1) -> list[str]:
        """Architectures to evaluate, each given to nobody else while it is in hand.

        Args:
            n: how many, at least 1.

        Returns:
            Their strings; fewer where fewer are left.

        Raises:
            SearchError: n is below 1; or what is suggested breaks a limit again and again.
        """
        if n < 1:
            raise SearchError("at least one suggestion", str(n), "ask for more")
        found: list[str] = []
        while len(found) < n:
            with self._lock:
                try:
                    asked = self._core.suggest(hold=self._hold)
                except BudgetSpent:  # another process has taken this one in the meantime
                    time.sleep(_PAUSE)
                    continue
            if asked is None:
                break
            found.append(asked.architecture)
            if self._on[0]:
                self._on[0](asked.architecture)
        return found

    def tell(
        self, architecture: str, result: Mapping[str, Any] | SupportsFloat | Failure, seconds: float = 0.0
    ) -> Evaluation:
        """Keep what an evaluation found; it is kept when this returns.

        Args:
            architecture: suggested or not, here or in another process.
            result: its metrics by name; one number, where one metric is searched; or a ``Failure``.
            seconds: that it took.

        Returns:
            The evaluation. The same told twice is one.

        Raises:
            SearchError: no architecture of this space; a metric is missing; something else was told of it
                before. Nothing is changed then.
        """
        answer: dict[str, float] | EvaluationFailed
        if isinstance(result, Failure):
            if result.status not in STATUSES or result.status == "ok":
                raise SearchError("failed, timeout or invalid", repr(result.status), "name one of them")
            answer = EvaluationFailed(result.status, result.message)
        else:
            answer = self._numbers(architecture, result)
        with self._lock:
            if not isinstance(answer, EvaluationFailed) and self._setting.limits is not None:
                answer = self._setting.limits.known(architecture) | answer
            evaluation = self._core.tell(architecture, answer, seconds)
            count = len(self._core.evaluations())
        if self._on[1]:
            self._on[1](evaluation, count)
        return evaluation

    def _numbers(self, architecture: str, result: Mapping[str, Any] | SupportsFloat) -> dict[str, float]:
        try:
            if isinstance(result, Mapping):
                return {str(name): float(value) for name, value in result.items()}
            return {self._setting.metric.name: float(result)}
        except (TypeError, ValueError) as error:
            raise SearchError(
                f"numbers, or a Failure, for {architecture!r}", repr(result), "tell metrics by name"
            ) from error

    def release(self, architecture: str) -> None:
        """Give a suggestion back that will not be evaluated; it may then be suggested again."""
        with self._lock:
            problem = self._setting.problem
            index = int(problem.ids([architecture])[0])
            self._ledger.release(problem.key_text(index))

    @property
    def evaluations(self) -> list[Evaluation]:
        """All that were told, by whomever."""
        with self._lock:
            return self._core.evaluations()

    @property
    def pending(self) -> list[str]:
        """Suggestions in hand, here or in other living processes."""
        with self._lock:
            return self._ledger.pending()

    def result(self) -> dict[str, Any]:
        """The best, all evaluations, with a cost the front: what ``archwalk.search`` returns."""
        found = self.evaluations
        return make_result(self._setting, found, len(found), finished=False)

    @property
    def best(self) -> Evaluation | None:
        """The best evaluation that keeps to the limits; None while there is none."""
        found = self.evaluations
        text = make_result(self._setting, found, len(found), finished=False)["architecture"]
        return next((e for e in found if e.architecture == text), None)

    def save(self, folder: str | Path) -> Path:
        """Everything that was told, in a folder of its own: ``Optimizer.load`` goes on from there.

        Raises:
            SearchError: the folder holds another search.
        """
        target = Path(folder)
        if (target / CACHE).exists():
            raise SearchError("a folder without a search", str(target), "choose another one")
        with self._lock:
            for file in self._folder.iterdir():
                if file.is_file() and not file.name.startswith((".", CACHE)):
                    write_atomically(target / file.name, file.read_bytes())
            self._ledger.copy(target / CACHE)
        write_result(target, self.result())
        return target

    @classmethod
    def load(
        cls,
        storage: str | Path,
        *,
        space: Space | None = None,
        method: Any = None,
        known: Known | None = None,
        **options: Any,
    ) -> Optimizer:
        """The optimizer of a folder, with all that was told; processes may share the folder.

        Args:
            storage: a folder made by an optimizer with ``storage``, or by ``save``.
            space: where it is a table or task that was given as an object.
            method: where it was given as an object.
            known: where it was given as a mapping.
            options: ``sizes``, ``hold`` and callbacks, as for ``Optimizer``.

        Raises:
            SearchError: no optimizer there, or it needs what is not given.
        """
        file = Path(storage) / SETTINGS
        try:
            there = json.loads(file.read_bytes())
            if there["format"] != _FORMAT:
                raise ValueError(f"format {there['format']!r}")
            wanted = {"space": space, "method": method, "known": known}
            for name, given in wanted.items():
                if given is None and there[name] is None:
                    raise SearchError(f"{name} as it was, an object", "none", f"give {name}=")
            if space is None:
                space = make_space(**there["space"]) if isinstance(there["space"], dict) else there["space"]
            settings = {
                name: there[name] for name in ("metric", "direction", "cost", "limits", "seed", "task")
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SearchError(
                f"an optimizer's folder, with {SETTINGS}", f"{file}: {error}", "check the path"
            ) from error
        assert space is not None
        return cls(
            space,
            method=there["method"] if method is None else method,
            known=there["known"] if known is None else known,
            storage=storage,
            **settings,
            **options,
        )

    def close(self) -> None:
        """Let go of the folder and of what is in hand; write ``result.json``."""
        with self._lock:
            if self._ledger.closed:
                return
            result = self.result() | {"finished": True}
            if self._scratch is None:
                write_result(self._folder, result)
            self._ledger.close()
            if self._scratch:
                self._scratch.cleanup()
        if self._on[2]:
            self._on[2](result)

    def __enter__(self) -> Optimizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _asked_elsewhere(architecture: str) -> dict[str, float]:
    """Stands where a search has its evaluator."""
    raise AssertionError("an optimizer evaluates nothing")


def _reopened(given: Any, space: Any, table: AnyBenchmark | None) -> Any:
    """What leads ``load`` back to a space: a name or path, a description; None: an object must be given."""
    if isinstance(given, str | Path):
        path = Path(given)
        return str(path.resolve()) if path.exists() else str(given)
    if table is not None or isinstance(given, Benchmark):
        return None
    return space.describe()
