"""The report of a search: what it says is what the ledger holds; damaged folders; hostile names."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archwalk
from archwalk.analysis.importance import LEAST
from archwalk.errors import RunError, SettingsError
from archwalk.reporting.searches.data import SearchData, last_line, read_search, read_searches, slot_names
from archwalk.reporting.searches.figures import frame_of, in_units
from archwalk.reporting.searches.page import cost_rows, duration
from archwalk.spaces import make_space
from archwalk.tasks.ledger import Evaluation
from archwalk.tasks.metrics import Metric
from tests.conftest import two_tasks
from tests.reporting.test_report import parsed

EVIL = "<img src=x onerror=alert(1)>"
SCRIPT = "<script>alert(1)</script>"  # a choice cannot hold "="
SPACE = {
    "name": "mine",
    "slots": {
        "op": {"choices": ["conv", SCRIPT, "skip"]},
        "depth": {"choices": [2, 4, 10], "kind": "ordinal"},
        "$wid_th{": {"choices": [1, 2, 3, 4]},
        "kernel": {"choices": [3, 5], "when": {"op": "conv"}},
    },
}


def evaluate(architecture: str) -> dict[str, float]:
    """Fails in two ways; the first slot decides, less is better."""
    if "depth=10" in architecture and "th{=4" in architecture:
        raise RuntimeError(f"out of memory: {len(architecture)} MiB {EVIL}")
    if "depth=10" in architecture and "th{=3" in architecture:
        return {"val_loss": float("nan"), "params": 1.0}
    width = float(architecture.partition("th{=")[2][0])
    return {"val_loss": 1.0 + ("skip" in architecture) + width / 100, "params": 1e6 * (5 - width)}


@pytest.fixture(scope="module", autouse=True)
def few_trees() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archwalk.analysis.importance._TREES", 12)
        patch.setattr("archwalk.analysis.importance._REPEATS", 1)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("search") / EVIL
    given: dict[str, Any] = {"space": SPACE, "method": "random", "metric": "val_loss", "cost": "params"}
    archwalk.search(evaluate, out, budget=40, minimise=["val_loss"], **given)
    archwalk.report(out)
    return out


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def search(folder: Path) -> SearchData:
    return read_search(folder)


def test_the_data_are_those_of_the_search(folder: Path, search: SearchData) -> None:
    result = json.loads((folder / "result.json").read_text())
    assert search.best is not None
    best = search.evaluations[search.best]
    assert (best.architecture, best.metrics["val_loss"]) == (result["architecture"], result["value"])
    assert best.metrics["val_loss"] == min(e.metrics["val_loss"] for e in search.evaluations if e.metrics)
    front = {search.evaluations[i].architecture for i in search.front}
    assert front == {e["architecture"] for e in result["front"]}
    so_far = np.inf
    for i, evaluation in enumerate(search.evaluations):
        so_far = min(so_far, evaluation.metrics.get("val_loss", np.inf))
        assert search.best_so_far[i] == so_far or (np.isnan(search.best_so_far[i]) and so_far == np.inf)
    losses = [search.values(0)[i] for i in search.best_first(10)]
    assert losses == sorted(losses)
    assert len(losses) == 10
    failed = [e for e in search.evaluations if e.status == "failed"]
    invalid = [e for e in search.evaluations if e.status == "invalid"]
    assert {(f.status, f.count) for f in search.failures} == {
        ("failed", len(failed)),
        ("invalid", len(invalid)),
    }
    assert [row[:2] for row in cost_rows(search)] == [
        [status, sum(e.status == status for e in search.evaluations)]
        for status in dict.fromkeys(["ok", *(e.status for e in search.evaluations)])
    ] + [["all", 40]]
    assert search.slots == list(SPACE["slots"])  # type: ignore[arg-type]
    assert search.importance is not None
    assert search.slots[int(np.nanargmax(search.importance.mean))] == "op"
    space: Any = search.space
    assert space.declaration.choices[1] == (2, 4, 10)  # numbers, not "10" before "2"


def test_the_report_says_it_all_and_loads_nothing(folder: Path, search: SearchData) -> None:
    html = (folder / "report.html").read_text()
    page = parsed(html)
    assert all(link.startswith(("data:image/svg+xml;base64,", "#")) for link in page.links)
    text = " ".join(page.text)
    assert f"found by evaluation {search.best + 1} of 40" in text  # type: ignore[operator]
    assert search.evaluations[search.best].architecture in text  # type: ignore[index]
    for failure in search.failures:
        assert f"{failure.count} × {failure.status}: {failure.message}" in text
    assert "lower is better" in text
    assert f"The front: {len(search.front)} architectures" in text
    assert re.search(r"\(34 evaluations\); op\b[^;]* mattered", text)
    for name in ("search_way", "search_front", "search_importance"):
        assert (folder / "figures" / f"{name}.svg").stat().st_size > 1_000
        assert (folder / "figures" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    rows = pl.read_csv(folder / "tables" / "search_evaluations.csv")
    assert rows["architecture"].to_list() == [e.architecture for e in search.evaluations]
    assert rows["metric_val_loss"].count() == int(search.ok.sum())
    slots = pl.read_csv(folder / "tables" / "search_importance.csv")
    assert sorted(slots["slot"]) == sorted(search.slots)


class Tags(HTMLParser):
    """Which elements and attributes there are."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        assert not any(name.startswith("on") for name, _ in attributes)
        assert tag != "img" or dict(attributes)["src"] != "x"


def test_hostile_names_and_messages_are_text(folder: Path) -> None:
    html = (folder / "report.html").read_text()
    assert EVIL not in html
    assert SCRIPT not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") >= 3  # title, heading, message
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3  # architectures
    tags = Tags()
    tags.feed(html)
    assert not tags.found & {"script", "link", "iframe", "object"}


def test_equal_searches_have_equal_reports(copy: Path) -> None:
    first = archwalk.report(copy).read_bytes()
    shutil.rmtree(copy / "figures")
    assert archwalk.report(copy).read_bytes() == first


def test_a_result_that_cannot_be_read_is_only_a_caution(copy: Path) -> None:
    for broken in ('{"architecture": "op', "[]", ""):
        (copy / "result.json").write_text(broken)
        assert "result.json cannot be read" in read_searches(copy)[0].cautions[0]
    assert "result.json cannot be read" in archwalk.report(copy).read_text()
    (copy / "result.json").unlink()
    assert not read_searches(copy)[0].cautions


def test_an_unfinished_search_says_so_first(copy: Path) -> None:
    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps(result | {"finished": False, "budget": 90}))
    text = parsed(archwalk.report(copy).read_text()).text
    assert text[0].startswith("Unfinished: 40 of 90 evaluations are made.")


def test_what_breaks_a_limit_is_not_the_best(copy: Path, search: SearchData) -> None:
    for limit, keeps in (
        ("params <= 2.5e+06", lambda p: p <= 2.5e6),
        ("params < 3e+06", lambda p: p < 3e6),
        ("params >= 2e+06", lambda p: p >= 2e6),
        ("params > 2e+06", lambda p: p > 2e6),
        ("latency_ms <= 1", lambda p: True),  # known before training, and in no metrics
        ("params <= 1", lambda p: False),
    ):
        with closing(sqlite3.connect(copy / "evaluations.sqlite")) as db, db:
            db.execute("INSERT OR REPLACE INTO identity VALUES ('limits', ?)", (json.dumps([limit]),))
        found = read_search(copy)
        good = [e for e in search.evaluations if e.status == "ok" and keeps(e.metrics["params"])]
        assert int(found.feasible.sum()) == len(good)
        if good:
            least = min(e.metrics["val_loss"] for e in good)
            assert found.evaluations[found.best].metrics["val_loss"] == least  # type: ignore[index]
            assert found.best_so_far[-1] == least
        assert all(found.feasible[i] for i in [*found.front, *found.best_first(40)])
        assert int(found.ok.sum()) == int(search.ok.sum())
    text = " ".join(parsed(archwalk.report(copy).read_text()).text)
    assert "None of 40 evaluations keeps to the limits: params <= 1." in text
    assert "Limits: params <= 1; 34 evaluations break one." in text
    with closing(sqlite3.connect(copy / "evaluations.sqlite")) as db, db:
        db.execute("UPDATE identity SET value = '[\"splendid\"]' WHERE name = 'limits'")
    with pytest.raises(RunError, match="splendid"):
        read_search(copy)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:9_000])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def no_database(file: Path) -> None:
    file.write_text("not SQLite\n" * 100)


def nothing_finished(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE evaluations SET status = NULL")


def strange_status(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE evaluations SET status = 'splendid' WHERE position = 3")


def strange_metrics(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE identity SET value = '[1, 2]' WHERE name = 'metrics'")


@pytest.mark.parametrize(
    "damage", [cut, empty, no_database, nothing_finished, strange_status, strange_metrics]
)
def test_damaged_ledgers_are_refused_and_left_alone(copy: Path, damage: Callable[[Path], None]) -> None:
    (copy / "report.html").unlink()
    file = copy / "evaluations.sqlite"
    damage(file)
    before = file.read_bytes()
    with pytest.raises(RunError) as error:
        archwalk.report(copy)
    assert len(str(error.value)) < 800
    assert "Traceback" not in str(error.value)
    assert file.read_bytes() == before
    assert not (copy / "report.html").exists()


def test_folders_of_another_kind(tmp_path: Path, folder: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", folder / "result.json"):
        with pytest.raises(RunError, match=r"study\.toml.*evaluations\.sqlite.*compare\.json"):
            archwalk.report(path)
    with pytest.raises(SettingsError, match="leave it out"):
        archwalk.report(folder, benchmark="digits")


def test_an_unknown_space_costs_the_drawing_alone(copy: Path) -> None:
    with closing(sqlite3.connect(copy / "evaluations.sqlite")) as db, db:
        db.execute("""UPDATE identity SET value = '{"name": "not-here"}' WHERE name = 'space'""")
    text = " ".join(parsed(archwalk.report(copy).read_text()).text)
    assert "The space 'not-here' is not known here" in text
    assert "found by evaluation" in text


def test_without_scikit_learn_the_report_says_what_is_missing(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise ImportError("sklearn")

    monkeypatch.setattr("archwalk.reporting.searches.data.slot_importance", missing)
    assert "pip install &#39;archwalk[search]&#39;" in archwalk.report(copy).read_text()


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("joint") / "out"
    table = two_tasks()
    archwalk.search(None, out, space=table, tasks=["one", "two"], method="random", budget=12)
    return out


def test_several_tasks_in_one_report(joint: Path) -> None:
    html = archwalk.report(joint).read_text()
    text = " ".join(parsed(html).text)
    assert "12 evaluations" in text
    assert [s.name for s in read_searches(joint)] == ["one", "two"]
    for search in read_searches(joint):
        assert f"found by evaluation {search.best + 1} of 6" in text  # type: ignore[operator]
        assert (joint / search.name / "figures" / "search_way.svg").exists()
    assert f"importances are computed from {LEAST} on" in text


def test_half_written_searches_of_several_tasks(joint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(joint, copy)
    shutil.rmtree(copy / "two")
    assert [s.name for s in read_searches(copy)] == ["one"]
    for broken in ("[", "{}", '["../../elsewhere"]', '[".."]', "[3]", "[]"):
        (copy / "tasks.json").write_text(broken)
        with pytest.raises(RunError, match=r"tasks\.json"):
            archwalk.report(copy)
    (copy / "tasks.json").write_text('["two"]')
    with pytest.raises(RunError, match="at least one finished evaluation"):
        archwalk.report(copy)


def test_a_comparison_is_reported_too(tmp_path: Path) -> None:
    table = two_tasks()
    archwalk.compare(table, ["one", "two"], tmp_path, methods=("random", "gp"), budgets=(2, 4), seeds=2)
    page = parsed(archwalk.report(tmp_path).read_text())
    text = " ".join(page.text)
    assert "Mean rank of each method" in text
    assert {"one", "two"} <= set(" ".join(page.text).replace(",", " ").split())
    assert sum(link.startswith("data:image/svg") for link in page.links) == 3
    for file in tmp_path.glob("*/curves.csv"):
        file.unlink()
    with pytest.raises(RunError, match="a finished target"):
        archwalk.report(tmp_path)


def test_numbers_in_a_message_do_not_make_it_another_one() -> None:
    def said(message: str) -> str:
        return last_line(Evaluation("a=1", "failed", {}, message, 0.0))

    assert said("Traceback\n  File x, line 3\nRuntimeError: 12.5 MiB at 0x7f3a for a=1\n") == said(
        "RuntimeError: 7 MiB at 0xbeef for a=1"
    )
    assert said("RuntimeError: 7") != said("ValueError: 7")
    assert said(" \n ") == "(no message)"


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30), st.sampled_from(["min", "max"]), st.booleans()
)
@settings(max_examples=60, deadline=None)
def test_frames_hold_the_best_and_most_of_the_rest(
    values: list[float], direction: Any, outlier: bool
) -> None:
    worse = 1e12 if direction == "min" else -1e12
    given = np.array([*values, *([worse] if outlier and len(values) > 19 else [])])
    low, high = frame_of(given, Metric("m", direction, ""))
    best = given.min() if direction == "min" else given.max()
    assert low < best < high
    assert np.mean((low <= given) & (given <= high)) >= 0.89
    if outlier and len(values) > 19:
        assert high - low < 1e11


def test_times_are_in_units_of_people() -> None:
    assert duration(0.0012) == "1.2 ms"
    assert duration(59) == "59 s"
    assert duration(600) == "10 min"
    assert duration(7_200) == "2 h"
    assert duration(3 * 86_400) == "3 days"
    assert in_units(np.array([30.0, 120.0]))[0].tolist() == [0.5, 2.0]


def test_slots_without_names_have_some() -> None:
    for name, first, last in (
        ("darts", "normal 0→2", "reduce 4→5"),
        ("nasbench101", "operation 1", "edge 5→6"),
        ("transnas-macro", "slot 1", "slot 6"),
        ("nasbench201", "0->1", "2->3"),
    ):
        names = slot_names(make_space(name))
        assert (names[0], names[-1]) == (first, last)
        assert len(names) == len(make_space(name).slot_sizes)
