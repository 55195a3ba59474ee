"""The verbs ``search`` and ``compare``. The command line calls these.

In: names, paths, options and objects as a user has them. Out: plain results, and a folder that holds
everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from archwalk.config import ExecutorName, RaySettings, ray_settings
from archwalk.errors import SearchError
from archwalk.results import ComparisonRow, SearchResult
from archwalk.searching.asktell import check_fit
from archwalk.searching.experience.known import (
    EMBEDDED,
    NONE,
    check_folder,
    known_beforehand,
    named_experience,
)
from archwalk.searching.experience.past import CACHE, Named
from archwalk.searching.experience.snapshot import Experience
from archwalk.searching.experience.tables import SampleName, names_for
from archwalk.searching.incontext.agent import InContextAgent
from archwalk.searching.incontext.box import agent_for, is_agent, open_agent
from archwalk.searching.inputs import Directions, EvaluatorGiven, Setting, Space, make_settings
from archwalk.searching.limiting import Known, Sizes, check_limits, known_metrics, limited
from archwalk.searching.logs import check_log
from archwalk.searching.loop import OnEvaluation
from archwalk.searching.methods import in_context
from archwalk.searching.optimizer import Method
from archwalk.searching.registry import DEFAULT, find_method, is_default
from archwalk.searching.running import SearchRun
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.correspondence import whole_of
from archwalk.spaces.registry import space_names
from archwalk.tasks.registry import AnyBenchmark, load_benchmark
from archwalk.tasks.table import Benchmark
from archwalk.training.rundir import RunDir

__all__ = [
    "compare",
    "search",
]


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
    cost: str | Sequence[str] | None = None,
    limits: str | Sequence[str] = (),
    known: Known = (),
    sizes: Sizes | None = None,
    minimise: Sequence[str] = (),
    maximise: Sequence[str] = (),
    time_limit: float | None = None,
    retries: int = 0,
    seed: int = 0,
    jobs: int = 1,
    log: str | None = None,
    executor: ExecutorName = "inline",
    ray: RaySettings | None = None,
    benchmark: str | Path | AnyBenchmark | None = None,
    retry_failed: bool = False,
    on_suggest: Callable[[str, int], None] | None = None,
    on_evaluation: OnEvaluation | None = None,
    on_end: Callable[[dict[str, Any]], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> SearchResult:
    """Search for the best architecture on a task of one's own. Called again, it goes on.

    Args:
        evaluator: a callable, called in this process; or ``module:function``, importable from the present
            folder and called in a process of its own. It is called with an architecture's string, or with a
            mapping slot → choice if it asks for one (``archwalk.calling``), and returns a mapping of metrics,
            or one number. With ``tasks`` it is called with a task's name, too. A predicting task answers by
            itself, and so does a table given as the space, where no evaluator is.
        out: folder of the ledger and the result.
        command: instead of a function: prints the metrics as JSON on its last line.
        agent: finished runs on other tasks, for methods that know sources; agents of ``archwalk agents``
            (``box:NAME``, or a file), for these and for the method ``in-context``; ``"none"``: not even one
            that comes with the package.
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
        jobs: evaluations at once on this machine, each suggested from those that are done by then. A callable
            is called in as many threads.
        log: ``tensorboard``: event files in ``out``/tensorboard.
        executor: ``inline``: one evaluation after the other, on this machine; ``ray``: as many at once as a
            Ray cluster has room for, each suggested from those that are done by then.
        ray: which cluster, and what an evaluation takes of it; used with ``ray`` alone.
        benchmark: where the agents' benchmark is now, if it is no longer where they found it.
        retry_failed: forget the evaluations that failed, so that they can be made again.
        on_suggest: called with each suggestion before it is evaluated, and the number of evaluations so far.
        on_evaluation: called with each new evaluation and the number of them so far; never twice at once.
        on_end: called with the result.
        say: told in a line what is known beforehand.

    Returns:
        ``architecture, value, metric, evaluations, ok, failed, timeout, invalid, seconds, budget, finished,
        looks`` (the evaluations, in order), with a cost ``front``, with limits ``limits, infeasible``
        (evaluations that break one), with experience ``experience`` (a line each). ``architecture`` is None
        if none succeeded and keeps to the limits. With ``tasks``: ``evaluations, seconds, budget, finished,
        tasks`` (task → the same of each) and perhaps ``experience``. ``out/result.json`` has the same while
        the search is under way; ``finished`` says whether it is.

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
    check_log(log)
    runs, named = named_experience(agent, experience)
    chosen, named, helper = _asking(chosen, method == DEFAULT and not runs, named)
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
        (cost,) if isinstance(cost, str) else tuple(cost or ()),
        directions,
        time_limit,
        retries,
        jointly=bool(tasks),
        experience=bool(named),
        known=known_metrics(known),
    )
    _check_jobs(jobs, settings, executor, bool(tasks))
    texts = (limits,) if isinstance(limits, str) else tuple(limits)
    settings = [limited(s, texts, known, sizes or Sizes()) for s in settings]
    places = [folder / str(s.task) if tasks else folder for s in settings]
    shares = [check_limits(s, place / CACHE) for s, place in zip(settings, places, strict=True)]
    told = known_beforehand(settings, folder, runs, named, directions, chosen, bool(tasks))
    if method == DEFAULT and named is None and not told.sources and not _is_none(agent):
        helper = _from_the_box(settings[0].problem.space)
    if helper is not None:
        chosen = in_context.first_with(helper)
    settings = [
        replace(s, problem=s.problem.with_experience(told.sources).with_task(s.answering, s.task))
        for s in settings
    ]
    answering = settings[0].answering
    check_fit(chosen, settings[0].problem, answering.checksum if answering else "", names)
    for line in [*told.said, *([] if tasks or helper else unhelped(method, told))]:
        say(f"known beforehand: {line}")
    if helper is not None:
        say(
            f"known beforehand: nothing but the agent {helper.card.name}, which suggests the first "
            f"{in_context.HANDED_OVER} evaluations, gp the others (--agent none begins without)"
        )
    for line in dict.fromkeys(line for s in settings for line in (s.limits.said() if s.limits else ())):
        say(f"limit: {line}")
    for line in dict.fromkeys(filter(None, shares)):
        say(line)
    run = SearchRun(settings, places, folder, told, budget, jobs, bool(tasks), on_suggest, on_evaluation, log)
    if retry_failed:
        run.forget_failed()
    try:
        if tasks:
            run.jointly(chosen, seed)
        else:
            run.alone(chosen, seed, where, evaluator)
    except BaseException:
        if run.begun:
            run.keep(finished=False)
        raise
    finally:
        run.close()
    result = run.keep(finished=True)
    if on_end:
        on_end(result)
    return SearchResult(result)


def _is_none(agent: str | Path | Sequence[str | Path]) -> bool:
    """Whether a user wants no agent, not even one that comes with the package."""
    return NONE in ([str(agent)] if isinstance(agent, str | Path) else map(str, agent))


def _asking(
    chosen: Method, helped: bool, named: tuple[Named, ...] | None
) -> tuple[Method, tuple[Named, ...] | None, InContextAgent | None]:
    """An in-context agent among what is named, where it is to be asked rather than to be a source.

    Args:
        chosen: the method; ``in-context`` asks the agent.
        helped: whether it is the default, which asks an agent first if nothing else is named.
        named: see ``named_experience``.

    Returns:
        The method, the rest of what is named, and the agent that the default asks first.
    """
    files = [str(one) for one in named or () if isinstance(one, str | Path) and is_agent(one)]
    if named and files and chosen.name == in_context.NAME:
        return in_context.with_agent(files[0]), tuple(one for one in named if str(one) != files[0]), None
    if named and files and helped and len(named) == 1:
        return chosen, (), open_agent(files[0])
    return chosen, named, None


def _from_the_box(space: SearchSpace) -> InContextAgent | None:
    """The agent that comes with the package, for a space of whose operations it has learned something, and
    which is none of a table that comes with the package: a search there may be of a task that it knows."""
    helper = None if whole_of(space).name in EMBEDDED else agent_for(space)
    return helper if helper is not None and helper.has_an_opinion(space) else None


def unhelped(given: Any, known: Experience) -> list[str]:
    """What to say where the default method, which takes experience, has none: it then is ``gp``."""
    if isinstance(given, str) and is_default(given) and not known.sources:
        return [f"nothing, so {given} searches as gp does; --experience names what is known of other tasks"]
    return []


def _check_jobs(jobs: int, settings: Sequence[Setting], executor: str, jointly: bool) -> None:
    """Raises ``SearchError`` for a number of jobs that cannot be, or that makes no sense."""
    if jobs < 1:
        raise SearchError("at least one job", str(jobs), "correct --jobs")
    if jobs == 1:
        return
    got = (
        "--executor ray" if executor != "inline" else "--tasks" if jointly
        else "a table or task that answers at once" if settings[0].answering is not None else ""
    )  # fmt: skip
    if got:
        raise SearchError("no --jobs with that", got, "leave --jobs out")


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


def _tables(space: Any, benchmark: str | Path | AnyBenchmark | None) -> list[str | Path | AnyBenchmark]:
    """Where the agents' benchmarks may be now."""
    found = [] if benchmark is None else [benchmark]
    is_table = isinstance(space, Benchmark) or (
        isinstance(space, str | Path)
        and Path(space).suffix not in (".toml", ".json")
        and str(space) not in space_names()
    )
    return [*found, *([space] if is_table else [])]


def compare(
    benchmark: str | Path | AnyBenchmark,
    target: str | Sequence[str],
    out: str | Path,
    *,
    sources: str | Sequence[str] = (),
    source_evaluations: int | None = None,
    source_sample: SampleName = "search",
    methods: Sequence[Any] = ("random", "local", "evolution", "reinforce", "forest", "gp", "agent"),
    budgets: Sequence[int] = (0, 10, 25, 50, 100),
    seeds: int = 10,
    jobs: int = 1,
    say: Callable[[str], None] = lambda text: None,
) -> list[ComparisonRow]:
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

    from archwalk.searching.comparing import compare as comparing  # its statistics are no search's
    from archwalk.searching.comparing.comparison import Comparison

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
    return [ComparisonRow(row) for row in comparing.compare(opened, plans, Path(out), say, jobs, place)]
