"""Ask and tell: shared by processes, killed at any moment, saved and loaded, in every kind of space."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import archwalk
from archwalk.errors import ArchwalkError, SearchError
from archwalk.searching.experience.source import Source
from archwalk.spaces.registry import make_listed
from archwalk.tasks.ledger import Evaluation
from tests.conftest import two_tasks
from tests.searching.formula import declaration

SPACE = make_listed("slots", {"op": [f"o{i}" for i in range(8)], "k": ["x", "y"]})


def value(architecture: str) -> float:
    return sum(map(ord, architecture)) % 97 / 10


def optimizer(**options: Any) -> archwalk.Optimizer:
    return archwalk.Optimizer(
        options.pop("space", SPACE), **({"metric": "acc", "method": "random"} | options)
    )


@pytest.mark.parametrize("method", ["gp", "evolution"])
@pytest.mark.parametrize("space", ["listed", "declared", "table"])
def test_asking_and_telling_is_what_search_does(tmp_path: Path, space: str, method: str) -> None:
    where: Any = {"listed": SPACE, "declared": declaration(), "table": two_tasks()}[space]
    options: dict[str, Any] = {"space": where, "metric": "acc", "method": method, "seed": 3}
    found = archwalk.search(lambda a: {"acc": value(a)}, tmp_path / "s", budget=9, **options)
    with archwalk.Optimizer(where, **{k: v for k, v in options.items() if k != "space"}) as asked:
        for _ in range(9):
            (architecture,) = asked.suggest()
            asked.tell(architecture, {"acc": value(architecture)})
        assert [e.architecture for e in asked.evaluations] == [e["architecture"] for e in found["looks"]]
        assert asked.best is not None
        assert asked.best.metrics["acc"] == found["value"]


def test_what_is_in_hand_is_given_to_nobody_else(tmp_path: Path) -> None:
    with optimizer(storage=tmp_path / "o") as one, optimizer(storage=tmp_path / "o") as two:
        first = one.suggest(5)
        second = two.suggest(5)
        assert len({*first, *second}) == 10
        assert sorted(one.pending) == sorted(two.pending) == sorted([*first, *second])
        assert len({*one.suggest(30), *first, *second}) == 16  # all there are
        assert two.suggest() == []
        two.tell(first[0], 1.0)  # whoever tells
        two.release(second[0])
        assert one.suggest() == [second[0]]
        assert one.evaluations == two.evaluations
        assert [e.metrics for e in one.evaluations] == [{"acc": 1.0}]
    with optimizer(storage=tmp_path / "o") as later:  # what nobody told is free again
        assert later.pending == []
        assert len(later.suggest(30)) == 15
    result = json.loads((tmp_path / "o" / "result.json").read_text())
    assert (result["architecture"], result["finished"]) == (first[0], True)


def test_what_is_held_outlives_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000.0]
    monkeypatch.setattr("archwalk.tasks.ledger.time.time", lambda: clock[0])
    with optimizer(storage=tmp_path / "o", hold=60) as one:
        (held,) = one.suggest()
    with archwalk.Optimizer.load(tmp_path / "o") as two:
        assert two.pending == [held]
        assert held not in two.suggest(15)
    clock[0] += 61
    with archwalk.Optimizer.load(tmp_path / "o") as two:
        assert two.pending == []
        assert held in two.suggest(16)


def test_the_same_told_twice_is_one_and_another_is_refused() -> None:
    with optimizer() as asked:
        (architecture,) = asked.suggest()
        assert asked.tell(architecture, 2.0) == asked.tell(architecture, {"acc": 2.0})
        with pytest.raises(SearchError, match="one answer"):
            asked.tell(architecture, 3.0)
        other = next(a for a in SPACE.architectures if a != architecture)
        asked.tell(other, archwalk.Failure("out of memory"))  # never suggested
        for wrong, says in [
            ({"accuracy": 1.0}, "metrics with 'acc'"),
            ({"acc": "high"}, "numbers, or a Failure"),
        ]:
            with pytest.raises(SearchError, match=says):
                asked.tell(SPACE.architectures[-1], wrong)
        with pytest.raises(ArchwalkError, match="architecture"):
            asked.tell("o9,x", 1.0)
        with pytest.raises(SearchError, match="at least one"):
            asked.suggest(0)
        nan = asked.tell(SPACE.architectures[-1], float("nan"))
        assert [e.status for e in asked.evaluations] == ["ok", "failed", "invalid"]
        assert (nan.metrics, asked.evaluations[1].message) == ({}, "out of memory")


def test_saved_and_loaded_it_goes_on_alike(tmp_path: Path) -> None:
    known = Source("known", SPACE.codes[:9].astype("int16"), SPACE.codes[:9, 0].astype("float64"))
    options: dict[str, Any] = {"method": "transfer-gp", "seed": 5, "experience": [known], "direction": "min"}
    options["metric"] = "quality"
    with optimizer(space=SPACE, **options) as whole, optimizer(**options) as begun:
        texts = []
        for _ in range(8):
            texts += (new := whole.suggest())
            whole.tell(new[0], value(new[0]))
        for text in texts[:4]:
            assert begun.suggest() == [text]
            begun.tell(text, value(text))
        begun.suggest()  # in hand, so not saved
        begun.save(tmp_path / "s")
        with pytest.raises(SearchError, match="without a search"):
            begun.save(tmp_path / "s")
    with archwalk.Optimizer.load(tmp_path / "s") as loaded:
        for text in texts[4:]:
            assert loaded.suggest() == [text]
            loaded.tell(text, value(text))
        assert loaded.best is not None
        assert loaded.best.metrics["quality"] == min(map(value, texts))
    with pytest.raises(SearchError, match=r"optimizer\.json"):
        archwalk.Optimizer.load(tmp_path / "nowhere")
    optimizer(space=two_tasks(), storage=tmp_path / "t").close()
    with pytest.raises(SearchError, match="space as it was"):
        archwalk.Optimizer.load(tmp_path / "t")
    archwalk.Optimizer.load(tmp_path / "t", space=two_tasks()).close()
    with pytest.raises(SearchError, match="another --out"):
        optimizer(storage=tmp_path / "s", metric="top1", direction="max", method="random").close()


def test_threads_costs_and_callbacks(tmp_path: Path) -> None:
    suggested: list[str] = []
    told: list[tuple[Evaluation, int]] = []
    ends: list[dict[str, Any]] = []
    asked = optimizer(
        cost={"size": "min"},
        method="gp",
        storage=tmp_path / "o",
        on_suggest=suggested.append,
        on_evaluation=lambda evaluation, count: told.append((evaluation, count)),
        on_end=ends.append,
    )

    def work() -> None:
        for architecture in asked.suggest(4):
            asked.tell(architecture, {"acc": value(architecture), "size": value(architecture[::-1])}, 1.5)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked.close()
    asked.close()
    assert len({*suggested}) == len(suggested) == len(told) == 12
    assert {e.seconds for e, _ in told} == {1.5}
    assert max(count for _, count in told) == 12
    (result,) = ends
    assert result["front"]
    assert result["metric"] == "acc"


def stress_module() -> ModuleType:
    file = Path(__file__).parents[2] / "benchmarks" / "ask_tell.py"
    spec = importlib.util.spec_from_file_location("ask_tell", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_nothing_is_lost_and_nothing_twice_whoever_is_killed(tmp_path: Path) -> None:
    found = stress_module().stress(tmp_path, results=40, seconds=0.15, kills=3)
    assert found["kept"] >= 40
    assert found["kills"] >= 3
    assert {found[k] for k in ("lost", "twice", "wrong", "failed")} == {0}
