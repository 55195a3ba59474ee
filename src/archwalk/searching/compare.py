"""``compare``: every method on the same task, with the same budgets and seeds, against a table.

In: a benchmark, a target, its sources. Out: a folder, resumable by method and seed:

    compare.json          what is compared; a folder made for anything else is refused
    agent/                the agent pretrained on the sources, where a method wants it
    zero-shot.json        rank of the proposal before any evaluation, of the median, of each source's best
    runs/METHOD-SEED.csv  the evaluations of one search, in order
    curves.csv            best rank and regret after every evaluation, for all of them
    summary.csv           what ``compare`` returns

Next: ``verbs``, and the report's curves.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from archwalk.config import Settings
from archwalk.errors import SearchError
from archwalk.files import write_atomically
from archwalk.searching.adapt import make_sources, pretrain
from archwalk.searching.loop import search
from archwalk.searching.open import make_problem
from archwalk.searching.optimizer import Method
from archwalk.searching.problem import Problem
from archwalk.searching.registry import find_method
from archwalk.tasks.evaluators import TableEvaluator
from archwalk.tasks.ledger import Evaluation, Ledger
from archwalk.tasks.table import Benchmark
from archwalk.training.evaluation import bootstrap_mean_ci95, ranks

MADE, CURVES, SUMMARY = "compare.json", "curves.csv", "summary.csv"
CURVE = ("method", "seed", "evaluations", "architecture", "reward", "best_rank", "regret", "seconds")


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

    def check(self, benchmark: Benchmark) -> None:
        """Raises ``ArchwalkError`` for anything that cannot be compared, before any work."""
        benchmark.reward(self.target)
        for task in self.sources:
            benchmark.reward(task)
        _ = self.chosen
        if self.target in self.sources:
            raise SearchError("sources other than the target", self.target, "leave it out of --sources")
        if not self.methods or not self.budgets or min(self.budgets) < 0 or max(self.budgets) < 1:
            got = f"methods {list(self.methods)}, budgets {list(self.budgets)}"
            raise SearchError("at least one method and a budget of at least 1", got, "add one")
        if self.seeds < 1:
            raise SearchError("at least one seed", str(self.seeds), "raise --seeds")


def compare(
    benchmark: Benchmark,
    plan: Comparison,
    out: Path,
    settings: Settings,
    say: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Run what is missing, then sum up.

    Args:
        benchmark: the table.
        plan: what to compare.
        out: the folder.
        settings: of the pretrained agent.
        say: told what is done next.

    Returns:
        One object a method and budget: ``method, budget, rank_mean, rank_std, rank_ci95, regret_mean,
        evaluations, seconds``; docs/search.md explains each.

    Raises:
        ArchwalkError: bad plan, or a folder of another comparison.
    """
    plan.check(benchmark)
    _claim(out, benchmark, plan, settings)
    blind = make_problem(benchmark.space, benchmark.rows, measured_apart=True)
    informed = blind
    if plan.sources and any(m.knows_sources for m in plan.chosen.values()):
        informed = _informed(benchmark, plan, out, settings, say)
    curves = []
    for name, method in plan.chosen.items():
        for seed in range(plan.seeds):
            file = out / "runs" / f"{name.replace(':', '.')}-{seed}.csv"
            rows = pl.read_csv(file) if file.exists() else None
            if rows is None or len(rows) < min(max(plan.budgets), len(benchmark)):
                say(f"{name}, seed {seed}")
                problem = informed if method.knows_sources else blind
                rows = _run(benchmark, problem, plan, name, seed)
                _write(rows, file)
            curves.append(rows)
    table = pl.concat(curves)
    _write(table, out / CURVES)
    summary = [summarise(table, method, budget) for method in plan.chosen for budget in plan.budgets]
    flat = [{k: v for k, v in row.items() if k != "rank_ci95"} for row in summary]
    _write(pl.DataFrame(flat), out / SUMMARY)
    return summary


def _informed(
    benchmark: Benchmark, plan: Comparison, out: Path, settings: Settings, say: Callable[[str], None]
) -> Problem:
    """The problem with what the sources know."""
    say(f"an agent for the mean of {', '.join(plan.sources)}")
    agent = pretrain(benchmark, plan.sources, out / "agent", settings)
    measured = [benchmark.reward(task) for task in plan.sources]
    known = make_sources([agent], measured)
    zero_shot = json.dumps(_zero_shot(benchmark, plan, known.proposal), indent=2)
    write_atomically(out / "zero-shot.json", zero_shot.encode())
    return make_problem(
        benchmark.space,
        benchmark.rows,
        measured_apart=True,
        measured=measured,
        sources=known.columns,
        proposal=known.proposal,
    )


def _run(benchmark: Benchmark, problem: Problem, plan: Comparison, method: str, seed: int) -> pl.DataFrame:
    """One search as rows of the curves."""
    began, clock = time.perf_counter(), []
    metric = benchmark.metrics[benchmark.reward_column(plan.target).metric]

    def stop_watch(evaluation: Evaluation, count: int) -> None:
        clock.append(time.perf_counter() - began)

    ledger = Ledger(TableEvaluator(benchmark, plan.target), (metric.name,))
    evaluations = search(
        problem,
        ledger,
        plan.chosen[method],
        metric,
        budget=max(plan.budgets),
        seed=seed,
        on_evaluation=stop_watch,
    )
    ledger.close()
    at = [benchmark.index(e.architecture) for e in evaluations]
    reward = benchmark.reward(plan.target)
    best = np.maximum.accumulate(reward[at])
    order = np.sort(-reward)
    columns = (
        [method] * len(at),
        [seed] * len(at),
        range(1, len(at) + 1),
        [e.architecture for e in evaluations],
        reward[at],
        np.searchsorted(order, -best) + 1,
        (reward.max() - best) / abs(metric.scale),
        np.round(clock, 4),
    )
    return pl.DataFrame(dict(zip(CURVE, columns, strict=True)))


def summarise(curves: pl.DataFrame, method: str, budget: int) -> dict[str, Any]:
    """One method at one budget, over seeds.

    A budget of 0 is what the method would evaluate first: it is ranked, but not counted as an evaluation. A
    search that ran out of architectures keeps its last value.
    """
    rows = curves.filter((pl.col.method == method) & (pl.col.evaluations <= max(budget, 1)))
    last = rows.group_by("seed", maintain_order=True).last()
    rank = last["best_rank"].to_numpy().astype(np.float64)
    return {
        "method": method,
        "budget": budget,
        "rank_mean": float(rank.mean()),
        "rank_std": float(rank.std(ddof=1)) if len(rank) > 1 else 0.0,
        "rank_ci95": list(bootstrap_mean_ci95(rank, seed=0)),
        "regret_mean": float(last["regret"].to_numpy().mean()),
        "evaluations": float(last["evaluations"].to_numpy().mean()) if budget else 0.0,
        "seconds": float(last["seconds"].to_numpy().mean()),
    }


def _claim(out: Path, benchmark: Benchmark, plan: Comparison, settings: Settings) -> None:
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


def _zero_shot(benchmark: Benchmark, plan: Comparison, proposal: int) -> dict[str, Any]:
    """Rank of the proposal, beside the median rank and that of each source's best cell."""
    rank = ranks(benchmark.reward(plan.target))
    best = {task: int(rank[benchmark.reward(task).argmax()]) for task in plan.sources}
    return {"proposal": int(rank[proposal]), "median": float(np.median(rank)), "best_of_source": best}
