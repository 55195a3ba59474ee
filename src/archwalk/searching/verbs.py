"""The verbs ``search`` and ``compare``. The command line calls these.

In: names, paths, options and objects as a user has them. Out: plain results, and a folder that holds
everything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.config import RaySettings, ray_settings
from archwalk.errors import SearchError
from archwalk.files import json_text, write_atomically
from archwalk.searching.comparing import compare as comparing
from archwalk.searching.comparing.comparison import Comparison
from archwalk.searching.experience.known import check_folder, known_beforehand, named_experience
from archwalk.searching.experience.past import CACHE, JOINT, Named
from archwalk.searching.experience.snapshot import Experience
from archwalk.searching.experience.tables import names_for
from archwalk.searching.inputs import Directions, EvaluatorGiven, Setting, Space, make_settings
from archwalk.searching.joint import JointTask, search_jointly
from archwalk.searching.loop import OnEvaluation, best_of, check_fit, rewards_of
from archwalk.searching.loop import search as run_search
from archwalk.searching.optimizer import Method
from archwalk.searching.pareto import pareto_front
from archwalk.searching.registry import DEFAULT, find_method
from archwalk.spaces.registry import space_names
from archwalk.tasks.evaluators import CommandEvaluator
from archwalk.tasks.ledger import Evaluation, Evaluator, Ledger
from archwalk.tasks.metrics import Metric
from archwalk.tasks.registry import AnyBenchmark, load_benchmark
from archwalk.tasks.table import Benchmark
from archwalk.training.rundir import RunDir

RESULT = "result.json"


def search(
    evaluator: EvaluatorGiven | None,
    out: str | Path,
    *,
    command: str | None = None,
    agent: str | Path | Sequence[str | Path] = (),
    experience: Named | Sequence[Named] | None = None,
    space: Space | None = None,
    method: Any = DEFAULT,
    budget: int = 50,
    task: str | None = None,
    tasks: Sequence[str] = (),
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
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Search for the best architecture on a task of one's own. Called again, it goes on.

    Args:
        evaluator: a callable, called in this process; or ``module:function``, importable from the present
            folder and called in a process of its own. It is called with an architecture's string, or with a
            mapping slot → choice if it asks for one (``archwalk.calling``), and returns a mapping of metrics,
            or one number. With ``tasks`` it is called with a task's name, too. A predicting task answers by
            itself, and so does a table given as the space, where no evaluator is.
        out: folder of the ledger and the result.
        command: instead of a function: prints the metrics as JSON on its last line.
        agent: finished runs on other tasks, for methods that know sources.
        experience: what is known of other tasks, for methods that know sources: folders of earlier searches
            or of trained agents, files of trials, benchmarks by name or file (docs/search.md),
            ``Benchmark`` or ``Source`` objects. By default what the package knows of the space, if anything;
            ``"none"``: nothing.
        space: a space, a benchmark whose architectures to choose from, or a predicting task; an object, a
            name, a file, or a declaration as a mapping. The agent's by default.
        method: a name, ``module:function``, a function or a class; see ``registry.find_method``.
        budget: evaluations in all, failures included, at least 1.
        task: of a predicting task with several, or of the table that answers.
        tasks: instead: several, at least two, searched together within one budget, each helping the others.
        metric: to improve; that of the first agent's task by default.
        cost: a second metric; the result then has a Pareto front.
        minimise: those of the two, or of the experience, of which less is better; declared metrics know it.
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
        say: told in a line what is known beforehand.

    Returns:
        ``architecture, value, metric, evaluations, ok, failed, timeout, invalid, seconds, looks`` (the
        evaluations, in order), with a cost ``front``, with experience ``experience`` (a line each).
        ``architecture`` is None if none succeeded. With ``tasks``: ``evaluations, seconds, tasks`` (task →
        the same of each) and perhaps ``experience``.

    Raises:
        ArchwalkError: anything wrong with the options, the agents, the experience, the evaluator or the
            ledger, before the first evaluation; afterwards where the first answer lacks a metric, which asks
            for its name, and where every evaluation fails in the same way. What was evaluated is kept.
    """
    if budget < 1:
        raise SearchError("a budget of at least 1 evaluation", str(budget), "raise --budget")
    chosen = find_method(method)
    where = ray_settings(executor, ray)
    names = _task_names(task, tasks, executor)
    runs, named = named_experience(agent, experience)
    runs = [RunDir(run.path, _tables(space, benchmark)) for run in runs]
    folder = Path(out)
    check_folder(folder, tasks)
    directions = Directions(minimise, maximise)
    settings = make_settings(
        evaluator,
        command,
        space,
        runs,
        names,
        metric,
        cost,
        directions,
        time_limit,
        retries,
        jointly=bool(tasks),
        experience=bool(named),
    )
    known = known_beforehand(settings, folder, runs, named, directions, chosen, bool(tasks))
    settings = [
        replace(s, problem=s.problem.with_experience(known.sources).with_task(s.answering, s.task))
        for s in settings
    ]
    check_fit(chosen, settings[0].problem)
    for line in known.said:
        say(f"known beforehand: {line}")
    if retry_failed:
        for s in settings:
            with opened(s, folder / str(s.task) if tasks else folder, s.evaluator) as ledger:
                ledger.forget_failed()
    if tasks:
        result = _search_tasks(settings, folder, known, chosen, budget, seed, on_evaluation)
    else:
        try:
            result = _search_one(
                settings[0], evaluator, folder, known, chosen, budget, seed, where, on_evaluation
            )
        except SearchError:
            _keep_result(settings[0], folder)
            raise
    if known.said:
        result["experience"] = list(known.said)
    write_atomically(folder / RESULT, json_text(result).encode())
    return result


def _keep_result(setting: Setting, folder: Path) -> None:
    """What a search that was ended by its evaluator had found so far, readable."""
    if not (folder / CACHE).exists():
        return
    with opened(setting, folder, setting.evaluator) as ledger:
        evaluations = ledger.evaluations()
    if evaluations:
        result = _result(evaluations, setting.metric, setting.cost)
        write_atomically(folder / RESULT, json_text(result).encode())


def _task_names(task: str | None, tasks: Sequence[str], executor: str) -> tuple[str, ...]:
    """The tasks to search. Raises ``SearchError`` for several that cannot be searched together."""
    if not tasks:
        return () if task is None else (task,)
    if task is not None or executor != "inline":
        given = "--task" if task is not None else f"--executor {executor}"
        raise SearchError(f"no {given} with --tasks", given, "leave one of them out")
    if len(set(tasks)) < max(2, len(tasks)):
        raise SearchError(
            "two tasks or more, each once", ", ".join(tasks), "correct --tasks, or give one task by --task"
        )
    for name in tasks:
        if not name or set(name) & set("/\\") or name.startswith("."):
            raise SearchError(
                "names of tasks that can be folders",
                repr(name),
                "choose names without '/', not beginning with '.'",
            )
    return tuple(tasks)


def _search_one(
    setting: Setting,
    evaluator: EvaluatorGiven | None,
    folder: Path,
    known: Experience,
    method: Method,
    budget: int,
    seed: int,
    where: RaySettings | None,
    on_evaluation: OnEvaluation | None,
) -> dict[str, Any]:
    """A search of one task, and its result."""

    def spend(evaluate: Evaluator) -> list[Evaluation]:
        with opened(setting, folder, evaluate) as ledger:
            known.keep(folder)
            return run_search(
                setting.problem,
                ledger,
                method,
                setting.metric,
                budget=budget,
                seed=seed,
                cost=setting.cost,
                on_evaluation=on_evaluation,
            )

    if where is None:
        return _result(spend(setting.evaluator), setting.metric, setting.cost)
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
        with opened(setting, folder, elsewhere) as ledger:  # there before many ask for it at once
            known.keep(folder)
            at_once(lambda: spend(elsewhere), elsewhere)
            evaluations = ledger.evaluations()
    return _result(evaluations, setting.metric, setting.cost)


def _search_tasks(
    settings: Sequence[Setting],
    folder: Path,
    known: Experience,
    method: Method,
    budget: int,
    seed: int,
    on_evaluation: OnEvaluation | None,
) -> dict[str, Any]:
    """A search of several tasks, and the result of each."""
    with ExitStack() as stack:
        tasks = [
            JointTask(
                str(s.task),
                s.problem,
                stack.enter_context(opened(s, folder / str(s.task), s.evaluator)),
                s.metric,
                s.cost,
            )
            for s in settings
        ]
        known.keep(folder)
        write_atomically(folder / JOINT, json.dumps([task.name for task in tasks]).encode())
        found = search_jointly(
            tasks,
            method,
            budget=budget,
            seed=seed,
            on_evaluation=None if on_evaluation is None else lambda task, e, n: on_evaluation(e, n),
        )
    results = {}
    for task in tasks:
        results[task.name] = _result(found[task.name], task.metric, task.cost)
        write_atomically(folder / task.name / RESULT, json_text(results[task.name]).encode())
    return {
        "evaluations": sum(r["evaluations"] for r in results.values()),
        "seconds": sum(r["seconds"] for r in results.values()),
        "tasks": results,
    }


def opened(setting: Setting, folder: Path, evaluate: Evaluator) -> closing[Ledger]:
    """The ledger of a search. Raises ``SearchError`` for one of another task, or a damaged one."""
    names = tuple(m.name for m in setting.identity.metrics)
    return closing(Ledger(evaluate, names, setting.identity, folder / CACHE))


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
    target: str | Sequence[str],
    out: str | Path,
    *,
    sources: str | Sequence[str] = (),
    source_evaluations: int | None = None,
    source_sample: str = "search",
    methods: Sequence[Any] = ("random", "local", "evolution", "reinforce", "forest", "gp", "agent"),
    budgets: Sequence[int] = (0, 10, 25, 50, 100),
    seeds: int = 10,
    jobs: int = 1,
    say: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Every method on the same targets, with the same budgets and seeds. Called again, it goes on.

    Args:
        benchmark: a table, by name, file or as an object; or a predicting task.
        target: the task to search; or several, each of which gets a folder in ``out``.
        out: the folder.
        sources: what is known beforehand: tasks of the benchmark, ``FILE:TASK`` of another one over the same
            architectures, or ``rest``, all other tasks of the benchmark. With sources the lines ``gp``,
            ``source-walk`` and, up to 20,000 architectures, ``clairvoyant`` are always there.
        source_evaluations: how many of each source's architectures are known; all by default.
        source_sample: which: those of a ``search`` there, or ``random`` ones.
        methods: names, ``module:function``, functions or classes; see ``registry.find_method``. The line
            ``clairvoyant`` may be named too.
        budgets: numbers of evaluations to report on; 0 is the first suggestion.
        seeds: searches a method.
        jobs: searches at once. If there are several, each is in a worker process with one thread, and
            benchmark and methods must be given by name or file.
        say: told what is done next.

    Returns:
        See ``archwalk.searching.comparing.compare.compare``.

    Raises:
        ArchwalkError: anything that cannot be compared, before any work.
    """
    place = benchmark if isinstance(benchmark, str | Path) else None
    opened = load_benchmark(benchmark)
    targets = (target,) if isinstance(target, str) else tuple(target)
    if not targets or len(set(targets)) < len(targets):
        raise SearchError("targets, each once", ", ".join(targets) or "none", "name each once in --targets")
    given = (sources,) if isinstance(sources, str) else tuple(sources)
    plans = {}
    for one in targets:
        names = given
        if isinstance(opened, Benchmark):
            opened.reward(one)  # refuses an unknown one
            names = names_for(one, opened, given, alone=len(targets) == 1)
        plans["" if isinstance(target, str) else one] = Comparison(
            one, names, tuple(methods), tuple(budgets), seeds, source_evaluations, source_sample
        )
    return comparing.compare(opened, plans, Path(out), say, jobs, place)
