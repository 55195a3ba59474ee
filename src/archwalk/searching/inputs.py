"""What a user names or gives to ``search``, as what the loop needs.

In: a space, a table, a predicting task or agents, by name, path or as objects; metrics by name. Out: a
``Setting``: the problem, the metrics with their directions, the evaluator, and the ledger's identity.
Everything that can be refused is refused here, before any work. Next: ``verbs`` runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.agents.values import QFunction
from archwalk.errors import SearchError
from archwalk.searching.adapt import make_sources
from archwalk.searching.listed import list_problem
from archwalk.searching.open import make_problem
from archwalk.searching.problem import Floats, Ints, Problem
from archwalk.spaces.base import ListedSpace, SearchSpace, listed
from archwalk.spaces.matching import identical, what_differs
from archwalk.spaces.registry import open_space, space_names
from archwalk.tasks.base import Predicted
from archwalk.tasks.evaluators import PredictedEvaluator, make_evaluator
from archwalk.tasks.ledger import Evaluator, Identity
from archwalk.tasks.metrics import Metric, directions, find_meant, metric_to_search, said_of
from archwalk.tasks.registry import AnyBenchmark, load_benchmark, load_table
from archwalk.tasks.table import Benchmark
from archwalk.training.rundir import RunDir
from archwalk.training.runner import load_values

Space = str | Path | SearchSpace | Mapping[str, Any] | AnyBenchmark
EvaluatorGiven = str | Callable[..., Any] | Predicted
DEFAULT_METRIC = Metric("acc", "max", "percent")


@dataclass(frozen=True)
class Setting:
    """A search before its first evaluation.

    Attributes:
        problem: what to search.
        metric: to improve.
        cost: a second metric to improve; None: there is one alone.
        evaluator: what turns an architecture into metrics.
        identity: what the ledger is for.
    """

    problem: Problem
    metric: Metric
    cost: Metric | None
    evaluator: Evaluator
    identity: Identity


def make_setting(
    evaluator: EvaluatorGiven | None,
    command: str | None,
    space: Space | None,
    agents: Sequence[RunDir],
    task: str | None,
    metric: str | None,
    cost: str | None,
    minimise: Sequence[str],
    maximise: Sequence[str],
    time_limit: float | None,
    retries: int,
) -> Setting:
    """Check and open everything; see ``verbs.search`` for the arguments.

    Raises:
        ArchwalkError: anything that does not fit.
    """
    if isinstance(evaluator, str) and Path(evaluator).suffix == ".task":
        evaluator = open_tasks(evaluator)
    if not agents and space is None and not isinstance(evaluator, Predicted):
        raise SearchError("an agent or a space", "neither", "give --agent RUN or --space NAME")
    where, table = _open(evaluator if space is None and isinstance(evaluator, Predicted) else space, agents)
    if isinstance(evaluator, Predicted) or (evaluator is None and command is None):
        if evaluator is None and isinstance(table, Predicted):
            evaluator = table
        if isinstance(evaluator, Predicted):
            for what, given in (("--agent", agents), ("--minimise", minimise), ("--maximise", maximise)):
                if given:
                    raise SearchError(
                        f"no {what} with a task that predicts, which knows its metrics and has no sources",
                        ", ".join(str(getattr(g, "path", g)) for g in given),
                        "leave it out",
                    )
            return _predicted(evaluator, where, task, metric, cost)
    if task is not None:
        raise SearchError(
            "--task with a .task file that answers the evaluations, and nowhere else",
            f"--task {task}",
            "leave it out",
        )
    problem, default = _problem(where, table, agents)
    declared, said = _declared(table, agents), directions(minimise, maximise)
    default = _default(default, table, agents)
    names = [metric or default.name, *([cost] if cost else [])]
    for name in said:
        if find_meant(name, names) is None:
            listed_names = " and ".join(map(repr, names))
            raise SearchError(
                f"directions of the metrics searched, {listed_names}", repr(name), "name one of them"
            )
    if metric is None:
        declared = {default.name: default} | declared
    goal = default
    if metric is not None or said:
        goal = metric_to_search(names[0], said_of(names[0], said), declared)
    second = metric_to_search(cost, said_of(cost, said), declared) if cost else None
    if second is not None and second.name == goal.name:
        raise SearchError("a cost other than the metric", repr(cost), "name another one, or leave --cost out")
    evaluate = make_evaluator(evaluator, command, time_limit, retries, where)
    name = command or (evaluator if isinstance(evaluator, str) else _name_of(evaluator))
    identity = _identity(problem, table, name, goal, second)
    if metric is None and goal is DEFAULT_METRIC:  # nobody has said what a bare number would be
        identity = replace(identity, bare=False)
    return Setting(problem, goal, second, evaluate, identity)


def _declared(table: AnyBenchmark | None, agents: Sequence[RunDir]) -> dict[str, Metric]:
    """What is declared of metrics: by the table, then by the benchmarks of the agents.

    Raises:
        SearchError: they contradict one another.
    """
    declared: dict[str, Metric] = {}
    for benchmark in (table, *(run.benchmark() for run in agents)):
        if benchmark is None:
            continue
        own = (
            benchmark.declared
            if isinstance(benchmark, Benchmark)
            else {metric.name: metric for metric in benchmark.rewards.values()}
        )
        for name, metric in own.items():
            meant = find_meant(name, declared)
            if meant is not None and declared[meant].direction != metric.direction:
                raise SearchError(
                    f"one direction of {name!r} in all benchmarks of the search",
                    f"{metric.better} is better in {benchmark.name!r}, and not elsewhere",
                    "leave one of them out",
                )
            declared.setdefault(meant or name, metric)
    return declared


def _default(default: Metric, table: AnyBenchmark | None, agents: Sequence[RunDir]) -> Metric:
    """The metric where none is named: the agents', else the one that all tasks of a table reward."""
    if agents or not isinstance(table, Benchmark):
        return default
    rewarded = {column.metric for column in table.rewards.values()}
    return table.metrics[min(rewarded)] if len(rewarded) == 1 else default


def _name_of(function: Any) -> str:
    """How the ledger calls a function: by where it was defined."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


def _identity(
    problem: Problem, table: AnyBenchmark | None, evaluator: str, goal: Metric, cost: Metric | None
) -> Identity:
    names = getattr(problem, "architectures", ())
    return Identity(
        space=problem.space.describe(),
        checksum=table.checksum if table is not None else None,
        evaluator=evaluator,
        metrics=(goal,) if cost is None else (goal, cost),
        first=(names[0], len(names)) if names else None,
        architectures=frozenset(names),
    )


def _open(space: Any, agents: Sequence[RunDir]) -> tuple[SearchSpace, AnyBenchmark | None]:
    """The space, and the table or task that was named instead of one."""
    if space is None:
        space = load_table(agents[0].benchmark())
    elif isinstance(space, str | Path):
        space = open_named(space)
    if isinstance(space, Benchmark | Predicted):
        return space.space, space
    return open_space(space), None


def open_named(name: str | Path) -> SearchSpace | AnyBenchmark:
    """A space by name or declaration file, or else a table or task by name or file."""
    if str(name) in space_names() or Path(name).suffix in (".toml", ".json"):
        return open_space(name)
    return load_benchmark(name)


def open_tasks(path: str) -> Predicted:
    """A predicting task from its file. Raises ``BenchmarkError``; ``SearchError`` if it is a table."""
    found = load_benchmark(path)
    if not isinstance(found, Predicted):
        raise SearchError("a task that predicts", path, "give the table with --space")
    return found


def _predicted(
    task_of: Predicted, where: SearchSpace, task: str | None, metric: str | None, cost: str | None
) -> Setting:
    """A search that a predicting task answers."""
    if where.describe() != task_of.space.describe():
        raise SearchError(
            f"the space of the task {task_of.name!r}, {task_of.space.name!r}",
            f"the space {where.name!r}",
            "leave --space out",
        )
    if task is None:
        if len(task_of.tasks) != 1:
            names = ", ".join(task_of.tasks)
            raise SearchError(f"one of the tasks {names}", "none", "name it with --task")
        task = task_of.tasks[0]
    goal = predicted_metric(task_of, task, metric)
    second = predicted_metric(task_of, task, cost) if cost else None
    asked = tuple(m.name for m in (goal, second) if m)
    problem = make_problem(task_of.space, measured_apart=True)
    identity = _identity(problem, task_of, f"{task_of.name}/{task}", goal, second)
    return Setting(problem, goal, second, PredictedEvaluator(task_of, task, asked), identity)


def predicted_metric(task_of: Predicted, task: str, name: str | None) -> Metric:
    """A metric that a predicting task has; the reward's by default.

    Raises:
        BenchmarkError: no such task.
        SearchError: no such metric.
    """
    one = np.zeros((0, len(task_of.space.slot_sizes)), dtype=np.int16)
    task_of.values(task, one, name)  # refuses what is not there
    reward = task_of.rewards[task]
    if name is None or name == reward.name:
        return reward
    for metric in task_of.metrics(task) if hasattr(task_of, "metrics") else ():
        if metric.name == name:
            return metric
    return metric_to_search(name)


def _problem(
    where: SearchSpace, table: AnyBenchmark | None, runs: Sequence[RunDir]
) -> tuple[Problem, Metric]:
    """What to search, with what the agents know; and the metric of the first agent's task."""
    rows: Ints | None = table.rows if isinstance(table, Benchmark) else None
    if not runs:
        return make_problem(where, rows, measured_apart=False), DEFAULT_METRIC
    space: ListedSpace = listed(where)
    rows = np.arange(len(space)) if rows is None else rows
    agents: list[QFunction] = []
    columns: list[Floats] = []
    metric = DEFAULT_METRIC
    for run in reversed(runs):
        spec = run.spec()
        if not identical(spec.space, where.describe()):
            here, there = what_differs(where.describe(), spec.space)
            raise SearchError(
                f"an agent trained on the space {where.name!r}: {here}",
                f"{run.path}, trained on {there}",
                "choose an agent of this space, or leave --space out",
            )
        own = load_table(run.benchmark())
        metric = own.metrics[own.reward_column(spec.task).metric]
        if not np.array_equal(own.rows, rows):
            raise SearchError(
                "agents that know exactly the architectures to choose from",
                f"{run.path}, which knows {len(own.rows):,}, for {len(rows):,}",
                "leave --space out, and name agents of one benchmark",
            )
        agents.append(load_values(run, own))
        columns.append(own.reward(spec.task))
    known = make_sources(agents, columns)
    problem = list_problem(space, rows, False, sources=known.columns, proposal=known.proposal)
    return problem, metric
