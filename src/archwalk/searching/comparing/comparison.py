"""One target of a comparison: what is compared, its folder, and one search of it.

In: a table or a predicting task, a target, its sources. Out: a folder, resumable by method and seed:

    compare.json          what is compared; a folder made for anything else is refused
    reference.json        of a predicting task: what random architectures and the best known are worth
    clairvoyant.csv       the order of the line that knows all other cells of the target
    runs/METHOD-SEED.csv  the evaluations of one search, in order

``Bench`` does the works of many such folders in one process; what earlier searches on the sources would have
seen lies beside them, in ``sources/SOURCE-SEED.csv``, since targets share sources. Next: ``compare`` shares
the works out and sums up.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from archwalk.errors import SearchError
from archwalk.files import write_atomically
from archwalk.searching.asktell import rewards_of
from archwalk.searching.comparing.clairvoyant import check_size, clairvoyant_order
from archwalk.searching.comparing.judge import OpenJudge, TableJudge, make_judge
from archwalk.searching.experience import tables
from archwalk.searching.experience.source import Source
from archwalk.searching.experience.tables import KnownTask
from archwalk.searching.inputs import predicted_metric
from archwalk.searching.listed import ListedProblem
from archwalk.searching.loop import search
from archwalk.searching.open import make_problem
from archwalk.searching.optimizer import Method
from archwalk.searching.problem import Ints, Problem
from archwalk.searching.registry import CLAIRVOYANT, find_method
from archwalk.tasks.ledger import Evaluation, Ledger
from archwalk.tasks.registry import AnyBenchmark
from archwalk.tasks.table import Benchmark

TYPES = {"best_rank": pl.Int64}  # which are all missing in an open space
MADE, ORDER = "compare.json", "clairvoyant.csv"
BASELINES = ("gp", "source-walk")  # what everything with sources must beat
LINES = (*BASELINES, CLAIRVOYANT)  # always there where there are sources


@dataclass(frozen=True)
class Comparison:
    """What is compared on one target.

    Attributes:
        target: the task searched.
        sources: tasks known beforehand, of the benchmark or ``FILE:TASK``; may be empty.
        methods: names or what ``registry.find_method`` takes; ``clairvoyant`` is a line, not a method.
        budgets: numbers of evaluations to report, 0 is the suggestion before any.
        seeds: seeds 0 to seeds - 1.
        source_evaluations: of each source; None: complete tables.
        source_sample: which: those of a ``search`` there, or ``random`` ones; another for each seed.
    """

    target: str
    sources: tuple[str, ...]
    methods: tuple[Any, ...]
    budgets: tuple[int, ...]
    seeds: int
    source_evaluations: int | None = None
    source_sample: str = "search"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What results call the methods, the line ``clairvoyant`` among them. Raises ``SearchError``."""
        found = [None if given == CLAIRVOYANT else find_method(given) for given in self.methods]
        pairs = zip(self.methods, found, strict=True)
        names = [
            given if m is None or (isinstance(given, str) and "@" not in given) else m.name
            for given, m in pairs
        ]
        if len(set(names)) < len(names):
            raise SearchError("each method once", ", ".join(names), "give functions different names")
        return tuple(names)

    @cached_property
    def chosen(self) -> dict[str, Method]:
        """The methods by the names in results. Raises ``SearchError`` for one that is not there."""
        pairs = zip(self.names, self.methods, strict=True)
        return {name: find_method(given) for name, given in pairs if name != CLAIRVOYANT}

    @property
    def searched(self) -> bool:
        """Whether sources are histories of searches, which are made first."""
        return self.source_evaluations is not None and self.source_sample == "search"

    def plain(self) -> dict[str, Any]:
        """As JSON, methods by name."""
        return asdict(replace(self, methods=())) | {"methods": list(self.names)}

    @classmethod
    def read(cls, folder: Path) -> Comparison:
        """The plan of a claimed folder."""
        values = json.loads((folder / MADE).read_text("utf-8"))["plan"]
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**fields)

    def with_lines(self, benchmark: AnyBenchmark) -> Comparison:
        """The same with the lines that are in every comparison with sources; a table too large for the
        clairvoyant one goes without it."""
        if not self.sources or not isinstance(benchmark, Benchmark):
            return self
        missing = [line for line in LINES if line not in self.names]
        if CLAIRVOYANT in missing:
            try:
                check_size(len(benchmark))
            except SearchError:
                missing.remove(CLAIRVOYANT)
        return replace(self, methods=(*self.methods, *missing))

    def check(self, benchmark: AnyBenchmark) -> None:
        """Raises ``ArchwalkError`` for anything that cannot be compared, sources left aside."""
        if isinstance(benchmark, Benchmark):
            benchmark.reward(self.target)
        else:
            predicted_metric(benchmark, self.target, None)
            if self.sources or CLAIRVOYANT in self.methods:
                raise SearchError(
                    f"no sources and no {CLAIRVOYANT} line on a task whose space cannot be listed",
                    ", ".join(self.sources) or CLAIRVOYANT,
                    "leave --sources out, and the line",
                )
        if CLAIRVOYANT in self.names and isinstance(benchmark, Benchmark):
            check_size(len(benchmark))
        if not self.methods or not self.budgets or min(self.budgets) < 0 or max(self.budgets) < 1:
            got = f"methods {list(self.methods)}, budgets {list(self.budgets)}"
            raise SearchError("at least one method and a budget of at least 1", got, "add one")
        if self.seeds < 1:
            raise SearchError("at least one seed", str(self.seeds), "raise --seeds")
        for name, method in self.chosen.items():
            if "sources" in method.needs and not self.sources:
                raise SearchError(f"sources, for the method {name}", "none", "name some with --sources")
        if self.source_sample not in tables.SAMPLES:
            known = " or ".join(tables.SAMPLES)
            raise SearchError(known, repr(self.source_sample), "choose one with --source-sample")
        if self.source_evaluations is not None and not self.sources:
            got = f"{self.source_evaluations} evaluations of none"
            raise SearchError("sources to evaluate", got, "name some with --sources")

    def check_sources(self, known: Mapping[str, KnownTask]) -> None:
        """Raises ``SearchError`` where a source has fewer architectures than its evaluations."""
        n = self.source_evaluations
        for source in known.values():
            if n is not None and not 1 <= n <= len(source.rows):
                raise SearchError(
                    f"1 to {len(source.rows):,} evaluations of the source {source.name}",
                    f"--source-evaluations {n}",
                    "choose a number in that range, or leave it out for the complete table",
                )


class Bench:
    """Does the works of a comparison in one process: searches, orders, histories of sources.

    Args:
        benchmark: the table or the predicting task.
        root: under which the folders lie.
    """

    def __init__(self, benchmark: AnyBenchmark, root: Path) -> None:
        self.benchmark, self.root = benchmark, root
        self.plans: dict[str, Comparison] = {}
        self._judges: dict[str, TableJudge | OpenJudge] = {}
        self._known: dict[tuple[str, str], KnownTask] = {}
        self._tables: dict[str, Benchmark] = {}
        self._problem: tuple[Any, Problem] | None = None
        self._of_task: dict[str, Problem] = {}

    def plan(self, folder: str) -> Comparison:
        """What is compared in a folder below the root."""
        if folder not in self.plans:
            self.plans[folder] = Comparison.read(self.root / folder)
        return self.plans[folder]

    def judge(self, folder: str) -> TableJudge | OpenJudge:
        """Who ranks there."""
        if folder not in self._judges:
            self._judges[folder] = make_judge(self.benchmark, self.plan(folder).target, self.root / folder)
        return self._judges[folder]

    def blind(self) -> Problem:
        """The problem without sources; in an open space one that has met nothing."""
        return self._blind if isinstance(self.benchmark, Benchmark) else self._open()

    @cached_property
    def _blind(self) -> Problem:
        assert isinstance(self.benchmark, Benchmark)
        return make_problem(self.benchmark.space, self.benchmark.rows, measured_apart=True)

    def _open(self) -> Problem:
        return make_problem(self.benchmark.space, measured_apart=True)

    def known(self, folder: str) -> dict[str, KnownTask]:
        """The tables of the sources, by name. Raises ``ArchwalkError`` for what cannot be used."""
        plan, benchmark = self.plan(folder), self.benchmark
        if not isinstance(benchmark, Benchmark):
            return {}
        new = [name for name in plan.sources if name.rpartition(":")[0] not in self._tables]
        self._tables |= tables.open_tables(benchmark, new)
        for name in plan.sources:
            if (plan.target, name) not in self._known:
                self._known[plan.target, name] = tables.known_task(benchmark, plan.target, name, self._tables)
        return {name: self._known[plan.target, name] for name in plan.sources}

    def source_file(self, known: KnownTask, seed: int) -> Path:
        """Where the history of an earlier search on a source is kept."""
        return self.root / "sources" / f"{known.file}-{seed}.csv"

    def make_history(self, folder: str, name: str, seed: int) -> None:
        """What an earlier search on a source has evaluated; nothing if it is there already."""
        plan, known, benchmark = self.plan(folder), self.known(folder)[name], self.benchmark
        assert isinstance(benchmark, Benchmark)
        assert plan.source_evaluations is not None
        file = self.source_file(known, seed)
        if not file.exists():
            seen = tables.searched(known, benchmark, plan.source_evaluations, seed)
            names = [benchmark.architectures[row] for row in known.rows[seen].tolist()]
            write_csv(pl.DataFrame({"architecture": names, "reward": known.values[seen]}), file)

    def experience(self, folder: str, seed: int) -> list[Source]:
        """The sources of one search, by its seed."""
        plan, benchmark = self.plan(folder), self.benchmark
        assert isinstance(benchmark, Benchmark)
        sources = []
        for known in self.known(folder).values():
            seen: Ints | None = None
            if plan.searched:
                names = pl.read_csv(self.source_file(known, seed))["architecture"].to_list()
                rows = np.array([benchmark.index(name) for name in names], dtype=np.int64)
                seen = np.searchsorted(known.rows, rows)
            elif plan.source_evaluations is not None:
                seen = tables.drawn(known, plan.source_evaluations, seed)
            sources.append(tables.source_of(known, benchmark.space, benchmark.rows, seen))
        return sources

    def problem(self, folder: str, name: str, seed: int) -> Problem:
        """What a method is given: sources only if it knows what to do with them."""
        plan = self.plan(folder)
        method = plan.chosen[name]
        if not ((method.knows_sources or method.knows_columns) and plan.sources):
            if not isinstance(self.benchmark, Benchmark):
                return self.blind()
            if plan.target not in self._of_task:
                self._of_task[plan.target] = self.blind().with_task(self.benchmark, plan.target)
            return self._of_task[plan.target]
        key = folder, None if plan.source_evaluations is None else seed
        if self._problem is None or self._problem[0] != key:  # seeds share what methods keep with a problem
            informed = self._informed(self.experience(folder, seed))
            self._problem = key, informed.with_task(self.benchmark, plan.target)
        return self._problem[1]

    def _informed(self, experience: list[Source]) -> Problem:
        assert isinstance(self.benchmark, Benchmark)
        space, rows = self.benchmark.space, self.benchmark.rows
        return make_problem(space, rows, measured_apart=True, experience=experience)

    def make_order(self, folder: str) -> None:
        """The clairvoyant order of a target; nothing if it is there already."""
        file, benchmark = self.root / folder / ORDER, self.benchmark
        if not file.exists():
            assert isinstance(benchmark, Benchmark)
            assert isinstance(self._blind, ListedProblem)
            order = clairvoyant_order(self._blind, benchmark.reward(self.plan(folder).target))
            names = [benchmark.architectures[row] for row in order.tolist()]
            write_csv(pl.DataFrame({"architecture": names}), file)

    def search(self, folder: str, name: str, seed: int) -> None:
        """One search, to its file: a function of the folder's plan, the method and the seed."""
        plan, judge = self.plan(folder), self.judge(folder)
        clock: list[float] = []
        if name == CLAIRVOYANT:
            assert isinstance(self.benchmark, Benchmark)
            order = pl.read_csv(self.root / folder / ORDER, n_rows=max(plan.budgets))
            names = order["architecture"].to_list()
            rows = [self.benchmark.index(text) for text in names]
            reward = self.benchmark.reward(plan.target)[rows]
            clock = [0.0] * len(names)
        else:
            began = time.perf_counter()

            def stop_watch(evaluation: Evaluation, count: int) -> None:
                clock.append(time.perf_counter() - began)

            ledger = Ledger(judge.evaluator, (judge.metric.name,))
            evaluations = search(
                self.problem(folder, name, seed),
                ledger,
                plan.chosen[name],
                judge.metric,
                budget=max(plan.budgets),
                seed=seed,
                on_evaluation=stop_watch,
            )
            ledger.close()
            names, reward = [e.architecture for e in evaluations], rewards_of(evaluations, judge.metric)
        columns: dict[str, Any] = {
            "method": [name] * len(reward),
            "seed": [seed] * len(reward),
            "evaluations": range(1, len(reward) + 1),
            "architecture": names,
            "reward": reward,
            **judge.columns(np.maximum.accumulate(reward)),
            "seconds": np.round(clock, 4),
        }
        write_csv(pl.DataFrame(columns, schema_overrides=TYPES), run_file(self.root / folder, name, seed))


def identity(benchmark: AnyBenchmark, plan: Comparison, known: Mapping[str, KnownTask]) -> dict[str, Any]:
    """What decides what the runs in a folder mean; methods, budgets and seeds may grow."""
    partial = plan.source_evaluations is not None
    return {
        "checksum": benchmark.checksum,
        "target": plan.target,
        "sources": list(plan.sources),
        "source_evaluations": plan.source_evaluations,
        "source_sample": plan.source_sample if partial else None,
        "tables": {name: source.table[1] for name, source in known.items() if source.table} or None,
    }


def check_claim(out: Path, wanted: Mapping[str, Any]) -> None:
    """Raises ``SearchError`` if a folder is another comparison's, or something else."""
    file = out / MADE
    if out.exists() and not file.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SearchError(
            "an empty or new folder, or one of this comparison", str(out), "choose another --out"
        )
    if file.exists():
        there = json.loads(file.read_text("utf-8"))
        changed = [k for k in wanted if there.get(k) != wanted[k]]
        if changed:
            got = f"{out}, made with another {', '.join(changed)}"
            raise SearchError("a folder of this comparison", got, "choose another --out")


def claim(out: Path, wanted: Mapping[str, Any], plan: Comparison, protocol: str) -> None:
    """Write down what a folder is for."""
    made = {**wanted, "protocol": protocol, "plan": plan.plain()}
    write_atomically(out / MADE, json.dumps(made, indent=2).encode())


def run_file(out: Path, name: str, seed: int) -> Path:
    """Where the evaluations of a search lie."""
    return out / "runs" / f"{name.replace(':', '.').replace('/', '_')}-{seed}.csv"


def read_run(file: Path) -> pl.DataFrame:
    """The evaluations of a search."""
    return pl.read_csv(file, schema_overrides=TYPES)


def write_csv(table: pl.DataFrame, file: Path) -> None:
    """A table as a file, whole or not at all."""
    buffer = io.BytesIO()
    table.write_csv(buffer)
    write_atomically(file, buffer.getvalue())
