"""Limits: read exactly, never broken where they are known before an evaluation, feasible first elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import archwalk
from archwalk.config import LatencySettings, SkeletonSettings
from archwalk.errors import SearchError
from archwalk.searching.limiting import Sizes
from archwalk.searching.limits import Limit, Limits, parse_limit
from archwalk.spaces.registry import make_listed
from archwalk.tasks.ledger import Evaluation
from archwalk.tasks.table import make_benchmark
from tests.conftest import two_tasks
from tests.searching.formula import Formula, declaration

SPACE = make_listed("slots", {"op": [f"o{i}" for i in range(8)], "k": ["x", "y", "z"]})
METHODS = ["random", "local", "evolution", "reinforce", "gp", "rl", "metaqnn"]


def cost(architecture: str) -> float:
    return float(sum(map(ord, architecture)) % 23)


def evaluate(architecture: str) -> dict[str, float]:
    return {"acc": sum(map(ord, architecture)) % 31 / 10}


@pytest.mark.parametrize("method", METHODS)
def test_none_of_the_evaluations_breaks_what_was_known(tmp_path: Path, method: str) -> None:
    options: dict[str, Any] = {"metric": "acc", "method": method, "limits": "mb <= 7"}
    known = {a: cost(a) for a in SPACE.architectures}
    result = archwalk.search(evaluate, tmp_path / "s", space=SPACE, budget=40, known={"mb": known}, **options)
    fitting = {a for a, value in known.items() if value <= 7}
    assert {e["architecture"] for e in result["looks"]} == fitting  # all of them, and no other one
    assert all(e["mb"] == known[e["architecture"]] for e in result["looks"])
    assert (result["limits"], result["infeasible"]) == (["mb <= 7"], 0)
    if method not in ("random", "evolution", "gp"):  # the same there, but slow
        return
    open_space = archwalk.search(
        evaluate, tmp_path / "t", space=declaration(), budget=10, known={"mb": cost}, **options
    )
    assert open_space["evaluations"] == 10
    assert max(e["mb"] for e in open_space["looks"]) <= 7


def test_what_is_measured_one_by_one_is_measured_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def width(architecture: str) -> float:
        asked.append(architecture)
        return float(architecture.count("512") + 0.01 * architecture.count("64"))

    options: dict[str, Any] = {
        "metric": "acc",
        "method": "gp",
        "limits": ["w <= 0.05"],
        "known": {"w": width},
    }
    widths = {"choices": [16, 32, 64, 128, 256, 512], "kind": "ordinal"}
    options["space"] = {"name": "widths", "slots": {f"width{i}": widths for i in range(9)}}
    whole = archwalk.search(evaluate, tmp_path / "whole", budget=14, **options)
    assert len(asked) == len({*asked}) < 14 + 90  # at random it would be some 20 a suggestion
    archwalk.search(evaluate, tmp_path / "cut", budget=6, **options)
    asked.clear()
    cut = archwalk.search(evaluate, tmp_path / "cut", budget=14, **options)
    assert cut["looks"] == whole["looks"]
    kept = {e["architecture"] for e in cut["looks"][:6]}
    assert not kept & {*asked}


def test_limits_only_an_evaluation_can_judge(tmp_path: Path) -> None:
    def both(architecture: str) -> dict[str, float]:
        return evaluate(architecture) | {"ms": cost(architecture)}

    options: dict[str, Any] = {"space": SPACE, "metric": "acc", "limits": ["ms < 9"], "method": "gp"}
    result = archwalk.search(both, tmp_path / "s", budget=24, **options)
    good = [e for e in result["looks"] if e["ms"] < 9]
    assert result["value"] == max(e["acc"] for e in good)
    assert result["infeasible"] == 24 - len(good)
    with pytest.raises(SearchError, match="limits"):
        archwalk.search(both, tmp_path / "s", budget=24, **(options | {"limits": ["ms < 8"]}))
    with pytest.raises(SearchError, match="'ms'"):
        archwalk.search(evaluate, tmp_path / "t", budget=3, **options)
    nothing = archwalk.search(both, tmp_path / "u", budget=5, **(options | {"limits": ["ms < -1"]}))
    assert (nothing["architecture"], nothing["infeasible"]) == (None, 5)
    front = archwalk.search(both, tmp_path / "v", budget=12, cost="ms", minimise=["ms"], **options)["front"]
    assert all(e["ms"] < 9 for e in front)


finite = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(finite, st.floats(0, 100), st.booleans()), min_size=1, max_size=9))
def test_every_feasible_reward_lies_above_all_others(drawn: list[tuple[float, float, bool]]) -> None:
    limits = Limits([], [Limit("ms", "<=", 50.0)])
    evaluations = [
        Evaluation(str(i), "ok" if ok else "failed", {"ms": ms} if ok else {}, "", 0.0)
        for i, (_, ms, ok) in enumerate(drawn)
    ]
    rewards = np.array([reward if ok else np.nan for reward, _, ok in drawn])
    found = limits.feasible_first(evaluations, rewards)
    good = limits.feasible(evaluations)
    assert good.tolist() == [ok and ms <= 50 for _, ms, ok in drawn]
    assert np.array_equal(np.isnan(found), np.isnan(rewards))
    assert np.array_equal(found[good], rewards[good])
    others = np.array([ok and ms > 50 for _, ms, ok in drawn])
    if good.any() and others.any():
        assert found[others].max() < found[good].min()
    order = [(ms, found[i]) for i, (_, ms, ok) in enumerate(drawn) if others[i]]
    for ms, reward in order:
        assert all(reward <= other for less, other in order if less < ms)


def test_how_a_limit_is_written() -> None:
    assert parse_limit("params <= 1e6") == Limit("params", "<=", 1e6)
    assert parse_limit(" val loss>0.5 ") == Limit("val loss", ">", 0.5)
    for text in ("params", "params = 3", "params <= 1M", "<= 3", "params <= nan", "a <= b <= 3", "p == 3"):
        with pytest.raises(SearchError, match="a limit such as"):
            parse_limit(text)
    values = np.array([1.0, 2.0, np.nan])
    for sign, met in [("<=", [1, 1, 0]), ("<", [1, 0, 0]), (">=", [0, 1, 0]), (">", [0, 0, 0])]:
        assert Limit("x", sign, 2.0).met(values).tolist() == [bool(m) for m in met]


def with_params() -> Any:
    table = two_tasks()
    columns = dict(table.columns)
    for column in table.columns:
        if column.split == "valid":
            params = column._replace(metric="params", split="none", epoch="none")
            columns[params] = np.arange(len(table), dtype=np.float64)
    metrics = dict(table.metrics) | {"params": archwalk_metric()}
    return make_benchmark("with", table.space, table.rows, columns, metrics, table.rewards)


def archwalk_metric() -> Any:
    from archwalk.tasks.metrics import METRICS

    return METRICS["params"]


def test_tables_and_predictions_know_their_columns(tmp_path: Path) -> None:
    table = with_params()
    said: list[str] = []
    options: dict[str, Any] = {"space": table, "task": "one", "method": "gp", "say": said.append}
    result = archwalk.search(None, tmp_path / "s", budget=12, limits=["params <= 20"], **options)
    assert max(e["params"] for e in result["looks"]) <= 20
    assert "21 of 54 architectures keep to params <= 20" in said
    assert any("column of with; known before training" in line for line in said)
    two = archwalk.search(None, tmp_path / "c", budget=12, cost=["params"], limits=["acc >= 45"], **options)
    assert {e["acc"] >= 45 for e in two["front"]} == {True}
    for limits, says in [
        (["parms <= 20"], "did you mean 'params'"),
        (["params <= -1"], r"params is 0 to 53 \(count; column of with\)"),
        (["params <= 5", "params >= 6"], "limits that some architecture meets"),
    ]:
        with pytest.raises(SearchError, match=says):
            archwalk.search(None, tmp_path / "bad", budget=3, limits=limits, **options)
    with pytest.raises(SearchError, match="metric for a limit"):
        archwalk.search(None, tmp_path / "bad", space=Formula(), task="soft", budget=3, limits="ms <= 3")
    with pytest.raises(SearchError, match="what is known before training"):
        archwalk.search(evaluate, tmp_path / "bad", space=SPACE, metric="acc", budget=3, known=["mb"])
    assert not (tmp_path / "bad").exists()


def test_a_file_of_what_is_known(tmp_path: Path) -> None:
    rows = [{"architecture": a, "energy_mj": cost(a)} for a in SPACE.architectures[:12]]
    pl.DataFrame(rows).write_csv(tmp_path / "known.csv")
    options: dict[str, Any] = {"space": SPACE, "metric": "acc", "method": "random", "budget": 20}
    options |= {"known": [str(tmp_path / "known.csv")], "limits": ["energy_mj >= 5"]}
    result = archwalk.search(evaluate, tmp_path / "s", **options)
    fitting = {row["architecture"] for row in rows if float(row["energy_mj"]) >= 5}
    assert {e["architecture"] for e in result["looks"]} == fitting  # nothing is known of the others


def test_networks_are_counted_and_timed(tmp_path: Path) -> None:
    small = SkeletonSettings(channels=4, cells=1)
    sizes = Sizes(small, LatencySettings(size=8, passes=3, warmup=0))
    said: list[str] = []
    options: dict[str, Any] = {
        "space": "nasbench201",
        "metric": "acc",
        "method": "random",
        "say": said.append,
    }
    result = archwalk.search(
        evaluate, tmp_path / "s", budget=6, limits=["params <= 9e3"], sizes=sizes, **options
    )
    for one in result["looks"]:
        network = archwalk_network(one["architecture"], small)
        assert one["params"] == sum(p.numel() for p in network.parameters()) <= 9e3
    assert any("counted in the skeleton channels 4, cells 1" in line for line in said)
    timed = archwalk.search(
        evaluate, tmp_path / "t", budget=2, limits=["latency_ms <= 1e4"], sizes=sizes, **options
    )
    assert all(0 < e["latency_ms"] <= 1e4 for e in timed["looks"])
    assert json.loads((tmp_path / "t" / "result.json").read_text())["finished"]


def archwalk_network(architecture: str, skeleton: SkeletonSettings) -> Any:
    from archwalk.networks.build import build_network

    return build_network("nasbench201", architecture, **skeleton.model_dump())
