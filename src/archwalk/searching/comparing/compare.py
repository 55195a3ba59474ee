"""``compare``: every method on the same targets, with the same budgets and seeds.

In: plans, a folder each. Out: the folders of ``comparison``, each with

    curves.csv     best rank and regret after every evaluation, for all searches
    summary.csv    what ``compare`` returns
    tests.csv      every method against the baselines

and, of several targets, the last two over all of them, with ``targets.json`` (what the folder is for) and
``summary.json`` (what ``compare`` returns, and ``verdicts.over_targets``). Next: ``verbs``, and the report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from archwalk.analysis.statistics import mean_interval
from archwalk.errors import SearchError
from archwalk.execution.executor import Say, Work, run
from archwalk.execution.processes import Processes
from archwalk.files import write_atomically
from archwalk.searching.asktell import check_fit
from archwalk.searching.comparing.comparison import (
    Bench,
    Comparison,
    check_claim,
    claim,
    identity,
    read_run,
    run_file,
    write_csv,
)
from archwalk.searching.comparing.judge import OpenJudge, TableJudge
from archwalk.searching.comparing.verdicts import add_verdicts, over_targets
from archwalk.searching.registry import CLAIRVOYANT
from archwalk.tasks.registry import AnyBenchmark, load_benchmark

CURVES, SUMMARY, TESTS, ALL, TARGETS = (
    "curves.csv",
    "summary.csv",
    "tests.csv",
    "summary.json",
    "targets.json",
)
Key = tuple[str, ...]  # of a work: kind, folder, and what else it needs to know


def compare(
    benchmark: AnyBenchmark,
    plans: Mapping[str, Comparison],
    root: Path,
    say: Callable[[str], None] = lambda text: None,
    jobs: int = 1,
    place: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Run what is missing, then sum up.

    Args:
        benchmark: the table or the predicting task.
        plans: what to compare, by the name of its folder below ``root``; one target alone may have ``root``
            itself, ``""``. But for target and sources all plans are the same.
        root: the folder.
        say: told what is done next.
        jobs: works at once; more than one are in that many worker processes, one thread each.
        place: name or file of the benchmark, by which worker processes open it.

    Returns:
        One object a target, method and budget: ``method, budget, rank_mean, rank_std, rank_ci95, score_mean,
        score_std, score_ci95, regret_mean, value_mean, evaluations, seconds, target, protocol, reward,
        source_evaluations, against``; on a predicting task the ranks are None, and ``reference`` comes with
        them. docs/search.md explains each.

    Raises:
        ArchwalkError: bad plan, a folder of another comparison, or objects that worker processes cannot open.
    """
    bench = Bench(benchmark, root)
    for folder, plan in plans.items():
        plan.check(benchmark)
        bench.plans[folder] = plan.with_lines(benchmark)
    workers: Processes[Key] = Processes(root, jobs)
    one = next(iter(plans.values()))
    if jobs > 1 and (place is None or not all(isinstance(method, str) for method in one.methods)):
        remedy = "give names, files or 'module:function', or one job"
        raise SearchError("a benchmark and methods that other processes can open", "objects", remedy)
    _claim(bench, plans)
    for folder in plans:
        bench.judge(folder)
        if said := _partly(bench, folder):
            say(said)
    works, needs = _works(bench)
    if jobs > 1:
        named = {key: Work(f"{__name__}:work_once", (str(place), *key)) for key in works}
        with workers:
            for event in run(workers, named, needs):
                if event.kind == "said":
                    say(event.value)
    else:
        for key in works:
            _work(bench, key, say)
    return _sum_up(bench)


def work_once(root: Path, say: Say, place: str, *key: str) -> None:
    """One work of a comparison, for an executor.

    Args:
        root: the folder, claimed.
        say: told what is done.
        place: name or file of the benchmark.
        key: of the work.
    """
    _work(_opened(root, place), key, lambda text: say(text, ()))


@cache
def _opened(root: Path, place: str) -> Bench:
    """The bench of a process, which reads plans from their folders."""
    return Bench(load_benchmark(place), root)


def _works(bench: Bench) -> tuple[list[Key], Callable[[Key], list[Key]]]:
    """What is missing, in the order of its beginning; and what each needs before it begins."""
    orders: dict[Key, None] = {}
    histories: dict[Key, Key] = {}  # by file: targets share them
    searches: list[Key] = []
    required: dict[Key, list[Key]] = {}
    for folder, plan in bench.plans.items():
        out, length = bench.root / folder, _length(bench, folder)
        for name in plan.names:
            for seed in range(plan.seeds):
                file = run_file(out, name, seed)
                if file.exists() and len(read_run(file)) >= length:
                    continue
                key = ("search", folder, name, str(seed))
                needed: list[Key] = []
                if name == CLAIRVOYANT:
                    needed.append(("order", folder))
                    orders[needed[0]] = None
                elif plan.chosen[name].knows_sources and plan.searched:
                    for known in bench.known(folder).values():
                        work = ("source", folder, known.name, str(seed))
                        needed.append(histories.setdefault((known.file, str(seed)), work))
                searches.append(key)
                required[key] = needed
    return [*orders, *histories.values(), *searches], lambda key: required.get(key, [])


def _work(bench: Bench, key: Key, say: Callable[[str], None]) -> None:
    kind, folder, *rest = key
    if kind == "order":
        say(_named(bench, folder, "the order of who knows all others"))
        bench.make_order(folder)
    elif kind == "source":
        say(_named(bench, folder, f"an earlier search on {rest[0]}, seed {rest[1]}"))
        bench.make_history(folder, rest[0], int(rest[1]))
    else:
        say(_named(bench, folder, f"{rest[0]}, seed {rest[1]}"))
        bench.search(folder, rest[0], int(rest[1]))


def _named(bench: Bench, folder: str, text: str) -> str:
    """A line of progress; of several targets with the target's name."""
    return f"{bench.plan(folder).target}: {text}" if folder else text


def _length(bench: Bench, folder: str) -> float:
    """Evaluations of a complete search."""
    return min(max(bench.plan(folder).budgets), bench.judge(folder).size or math.inf)


def _partly(bench: Bench, folder: str) -> str:
    """A line about sources that know a part of the architectures; empty if all know all."""
    total = len(bench.blind()) if bench.plan(folder).sources else 0
    parts = [
        f"{known.name} knows {len(known.rows):,} of the {total:,} architectures; of its {known.of:,} only "
        "these are used"
        for known in bench.known(folder).values()
        if len(known.rows) < max(total, known.of)
    ]
    return _named(bench, folder, "; ".join(parts)) if parts else ""


def _claim(bench: Bench, plans: Mapping[str, Comparison]) -> None:
    """Refuse what cannot be compared, then write down what the folders are for."""
    benchmark, wanted = bench.benchmark, {}
    for folder in plans:
        plan, known = bench.plans[folder], bench.known(folder)
        plan.check_sources(known)
        for name, method in plan.chosen.items():
            takes = method.knows_sources or method.knows_columns
            if not (plan.sources and plan.searched and takes):  # which are not there yet
                problem = bench.problem(folder, name, 0)
                check_fit(method, problem, benchmark.checksum, (plan.target,))
        wanted[folder] = identity(benchmark, plan, known)
    several = "" not in plans
    if several:
        _check_root(bench.root, benchmark.checksum)
    for folder, made in wanted.items():
        check_claim(bench.root / folder, made)
    protocol = getattr(benchmark, "protocol", "")
    if several:
        made = {"checksum": benchmark.checksum, "protocol": protocol}
        write_atomically(bench.root / TARGETS, json.dumps(made, indent=2).encode())
    for folder, made in wanted.items():
        claim(bench.root / folder, made, bench.plans[folder], protocol)


def _check_root(root: Path, checksum: str) -> None:
    """Raises ``SearchError`` if the folder of several targets is something else."""
    file = root / TARGETS
    if not file.exists():
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise SearchError(
                "an empty or new folder, or one of a comparison on several targets",
                str(root),
                "choose another --out",
            )
    elif json.loads(file.read_text("utf-8"))["checksum"] != checksum:
        raise SearchError("a folder of this benchmark and protocol", str(root), "choose another --out")


def _sum_up(bench: Bench) -> list[dict[str, Any]]:
    """Read all searches, write curves, summaries and tests."""
    benchmark = bench.benchmark
    rows: list[dict[str, Any]] = []
    series: dict[tuple[str, str, int], NDArray[np.float64]] = {}
    for folder, plan in bench.plans.items():
        out, judge = bench.root / folder, bench.judge(folder)
        files = [run_file(out, name, seed) for name in plan.names for seed in range(plan.seeds)]
        curves = pl.concat([read_run(file) for file in files])
        write_csv(curves, out / CURVES)
        named = {
            "target": plan.target,
            "protocol": getattr(benchmark, "protocol", ""),
            "reward": reward_of(benchmark, plan.target),
            "source_evaluations": plan.source_evaluations if plan.sources else 0,
        }
        for name in plan.names:
            for budget in plan.budgets:
                row, values = summarise(curves, name, budget, judge)
                series[plan.target, name, budget] = values
                rows.append(row | named)
                if isinstance(judge, OpenJudge):
                    rows[-1]["reference"] = asdict(judge.reference)
    tests = add_verdicts(rows, series)
    for folder, plan in bench.plans.items():
        _write_tables([row for row in rows if row["target"] == plan.target], tests, bench.root / folder)
    if "" not in bench.plans:
        _write_tables(rows, tests, bench.root)
        whole = {"rows": rows, "over_targets": over_targets(rows)}
        write_atomically(bench.root / ALL, json.dumps(whole, indent=2).encode())
    return rows


def reward_of(benchmark: AnyBenchmark, task: str) -> str:
    """The address of the reward: metric, split and epoch of a table, the metric of a predicting task."""
    rewards: Mapping[str, Any] = benchmark.rewards
    found = rewards[task]
    return "/".join(found[1:]) if isinstance(found, tuple) else str(found.name)


def _write_tables(rows: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]], out: Path) -> None:
    left_out = ("rank_ci95", "score_ci95", "reference", "against")
    flat = [{k: v for k, v in row.items() if k not in left_out} for row in rows]
    write_csv(pl.DataFrame(flat, infer_schema_length=None), out / SUMMARY)
    targets = {row["target"] for row in rows}
    some = [test for test in tests if test["target"] in targets]
    if some:
        write_csv(pl.DataFrame(some, infer_schema_length=None), out / TESTS)


def summarise(
    curves: pl.DataFrame, method: str, budget: int, judge: TableJudge | OpenJudge
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """One method at one budget, over seeds; and what is tested of it, smaller is better, [seeds].

    A budget of 0 is what the method would evaluate first: it is ranked, but not counted as an evaluation. A
    search that ran out of architectures keeps its last value.
    """
    rows = curves.filter((pl.col.method == method) & (pl.col.evaluations <= max(budget, 1)))
    grouped = rows.group_by("seed", maintain_order=True)
    last = grouped.last()
    best = grouped.agg(pl.col.reward.max())["reward"].to_numpy()
    score = judge.score(best)
    rank = last["best_rank"].to_numpy().astype(np.float64) if isinstance(judge, TableJudge) else None
    summary = {
        "method": method,
        "budget": budget,
        **_moments({"rank": rank, "score": score}),
        "regret_mean": float(last["regret"].to_numpy().mean()),
        "value_mean": float((best / judge.metric.scale).mean()),
        "evaluations": float(last["evaluations"].to_numpy().mean()) if budget else 0.0,
        "seconds": float(last["seconds"].to_numpy().mean()),
    }
    return summary, -score if rank is None else rank


def _moments(named: Mapping[str, NDArray[np.float64] | None]) -> dict[str, Any]:
    """Mean, standard deviation and interval of values over seeds; None where there are none."""
    found: dict[str, Any] = {}
    for name, values in named.items():
        if values is None:
            found |= {f"{name}_mean": None, f"{name}_std": None, f"{name}_ci95": None}
            continue
        found[f"{name}_mean"] = float(values.mean())
        found[f"{name}_std"] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        found[f"{name}_ci95"] = list(mean_interval(values)) if len(values) > 1 else None
    return found
