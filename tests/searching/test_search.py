"""The verbs and commands: budgets, faults, resuming, bad input, the comparison's contract."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import polars as pl
import pytest

import archwalk
from archwalk.cli import main
from archwalk.errors import ArchwalkError, SearchError
from tests.conftest import small_settings, three_tasks, tiny_benchmark, two_tasks

FAULTY = """#!/bin/sh
n=$(wc -l < calls); echo "$1" >> calls
case $((n % 10)) in
  3) exit 7;;
  5) sleep 30;;
  7) echo '{"acc": NaN, "params": 1}';;
  *) echo "{\\"acc\\": $((n % 4)), \\"params\\": $((n % 3))}";;
esac
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "evaluate.sh").write_text(FAULTY)
    (tmp_path / "calls").write_text("")
    monkeypatch.chdir(tmp_path)
    return tiny_benchmark().save(tmp_path / "tiny.parquet")


def search(table: Path, budget: int, **options: object) -> dict[str, object]:
    given = {
        "command": "sh evaluate.sh",
        "space": str(table),
        "method": "random",
        "time_limit": 1.0,
    } | options
    return archwalk.search(None, table.parent / "out", budget=budget, **given)  # type: ignore[arg-type]


def test_faults_are_counted_and_nothing_is_asked_twice(table: Path) -> None:
    calls = table.parent / "calls"
    first = search(table, 6, cost="params")
    assert len(calls.read_text().split()) == 6
    result = search(table, 10, cost="params")  # a larger budget goes on
    asked = calls.read_text().split()
    assert len(asked) == len(set(asked)) == result["evaluations"] == 10
    assert (result["ok"], result["failed"], result["timeout"], result["invalid"]) == (7, 1, 1, 1)
    assert result["looks"][:6] == first["looks"]  # type: ignore[index]
    assert result["value"] == 2  # evaluations 3 and 7, which would have given 3, failed
    assert result["front"]
    assert json.loads((table.parent / "out" / "result.json").read_text()) == result
    assert search(table, 10, cost="params") == result


def test_what_is_refused_before_the_first_evaluation(table: Path) -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"budget": 0}, "budget of at least 1"),
        ({"command": "no-such-program"}, "program exists"),
        ({"method": "evolutoin"}, "did you mean 'evolution'"),
        ({"space": None}, "an agent or a space"),
        ({"agent": table.parent}, "run folder"),
    ]
    for options, says in cases:
        with pytest.raises(ArchwalkError, match=says):
            search(table, **({"budget": 3} | options))  # type: ignore[arg-type]
    assert (table.parent / "calls").read_text() == ""
    search(table, 1)
    with pytest.raises(SearchError, match="another --out"):
        search(table, 2, metric="params")


def test_an_agent_searches_its_own_space_and_no_other(table: Path) -> None:
    run = archwalk.train(table, "main", table.parent / "run", preset=small_settings())
    result = search(table, 5, agent=run.path, space=None, method="agent")
    assert result["evaluations"] == 5
    with pytest.raises(SearchError, match="trained on the space"):
        search(table, 5, agent=run.path, space="synthetic-cells", method="agent")


def test_compare(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    given = ["compare", "--benchmark", "synthetic", "--target", "alpha", "--sources", "beta,gamma", "--out"]
    given += [str(out), "--methods", "random,gp,agent", "--budgets", "0,5,12", "--seeds", "2"]
    given += ["--json"]
    main(given)
    rows = json.loads(capsys.readouterr().out)
    contract = {"method", "budget", "rank_mean", "rank_std", "regret_mean", "evaluations", "seconds"}
    assert [(r["method"], r["budget"]) for r in rows] == [
        (m, b) for m in ("random", "gp", "agent", "source-walk", "clairvoyant") for b in (0, 5, 12)
    ]
    for row in rows:
        assert contract <= set(row)
        assert row["evaluations"] == row["budget"]
        assert row["rank_mean"] >= 1
        assert row["regret_mean"] >= 0
    (out / "runs" / "gp-1.csv").unlink()
    stamps = {p.name: p.stat().st_mtime_ns for p in (out / "runs").iterdir()}
    main(given)
    again = json.loads(capsys.readouterr().out)
    unclocked = [[{k: v for k, v in r.items() if k != "seconds"} for r in x] for x in (rows, again)]
    assert unclocked[0] == unclocked[1]
    assert all((out / "runs" / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())
    with pytest.raises(SystemExit):
        main([*given, "--target", "delta"])
    assert "another target" in capsys.readouterr().err


def test_a_comparison_shared_by_processes_has_the_same_numbers(tmp_path: Path) -> None:
    """In the end, too, if a worker is killed on the way."""
    options: dict = {"sources": ("two", "three"), "methods": ("random", "gp", "agent"), "seeds": 2}
    options |= {"budgets": (0, 6)}
    table = three_tasks().save(tmp_path / "three.parquet")
    said: dict[str, list[str]] = {"one": [], "two": []}
    killed = []

    def say(text: str) -> None:
        said["two"].append(text)
        if text.startswith("gp") and not killed:
            me = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
            killed.append(max(map(int, me.read_text().split())))
            os.kill(killed[0], signal.SIGKILL)

    one = archwalk.compare(table, "one", tmp_path / "one", say=said["one"].append, **options)
    two = archwalk.compare(table, "one", tmp_path / "two", say=say, jobs=2, **options)
    assert killed
    assert set(said["one"]) == set(said["two"])

    def numbers(rows: list[dict]) -> list[dict]:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    assert numbers(one) == numbers(two)
    files = [
        sorted(str(p.relative_to(tmp_path / n)) for p in (tmp_path / n).rglob("[!.]*")) for n in said
    ]  # without what the killed worker had begun to write
    assert files[0] == files[1]
    for file in (tmp_path / "one" / "runs").iterdir():
        tables = [pl.read_csv(tmp_path / name / "runs" / file.name).drop("seconds") for name in said]
        assert tables[0].equals(tables[1])
    said["two"].clear()
    assert numbers(archwalk.compare(table, "one", tmp_path / "two", say=say, jobs=2, **options)) == (
        numbers(one)
    )
    assert said["two"] == []


def test_comparisons_that_are_refused(tmp_path: Path) -> None:
    benchmark = archwalk.load_benchmark("synthetic")
    good = {"target": "alpha", "sources": ("beta",), "methods": ("gp",), "budgets": (5,), "seeds": 1}
    for change, says in [
        ({"target": "alhpa"}, "did you mean 'alpha'"),
        ({"target": ("beta", "alpha", "beta")}, "each once"),
        ({"target": ()}, "each once"),
        ({"sources": ("alpha",)}, "other than the target"),
        ({"target": ("alpha",), "sources": ("alpha",)}, "other than the target"),
        ({"sources": ("beta", "rest")}, "each source once"),
        ({"sources": ("btea",)}, "did you mean 'beta'"),
        ({"sources": ("synthetic:alpha",)}, "other than the target"),
        ({"sources": ("digts:jigsaw",)}, "did you mean 'digits'"),
        ({"sources": ("digits:jigsw",)}, "did you mean 'jigsaw'"),
        ({"source_evaluations": 0}, "1 to 4,096 evaluations of the source beta"),
        ({"source_evaluations": 4_097}, "1 to 4,096 evaluations of the source beta"),
        ({"source_evaluations": 5, "sources": ()}, "sources to evaluate"),
        ({"source_evaluations": 5, "source_sample": "best"}, "search or random"),
        ({"sources": (), "methods": ("source-walk",)}, "sources, for the method source-walk"),
        ({"methods": ("bo",)}, "a method among"),
        ({"budgets": (0,)}, "at least 1"),
        ({"seeds": 0}, "at least one seed"),
    ]:
        with pytest.raises(ArchwalkError, match=says):
            archwalk.compare(benchmark, out=tmp_path / "out", **(good | change))  # type: ignore[arg-type]
    with pytest.raises(ArchwalkError, match="the space 'slots', whose slots are"):
        archwalk.compare(two_tasks(), "one", tmp_path / "out", sources=("digits:jigsaw",))
    with pytest.raises(ArchwalkError, match="protocol"):
        archwalk.compare("synthetic@cassimon", "alpha", tmp_path / "out")
    with pytest.raises(ArchwalkError, match="at least one worker process"):
        archwalk.compare("synthetic", "alpha", tmp_path / "out", jobs=0)
    assert not (tmp_path / "out").exists()


def test_a_method_that_knows_sources_says_that_it_has_none(table: Path) -> None:
    said: list[str] = []
    search(table, 1, method="agent", say=said.append)
    assert said == [
        "known beforehand: nothing, so agent searches as gp does; --experience names what is known of other "
        "tasks"
    ]
    said.clear()
    archwalk.search(
        None, table.parent / "g", space="digits", task="jigsaw", method="gp", budget=1, say=said.append
    )
    assert said == []
