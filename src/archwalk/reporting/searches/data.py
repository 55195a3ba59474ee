"""``SearchData``: what the folder of a search holds, as figures, tables and sentences need it.

In: a folder, finished, under way or damaged. Out: its evaluations in order, with the metrics' directions and
the space, if it is known here. Next: ``figures`` and ``page``; ``archwalk.reporting.watching`` reads it again
and again while the search goes on.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwalk.analysis.importance import Importance, slot_importance
from archwalk.errors import ArchwalkError, RunError, reason
from archwalk.searching.experience.past import CACHE, JOINT, space_of_ledger
from archwalk.searching.limits import parse_limit
from archwalk.searching.pareto import pareto_front
from archwalk.searching.results import RESULT
from archwalk.spaces.base import PAD, SearchSpace
from archwalk.spaces.correspondence import slots_of, whole_of
from archwalk.spaces.darts import CELLS, DARTS_EDGES, DartsSpace
from archwalk.spaces.graphs import MAX_VERTICES, NB101_EDGES, NasBench101Space
from archwalk.tasks.ledger import Evaluation, read_evaluations, read_identity
from archwalk.tasks.metrics import Metric, metric_for

Values = NDArray[np.float64]
REPEAT = "repeat the command that made it, which says what is wrong, or restore the folder"


@dataclass(frozen=True)
class Failure:
    """Evaluations that failed in one way: how often, the last line of their message without its numbers, and
    one message as it was."""

    status: str
    message: str
    count: int
    example: str


@dataclass(frozen=True)
class SearchData:
    """A search of one task, as far as it has got.

    Attributes:
        folder: where it lies.
        name: of the task, or of the folder.
        metrics: that are improved, each with its direction; the first decides which evaluation is best.
        evaluator: what was called, or the task that answered; None where it has no name.
        space_name: what the ledger calls the space.
        space: None where it is not known here; ``unknown_space`` says why.
        unknown_space: empty where it is known.
        evaluations: in the order in which they were begun.
        limits: that architectures had to keep to, as ``params <= 1e+06``.
        result: what ``result.json`` says; empty where it is not there yet, or cannot be read.
        cautions: what a reader should know.
    """

    folder: Path
    name: str
    metrics: tuple[Metric, ...]
    evaluator: str | None
    space_name: str
    space: SearchSpace | None
    unknown_space: str
    evaluations: tuple[Evaluation, ...]
    limits: tuple[str, ...]
    result: dict[str, Any]
    cautions: tuple[str, ...]

    @property
    def metric(self) -> Metric:
        """The one that decides which evaluation is best."""
        return self.metrics[0]

    @property
    def finished(self) -> bool | None:
        """Whether the search has spent its budget; None where the folder does not say."""
        said = self.result.get("finished")
        return said if isinstance(said, bool) else None

    @property
    def budget(self) -> int | None:
        """Evaluations in all; None where the folder does not say."""
        said = self.result.get("budget")
        return said if isinstance(said, int) and not isinstance(said, bool) else None

    @property
    def experience(self) -> list[str]:
        """What was known beforehand, a line each."""
        said = self.result.get("experience")
        return [str(line) for line in said] if isinstance(said, list) else []

    @cached_property
    def ok(self) -> NDArray[np.bool_]:
        """Which evaluations succeeded, [evaluations]."""
        return np.isfinite(self.values(0))

    @cached_property
    def feasible(self) -> NDArray[np.bool_]:
        """Which of these break no limit, as far as their metrics tell, [evaluations]."""
        kept = [not any(_broken(limit, e) for limit in self.limits) for e in self.evaluations]
        return self.ok & np.array(kept, dtype=np.bool_)

    @property
    def infeasible(self) -> int:
        """How many succeeded and break a limit."""
        return int(self.ok.sum() - self.feasible.sum())

    def values(self, which: int) -> Values:
        """A metric as measured, NaN where the evaluation failed, [evaluations]."""
        name = self.metrics[which].name
        return np.array(
            [e.metrics.get(name, np.nan) if e.status == "ok" else np.nan for e in self.evaluations],
            dtype=np.float64,
        )

    def rewards(self, which: int) -> Values:
        """A metric with its sign such that larger is better, [evaluations]."""
        return self.values(which) * sign(self.metrics[which])

    @cached_property
    def best(self) -> int | None:
        """Position of the best evaluation that breaks no limit; None while there is none."""
        if not self.feasible.any():
            return None
        return int(np.argmax(np.where(self.feasible, self.rewards(0), -np.inf)))

    @cached_property
    def best_so_far(self) -> Values:
        """The best value among the first n evaluations that break no limit, NaN where there are none,
        [evaluations]."""
        with_least = np.where(self.feasible, self.rewards(0), -np.inf)
        best = np.maximum.accumulate(with_least) if len(with_least) else with_least
        return np.asarray(np.where(np.isfinite(best), best, np.nan) * sign(self.metric))

    @cached_property
    def seconds(self) -> Values:
        """What each evaluation took, [evaluations]."""
        return np.array([e.seconds for e in self.evaluations], dtype=np.float64)

    @cached_property
    def front(self) -> list[int]:
        """Positions of the evaluations that no other one dominates, by the first metric; none with a single
        metric."""
        if len(self.metrics) < 2:
            return []
        rewards = np.stack([self.rewards(i) for i in range(len(self.metrics))], 1)
        rewards[~self.feasible] = np.nan
        return sorted(np.flatnonzero(pareto_front(rewards)).tolist(), key=lambda i: -rewards[i, 0])

    def best_first(self, most: int) -> list[int]:
        """Positions of the best evaluations that break no limit, best first; equal ones in the order made."""
        good = np.flatnonzero(self.feasible)
        return good[np.argsort(-self.rewards(0)[good], kind="stable")][:most].tolist()

    @cached_property
    def failures(self) -> list[Failure]:
        """Ways in which evaluations failed, the most frequent first."""
        ways: Counter[tuple[str, str]] = Counter()
        example: dict[tuple[str, str], str] = {}
        for evaluation in self.evaluations:
            if evaluation.status != "ok":
                way = evaluation.status, last_line(evaluation)
                ways[way] += 1
                example.setdefault(way, evaluation.message)
        return [Failure(*way, count, example[way]) for way, count in ways.most_common()]

    @cached_property
    def codes(self) -> NDArray[np.int16] | None:
        """Codes of the architectures, -1 where a slot is absent, [evaluations, slots]; None in an unknown
        space."""
        if self.space is None:
            return None
        try:
            return self.space.rows(e.architecture for e in self.evaluations)
        except ArchwalkError:
            return None

    @cached_property
    def importance(self) -> Importance | None:
        """Of each slot for the first metric; None where there is too little to say anything.

        Raises:
            ImportError: scikit-learn is not installed.
        """
        if self.codes is None:
            return None
        return slot_importance(self.codes[self.ok], self.rewards(0)[self.ok])

    @property
    def slots(self) -> list[str]:
        """Names of the slots, in the order of the codes."""
        return [] if self.space is None else slot_names(self.space)


def _broken(limit: str, evaluation: Evaluation) -> bool:
    """Whether an evaluation's metrics break a limit; not where they do not have it."""
    read = parse_limit(limit)
    measured = evaluation.metrics.get(read.name)
    return measured is not None and not bool(read.met(np.array([measured]))[0])


def sign(metric: Metric) -> float:
    """1 where a larger value is better, -1 elsewhere."""
    return 1.0 if metric.direction == "max" else -1.0


def last_line(evaluation: Evaluation) -> str:
    """The line of a message that says what was wrong, without what differs from evaluation to evaluation."""
    lines = [line.strip() for line in evaluation.message.splitlines() if line.strip()]
    text = (lines[-1] if lines else "(no message)").replace(evaluation.architecture, "(architecture)")
    return re.sub(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[-+]?\d+)?", "…", text)[:300]


def slot_names(space: SearchSpace) -> list[str]:
    """Names of a space's slots, in the order of its codes; their numbers where they have no names."""
    whole = whole_of(space)
    named = slots_of(whole)
    if named is not None:
        return list(named)
    if isinstance(whole, DartsSpace):
        return [f"{cell} {a}→{b}" for cell in CELLS for a, b in DARTS_EDGES]
    if isinstance(whole, NasBench101Space):
        vertices = [f"operation {v}" for v in range(1, MAX_VERTICES - 1)]
        return [*vertices, *(f"edge {a}→{b}" for a, b in NB101_EDGES)]
    return [f"slot {s + 1}" for s in range(len(whole.slot_sizes))]


def read_searches(path: str | Path) -> list[SearchData]:
    """The searches of a folder: one, or one a task. Tasks that have not begun are left out.

    Raises:
        RunError: no search there, one that cannot be read, or not one finished evaluation.
    """
    folder = Path(path)
    if not (folder / JOINT).exists():
        return [read_search(folder)]
    try:
        tasks = json.loads((folder / JOINT).read_text())
        if not isinstance(tasks, list) or not tasks:
            raise ValueError("no list of tasks")
        strange = [t for t in tasks if not isinstance(t, str) or Path(t).name != t or t in ("", ".", "..")]
        if strange:
            raise ValueError(f"{strange[0]!r} is no name of a task")
    except (OSError, ValueError) as error:
        raise RunError(f"an intact {JOINT} in {folder}", reason(error), REPEAT) from error
    joint, _ = _result(folder)
    found = [
        read_search(folder / task, name=task, joint=joint)
        for task in tasks
        if (folder / task / CACHE).exists()
    ]
    if not any(search.evaluations for search in found):
        raise RunError(f"at least one finished evaluation in {folder}", "none", "let the search go on")
    return found


def read_search(folder: Path, *, name: str | None = None, joint: dict[str, Any] | None = None) -> SearchData:
    """The search of one task.

    Args:
        folder: that holds its ledger.
        name: of the task; the folder's by default.
        joint: what the result of several tasks together says; its task may then have no evaluation yet.

    Raises:
        RunError: no search there, one that cannot be read, or no finished evaluation.
    """
    file = folder / CACHE
    if not file.is_file():
        raise RunError(f"the ledger of a search, {file}", "no such file", "check the path")
    try:
        identity = read_identity(file)
        evaluations = read_evaluations(file)
    except ArchwalkError as error:
        raise RunError("a search whose ledger can be read", error.got, REPEAT) from error
    if not isinstance(identity.get("space"), dict) or not identity.get("metrics"):
        raise RunError(
            "a ledger that says what it is for",
            f"{file}, of version 0.1, or never begun",
            "repeat the command that made it once, which brings the file up to date",
        )
    if not evaluations and joint is None:
        raise RunError(f"at least one finished evaluation in {folder}", "none", "let the search go on")
    try:
        metrics = tuple(
            replace(metric_for(str(metric)), direction=direction) for metric, direction in identity["metrics"]
        )
        space_name = str(identity["space"].get("name"))
        limits = tuple(map(str, identity.get("limits") or ()))
        for limit in limits:
            parse_limit(limit)
    except (ArchwalkError, TypeError, ValueError) as error:
        raise RunError("a ledger whose metrics can be read", f"{file}: {reason(error)}", REPEAT) from error
    try:
        space, unknown = space_of_ledger(_in_order(identity["space"]), file), ""
    except ArchwalkError as error:
        space, unknown = None, f"The space {space_name!r} is not known here: {error.got}."
    result, caution = _result(folder)
    inherited = {k: joint[k] for k in ("finished", "budget", "experience") if joint and k in joint}
    evaluator = identity.get("evaluator")
    return SearchData(
        folder,
        name or folder.resolve().name,
        metrics,
        None if evaluator is None else str(evaluator),
        space_name,
        space,
        unknown,
        tuple(evaluations),
        limits,
        inherited | result,
        (caution,) if caution else (),
    )


def _result(folder: Path) -> tuple[dict[str, Any], str]:
    """What ``result.json`` says, and a caution where it cannot be read: the ledger is what counts."""
    file = folder / RESULT
    try:
        said = json.loads(file.read_text()) if file.exists() else {}
        if isinstance(said, dict):
            return said, ""
        error: Exception | str = "no object"
    except (OSError, ValueError, RecursionError) as problem:
        error = problem
    return {}, f"{RESULT} cannot be read ({reason(error, 120)}); everything here is from the ledger."


def _in_order(description: Any) -> Any:
    """A ledger's description of a space, whose choices are in alphabetical order, with numbers ascending."""
    if isinstance(description, dict):
        return {key: _in_order(value) for key, value in description.items()}
    if isinstance(description, list):
        if all(isinstance(v, int | float) for v in description):
            return sorted(description)
        return [_in_order(value) for value in description]
    return description


def parsed_best(search: SearchData) -> tuple[SearchSpace, list[int]] | None:
    """The space and the code of the best architecture; None where there is none, or the space is unknown."""
    if search.space is None or search.best is None:
        return None
    try:
        code = search.space.parse(search.evaluations[search.best].architecture)
    except ArchwalkError:
        return None
    return search.space, [*code, *[PAD] * (len(search.space.slot_sizes) - len(code))]
