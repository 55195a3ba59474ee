"""What a user names or gives to ``search``, as what the loop needs.

In: a space, a table, a predicting task or agents, by name, path or as objects; metrics by name. Out: a
``Setting``: the problem, the metrics with their directions, the evaluator, and the ledger's identity.
Everything that can be refused is refused here, before any work. Next: ``verbs`` runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.errors import SearchError, unknown
from archwalk.searching.experience.past import check_same_slots
from archwalk.searching.limits import Limits
from archwalk.searching.open import make_problem
from archwalk.searching.problem import Ints, Problem
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.matching import identical
from archwalk.spaces.registry import open_space, space_names
from archwalk.tasks.base import Predicted
from archwalk.tasks.evaluators import (
    CallableEvaluator,
    CommandEvaluator,
    PredictedEvaluator,
    TableEvaluator,
    make_evaluator,
)
from archwalk.tasks.identity import Identity
from archwalk.tasks.ledger import Evaluator
from archwalk.tasks.metrics import Metric, find_meant, metric_to_search, said_of
from archwalk.tasks.metrics import directions as said_directions
from archwalk.tasks.registry import AnyBenchmark, load_benchmark, load_table
from archwalk.tasks.table import Benchmark
from archwalk.training.rundir import RunDir

Space = str | Path | SearchSpace | Mapping[str, Any] | AnyBenchmark
EvaluatorGiven = str | Callable[..., Any] | Predicted
DEFAULT_METRIC = Metric("acc", "max", "percent")


@dataclass(frozen=True)
class Setting:
    """A search before its first evaluation.

    Attributes:
        problem: what to search, with what agents of exactly these architectures know.
        metric: to improve.
        costs: more metrics to improve.
        evaluator: what turns an architecture into metrics.
        identity: what the ledger is for.
        answering: the table or predicting task that answers the evaluations; None: the user's evaluator does.
        task: the name of what is searched; None: it has none.
        table: the table or predicting task whose architectures are to choose from, if there is one.
        limits: what architectures must keep to.
        required: metrics beside those to improve that an evaluation must have.
    """

    problem: Problem
    metric: Metric
    costs: tuple[Metric, ...]
    evaluator: Evaluator
    identity: Identity
    answering: AnyBenchmark | None = None
    task: str | None = None
    table: AnyBenchmark | None = None
    limits: Limits | None = None
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class Directions:
    """What a user says of metrics by ``--minimise`` and ``--maximise``.

    Attributes:
        minimise: metrics of which less is better.
        maximise: metrics of which more is better.
        asked: those whose direction was asked for so far.
    """

    minimise: Sequence[str] = ()
    maximise: Sequence[str] = ()
    asked: set[str] = field(default_factory=set)

    def __call__(self, name: str, declared: Mapping[str, Metric] | None = None) -> Metric:
        """A metric by name.

        Args:
            name: of the metric.
            declared: what the table and the agents' benchmarks declare.

        Raises:
            ArchwalkError: its direction is said twice, is not the declared one, or is not known.
        """
        self.asked.add(name)
        return metric_to_search(name, said_of(name, said_directions(self.minimise, self.maximise)), declared)

    def check_all_used(self, metrics: Sequence[str | None]) -> None:
        """Raises ``SearchError`` for a direction of a metric that nobody asked for."""
        known = [*(metric for metric in metrics if metric), *self.asked]
        for name in said_directions(self.minimise, self.maximise):
            if find_meant(name, known) is None:
                named = " and ".join(repr(m) for m in metrics)
                raise SearchError(
                    f"directions of the metrics searched, {named}", repr(name), "name one of them"
                )


def make_settings(
    evaluator: EvaluatorGiven | None,
    command: str | None,
    space: Space | None,
    agents: Sequence[RunDir],
    tasks: Sequence[str],
    metric: str | None,
    costs: Sequence[str],
    directions: Directions,
    time_limit: float | None,
    retries: int,
    *,
    jointly: bool = False,
    experience: bool = False,
    known: Mapping[str, Metric] | None = None,
) -> list[Setting]:
    """Check and open everything; see ``verbs.search`` for the arguments.

    Args:
        tasks: to search; none, or several if it is done ``jointly``.
        experience: whether any is named, whose metrics may have directions too.
        known: metrics that are known before training, whatever answers the evaluations.

    Returns:
        A setting a task; one where none is named.

    Raises:
        ArchwalkError: anything that does not fit.
    """
    if isinstance(evaluator, str) and Path(evaluator).suffix == ".task":
        evaluator = open_tasks(evaluator)
    if not agents and space is None and not isinstance(evaluator, Predicted):
        raise SearchError("an agent or a space", "neither", "give --agent RUN or --space NAME")
    where, table = _open(evaluator if space is None and isinstance(evaluator, Predicted) else space, agents)
    alone = evaluator is None and command is None
    if alone and isinstance(table, Predicted):
        evaluator = table
    answering: AnyBenchmark | None = evaluator if isinstance(evaluator, Predicted) else None
    if alone and isinstance(table, Benchmark) and tasks:
        answering = table
    if answering is not None:
        return _answered(answering, where, agents, tasks, metric, costs, directions, experience, known or {})
    if tasks and not jointly:
        raise SearchError(
            "--task with a .task file or a table that answers the evaluations by itself",
            f"--task {tasks[0]}",
            "leave it out, or leave the evaluator out",
        )
    problem, default = _problem(where, table, agents, measured_apart=False)
    default = _default(default, table, agents)
    declared = _declared(table, agents)
    declared = {name: m for name, m in (known or {}).items() if not find_meant(name, declared)} | declared
    bare = metric is not None or default is not DEFAULT_METRIC  # who has said what a bare number would be
    if metric is None:
        declared = {default.name: default} | declared
    if not experience:
        directions.check_all_used((metric or default.name, *costs))
    goal = directions(metric or default.name, declared)
    others = _apart(goal, [directions(cost, declared) for cost in costs])
    if alone and isinstance(table, Benchmark):
        raise SearchError(
            "either --evaluator module:function or --command '...'",
            "neither",
            f"give one of them, or --task {table.tasks[0]}, which {table.name} then answers by itself",
        )
    assert not isinstance(evaluator, Predicted)
    evaluate = make_evaluator(evaluator, command, time_limit, retries, where, tasks[0] if tasks else None)
    name = command or (evaluator if isinstance(evaluator, str) else _name_of(evaluator))
    if not tasks:
        identity = replace(_identity(problem, table, name, goal, others), bare=bare)
        return [Setting(problem, goal, others, evaluate, identity, table=table)]
    assert isinstance(evaluate, CallableEvaluator | CommandEvaluator)
    settings = []
    for task in tasks:
        own = name.replace("{task}", task) if command else f"{name}/{task}"
        identity = replace(_identity(problem, table, own, goal, others), bare=bare)
        mine = replace(evaluate, task=task)
        settings.append(Setting(problem, goal, others, mine, identity, task=task, table=table))
    return settings


def _apart(goal: Metric, costs: Sequence[Metric]) -> tuple[Metric, ...]:
    """Costs. Raises ``SearchError`` for one that is the metric, or that is named twice."""
    names = [goal.name, *(cost.name for cost in costs)]
    for cost in costs:
        if names.count(cost.name) > 1:
            raise SearchError(
                "a cost other than the metric, each once",
                repr(cost.name),
                "name another one, or leave --cost out",
            )
    return tuple(costs)


def _answered(
    answering: AnyBenchmark,
    where: SearchSpace,
    agents: Sequence[RunDir],
    tasks: Sequence[str],
    metric: str | None,
    costs: Sequence[str],
    directions: Directions,
    experience: bool,
    beforehand: Mapping[str, Metric],
) -> list[Setting]:
    """Searches that a predicting task or a table answers, which knows its metrics."""
    if isinstance(answering, Predicted):
        if agents:
            raise SearchError(
                "no --agent with a task that predicts, which has no table to lay beside the agent's",
                ", ".join(str(run.path) for run in agents),
                "leave it out",
            )
        chosen = tasks or [_only_task(answering)]
        settings = [_predicted(answering, where, task, metric, costs, beforehand) for task in chosen]
    else:
        problem, _ = _problem(where, answering, agents, measured_apart=True)
        settings = [_tabled(answering, problem, task, metric, costs, beforehand) for task in tasks]
    searched = {metric.name for setting in settings for metric in setting.identity.metrics}
    for what, names in (("--minimise", directions.minimise), ("--maximise", directions.maximise)):
        known = [name for name in names if name in searched or not experience]
        if known:
            raise SearchError(
                f"no {what} with a task that answers by itself, which knows its metrics",
                ", ".join(known),
                "leave it out",
            )
    return settings


def _only_task(task_of: Predicted) -> str:
    if len(task_of.tasks) != 1:
        raise SearchError(f"one of the tasks {', '.join(task_of.tasks)}", "none", "name it with --task")
    return task_of.tasks[0]


def _tabled(
    table: Benchmark,
    problem: Problem,
    task: str,
    metric: str | None,
    costs: Sequence[str],
    apart: Mapping[str, Metric],
) -> Setting:
    """A search that a table answers: its reward, and what it measured without a split."""
    table.reward(task)  # refuses an unknown task and a reward with gaps
    reward = table.reward_column(task).metric
    known = [reward, *(c.metric for c in sorted(table.columns) if c.task == task and c.split == "none")]
    for name in (metric, *costs):
        if name is not None and name not in known and not (name in costs and name in apart):
            raise SearchError(*unknown(f"metric of {table.name}/{task}", name, known))
    goal = table.metrics[metric or reward]
    others = _apart(goal, [table.metrics[c] if c in known else apart[c] for c in costs])
    identity = _identity(problem, table, f"{table.name}/{task}", goal, others)
    return Setting(problem, goal, others, TableEvaluator(table, task), identity, table, task, table)


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
    problem: Problem,
    table: AnyBenchmark | None,
    evaluator: str | None,
    goal: Metric,
    costs: Sequence[Metric],
) -> Identity:
    names = getattr(problem, "architectures", ())
    return Identity(
        space=problem.space.describe(),
        checksum=table.checksum if table is not None else None,
        evaluator=evaluator,
        metrics=(goal, *costs),
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
    if str(name).partition(":")[0] == "slots":
        return open_space(_slots(str(name)))
    if str(name) in space_names() or Path(name).suffix in (".toml", ".json"):
        return open_space(name)
    return load_benchmark(name)


def _slots(text: str) -> dict[str, Any]:
    """``slots:NAME=CHOICE|CHOICE,NAME=...`` as a declaration. Raises ``SearchError``."""
    slots: dict[str, list[str]] = {}
    for part in text.partition(":")[2].split(","):
        name, _, choices = part.partition("=")
        if not name.strip() or not choices or name.strip() in slots:
            raise SearchError(
                "slots with their choices: 'slots:op=conv|skip,kernel=3|5'",
                repr(text),
                "write them so, in quotes, declare the space in a file (docs/spaces.md), or name a table",
            )
        slots[name.strip()] = [choice.strip() for choice in choices.split("|")]
    return {"name": "own", "slots": slots}


def open_tasks(path: str) -> Predicted:
    """A predicting task from its file. Raises ``BenchmarkError``; ``SearchError`` if it is a table."""
    found = load_benchmark(path)
    if not isinstance(found, Predicted):
        raise SearchError("a task that predicts", path, "give the table with --space")
    return found


def _predicted(
    task_of: Predicted,
    where: SearchSpace,
    task: str,
    metric: str | None,
    costs: Sequence[str],
    apart: Mapping[str, Metric],
) -> Setting:
    """A search that a predicting task answers."""
    if where.describe() != task_of.space.describe():
        raise SearchError(
            f"the space of the task {task_of.name!r}, {task_of.space.name!r}",
            f"the space {where.name!r}",
            "leave --space out",
        )
    goal = predicted_metric(task_of, task, metric)
    others = _apart(goal, [apart[c] if c in apart else predicted_metric(task_of, task, c) for c in costs])
    asked = tuple(m.name for m in (goal, *others) if m.name not in apart)
    problem = make_problem(task_of.space, measured_apart=True)
    identity = _identity(problem, task_of, f"{task_of.name}/{task}", goal, others)
    evaluator = PredictedEvaluator(task_of, task, asked)
    return Setting(problem, goal, others, evaluator, identity, task_of, task, task_of)


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
    where: SearchSpace, table: AnyBenchmark | None, runs: Sequence[RunDir], *, measured_apart: bool
) -> tuple[Problem, Metric]:
    """What to search, and the metric of the first agent's task.

    Raises:
        SearchError: an agent was trained on a space with other slots.
    """
    rows: Ints | None = table.rows if isinstance(table, Benchmark) else None
    metric = DEFAULT_METRIC
    for run in reversed(runs):
        own = load_table(run.benchmark())
        if not identical(own.space.describe(), where.describe()):
            check_same_slots(run, own.space, where)
        metric = own.metrics[own.reward_column(run.spec().each_task[0]).metric]
    return make_problem(where, rows, measured_apart=measured_apart), metric
