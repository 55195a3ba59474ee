"""What a user names as experience, as sources.

In: the folder of an earlier search or of a trained agent, a file of trials, a benchmark by name or file, or
objects. Out: ``Known`` sources. Everything that does not fit is refused, before any evaluation. Next:
``snapshot`` keeps the sources in the search's folder, ``Problem.experience`` holds them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.agents.values import QFunction
from archwalk.errors import ArchitectureError, ArchwalkError, SearchError, unknown
from archwalk.searching.asktell import rewards_of
from archwalk.searching.experience.columns import of_benchmark, of_tidy
from archwalk.searching.experience.fitting import Known, Measured, Target, fitted, searched_itself
from archwalk.searching.experience.opinion import opinion
from archwalk.searching.experience.source import Source
from archwalk.searching.experience.storage import is_storage, read_storage
from archwalk.searching.experience.trials import codes_of, read_tidy, read_trials
from archwalk.searching.incontext.agent import InContextAgent
from archwalk.searching.incontext.box import is_agent, open_agent
from archwalk.searching.incontext.opinion import opinion_of
from archwalk.spaces.base import PAD, SearchSpace
from archwalk.spaces.correspondence import carry, contains, whole_of
from archwalk.spaces.registry import make_space
from archwalk.spaces.subset import MeasuredSubset
from archwalk.tasks.frames import read_frame
from archwalk.tasks.identity import comparable
from archwalk.tasks.importers import TIDY
from archwalk.tasks.ledger import read_evaluations, read_identity
from archwalk.tasks.metrics import Metric, metric_for
from archwalk.tasks.registry import benchmark_names, load_benchmark, load_table, split_protocol
from archwalk.tasks.surrogates.file import SUFFIX as TASK
from archwalk.tasks.table import Benchmark, is_benchmark
from archwalk.training.rundir import SETTINGS, RunDir
from archwalk.training.runner import load_values

Named = str | Path | Source | Benchmark
CACHE = "evaluations.sqlite"  # of a search
JOINT = "tasks.json"  # of a search over several tasks: their names, which are those of its folders


def gather(named: Sequence[Named], target: Target) -> list[Known]:
    """Everything that a user names.

    Args:
        named: see ``archwalk.search``; folders of agents aside, see ``of_agent``.
        target: what it is for.

    Raises:
        ArchwalkError: anything that is not there, cannot be read, or does not fit the target.
    """
    known = [_read(one, target) for one in named]
    for source in (source for one in known for source in one.sources):
        if target.measured_alike(source):
            raise searched_itself(f"{source.name}, with the rewards of the searched one")
    return known


def _read(one: Named, target: Target) -> Known:
    if isinstance(one, Source):
        if one.codes.shape[1:] != (len(target.space.slot_sizes),):
            raise SearchError(
                f"a source of {len(target.space.slot_sizes)} slots, as the space {target.space.name!r} has",
                f"{one.name!r} with codes of shape {one.codes.shape}",
                "write its architectures as codes of that space",
            )
        codes = one.codes.copy()
        if not target.problem.listed:
            codes[~contains(target.space, codes)] = PAD
        return fitted(one.name, [Measured(one.name, codes, one.values)], target.problem)
    if isinstance(one, Benchmark):
        return of_benchmark(one, (), target)
    if is_agent(one):
        return of_boxed(open_agent(one), target)
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
    if path.is_file() and path.suffix != TASK and is_benchmark(path.read_bytes()):
        return of_benchmark(load_table(f"{text}@{protocol}" if protocol else text), what, target)
    if path.is_file() and is_storage(path.read_bytes()[:16]):
        _no_protocol(text, protocol)
        return _studies(path, what, target)
    if path.is_file() and path.suffix != TASK:
        frame = read_frame(path)
        if not set(TIDY) <= set(frame.columns):
            _no_protocol(text, "" if what else protocol)
            _, _, metric = str(one).rpartition(":") if what else ("", "", "")  # its name may hold , and @
            trials = read_trials(frame, path, metric, target.space, target.metrics, target.directed)
            return fitted(path.stem, _without_target(trials, path, target), target.problem)
        return of_tidy(path, *read_tidy(frame, target.space), what, protocol, target)
    _no_protocol(text, protocol)
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


def _studies(path: Path, what: Sequence[str], target: Target) -> Known:
    """Studies of an Optuna storage, a source each."""
    studies = read_storage(path)
    for study in what:
        if study not in studies:
            raise SearchError(*unknown(f"study of {path}", study, studies))
    measured = []
    for study in what or studies:
        frame, said = studies[study]
        for name, direction in said.items():
            goal = next((m for m in target.metrics if m.name == name), None)
            if goal is not None and goal.direction != direction:
                target.check_direction(_turned(goal, direction), f"{path}:{study}")
        # An objective's direction is the study's word; what only its name says is asked as of any trial.
        goals = [m for m in target.metrics if m.name in said]
        chosen = "" if goals or len(said) > 1 else next(iter(said))

        def directed(name: str, said: dict[str, str] = said) -> Metric:
            direction = said.get(name)
            if direction is None:
                return target.directed(name)
            return _turned(metric_for(name), direction)

        found = read_trials(frame, Path(study), chosen, target.space, target.metrics, directed)
        measured += _without_target(
            [replace(one, name=f"{path.stem}/{study}") for one in found], path, target
        )
    return fitted(path.stem, measured, target.problem)


def _turned(metric: Metric, direction: str) -> Metric:
    return replace(metric, direction="min" if direction == "min" else "max")


# ---- earlier searches


def joint_tasks(path: Path) -> list[str]:
    """The tasks of a search over several. Raises ``SearchError`` for a damaged folder."""
    try:
        return [str(task) for task in json.loads((path / JOINT).read_text("utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise SearchError(
            f"an intact {JOINT} in {path}", str(error), "name the folder of one task"
        ) from error


def _joint(path: Path, what: Sequence[str], target: Target) -> Known:
    """The tasks of a search over several."""
    tasks = joint_tasks(path)
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
    name_of, direction = there["metrics"][0]
    metric = replace(metric_for(name_of), direction=direction)  # the ledger's word, whatever is declared
    asked = f"made for {there['evaluator']!r} and the metric {metric.name!r}"
    for identity in target.identities:
        mine = {name: json.loads(value) for name, value in identity.entries().items()}
        named = there["evaluator"] is not None  # of an optimizer whose task has no name nothing can be said
        same = named and all(there[k] == mine[k] for k in ("space", "evaluator"))
        exactly = there["checksum"] == mine["checksum"] and there["metrics"][0] == mine["metrics"][0]
        if same and (exactly or target.benchmark is not None):  # of a table, under whatever protocol
            raise searched_itself(
                f"{file}, {asked}: this very task",
                f"go on with that search (--out {folder}), leave it out, or, if its evaluator was another "
                "one of the same name, rename yours",
            )
    target.check_direction(metric, str(file))
    evaluations = read_evaluations(file)
    texts = [e.architecture for e in evaluations]
    if comparable(target.space.describe()) == there["space"]:
        codes = codes_of(texts, target.space)
    else:
        space = space_of_ledger(there["space"], file)
        codes = carry(space.rows(texts), space, target.space)
    return Measured(name, codes, rewards_of(evaluations, metric))


def space_of_ledger(there: dict[str, Any], file: Path) -> SearchSpace:
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
            raise searched_itself(
                f"{file} with trials of {one.name.partition('/')[2]!r}, which is searched",
                "remove these rows",
            )
    return trials


# ---- agents


def of_boxed(agent: InContextAgent, target: Target) -> Known:
    """What an in-context agent expects of the architectures before any is evaluated.

    Raises:
        SearchError: it cannot read the space, or was trained on the task that is searched.
    """
    table = target.benchmark
    if table is not None and agent.learned & {(table.checksum, task) for task in target.tasks}:
        raise searched_itself(f"the agent {agent.card.name!r}, trained on this very task")
    codes, values = opinion_of(agent, whole_of(target.space))
    if isinstance(target.space, MeasuredSubset):
        codes = carry(codes, whole_of(target.space), target.space)
    known = fitted(agent.card.name, [Measured(agent.card.name, codes, values)], target.problem)
    return Known(
        known.sources, f"what the agent {agent.card.name} expects of {known.said.partition(': ')[2]}"
    )


def of_agent(run: RunDir, target: Target) -> Known:
    """The task that an agent was trained on, and what the agent thinks of its architectures.

    Raises:
        SearchError: it was trained on a space whose slots are others, or on the task that is searched.
        ArchwalkError: it has not finished, or its benchmark is not there.
    """
    spec = run.spec()
    if spec.shaped:
        raise SearchError(
            "an agent whose Q-values are those of its task",
            f"{run.path}, whose values are less a potential (--transfer shaping)",
            "use the run that it began with, or one moved in another way",
        )
    own = load_benchmark(run.benchmark())
    check_same_slots(run, own.space, target.space)
    table = load_table(own)
    if any(target.is_task(table, task) for task in spec.each_task):
        raise searched_itself(f"{run.path}, trained on this very task")
    measured = [
        source
        for task in spec.each_task
        for source in agent_sources(run.path.name, task, load_values(run, table, task), table)
    ]
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
