"""``compare``: every method on the same task, with the same budgets and seeds.

In: a table or a predicting task, a target, its sources. Out: a folder, resumable by method and seed:

    compare.json          what is compared; a folder made for anything else is refused
    agent/                the agent pretrained on the sources, where a method wants it
    reference.json        of a predicting task: what random architectures and the best known are worth
    zero-shot.json        rank of the proposal before any evaluation, of the median, of each source's best
    runs/METHOD-SEED.csv  the evaluations of one search, in order
    curves.csv            best rank and regret after every evaluation, for all of them
    summary.csv           what ``compare`` returns

Next: ``verbs``, and the report's curves.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from archwalk.config import Settings, parse_settings
from archwalk.errors import SearchError
from archwalk.execution.executor import Say, Work, run
from archwalk.execution.processes import Processes
from archwalk.files import write_atomically
from archwalk.searching.experience import Source
from archwalk.searching.inputs import predicted_metric
from archwalk.searching.judge import OpenJudge, TableJudge, make_judge
from archwalk.searching.loop import check_fit, rewards_of, search
from archwalk.searching.open import make_problem
from archwalk.searching.optimizer import Method
from archwalk.searching.problem import Problem
from archwalk.searching.registry import find_method
from archwalk.spaces.base import listed
from archwalk.tasks.ledger import Evaluation, Ledger
from archwalk.tasks.registry import AnyBenchmark, load_benchmark
from archwalk.tasks.table import Benchmark
from archwalk.training.evaluation import bootstrap_mean_ci95

TYPES = {"best_rank": pl.Int64}  # which are all missing in an open space
MADE, CURVES, SUMMARY = "compare.json", "curves.csv", "summary.csv"


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        target: the task searched.
        sources: tasks known beforehand; may be empty.
        methods: names or what ``registry.find_method`` takes.
        budgets: numbers of evaluations to report, 0 is the suggestion before any.
        seeds: seeds 0 to seeds - 1.
    """

    target: str
    sources: tuple[str, ...]
    methods: tuple[Any, ...]
    budgets: tuple[int, ...]
    seeds: int

    @cached_property
    def chosen(self) -> dict[str, Method]:
        """The methods by the names in results. Raises ``SearchError`` for one that is not there."""
        found = [find_method(method) for method in self.methods]
        names = [g if isinstance(g, str) else m.name for g, m in zip(self.methods, found, strict=True)]
        if len(set(names)) < len(names):
            raise SearchError("each method once", ", ".join(names), "give functions different names")
        return dict(zip(names, found, strict=True))

    def plain(self) -> dict[str, Any]:
        """As JSON, methods by name."""
        return asdict(replace(self, methods=())) | {"methods": list(self.chosen)}

    def check(self, benchmark: AnyBenchmark) -> None:
        """Raises ``ArchwalkError`` for anything that cannot be compared, before any work."""
        if isinstance(benchmark, Benchmark):
            for task in (self.target, *self.sources):
                benchmark.reward(task)
        else:
            predicted_metric(benchmark, self.target, None)
            if self.sources:
                raise SearchError(
                    "no sources on a task whose space cannot be listed",
                    ", ".join(self.sources),
                    "leave --sources out",
                )
        _ = self.chosen
        if self.target in self.sources:
            raise SearchError("sources other than the target", self.target, "leave it out of --sources")
        if not self.methods or not self.budgets or min(self.budgets) < 0 or max(self.budgets) < 1:
            got = f"methods {list(self.methods)}, budgets {list(self.budgets)}"
            raise SearchError("at least one method and a budget of at least 1", got, "add one")
        if self.seeds < 1:
            raise SearchError("at least one seed", str(self.seeds), "raise --seeds")


def compare(
    benchmark: AnyBenchmark,
    plan: Comparison,
    out: Path,
    settings: Settings,
    say: Callable[[str], None] = lambda text: None,
    jobs: int = 1,
    place: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Run what is missing, then sum up.

    Args:
        benchmark: the table or the predicting task.
        plan: what to compare.
        out: the folder.
        settings: of the pretrained agent.
        say: told what is done next.
        jobs: searches at once; more than one are in that many worker processes, one thread each.
        place: name or file of the benchmark, by which worker processes open it.

    Returns:
        One object a method and budget: ``method, budget, rank_mean, rank_std, rank_ci95, regret_mean,
        evaluations, seconds, target, protocol``; on a predicting task the ranks are None, and ``score_mean,
        score_std, score_ci95, reference`` come with them. docs/search.md explains each.

    Raises:
        ArchwalkError: bad plan, a folder of another comparison, or objects that worker processes cannot open.
    """
    plan.check(benchmark)
    workers: Processes[tuple[str, int]] = Processes(out, jobs)
    if jobs > 1 and (place is None or not all(isinstance(method, str) for method in plan.methods)):
        remedy = "give names, files or 'module:function', or one job"
        raise SearchError("a benchmark and methods that other processes can open", "objects", remedy)
    informed = blind = _blind(benchmark)
    for method in plan.chosen.values():
        check_fit(method, blind)
    _claim(out, benchmark, plan, settings)
    judge = make_judge(benchmark, plan.target, out)
    if (
        isinstance(benchmark, Benchmark)
        and plan.sources
        and any(m.knows_sources for m in plan.chosen.values())
    ):
        informed = _informed(benchmark, plan, out, settings)
    length = min(max(plan.budgets), judge.size or math.inf)
    files = {(name, seed): _file(out, name, seed) for name in plan.chosen for seed in range(plan.seeds)}
    missing = [one for one, file in files.items() if not file.exists() or len(_read(file)) < length]
    if jobs > 1:
        works = {one: Work(f"{__name__}:search_once", (str(place), *one)) for one in missing}
        with workers:
            for event in run(workers, works):
                if event.kind == "said":
                    say(event.value)
    else:
        for name, seed in missing:
            say(f"{name}, seed {seed}")
            problem = informed if plan.chosen[name].knows_sources else blind
            _search(benchmark, judge, problem, plan, out, name, seed)
    curves = [_read(file) for file in files.values()]
    table = pl.concat(curves)
    _write(table, out / CURVES)
    summary = [summarise(table, method, budget) for method in plan.chosen for budget in plan.budgets]
    if isinstance(judge, OpenJudge):
        for row in summary:
            row["reference"] = asdict(judge.reference)
    left_out = ("rank_ci95", "score_ci95", "reference")
    flat = [{k: v for k, v in row.items() if k not in left_out} for row in summary]
    _write(pl.DataFrame(flat), out / SUMMARY)
    named = {"target": plan.target, "protocol": getattr(benchmark, "protocol", "")}
    return [row | named for row in summary]


def _blind(benchmark: AnyBenchmark) -> Problem:
    """The problem without what sources know."""
    rows = benchmark.rows if isinstance(benchmark, Benchmark) else None
    return make_problem(benchmark.space, rows, measured_apart=True)


def search_once(root: Path, say: Say, place: str, name: str, seed: int) -> None:
    """One search of a comparison, for an executor; a function of the folder, the method and the seed.

    Args:
        root: the folder, claimed, with the pretrained agent if there are sources.
        say: told what is done.
        place: name or file of the benchmark.
        name: of the method.
        seed: of the search.
    """
    say(f"{name}, seed {seed}", ())
    benchmark, plan, judge = _opened(root, place)
    problem = _problem(root, place, plan.chosen[name].knows_sources)
    _search(benchmark, judge, problem, plan, root, name, seed)


@cache
def _opened(root: Path, place: str) -> tuple[AnyBenchmark, Comparison, TableJudge | OpenJudge]:
    """A comparison as its folder says, once a process."""
    benchmark, values = load_benchmark(place), json.loads((root / MADE).read_text())["plan"]
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    plan = Comparison(**fields)
    return benchmark, plan, make_judge(benchmark, plan.target, root)


@cache
def _problem(root: Path, place: str, informed: bool) -> Problem:
    benchmark, plan, _ = _opened(root, place)
    if not (informed and plan.sources and isinstance(benchmark, Benchmark)):
        return _blind(benchmark)
    settings = json.loads((root / MADE).read_text())["settings"]
    return _informed(benchmark, plan, root, parse_settings(settings, str(root / MADE)))


def _search(
    benchmark: AnyBenchmark,
    judge: TableJudge | OpenJudge,
    problem: Problem,
    plan: Comparison,
    out: Path,
    name: str,
    seed: int,
) -> None:
    problem = problem if problem.listed else _blind(benchmark)  # which has met nothing
    _write(_run(judge, problem, plan, name, seed), _file(out, name, seed))


def _file(out: Path, name: str, seed: int) -> Path:
    return out / "runs" / f"{name.replace(':', '.')}-{seed}.csv"


def _read(file: Path) -> pl.DataFrame:
    return pl.read_csv(file, schema_overrides=TYPES)


def _informed(benchmark: Benchmark, plan: Comparison, out: Path, settings: Settings) -> Problem:
    """The problem with what the sources know."""
    codes = listed(benchmark.space).codes[benchmark.rows].astype(np.int16)
    known = [Source(task, codes, benchmark.reward(task)) for task in plan.sources]
    return make_problem(benchmark.space, benchmark.rows, measured_apart=True, experience=known)


def _run(
    judge: TableJudge | OpenJudge, problem: Problem, plan: Comparison, name: str, seed: int
) -> pl.DataFrame:
    """One search as rows of the curves."""
    began, clock = time.perf_counter(), []

    def stop_watch(evaluation: Evaluation, count: int) -> None:
        clock.append(time.perf_counter() - began)

    ledger = Ledger(judge.evaluator, (judge.metric.name,))
    evaluations = search(
        problem,
        ledger,
        plan.chosen[name],
        judge.metric,
        budget=max(plan.budgets),
        seed=seed,
        on_evaluation=stop_watch,
    )
    ledger.close()
    reward = rewards_of(evaluations, judge.metric)
    columns: dict[str, Any] = {
        "method": [name] * len(reward),
        "seed": [seed] * len(reward),
        "evaluations": range(1, len(reward) + 1),
        "architecture": [e.architecture for e in evaluations],
        "reward": reward,
        **judge.columns(np.maximum.accumulate(reward)),
        "seconds": np.round(clock, 4),
    }
    return pl.DataFrame(columns, schema_overrides=TYPES)


def summarise(curves: pl.DataFrame, method: str, budget: int) -> dict[str, Any]:
    """One method at one budget, over seeds.

    A budget of 0 is what the method would evaluate first: it is ranked, but not counted as an evaluation. A
    search that ran out of architectures keeps its last value.
    """
    rows = curves.filter((pl.col.method == method) & (pl.col.evaluations <= max(budget, 1)))
    last = rows.group_by("seed", maintain_order=True).last()
    scored = {"score": last["score"].to_numpy()} if "score" in last.columns else {}
    ranked = {"rank": None if scored else last["best_rank"].to_numpy().astype(np.float64)}
    return {
        "method": method,
        "budget": budget,
        **_moments(ranked | scored),
        "regret_mean": float(last["regret"].to_numpy().mean()),
        "evaluations": float(last["evaluations"].to_numpy().mean()) if budget else 0.0,
        "seconds": float(last["seconds"].to_numpy().mean()),
    }


def _moments(named: Mapping[str, NDArray[np.float64] | None]) -> dict[str, Any]:
    """Mean, standard deviation and interval of values over seeds; None where there are none."""
    found: dict[str, Any] = {}
    for name, values in named.items():
        if values is None:
            found |= {f"{name}_mean": None, f"{name}_std": None, f"{name}_ci95": None}
            continue
        found[f"{name}_mean"] = float(values.mean())
        found[f"{name}_std"] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        found[f"{name}_ci95"] = list(bootstrap_mean_ci95(values, seed=0))
    return found


def _claim(out: Path, benchmark: AnyBenchmark, plan: Comparison, settings: Settings) -> None:
    """Methods, budgets and seeds may grow; the rest decides what the runs in the folder mean."""
    identity: dict[str, Any] = {
        "checksum": benchmark.checksum,
        "target": plan.target,
        "sources": list(plan.sources),
    }
    identity["settings"] = settings.model_dump() if plan.sources else {}
    file = out / MADE
    if out.exists() and not file.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SearchError(
            "an empty or new folder, or one of this comparison", str(out), "choose another --out"
        )
    if file.exists():
        there = json.loads(file.read_text())
        changed = [k for k in identity if there.get(k) != identity[k]]
        if changed:
            got = f"{out}, made with another {', '.join(changed)}"
            raise SearchError("a folder of this comparison", got, "choose another --out")
    write_atomically(file, json.dumps(identity | {"plan": plan.plain()}, indent=2).encode())


def _write(table: pl.DataFrame, file: Path) -> None:
    buffer = io.BytesIO()
    table.write_csv(buffer)
    write_atomically(file, buffer.getvalue())
