"""Comparisons of several targets with sources known in part: shared, killed, resumed, grown; and judged."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import archwalk
from archwalk.analysis.paired import signed_rank
from archwalk.cli import main
from archwalk.cli.console import print_comparison
from archwalk.errors import SearchError
from archwalk.searching.comparing.comparison import Bench, Comparison
from archwalk.searching.comparing.verdicts import add_verdicts, over_targets
from archwalk.searching.experience.tables import sample_seed
from archwalk.searching.history import History
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Problem
from archwalk.spaces import make_space
from archwalk.tasks import Benchmark, Column
from archwalk.tasks.metrics import METRICS
from archwalk.tasks.table import make_benchmark
from tests.conftest import tiny_benchmark, two_tasks
from tests.searching.test_methods import evaluated_by

METHODS = ("random", "gp", "source-walk")
OPTIONS: dict[str, Any] = {"sources": "rest", "source_evaluations": 7, "methods": METHODS, "budgets": (3, 9)}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_tasks().save(tmp_path_factory.mktemp("table") / "two.parquet")


def unclocked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def contents(folder: Path) -> dict[str, Any]:
    """Every file, seconds left out, and what a killed worker had begun to write."""
    found: dict[str, Any] = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        name = str(file.relative_to(folder))
        if file.suffix == ".csv":
            frame = pl.read_csv(file)
            found[name] = frame.drop([c for c in frame.columns if c == "seconds"]).rows(named=True)
        else:
            found[name] = unclocked(json.loads(file.read_text()).get("rows", [{}]))
    return found


def test_many_targets_are_one_pool(table: Path, tmp_path: Path) -> None:
    """The same files for one job and two, one worker of which is killed; and after any interruption."""
    killed: list[int] = []

    def say(text: str) -> None:
        if "source-walk" in text and not killed:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
            killed.append(max(map(int, children.read_text().split())))
            os.kill(killed[0], signal.SIGKILL)

    one = archwalk.compare(table, ["one", "two"], tmp_path / "a", seeds=3, **OPTIONS)
    two = archwalk.compare(table, ["one", "two"], tmp_path / "b", seeds=3, jobs=2, say=say, **OPTIONS)
    assert killed
    assert unclocked(one) == unclocked(two)
    whole = contents(tmp_path / "a")
    assert contents(tmp_path / "b") == whole
    assert {"summary.json", "summary.csv", "tests.csv", "targets.json", "sources/one-2.csv"} <= set(whole)

    small = OPTIONS | {"methods": ("random",), "budgets": (2,)}
    out, said = tmp_path / "c", []
    archwalk.compare(table, ["two"], out, seeds=2, **small)  # grows in all directions
    (out / "two" / "runs" / "gp-1.csv").unlink()
    (out / "sources" / "one-1.csv").unlink()
    (out / "two" / "clairvoyant.csv").unlink()
    assert unclocked(archwalk.compare(table, ["one", "two"], out, seeds=3, **OPTIONS)) == unclocked(one)
    assert contents(out) == whole
    stamps = {file: file.stat().st_mtime_ns for file in out.rglob("runs/*")}
    archwalk.compare(table, ["one", "two"], out, seeds=3, say=said.append, **OPTIONS)
    assert said == []
    assert {file: file.stat().st_mtime_ns for file in out.rglob("runs/*")} == stamps

    for options, target, says in (
        ({"source_evaluations": 8}, ["one", "two"], "another source_evaluations"),
        ({"source_sample": "random"}, ["one", "two"], "another source_sample"),
        ({}, "one", "an empty or new folder"),
    ):
        with pytest.raises(SearchError, match=says):
            archwalk.compare(table, target, out, seeds=3, **(OPTIONS | options))
    with pytest.raises(SearchError, match="this benchmark and protocol"):
        archwalk.compare(tiny_benchmark(), ["main"], out, methods=["random"])
    assert contents(out) == whole
    alone = archwalk.compare(table, "one", tmp_path / "d", seeds=3, **OPTIONS)
    with pytest.raises(SearchError, match="several targets"):
        archwalk.compare(table, ["one"], tmp_path / "d", seeds=3, **OPTIONS)
    keys = ("rank_mean", "score_ci95", "value_mean")
    assert [[r[k] for k in keys] for r in alone] == [
        [r[k] for k in keys] for r in one if r["target"] == "one"
    ]


def test_what_is_known_of_a_source(table: Path, tmp_path: Path) -> None:
    """A search has seen what a search sees; each seed of the target has another one."""
    seen: dict[int, list[tuple[str, list[tuple[int, ...]], list[float]]]] = {}

    def watch(problem: Problem, history: History, seed: int) -> int:
        sources = problem.experience
        seen[seed] = [(s.name, list(map(tuple, s.codes.tolist())), s.values.tolist()) for s in sources]
        return int(history.free[0])

    method = make_method("watch", watch, knows_sources=True)
    benchmark, options = two_tasks(), OPTIONS | {"methods": (method,), "seeds": 3, "budgets": (1,)}
    archwalk.compare(benchmark, "two", tmp_path / "a", **options)
    bench = Bench(benchmark, tmp_path / "a")
    known = bench.known("")["one"]
    problem, reward = bench.blind(), benchmark.reward("one")
    for seed in range(3):
        rows = evaluated_by("gp", problem, reward, 7, sample_seed(known, seed))
        ((name, codes, values),) = seen[seed]
        assert (name, values) == ("one", reward[rows].tolist())
        assert codes == [tuple(code) for code in problem.codes(np.array(rows)).tolist()]
    assert seen[0] != seen[1]
    searched = dict(seen)
    archwalk.compare(benchmark, "two", tmp_path / "b", **options, source_sample="random")
    for seed in range(3):
        ((_, codes, values),) = seen[seed]
        assert len(set(codes)) == 7
        assert values == [float(reward[benchmark.index(benchmark.space.format(c))]) for c in codes]
        assert seen[seed] != searched[seed]
    assert seen[0] != seen[1]
    more = options | {"sources": ("one", f"{table}:one"), "source_sample": "random"}
    archwalk.compare(replace(benchmark, name="other"), "two", tmp_path / "e", **more)
    assert seen[0][0][1:] != seen[0][1][1:]  # each source is another search's
    archwalk.compare(benchmark, "two", tmp_path / "c", **(options | {"source_evaluations": 54}))
    assert sorted(seen[0][0][2]) == sorted(reward.tolist())
    blind = replace(method, knows_sources=False)
    archwalk.compare(benchmark, "two", tmp_path / "d", **(options | {"methods": (blind,)}))
    assert seen[0] == []


def test_a_source_from_another_table(tmp_path: Path) -> None:
    """Slots in another order, a loss, and only some of the architectures."""
    slots = {"d": ["w", "u", "v"], "c": ["3", "1", "2"], "b": ["q", "p"], "a": ["z", "x", "q"]}
    space = make_space("slots", slots)
    values = np.random.default_rng(3).uniform(1, 9, 30)
    rows = np.sort(np.random.default_rng(4).permutation(54)[:30])
    column = Column("far", "loss", "valid", "final")
    turned = make_benchmark("t", space, rows, {column: values}, {"loss": METRICS["loss"]}, {"far": column})
    file, benchmark, said = turned.save(tmp_path / "t.parquet"), two_tasks(), []
    options: dict[str, Any] = {
        "sources": (f"{file}:far",),
        "methods": ("source-walk",),
        "budgets": (9,),
        "seeds": 1,
    }
    rows_out = archwalk.compare(benchmark, "one", tmp_path / "out", say=said.append, **options)
    shared = {}
    for text, loss in zip(turned.architectures, values.tolist(), strict=True):
        d, c, b, a = text.split(",")
        if a != "q":
            shared[f"{a},{b},{c},{d}"] = loss
    assert 10 < len(shared) < 30
    assert f"knows {len(shared)} of the 54 architectures; of its 30 only these are used" in said[0]
    walked = pl.read_csv(tmp_path / "out" / "runs" / "source-walk-0.csv")["architecture"].to_list()
    assert walked == sorted(shared, key=lambda text: shared[text])[:9]
    assert {r["source_evaluations"] for r in rows_out} == {None}
    for n in (0, len(shared) + 1):
        with pytest.raises(SearchError, match=f"1 to {len(shared)} evaluations"):
            archwalk.compare(benchmark, "one", tmp_path / "no", **options, source_evaluations=n)
    strange = make_space("slots", {k: [c + "?" for c in v] for k, v in slots.items()})
    values, rows = {column: np.arange(54) + 1.0}, np.arange(54)
    metrics, rewards = {"loss": METRICS["loss"]}, {"far": column}
    other = make_benchmark("s", strange, rows, values, metrics, rewards).save(tmp_path / "s.parquet")
    copied = benchmark.save(tmp_path / "copy.parquet")
    for name, says in ((f"{other}:far", "shares 0 of its"), (f"{copied}:one", "other than the target")):
        with pytest.raises(SearchError, match=says):
            archwalk.compare(benchmark, "one", tmp_path / "no", **(options | {"sources": (name,)}))
    assert not (tmp_path / "no").exists()


def test_verdicts_by_hand() -> None:
    g = np.random.default_rng(0)
    series = {
        (t, m, 5): g.integers(1, 40, 12).astype(float) + shift * (t != "c")
        for t in "abc"
        for m, shift in (("mine", 0), ("gp", 30), ("source-walk", 4))
    }
    rows: list[dict[str, Any]] = [
        {"target": t, "method": m, "budget": 5, "rank_mean": float(v.mean())}
        for (t, m, _), v in series.items()
    ]
    tests = add_verdicts(rows, series)
    mine = {r["target"]: r["against"] for r in rows if r["method"] == "mine"}
    raw = {t: signed_rank(series[t, "mine", 5] - series[t, "gp", 5])[1] for t in "abc"}
    smallest, middle, largest = sorted(raw, key=lambda t: raw[t])
    holm = {smallest: min(3 * raw[smallest], 1)}
    holm[middle] = min(max(2 * raw[middle], holm[smallest]), 1)
    holm[largest] = min(max(raw[largest], holm[middle]), 1)
    for t in "abc":
        found = mine[t]["gp"]
        assert found["p"] == pytest.approx(raw[t])
        assert found["p_holm"] == pytest.approx(holm[t])
        assert found["difference"] == pytest.approx((series[t, "mine", 5] - series[t, "gp", 5]).mean())
        assert found["verdict"] == ("better" if holm[t] < 0.05 else "no difference")
    assert [mine[t]["gp"]["verdict"] for t in "abc"] == ["better", "better", "no difference"]
    walks = [r["against"] for r in rows if r["method"] == "source-walk"]
    assert all(set(against) == {"gp"} for against in walks)
    worse = [t for t in tests if t["method"] == "gp" and t["verdict"] == "worse"]
    assert {t["baseline"] for t in worse} == {"source-walk"}
    assert set(tests[0]) == {"target", "method", "budget", "baseline", "difference", "p", "p_holm", "verdict"}

    (over,) = over_targets(rows)
    at = {m["method"]: m for m in over["methods"]}
    means = {(t, m): series[t, m, 5].mean() for t, m, _ in series}
    expected = np.prod([means[t, "mine"] / means[t, "gp"] for t in "abc"]) ** (1 / 3)
    assert at["mine"]["rank_ratio_to_gp"] == pytest.approx(expected)
    assert at["gp"]["rank_ratio_to_gp"] == pytest.approx(1)
    assert at["mine"]["against_gp"] == {"better": 2, "worse": 0}
    assert sum(m["mean_rank"] for m in over["methods"]) == pytest.approx(6)


def test_rows_and_tables(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    given = ["compare", "--benchmark", str(table), "--targets", "one,two", "--sources", "rest"]
    given += ["--source-evaluations", "9", "--source-sample", "random", "--methods", "random,source-walk"]
    given += ["--budgets", "0,3,5,7,12", "--seeds", "6", "--out", str(out)]
    main([*given, "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [(r["target"], r["method"], r["budget"]) for r in rows] == [
        (t, m, b)
        for t in ("one", "two")
        for m in ("random", "source-walk", "gp", "clairvoyant")
        for b in (0, 3, 5, 7, 12)
    ]
    benchmark = two_tasks()
    for row in rows:
        rewards = benchmark.reward(row["target"])
        curves = pl.read_csv(out / row["target"] / "curves.csv")
        some = curves.filter((pl.col.method == row["method"]) & (pl.col.evaluations <= max(row["budget"], 1)))
        best = some.group_by("seed").agg(pl.col.reward.max())["reward"].to_numpy()
        gap = rewards.max() - rewards.mean()
        assert row["score_mean"] == pytest.approx(((best - rewards.mean()) / gap).mean())
        assert row["value_mean"] == pytest.approx(100 * best.mean())  # stored in percent
        half = 2.570582 * row["score_std"] / np.sqrt(6)  # Student's, five degrees of freedom
        assert row["score_ci95"] == pytest.approx([row["score_mean"] - half, row["score_mean"] + half])
        assert (row["protocol"], row["reward"], row["source_evaluations"]) == ("", "acc/valid/final", 9)
        own = row["method"] if row["method"] in ("gp", "source-walk") else ""
        assert set(row["against"]) == {"gp", "source-walk"} - {own}
    ranks = [r["rank_mean"] for r in rows if r["method"] == "clairvoyant" and r["target"] == "one"]
    assert all(r["rank_std"] == 0 for r in rows if r["method"] == "clairvoyant")
    assert ranks == sorted(ranks, reverse=True)
    print_comparison(rows)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    for text in (
        "protocol of the file, reward acc/valid/final, 9 evaluations a source",
        "2 targets, after 12",
    ):
        assert text in printed
    for name in ("rank", "regret", "critical_difference"):
        assert "<svg" in (out / f"{name}.svg").read_text()
    assert pl.read_csv(out / "summary.csv")["target"].unique().sort().to_list() == ["one", "two"]
    assert len(pl.read_csv(out / "tests.csv")) == sum(len(r["against"]) for r in rows)
    over = json.loads((out / "summary.json").read_text())["over_targets"]
    assert [o["budget"] for o in over] == [0, 3, 5, 7, 12]
    for wrong in (["--target", "one"], ["--targets", ""], ["--protocol", "cassimon"]):
        with pytest.raises(SystemExit):
            main([*given, *wrong])
        assert "Remedy" in capsys.readouterr().err
    print_comparison([r for r in rows if r["target"] == "one"])
    assert "targets, after" not in capsys.readouterr().out


def test_a_folder_of_before_goes_on(tiny: Benchmark, tmp_path: Path) -> None:
    """One that knows nothing of samples of sources and protocols."""
    out, plain = tmp_path / "out", {"methods": ("random",), "budgets": (4,), "seeds": 2}
    rows = archwalk.compare(tiny, "main", out, **plain)  # type: ignore[arg-type]
    made = json.loads((out / "compare.json").read_text())
    for name in ("protocol", "source_evaluations", "source_sample", "tables"):
        del made[name]
    for name in ("source_evaluations", "source_sample"):
        del made["plan"][name]
    (out / "compare.json").write_text(json.dumps(made))
    said: list[str] = []
    again = archwalk.compare(tiny, "main", out, say=said.append, **plain)  # type: ignore[arg-type]
    assert unclocked(again) == unclocked(rows)
    assert said == []
    assert {r["source_evaluations"] for r in again} == {0}
    assert Comparison.read(out).source_evaluations is None
