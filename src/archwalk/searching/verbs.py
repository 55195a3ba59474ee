"""The verbs ``search`` and ``compare``. The command line calls these.

In: names, paths and options as a user writes them. Out: plain results, and a folder that holds everything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.agents.values import QFunction
from archwalk.config import RaySettings, Settings, load_preset, ray_settings
from archwalk.errors import SearchError
from archwalk.files import write_atomically
from archwalk.searching import compare as comparing
from archwalk.searching.adapt import make_sources
from archwalk.searching.loop import OnLook, best_of, rewards_of
from archwalk.searching.loop import search as run_search
from archwalk.searching.pareto import pareto_front
from archwalk.searching.problem import Floats, Problem, make_problem
from archwalk.searching.registry import check_method
from archwalk.spaces.registry import SPACE_NAMES, make_listed
from archwalk.tasks.evaluators import make_evaluator
from archwalk.tasks.ledger import Evaluations, Evaluator, Look
from archwalk.tasks.metrics import Metric, metric_for
from archwalk.tasks.registry import load_table
from archwalk.tasks.table import Benchmark
from archwalk.training.rundir import RunDir
from archwalk.training.runner import load_values

CACHE, RESULT = "evaluations.sqlite", "result.json"


def search(
    evaluator: str | None,
    out: str | Path,
    *,
    command: str | None = None,
    agent: str | Path | Sequence[str | Path] = (),
    space: str | None = None,
    method: str = "agent",
    budget: int = 50,
    metric: str | None = None,
    cost: str | None = None,
    time_limit: float | None = None,
    retries: int = 0,
    seed: int = 0,
    executor: str = "inline",
    ray: RaySettings | None = None,
    on_look: OnLook | None = None,
) -> dict[str, Any]:
    """Search for the best architecture on a task of one's own. Called again, it goes on.

    Args:
        evaluator: ``module:function``, importable from the present folder; called with an architecture's
            string, returns a dictionary of metrics.
        out: folder of the cache of evaluations and the result.
        command: instead of a function: prints the metrics as JSON on its last line.
        agent: finished runs on other tasks, whose knowledge the method ``agent`` uses.
        space: name of a space, or a benchmark whose architectures to choose from; the agent's by default.
        method: a name in ``METHODS``.
        budget: looks in all, failures included, at least 1.
        metric: to improve; that of the first agent's task by default.
        cost: a second metric; the result then has a Pareto front.
        time_limit: seconds an evaluation; None: no limit.
        retries: tries after a crash or time-out, within one look.
        seed: decides all randomness of the search.
        executor: ``inline``: one look after the other, on this machine; ``ray``: as many at once as a Ray
            cluster has room for, each proposed from the looks that are done by then.
        ray: which cluster, and what an evaluation takes of it; used with ``ray`` alone.
        on_look: called with each new look and the number of looks so far.

    Returns:
        ``architecture, value, metric, evaluations, ok, failed, timeout, invalid, seconds, looks`` and, with
        a cost, ``front``. ``architecture`` is None if no look succeeded.

    Raises:
        ArchwalkError: anything wrong with the options, the agents, the evaluator or the cache, before the
            first evaluation; an evaluator whose metrics lack a name, at once.
    """
    if budget < 1:
        raise SearchError("a budget of at least 1 look", str(budget), "raise --budget")
    check_method(method)
    where = ray_settings(executor, ray)
    runs = [RunDir(p) for p in ([agent] if isinstance(agent, str | Path) else agent)]
    problem, default = _problem(runs, space)
    goal = metric_for(metric) if metric else default
    second = metric_for(cost) if cost else None
    evaluate = make_evaluator(evaluator, command, time_limit, retries)
    names = tuple(m.name for m in (goal, second) if m)
    identity = {
        "space": problem.architectures[0],
        "architectures": len(problem),
        "evaluator": evaluator or command,
        "metrics": list(names),
    }
    folder = Path(out)

    def opened(evaluate: Evaluator) -> closing[Evaluations]:
        return closing(Evaluations(evaluate, names, identity, folder / CACHE))

    def spend(evaluate: Evaluator) -> list[Look]:
        with opened(evaluate) as evaluations:
            return run_search(
                problem, evaluations, method, goal, budget=budget, seed=seed, cost=second, on_look=on_look
            )

    if where is not None:
        from archwalk.execution.cluster import connected
        from archwalk.searching.remote import RayEvaluator, at_once, make_work

        with connected(where):
            elsewhere = RayEvaluator(make_work(evaluator, evaluate), where)
            with opened(elsewhere) as evaluations:  # the file is there before many ask for it at once
                at_once(lambda: spend(elsewhere), elsewhere)
                looks = evaluations.looks()
    else:
        looks = spend(evaluate)
    result = _result(looks, goal, second)
    write_atomically(folder / RESULT, json.dumps(result, indent=2).encode())
    return result


def _problem(runs: Sequence[RunDir], space: str | None) -> tuple[Problem, Metric]:
    """What to search, with what the agents know; and the metric of the first agent's task."""
    if not runs and space is None:
        raise SearchError("an agent or a space", "neither", "give --agent RUN or --space NAME")
    if space is None:
        table: Benchmark | None = load_table(runs[0].benchmark())
    else:
        table = None if space in SPACE_NAMES and space != "slots" else load_table(space)
    where = table.space if table else make_listed(str(space))
    rows = table.rows if table else np.arange(len(where))
    agents: list[QFunction] = []
    columns: list[Floats] = []
    metric = Metric("acc", "max", "percent")
    for run in reversed(runs):
        spec = run.spec()
        if spec.space != where.describe():
            raise SearchError(
                f"an agent trained on the space {where.name!r}",
                f"{run.path}, trained on {spec.space['name']!r}",
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
    if not agents:
        return make_problem(where, rows, measured_apart=False), metric
    known = make_sources(agents, columns)
    problem = make_problem(where, rows, measured_apart=False, sources=known.columns, proposal=known.proposal)
    return problem, metric


def _result(looks: Sequence[Look], goal: Metric, cost: Metric | None) -> dict[str, Any]:
    rewards = rewards_of(looks, goal)
    best = best_of(rewards)
    count = {
        status: sum(k.status == status for k in looks) for status in ("ok", "failed", "timeout", "invalid")
    }
    result: dict[str, Any] = {
        "architecture": None if best is None else looks[best].architecture,
        "value": None if best is None else looks[best].metrics[goal.name],
        "metric": goal.name,
        "evaluations": len(looks),
        **count,
        "seconds": sum(look.seconds for look in looks),
        "looks": [
            {"architecture": k.architecture, "status": k.status, "message": k.message} | k.metrics
            for k in looks
        ],
    }
    if cost is not None:
        front = pareto_front(np.stack([rewards, rewards_of(looks, cost)], 1))
        result["front"] = [k for k, on in zip(result["looks"], front, strict=True) if on]
    return result


def compare(
    benchmark: str | Path,
    target: str,
    out: str | Path,
    *,
    sources: Sequence[str] = (),
    methods: Sequence[str] = ("random", "local", "evolution", "reinforce", "forest", "gp", "agent"),
    budgets: Sequence[int] = (0, 10, 25, 50, 100),
    seeds: int = 10,
    preset: str | Path | Settings = "quick",
    say: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Every method on the same task of a table, with the same budgets and seeds. Called again, it goes on.

    Args:
        benchmark: name or file.
        target: the task to search.
        out: the folder.
        sources: tasks of the benchmark that are known beforehand.
        methods: names in ``METHODS``.
        budgets: numbers of looks to report on; 0 is the first proposal.
        seeds: searches a method.
        preset: of the agent pretrained on the sources.
        say: told what is done next.

    Returns:
        See ``archwalk.searching.compare.compare``.

    Raises:
        ArchwalkError: anything that cannot be compared, before any work.
    """
    settings = preset if isinstance(preset, Settings) else load_preset(preset)
    plan = comparing.Comparison(target, tuple(sources), tuple(methods), tuple(budgets), seeds)
    return comparing.compare(load_table(benchmark), plan, Path(out), settings, say)
