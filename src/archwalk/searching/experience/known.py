"""What a search knows before its first evaluation: what the user named, or what the package knows.

In: the settings of a search, agents, experience as named. Out: an ``Experience``, read once and kept in the
search's folder. Next: ``verbs`` gives it to the problem.

A search over the cells of TransNAS-Bench-101 that is told nothing begins with the embedded benchmark
``digits``: seven small tasks over the same cells.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from archwalk.errors import SearchError
from archwalk.searching.experience.columns import of_benchmark
from archwalk.searching.experience.fitting import Known, Target
from archwalk.searching.experience.past import CACHE, JOINT, Named, gather, of_agent
from archwalk.searching.experience.snapshot import Experience, checksum, settle
from archwalk.searching.experience.source import Source
from archwalk.searching.incontext.box import is_agent
from archwalk.searching.inputs import Directions, Setting
from archwalk.searching.optimizer import Method
from archwalk.spaces.correspondence import whole_of
from archwalk.tasks.ledger import read_evaluations
from archwalk.tasks.registry import load_table
from archwalk.tasks.table import Benchmark
from archwalk.training.rundir import SETTINGS, RunDir

NONE = "none"
EMBEDDED = {"transnas-micro": "digits", "digits-micro": "digits"}  # space → the benchmark that knows of it


def named_experience(
    agents: str | Path | Sequence[str | Path], given: Named | Sequence[Named] | None
) -> tuple[list[RunDir], tuple[Named, ...] | None]:
    """Agents and other experience as a user gives them, the folders of agents sorted out.

    Returns:
        The agents; the rest, which is None where nothing at all is named, empty where there is to be none.

    Raises:
        SearchError: ``none`` beside something, or the same twice.
    """
    named_agents = [agents] if isinstance(agents, str | Path) else list(agents)
    if NONE in map(str, named_agents) and len(named_agents) > 1:
        raise SearchError("either agents or none", ", ".join(map(str, named_agents)), "leave 'none' out")
    runs = [RunDir(p) for p in named_agents if not is_agent(p) and str(p) != NONE]
    files = [p for p in named_agents if is_agent(p)]
    if files:
        given = [*files, *([] if given is None else [given] if isinstance(given, Named) else given)]
    if given is None or (isinstance(given, list | tuple) and not given):
        return runs, () if runs else None
    named = (given,) if isinstance(given, str | Path | Source | Benchmark) else tuple(given)
    if NONE in [str(one) for one in named if isinstance(one, str | Path)]:
        if len(named) > 1:
            got = ", ".join(map(_text, named))
            raise SearchError(
                "either experience or none", got, "leave '--experience none' out, or the others"
            )
        return runs, ()
    runs += [RunDir(one) for one in named if isinstance(one, str | Path) and _is_agent(one)]
    rest = tuple(one for one in named if not (isinstance(one, str | Path) and _is_agent(one)))
    texts = [*(str(run.path) for run in runs), *map(_text, rest)]
    for text in texts:
        if texts.count(text) > 1:
            raise SearchError("each --experience once", f"{text} twice", "leave one of them out")
    return runs, rest


def _is_agent(place: str | Path) -> bool:
    return (Path(place) / SETTINGS).exists()


def _text(one: Named) -> str:
    """How a folder knows what was named."""
    if isinstance(one, Source):
        return f"{one.name} ({checksum(one)[:12]})"
    return f"{one.name} ({one.checksum[:12]})" if isinstance(one, Benchmark) else str(one)


def check_folder(folder: Path, tasks: Sequence[str]) -> None:
    """Refuse a folder of another kind of search.

    Raises:
        SearchError: one task is searched where several were, or the other way round, or other tasks.
    """
    there = None
    if (folder / JOINT).exists():
        try:
            there = json.loads((folder / JOINT).read_bytes())
        except ValueError as error:
            raise SearchError(f"an intact {folder / JOINT}", str(error), "choose another --out") from error
    elif (folder / CACHE).exists():
        there = []
    if there is not None and list(there) != list(tasks):
        shown = [f"--tasks {','.join(t)}" if t else "one task" for t in (there, tasks)]
        raise SearchError(
            f"the search that {folder} was made for, of {shown[0]}", shown[1], "choose another --out"
        )


def known_beforehand(
    settings: Sequence[Setting],
    folder: Path,
    runs: Sequence[RunDir],
    named: Sequence[Named] | None,
    directions: Directions,
    method: Method,
    jointly: bool,
) -> Experience:
    """What is known, from the folder where the search has begun, else read.

    Args:
        settings: of the search, one a task.
        folder: of the search.
        runs: agents.
        named: see ``named_experience``.
        directions: what the user says of metrics.
        method: what comes with the package is for methods that know sources.
        jointly: whether the folder has a folder a task.

    Raises:
        ArchwalkError: see ``past.gather`` and ``snapshot.settle``.
    """
    first = settings[0]
    goals = {s.metric.name: s.metric for s in settings}
    target = Target(
        first.problem,
        tuple(goals.values()),
        tuple(s.identity for s in settings),
        first.answering,
        tuple(s.task for s in settings if s.task is not None),
        lambda name: goals.get(name) or directions(name),
    )
    places = [folder / (str(s.task) if jointly else "") / CACHE for s in settings]
    begun = any(place.exists() and read_evaluations(place) for place in places)
    given = None if named is None else [*(str(r.path) for r in runs), *map(_text, named or ())]

    def read() -> list[Known]:
        if given is None:
            return embedded(target, method)
        known = [of_agent(run, target) for run in runs] + gather(named or (), target)
        if named:
            directions.check_all_used([first.metric.name, *(cost.name for cost in first.costs)])
        return known

    # A folder made before agents were kept in it may go on with them.
    return settle(folder, given, begun and not (runs and not named), read)


def embedded(target: Target, method: Method) -> list[Known]:
    """What comes with the package; nothing where what is searched might be a task of it."""
    space = whole_of(target.space)
    if not method.knows_sources or space.describe() not in [{"name": name} for name in EMBEDDED]:
        return []
    benchmark = load_table(EMBEDDED[space.name])
    mine = target.benchmark is not None and target.benchmark.checksum == benchmark.checksum
    if space.name == benchmark.space.name and not mine:
        return []
    tasks = [task for task in benchmark.tasks if not (mine and task in target.tasks)]
    try:
        known = of_benchmark(benchmark, tasks, target)
    except SearchError:  # too few of its architectures are to choose from
        return []
    return [Known(known.sources, f"{known.said} (embedded; --experience none begins without)")]
