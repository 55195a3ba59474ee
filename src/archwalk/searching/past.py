"""What a user names as experience, as sources.

In: the folder of an earlier search or of a trained agent, a file of trials, a benchmark by name or file, or
objects. Out: ``Known``: sources over the architectures of the search that is about to begin, and a line that
says how far they reach. Everything that does not fit is refused here, before any evaluation. Next:
``snapshot`` keeps the sources in the search's folder, ``Problem.experience`` holds them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.agents.values import QFunction
from archwalk.errors import ArchitectureError, ArchwalkError, SearchError, unknown
from archwalk.searching.adapt import opinion
from archwalk.searching.experience import Source, make_source
from archwalk.searching.loop import rewards_of
from archwalk.searching.problem import Problem
from archwalk.searching.trials import Directed, Measured, codes_of, read_tidy, read_trials
from archwalk.spaces.base import PAD, Codes, SearchSpace
from archwalk.spaces.correspondence import carry
from archwalk.spaces.registry import make_space
from archwalk.tasks.importers import TIDY, choose_rewards, read_frame
from archwalk.tasks.ledger import Identity, comparable, read_evaluations, read_identity
from archwalk.tasks.metrics import METRICS, Column, Metric, metric_for
from archwalk.tasks.protocols import protocols_of
from archwalk.tasks.registry import (
    AnyBenchmark,
    benchmark_names,
    load_benchmark,
    load_table,
    split_protocol,
)
from archwalk.tasks.surrogates.file import SUFFIX as TASK
from archwalk.tasks.table import SEALED, Benchmark
from archwalk.training.rundir import SETTINGS, RunDir
from archwalk.training.runner import load_values

Named = str | Path | Source | Benchmark
CACHE, JOINT = (
    "evaluations.sqlite",
    "tasks.json",
)  # of a search; of one over several tasks, its folders' names
LEAST = 2  # architectures of a source: one alone says nothing of any other
ROOM = "--experience"


@dataclass(frozen=True)
class Target:
    """The search that experience is for.

    Attributes:
        problem: its architectures.
        metrics: to improve, one a task; those of several tasks may be the same.
        identities: what its ledgers are for, one a task.
        benchmark: the table or predicting task that answers the evaluations, if one does.
        tasks: names of the tasks searched, as far as they have one.
        directed: what the user says of a metric's direction.
    """

    problem: Problem
    metrics: tuple[Metric, ...]
    identities: tuple[Identity, ...]
    benchmark: AnyBenchmark | None
    tasks: tuple[str, ...]
    directed: Directed

    @property
    def space(self) -> SearchSpace:
        """Of the problem."""
        return self.problem.space

    def check_direction(self, metric: Metric, where: str) -> Metric:
        """The metric. Raises ``SearchError`` if one of its name is searched in the other direction."""
        for mine in self.metrics:
            if mine.name == metric.name and mine.direction != metric.direction:
                goals = ["maximised" if m.direction == "max" else "minimised" for m in (mine, metric)]
                raise SearchError(
                    f"experience in which {metric.name!r} is to be {goals[0]}, as in this search",
                    f"{where}, in which it is to be {goals[1]}",
                    "correct --minimise or --maximise, or leave it out",
                )
        return metric

    def is_task(self, benchmark: AnyBenchmark, task: str) -> bool:
        """Whether a task of a benchmark is searched, under whatever protocol."""
        mine = self.benchmark
        if mine is None or task not in self.tasks:
            return False
        same = mine.name == benchmark.name and mine.space.describe() == benchmark.space.describe()
        return same or mine.checksum == benchmark.checksum


@dataclass(frozen=True)
class Known:
    """What was named, as sources.

    Attributes:
        sources: at least one.
        said: how far they reach, in a line.
    """

    sources: tuple[Source, ...]
    said: str


@dataclass
class _Table:
    """Named measurements: a benchmark's, or a tidy table's, over the architectures of the search."""

    name: str
    codes: Codes
    columns: dict[Column, Any]
    rewards: dict[str, Column]
    metrics: dict[str, Metric] = field(default_factory=dict)


def gather(named: Sequence[Named], target: Target) -> list[Known]:
    """Everything that a user names.

    Args:
        named: see ``archwalk.search``.
        target: what it is for.

    Raises:
        ArchwalkError: anything that is not there, cannot be read, is named twice, or does not fit the target.
    """
    texts = [str(one) for one in named if isinstance(one, str | Path)]
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise SearchError(f"each {ROOM} once", f"{twice} twice", "leave one of them out")
    return [_read(one, target) for one in named]


def _read(one: Named, target: Target) -> Known:
    if isinstance(one, Source):
        if one.codes.shape[1:] != (len(target.space.slot_sizes),):
            raise SearchError(
                f"a source of {len(target.space.slot_sizes)} slots, as the space {target.space.name!r} has",
                f"{one.name!r} with codes of shape {one.codes.shape}",
                "write its architectures as codes of that space",
            )
        return fitted(one.name, [Measured(one.name, one.codes, one.values)], target.problem)
    if isinstance(one, Benchmark):
        return of_benchmark(one, (), target)
    text, what, protocol = _parts(str(one))
    path = Path(text)
    if text in benchmark_names():
        return of_benchmark(load_table(f"{text}@{protocol}" if protocol else text), what, target)
    if not path.exists():
        raise SearchError(
            "a folder of an earlier search or of a trained agent, a file of trials, or a benchmark",
            f"{text!r}: no such file or folder, and no benchmark of that name",
            f"check the path; benchmarks known by name are {', '.join(benchmark_names())}",
        )
    if path.is_file() and path.suffix != TASK and SEALED in path.read_bytes():
        return of_benchmark(load_table(f"{text}@{protocol}" if protocol else text), what, target)
    tidy = None
    if path.is_file() and path.suffix != TASK:
        frame = read_frame(path, as_text=True)
        if not set(TIDY) <= set(frame.columns):
            _no_protocol(text, protocol)
            trials = read_trials(frame, path, what, target.space, target.metrics, target.directed)
            return fitted(path.stem, _without_target(trials, path, target), target.problem)
        tidy = read_tidy(frame, target.space)
        return _tidy(path, *tidy, what, protocol, target)
    _no_protocol(text, protocol)
    if (path / SETTINGS).exists() and not what:
        return of_agent(RunDir(path), target)
    if (path / CACHE).exists() and not what:
        return fitted(path.name, [_ledger(path, path.name, target)], target.problem)
    if (path / JOINT).exists():
        return _joint(path, what, target)
    raise SearchError(
        "a folder of an earlier search or of a trained agent, a file of trials, or a table",
        f"{text}, which is {'a folder of another kind' if path.is_dir() else 'a task that predicts'}"
        + (f", with {','.join(what)!r} after it" if what else ""),
        f"name the folder that holds {CACHE} or {SETTINGS}, or a CSV or Parquet file",
    )


def _parts(text: str) -> tuple[str, tuple[str, ...], str]:
    """``PLACE[:WHAT,WHAT][@PROTOCOL]``, or ``PLACE@PROTOCOL:WHAT``, as three."""
    if Path(text).exists() or text in benchmark_names():
        return text, (), ""
    place, colon, what = text.rpartition(":")
    if not colon or not place:
        place, what = text, ""
    what, _, protocol = what.partition("@")
    where, other = split_protocol(place)
    if protocol and other:
        raise SearchError("one protocol", f"{other} and {protocol} in {text!r}", "leave one of them out")
    return where, tuple(part for part in what.split(",") if part), protocol or other


def _no_protocol(text: str, protocol: str) -> None:
    if protocol:
        raise SearchError(
            f"a table with the columns of protocol {protocol!r}",
            f"{text}, of which no protocol is known",
            "leave the protocol out",
        )


# ---- earlier searches


def _joint(path: Path, what: Sequence[str], target: Target) -> Known:
    """The tasks of a search over several."""
    try:
        tasks = [str(task) for task in json.loads((path / JOINT).read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise SearchError(
            f"an intact {JOINT} in {path}", str(error), "name the folder of one task"
        ) from error
    for task in what:
        if task not in tasks:
            raise SearchError(*unknown(f"task searched in {path}", task, tasks))
    searched = [_ledger(path / task, f"{path.name}/{task}", target) for task in what or tasks]
    return fitted(path.name, searched, target.problem)


def _ledger(folder: Path, name: str, target: Target) -> Measured:
    """What an earlier search evaluated."""
    file = folder / CACHE
    if not file.exists():
        raise SearchError(f"an earlier search in {folder}", f"no {CACHE} there", "check the path")
    there = read_identity(file)
    if not isinstance(there.get("space"), dict) or not there.get("metrics"):
        raise SearchError(
            "a ledger that says what it is for",
            f"{file}, of version 0.1",
            "repeat the command that made it once, which brings the file up to date",
        )
    metric = metric_for(*there["metrics"][0])
    asked = f"made for {there['evaluator']!r} and the metric {metric.name!r}"
    for identity in target.identities:
        mine = json.loads(json.dumps({k: json.loads(v) for k, v in identity.entries().items()}))
        if all(there[k] == mine[k] for k in ("space", "checksum", "evaluator")) and (
            there["metrics"][0] == mine["metrics"][0]
        ):
            raise SearchError(
                "experience of other tasks",
                f"{file}, {asked}: this very task",
                f"go on with that search (--out {folder}), or leave it out",
            )
    target.check_direction(metric, str(file))
    evaluations = read_evaluations(file)
    texts = [e.architecture for e in evaluations]
    if comparable(target.space.describe()) == there["space"]:
        codes = codes_of(texts, target.space)
    else:
        space = _space_of(there["space"], file)
        codes = carry(space.rows(texts), space, target.space)
    return Measured(name, codes, rewards_of(evaluations, metric))


def _space_of(there: dict[str, Any], file: Path) -> SearchSpace:
    """The space of a ledger, whose description has its slots as pairs."""
    plain = dict(there)
    try:
        if "slots" in plain:
            plain["slots"] = dict(plain["slots"])
        if "declaration" in plain:
            plain["declaration"] = plain["declaration"] | {"slots": dict(plain["declaration"]["slots"])}
        return make_space(**plain)
    except (ArchwalkError, TypeError, ValueError) as error:
        what = error.got if isinstance(error, ArchwalkError) else str(error)
        raise SearchError(
            "experience of a space that is known here",
            f"{file}, of the space {there.get('name')!r}: {what}",
            "register that space, or leave it out",
        ) from error


def _without_target(trials: list[Measured], file: Path, target: Target) -> list[Measured]:
    """Trials, none of which is of a task that is searched."""
    for one in trials:
        if one.name.partition("/")[2] in target.tasks:
            raise SearchError(
                "experience of other tasks",
                f"{file} with trials of {one.name.partition('/')[2]!r}, which is searched",
                "remove these rows",
            )
    return trials


# ---- tables


def of_benchmark(benchmark: Benchmark, what: Sequence[str], target: Target) -> Known:
    """Tasks of a benchmark, or columns of it, as sources.

    Args:
        benchmark: the table, under the protocol that says what its rewards are.
        what: tasks, ``task/metric[/split[/epoch]]`` or metrics without a split; none: all tasks.
        target: what they are for.

    Raises:
        ArchwalkError: no such task or column, a task that is searched, or architectures of another space.
    """
    codes = carry(benchmark.space.codes[benchmark.rows].astype(np.int16), benchmark.space, target.space)
    under = f"@{benchmark.protocol}" if benchmark.protocol else ""
    table = _Table(
        benchmark.name + under,
        codes,
        dict(benchmark.columns),
        dict(benchmark.rewards),
        dict(benchmark.metrics),
    )
    mine = [task for task in benchmark.tasks if target.is_task(benchmark, task)]
    return _measured(table, what, mine, target)


def _tidy(
    path: Path, codes: Codes, columns: dict[Column, Any], what: Sequence[str], protocol: str, target: Target
) -> Known:
    """Tasks or columns of a tidy table."""
    rewards: dict[str, Column] = {}
    if protocol:
        known = protocols_of(target.space.name, columns)
        if protocol not in known:
            raise SearchError(*unknown(f"protocol of {path}", protocol, known))
        rewards = known[protocol]
    else:
        for task in sorted({c.task for c in columns}):
            of_task = {c: v for c, v in columns.items() if c.task == task}
            names = {c.metric: metric_for(c.metric) for c in of_task}
            try:
                rewards |= choose_rewards(of_task, names, {})
            except ArchwalkError:
                continue  # it has none that is obvious: one of its columns can still be named
    under = f"@{protocol}" if protocol else ""
    mine = [task for task in rewards if task in target.tasks]
    return _measured(_Table(path.stem + under, codes, columns, rewards), what, mine, target)


def _measured(table: _Table, what: Sequence[str], mine: Sequence[str], target: Target) -> Known:
    """The columns that are meant: the rewards of all tasks or of some, or columns by their address.

    Args:
        table: where they are.
        what: tasks; ``task/metric[/split[/epoch]]``; or a metric without a split, of all tasks.
        mine: tasks of the table that are searched.
        target: what they are for.
    """
    if not what and not table.rewards:
        some = sorted({f"{c.task}/{c.metric}" for c in table.columns})
        raise SearchError(
            f"a column of {table.name} to take, since no validation metric says how good an architecture is",
            f"none named, of {', '.join(some[:8])}{', …' if len(some) > 8 else ''}",
            f"name one or more: {ROOM} FILE:{some[0]},…",
        )
    chosen: dict[str, Column] = {}
    for name in what or sorted(table.rewards):
        if name in table.rewards:
            chosen[name] = table.rewards[name]
        elif "/" in name:
            column = _address(table, name)
            chosen["/".join(name.split("/")[:2])] = column
        else:
            bare = [c for c in table.columns if c.metric == name and c.split == "none"]
            if not bare:
                known = [*table.rewards, *sorted({c.metric for c in table.columns if c.split == "none"})]
                raise SearchError(*unknown(f"task of {table.name}, or a metric without a split", name, known))
            chosen |= {f"{c.task}/{c.metric}": c for c in sorted(bare)}
    hit = [c.task for c in chosen.values() if c.task in mine and c.split != "none"]
    if hit:
        others = [task for task in sorted(table.rewards) if task not in mine]
        raise SearchError(
            "experience of other tasks",
            f"{table.name} with the task {hit[0]!r}, which is searched",
            f"name the others: {ROOM} FILE:{','.join(others)}" if others else "leave it out",
        )
    measured = [
        Measured(f"{table.name}/{name}", table.codes, table.columns[c] * _scale(table, c, target))
        for name, c in chosen.items()
    ]
    return fitted(table.name, measured, target.problem)


def _address(table: _Table, name: str) -> Column:
    """``task/metric[/split[/epoch]]``: what is left out is the only one there, or ``valid`` and ``final``."""
    parts = name.split("/")
    found = [c for c in table.columns if list(c)[: len(parts)] == parts]
    if len(found) > 1:
        found = [c for c in found if c.split == "valid"] if len(parts) < 3 else found
        found = [c for c in found if c.epoch == "final"] if len(found) > 1 else found
    if len(found) != 1:
        known = sorted(str(c) for c in table.columns if c.task == parts[0]) or sorted(map(str, table.columns))
        raise SearchError(*unknown(f"column of {table.name}, as task/metric/split/epoch", name, known))
    return found[0]


def _scale(table: _Table, column: Column, target: Target) -> float:
    """From the number as it stands to larger is better. What is measured without training has no direction
    that could be known, and keeps its sign: the method learns it."""
    name = column.metric
    declared = table.metrics.get(name) or METRICS.get(name)
    if column.split == "none":
        return metric_for(name).scale
    metric = target.directed(name) if declared is None else declared
    return target.check_direction(metric, table.name).scale


# ---- agents


def of_agent(run: RunDir, target: Target) -> Known:
    """The task that an agent was trained on, and what the agent thinks of its architectures.

    Raises:
        SearchError: it was trained on a space whose slots are others, or on the task that is searched.
        ArchwalkError: it has not finished, or its benchmark is not there.
    """
    spec = run.spec()
    own = load_benchmark(run.benchmark())
    check_same_slots(run, own.space, target.space)
    table = load_table(own)
    if target.is_task(table, spec.task):
        raise SearchError(
            "experience of other tasks", f"{run.path}, trained on this very task", "leave it out"
        )
    measured = agent_sources(run.path.name, spec.task, load_values(run, table), table)
    codes = carry(measured[0].codes, table.space, target.space)
    return fitted(
        run.path.name, [Measured(one.name, codes, one.values) for one in measured], target.problem, "sources"
    )


def check_same_slots(run: RunDir, trained_on: SearchSpace, space: SearchSpace) -> None:
    """Raises ``SearchError`` if an agent was trained on architectures that cannot be any of a space."""
    try:
        carry(np.empty((0, len(trained_on.slot_sizes)), np.int16), trained_on, space)
    except ArchitectureError as error:
        raise SearchError(
            f"an agent trained on the space {space.name!r}, or on one with the same slots",
            f"{run.path}, trained on {trained_on.name!r}",
            "choose an agent of this space, or leave --space out",
        ) from error


def agent_sources(name: str, task: str, agent: QFunction, table: Benchmark) -> tuple[Source, Source]:
    """The reward that an agent was trained on, and the agent's opinion, over its own table."""
    codes = table.space.codes[table.rows].astype(np.int16)
    return (
        Source(f"{name}/{task}", codes, table.reward(task)),
        Source(f"{name}/{task}: agent", codes, opinion(agent)),
    )


# ---- from measurements to sources


def fitted(name: str, measured: Sequence[Measured], problem: Problem, what: str = "tasks") -> Known:
    """Measurements as sources over the architectures that a search may choose from.

    Args:
        name: of what was named.
        measured: by task.
        problem: of the search.
        what: the measurements are of.

    Raises:
        SearchError: one of them has too few architectures left to say anything.
    """
    sources, reach, failures = [], [], 0
    for one in measured:
        good = np.isfinite(one.values)
        failures += int((~good).sum())
        all_of = len(np.unique(one.codes[good & (one.codes != PAD).any(1)], axis=0))
        all_of += int((good & (one.codes == PAD).all(1)).sum())
        there = good & (one.codes != PAD).any(1)
        if problem.listed:
            there[there] = problem.locate(one.codes[there]) >= 0
        source = make_source(one.name, one.codes[there], one.values[there])
        if len(source) < LEAST:
            got = f"{len(source)} of {all_of:,} with a result" if good.any() else "none with a result"
            raise SearchError(
                f"at least {LEAST} architectures of {one.name} that this search may choose from",
                f"{got}, {int((~good).sum()):,} failed",
                "leave it out, or name experience of this space",
            )
        sources.append(source)
        reach.append((len(source), all_of))
    counts = f"{reach[0][0]:,} of {reach[0][1]:,} architectures"
    if len(set(reach)) > 1:
        each = (
            f"{s.name.partition('/')[2] or s.name} {a:,} of {b:,}"
            for s, (a, b) in zip(sources, reach, strict=True)
        )
        counts = f"architectures: {', '.join(each)}"
    number = f"{len(sources)} {what}, " if len(sources) > 1 else ""
    said = f"{name}: {number}{counts}" + (f"; {failures:,} failed or missing left out" if failures else "")
    return Known(tuple(sources), said)
