"""The verbs ``search`` and ``compare``. The command line calls these.

In: names, paths, options and objects as a user has them. Out: plain results, and a folder that holds
everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.config import RaySettings, Settings, load_preset, ray_settings
from archwalk.errors import SearchError
from archwalk.files import json_text, write_atomically
from archwalk.searching import compare as comparing
from archwalk.searching.inputs import EvaluatorGiven, Space, make_setting
from archwalk.searching.loop import OnEvaluation, best_of, check_fit, rewards_of
from archwalk.searching.loop import search as run_search
from archwalk.searching.pareto import pareto_front
from archwalk.searching.registry import DEFAULT, find_method
from archwalk.spaces.registry import space_names
from archwalk.tasks.evaluators import CommandEvaluator
from archwalk.tasks.ledger import Evaluation, Evaluator, Ledger
from archwalk.tasks.metrics import Metric
from archwalk.tasks.registry import AnyBenchmark, load_benchmark
from archwalk.tasks.table import Benchmark
from archwalk.training.rundir import RunDir

CACHE, RESULT = "evaluations.sqlite", "result.json"


def search(
    evaluator: EvaluatorGiven | None,
    out: str | Path,
    *,
    command: str | None = None,
    agent: str | Path | Sequence[str | Path] = (),
    space: Space | None = None,
    method: Any = DEFAULT,
    budget: int = 50,
    task: str | None = None,
    metric: str | None = None,
    cost: str | None = None,
    minimise: Sequence[str] = (),
    maximise: Sequence[str] = (),
    time_limit: float | None = None,
    retries: int = 0,
    seed: int = 0,
    executor: str = "inline",
    ray: RaySettings | None = None,
    benchmark: str | Path | AnyBenchmark | None = None,
    retry_failed: bool = False,
    on_evaluation: OnEvaluation | None = None,
) -> dict[str, Any]:
    """Search for the best architecture on a task of one's own. Called again, it goes on.

    Args:
        evaluator: a callable, called in this process; or ``module:function``, importable from the present
            folder and called in a process of its own. It is called with an architecture's string, or with a
            mapping slot → choice if it asks for one (``archwalk.calling``), and returns a mapping of metrics,
            or one number. A predicting task answers by itself.
        out: folder of the ledger and the result.
        command: instead of a function: prints the metrics as JSON on its last line.
        agent: finished runs on other tasks, for methods that know sources.
        space: a space, a benchmark whose architectures to choose from, or a predicting task; an object, a
            name, a file, or a declaration as a mapping. The agent's by default.
        method: a name, ``module:function``, a function or a class; see ``registry.find_method``.
        budget: evaluations in all, failures included, at least 1.
        task: of a predicting task with several.
        metric: to improve; that of the first agent's task by default.
        cost: a second metric; the result then has a Pareto front.
        minimise: those of the two of which less is better; declared metrics know it.
        maximise: those of which more is better, where the name suggests otherwise.
        time_limit: seconds an evaluation; None: no limit.
        retries: tries after a crash or time-out, within one evaluation.
        seed: decides all randomness of the search.
        executor: ``inline``: one evaluation after the other, on this machine; ``ray``: as many at once as a
            Ray cluster has room for, each suggested from those that are done by then.
        ray: which cluster, and what an evaluation takes of it; used with ``ray`` alone.
        benchmark: where the agents' benchmark is now, if it is no longer where they found it.
        retry_failed: forget the evaluations that failed, so that they can be made again.
        on_evaluation: called with each new evaluation and the number of them so far.

    Returns:
        ``architecture, value, metric, evaluations, ok, failed, timeout, invalid, seconds, looks`` (the
        evaluations, in order) and, with a cost, ``front``. ``architecture`` is None if none succeeded.

    Raises:
        ArchwalkError: anything wrong with the options, the agents, the evaluator or the ledger, before the
            first evaluation; afterwards where the first answer lacks a metric, which asks for its name, and
            where every evaluation fails in the same way. What was evaluated is kept.
    """
    if budget < 1:
        raise SearchError("a budget of at least 1 evaluation", str(budget), "raise --budget")
    chosen = find_method(method)
    where = ray_settings(executor, ray)
    paths = [agent] if isinstance(agent, str | Path) else agent
    runs = [RunDir(path, _tables(space, benchmark)) for path in paths]
    setting = make_setting(
        evaluator, command, space, runs, task, metric, cost, minimise, maximise, time_limit, retries
    )
    check_fit(chosen, setting.problem)
    names = tuple(m.name for m in setting.identity.metrics)
    folder = Path(out)

    def opened(evaluate: Evaluator) -> closing[Ledger]:
        return closing(Ledger(evaluate, names, setting.identity, folder / CACHE))

    if retry_failed:
        with opened(setting.evaluator) as ledger:
            ledger.forget_failed()

    def spend(evaluate: Evaluator) -> list[Evaluation]:
        with opened(evaluate) as ledger:
            return run_search(
                setting.problem,
                ledger,
                chosen,
                setting.metric,
                budget=budget,
                seed=seed,
                cost=setting.cost,
                on_evaluation=on_evaluation,
            )

    try:
        if where is not None:
            from archwalk.execution.cluster import connected
            from archwalk.searching.remote import RayEvaluator, at_once, make_work

            if not isinstance(setting.evaluator, CommandEvaluator) or setting.evaluator.choices is not None:
                raise SearchError(
                    "a command, or module:function that takes an architecture's string, for --executor ray",
                    "an evaluator that lives in this process or asks for a mapping",
                    "leave --executor out, or put the function into a module",
                )
            with connected(where):
                function = evaluator if isinstance(evaluator, str) else None
                elsewhere = RayEvaluator(make_work(function, setting.evaluator), where)
                with opened(elsewhere) as ledger:  # the file is there before many ask for it at once
                    at_once(lambda: spend(elsewhere), elsewhere)
                    evaluations = ledger.evaluations()
        else:
            evaluations = spend(setting.evaluator)
    except SearchError:
        if not (folder / CACHE).exists():
            raise
        with opened(setting.evaluator) as ledger:
            so_far = ledger.evaluations()
        if so_far:  # what was found stays readable
            write_atomically(
                folder / RESULT, json_text(_result(so_far, setting.metric, setting.cost)).encode()
            )
        raise
    result = _result(evaluations, setting.metric, setting.cost)
    write_atomically(folder / RESULT, json_text(result).encode())
    return result


def _tables(space: Any, benchmark: str | Path | AnyBenchmark | None) -> list[str | Path | AnyBenchmark]:
    """Where the agents' benchmarks may be now."""
    found = [] if benchmark is None else [benchmark]
    is_table = isinstance(space, Benchmark) or (
        isinstance(space, str | Path)
        and Path(space).suffix not in (".toml", ".json")
        and str(space) not in space_names()
    )
    return [*found, *([space] if is_table else [])]


def _result(evaluations: Sequence[Evaluation], goal: Metric, cost: Metric | None) -> dict[str, Any]:
    rewards = rewards_of(evaluations, goal)
    best = best_of(rewards)
    count = {
        status: sum(e.status == status for e in evaluations)
        for status in ("ok", "failed", "timeout", "invalid")
    }
    result: dict[str, Any] = {
        "architecture": None if best is None else evaluations[best].architecture,
        "value": None if best is None else evaluations[best].metrics[goal.name],
        "metric": goal.name,
        "evaluations": len(evaluations),
        **count,
        "seconds": sum(e.seconds for e in evaluations),
        "looks": [
            {"architecture": e.architecture, "status": e.status, "message": e.message} | e.metrics
            for e in evaluations
        ],
    }
    if cost is not None:
        front = pareto_front(np.stack([rewards, rewards_of(evaluations, cost)], 1))
        result["front"] = [e for e, on in zip(result["looks"], front, strict=True) if on]
    return result


def compare(
    benchmark: str | Path | AnyBenchmark,
    target: str,
    out: str | Path,
    *,
    sources: Sequence[str] = (),
    methods: Sequence[Any] = ("random", "local", "evolution", "reinforce", "forest", "gp", "agent"),
    budgets: Sequence[int] = (0, 10, 25, 50, 100),
    seeds: int = 10,
    preset: str | Path | Settings = "quick",
    jobs: int = 1,
    say: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Every method on the same task, with the same budgets and seeds. Called again, it goes on.

    Args:
        benchmark: a table, by name, file or as an object; or a predicting task.
        target: the task to search.
        out: the folder.
        sources: tasks of the benchmark that are known beforehand.
        methods: names, ``module:function``, functions or classes; see ``registry.find_method``.
        budgets: numbers of evaluations to report on; 0 is the first suggestion.
        seeds: searches a method.
        preset: of the agent pretrained on the sources.
        jobs: searches at once. If there are several, each is in a worker process with one thread, and
            benchmark and methods must be given by name or file.
        say: told what is done next.

    Returns:
        See ``archwalk.searching.compare.compare``.

    Raises:
        ArchwalkError: anything that cannot be compared, before any work.
    """
    settings = preset if isinstance(preset, Settings) else load_preset(preset)
    plan = comparing.Comparison(target, tuple(sources), tuple(methods), tuple(budgets), seeds)
    place = benchmark if isinstance(benchmark, str | Path) else None
    return comparing.compare(load_benchmark(benchmark), plan, Path(out), settings, say, jobs, place)
