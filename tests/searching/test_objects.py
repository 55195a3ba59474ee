"""Objects wherever names are: evaluators, spaces, methods; directions; spaces of one's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archwalk
from archwalk.calling import asks_for_mapping, takes_mapping
from archwalk.cli import main
from archwalk.errors import ArchwalkError, SearchError, SettingsError
from archwalk.searching.history import History
from archwalk.searching.optimizer import Method, make_method
from archwalk.searching.problem import Problem
from archwalk.searching.registry import describe_methods, find_method, is_default, methods
from archwalk.spaces.registry import open_space
from archwalk.tasks.ledger import read_evaluations
from tests.conftest import tiny_benchmark
from tests.searching.formula import declaration

TOML = """
name = "mine"
[slots.depth]
choices = [2, 3, 4]
kind = "ordinal"
[slots.op]
choices = ["conv", "skip"]
[slots.kernel]
choices = [3, 5, 7]
kind = "ordinal"
when = { op = ["conv"] }
"""
MODULE = """
def by_text(architecture: str) -> dict:
    return {"loss": float(len(architecture)), "seen": 1.0}
def by_slots(architecture: dict) -> float:
    return architecture["depth"] + architecture.get("kernel", 0) / 10
def last(problem, history, seed):
    ids = problem.ids(["depth=4,op=skip", "depth=3,op=skip", "depth=2,op=skip"])
    return ids[~history.visited(ids)][0]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "space.toml").write_text(TOML)
    (tmp_path / "mine_search.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def depth_first(choices: Mapping[str, Any]) -> dict[str, float]:
    assert isinstance(choices["depth"], int)
    return {"acc": choices["depth"] + 0.1 * choices.get("kernel", 0)}


def test_a_function_and_a_space_as_objects(here: Path) -> None:
    for i, space in enumerate(("space.toml", Path("space.toml"), open_space("space.toml"))):
        result = archwalk.search(depth_first, f"out{i}", space=space, method="evolution", budget=12)
        assert result["architecture"] == "depth=4,op=conv,kernel=7"
        assert result["value"] == pytest.approx(4.7)
        assert result["evaluations"] == 12  # all there are
    again = archwalk.search(depth_first, "out0", space=open_space("space.toml").describe(), budget=40)
    assert again == json.loads(Path("out0/result.json").read_text())
    assert again["evaluations"] == 12


def test_exceptions_are_failed_evaluations_and_numbers_the_one_metric(here: Path) -> None:
    asked = []

    def fussy(architecture: str) -> float:
        asked.append(architecture)
        if "skip" in architecture:
            raise ValueError("no skips")
        return np.float32(len(asked))

    result = archwalk.search(fussy, "out", space="space.toml", method="random", budget=12, metric="quality")
    assert result["failed"] == 3
    assert {e["message"] for e in result["looks"] if e["status"] == "failed"} == {"ValueError: no skips"}
    assert result["value"] == max(e.get("quality", 0) for e in result["looks"])
    assert len(asked) == len(set(asked)) == 12
    with pytest.raises(SearchError, match="time limit for a callable"):
        archwalk.search(fussy, "other", space="space.toml", metric="quality", time_limit=1.0)
    tried = []

    def once_more(architecture: str) -> float:
        tried.append(architecture)
        if len(tried) < 2:
            raise OSError("again")
        return 1.0

    kept = archwalk.search(once_more, "third", space="space.toml", metric="q", budget=1, retries=1)
    assert (kept["ok"], len(tried)) == (1, 2)

    def stop(architecture: str) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archwalk.search(stop, "fourth", space="space.toml", metric="q", budget=1)
    assert read_evaluations(Path("fourth/evaluations.sqlite")) == []


def test_who_asks_for_a_mapping() -> None:
    def text(a: str) -> None: ...
    def plain(a): ...  # type: ignore[no-untyped-def]
    def dictionary(a: dict[str, int]) -> None: ...
    def mapping(a: Mapping[str, Any]) -> None: ...
    def quoted(a: "typing.Mapping[str, Any]") -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037

    @takes_mapping
    def decorated(a): ...  # type: ignore[no-untyped-def]

    class Trainer:
        def __call__(self, choices: dict) -> None: ...

    wanted = [
        asks_for_mapping(f) for f in (text, plain, dictionary, mapping, quoted, decorated, Trainer(), dict)
    ]
    assert wanted == [False, False, True, True, True, True, True, False]


def test_the_command_line(here: Path, capsys: pytest.CaptureFixture) -> None:
    given = ["search", "--space", "space.toml", "--budget", "6", "--json"]
    main([*given, "--evaluator", "mine_search:by_slots", "--metric", "top1", "--method", "gp", "--out", "a"])
    result = json.loads(capsys.readouterr().out)
    assert (result["ok"], result["metric"]) == (6, "top1")
    values = {e["architecture"]: e["top1"] for e in result["looks"]}
    for text, value in values.items():
        parts = dict(part.split("=") for part in text.split(","))
        assert value == pytest.approx(int(parts["depth"]) + int(parts.get("kernel", 0)) / 10)
    command = """sh -c 'echo "{\\"loss\\": ${#0}}"' {}"""
    main(
        [
            *given,
            "--command",
            command,
            "--metric",
            "loss",
            "--method",
            "mine_search:last",
            "--budget",
            "3",
            "--out",
            "b",
        ]
    )
    other = json.loads(capsys.readouterr().out)
    assert [e["architecture"] for e in other["looks"]] == [f"depth={d},op=skip" for d in (4, 3, 2)]
    assert other["value"] == 15.0
    main(
        [
            *given,
            "--evaluator",
            "mine_search:by_text",
            "--metric",
            "loss",
            "--cost",
            "seen",
            "--minimise",
            "seen",
            "--method",
            "random",
            "--out",
            "c",
        ]
    )
    assert json.loads(capsys.readouterr().out)["front"]
    main(["methods", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert {r["name"]: r["also"] for r in rows}["transfer-gp"] == ["agent"]
    assert all(
        r["summary"] and r["source"] and set(r) == {"name", "also", "summary", "needs", "source"}
        for r in rows
    )
    assert {r["name"]: r["needs"] for r in rows}["forest"] == ["scikit-learn"]


def test_what_is_refused_before_any_evaluation(here: Path) -> None:
    calls = []

    def evaluate(architecture: str) -> float:
        calls.append(architecture)
        return 1.0

    good: dict[str, Any] = {"space": "space.toml", "method": "random", "metric": "q", "budget": 2}
    for change, kind, says in [
        ({"space": "space.tml"}, ArchwalkError, "space"),
        ({"space": "nowhere.toml"}, ArchwalkError, "readable"),
        ({"metric": "val_error"}, SettingsError, "--minimise val_error"),
        ({"metric": "latency_ms"}, SettingsError, "--minimise latency_ms"),
        ({"metric": "top1", "minimise": ["top1"]}, SettingsError, "is declared"),
        ({"metric": "val_loss", "maximise": ["val_loss"]}, SettingsError, "is declared"),
        ({"minimise": ["p"]}, SearchError, "directions of the metrics"),
        ({"minimise": ["q"], "maximise": ["q"]}, SettingsError, "one direction"),
        ({"cost": "q"}, SearchError, "other than the metric"),
        ({"task": "t"}, SearchError, ".task file"),
        ({"method": 3}, SearchError, "a function"),
        ({"method": "nowhere:f"}, SearchError, "can be imported"),
        ({"executor": "ray"}, SearchError, "for --executor ray"),
    ]:
        with pytest.raises(kind, match=says):
            archwalk.search(evaluate, "out", **(good | change))
    assert calls == []
    assert not Path("out").exists()
    archwalk.search(evaluate, "out", **good)
    for change, says in [
        ({"minimise": ["q"]}, "metrics.q"),
        ({"metric": "r"}, "metrics"),
        ({"space": {"name": "mine", "slots": {"depth": [2, 3, 4]}}}, "space.declaration"),
    ]:
        with pytest.raises(SearchError, match=says):
            archwalk.search(evaluate, "out", **(good | change))
    (here / "space.toml").write_text(
        TOML.replace("[3, 5, 7]", "[3, 5]")
    )  # changed after the ledger was begun
    with pytest.raises(SearchError, match=r"slots\.kernel\.choices \[3, 5\]"):
        archwalk.search(evaluate, "out", **(good | {"budget": 4}))
    assert len(calls) == 2


def test_less_is_better_where_it_is_said(here: Path) -> None:
    def loss(architecture: str) -> dict[str, float]:
        return {"val_loss": float("skip" in architecture), "val_error": float("skip" in architecture)}

    options: dict[str, Any] = {"space": "space.toml", "method": "random", "budget": 12}
    assert archwalk.search(loss, "a", metric="val_loss", **options)["value"] == 0
    assert archwalk.search(loss, "b", metric="val_error", minimise=["val_error"], **options)["value"] == 0
    assert archwalk.search(loss, "c", metric="val_error", maximise=["val_error"], **options)["value"] == 1


def test_two_tables_of_one_first_architecture_and_size_do_not_share(tmp_path: Path) -> None:
    one, two = (tiny_benchmark(keep=20, seed=s) for s in (0, 0))
    other = tiny_benchmark(keep=20, seed=3)
    assert one.checksum == two.checksum != other.checksum
    count = [0]

    def evaluate(architecture: str) -> float:
        count[0] += 1
        return 1.0

    options: dict[str, Any] = {"method": "random", "metric": "q"}
    archwalk.search(evaluate, tmp_path / "s", space=one, budget=2, **options)
    archwalk.search(evaluate, tmp_path / "s", space=two, budget=3, **options)
    with pytest.raises(SearchError, match="checksum"):
        archwalk.search(evaluate, tmp_path / "s", space=other, budget=4, **options)
    assert count == [3]


def walk(problem: Problem, history: History, seed: int) -> int:
    """A method of one's own: the first free neighbour of the latest."""
    if not len(history):
        return int(problem.sample(1, np.random.default_rng(seed))[0])
    around = problem.neighbours(history.indices[-1:])[0]
    around = around[around >= 0]
    return int(around[~history.visited(around)][0])


class Walker:
    """The same with a memory of its own."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.seed = problem, seed

    def update(self, evaluations: History) -> None:
        self.history = evaluations

    def suggest(self, n: int) -> list[int]:
        return [walk(self.problem, self.history, self.seed)]


def test_methods_of_ones_own(tmp_path: Path) -> None:
    benchmark = tiny_benchmark()
    out = tmp_path / "out"
    rows = archwalk.compare(benchmark, "main", out, methods=[walk, Walker, "random"], budgets=[6], seeds=2)
    assert [r["method"] for r in rows] == ["walk", "Walker", "random"]
    assert rows[0]["rank_mean"] == rows[1]["rank_mean"]
    assert (out / "runs" / "walk-1.csv").exists()
    with pytest.raises(SearchError, match="each method once"):
        archwalk.compare(benchmark, "main", tmp_path / "b", methods=[walk, walk], budgets=[6], seeds=1)

    def stubborn(problem: Problem, history: History, seed: int) -> str:
        return problem.text(3)

    with pytest.raises(SearchError, match="without an evaluation"):
        archwalk.search(
            lambda text: 1.0, tmp_path / "c", space=benchmark, method=stubborn, metric="q", budget=3
        )
    assert len(read_evaluations(tmp_path / "c" / "evaluations.sqlite")) == 1


def test_names_of_methods() -> None:
    assert find_method("agent") is find_method("transfer-gp") is methods()["transfer-gp"]
    assert is_default("agent")
    assert not is_default("gp")
    assert not is_default("somebody-elses")
    with pytest.raises(SearchError, match="did you mean 'evolution'"):
        find_method("evolutoin")
    with pytest.raises(SearchError, match="install no-such-library"):
        find_method(Method("x", find_method("gp").make, "", "", needs=("no-such-library",)))
    assert len(describe_methods()) == len(methods())


def test_entry_points_and_names_that_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from archwalk.searching import registry

    class Point:
        name = "walk"

        def load(self) -> object:
            return walk

    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [Point()] if group == "archwalk.methods" else []
    )
    registry._load_entry_points.cache_clear()
    assert find_method("walk").summary.startswith("A method of one's own")
    for name in ("gp", "agent", "a/b", "a:b", ""):
        with pytest.raises(SearchError, match="name"):
            registry.register_method(make_method(name, walk))
    registry._load_entry_points.cache_clear()


def test_ten_to_the_fifteen_with_conditions(tmp_path: Path) -> None:
    space = open_space(declaration())
    assert space.size is not None
    assert space.size > 10**14
    seen: list[Mapping[str, Any]] = []

    def evaluate(choices: Mapping[str, Any]) -> float:
        seen.append(choices)
        assert all(("kernel" + str(i) in choices) == (choices[f"op{i}"] == "conv") for i in range(9))
        return sum(choices[f"width{i}"] == 512 for i in range(9)) + sum(
            choices[f"op{i}"] == "conv" for i in range(9)
        )

    found = {
        method: archwalk.search(
            evaluate, tmp_path / method, space=space, method=method, metric="q", budget=40
        )
        for method in ("random", "gp")
    }
    assert found["gp"]["value"] > found["random"]["value"]
    again = archwalk.search(evaluate, tmp_path / "again", space=space, method="gp", metric="q", budget=17)
    killed = archwalk.search(evaluate, tmp_path / "again", space=space, method="gp", metric="q", budget=40)
    assert again["looks"] == killed["looks"][:17]
    assert killed["looks"] == found["gp"]["looks"]  # though it was begun twice
