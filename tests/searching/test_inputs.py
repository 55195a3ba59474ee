"""What is searched for: the direction that the table, the agent's task or the command says, and none else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import archwalk
from archwalk.errors import ArchwalkError, SearchError
from archwalk.spaces.registry import make_listed
from archwalk.tasks import Benchmark, Column
from archwalk.tasks.metrics import Metric
from archwalk.tasks.table import make_benchmark
from tests.conftest import small_settings

SPACE = {"depth": ["1", "2", "3"], "op": ["a", "b"]}


def size(architecture: str) -> float:
    depth, op = architecture.split(",")
    return float(int(depth) * 2 + (op == "b"))


def table(metric: str, direction: str, tasks: tuple[str, ...] = ("one", "two")) -> Benchmark:
    space = make_listed("slots", SPACE)
    values = np.array([size(a) for a in space.architectures])
    columns = {Column(t, metric, "valid", "final"): values + 0.5 * i for i, t in enumerate(tasks)}
    rewards = {column.task: column for column in columns}
    metrics = {metric: Metric(metric, direction, "")}  # type: ignore[arg-type]
    return make_benchmark("t", space, np.arange(6), columns, metrics, rewards)


def search(out: Path, key: str, **options: Any) -> dict[str, Any]:
    return archwalk.search(
        lambda a: {key: size(a), "latency": size(a)}, out, budget=6, **{"method": "random"} | options
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(st.sampled_from(["rmse", "score", "val_error", "energy"]), st.sampled_from(["min", "max"]), st.data())
def test_a_metric_keeps_the_direction_of_the_table(
    tmp_path_factory: pytest.TempPathFactory, metric: str, direction: str, data: st.DataObject
) -> None:
    benchmark = table(metric, direction)
    named = data.draw(st.sampled_from([metric, f"val_{metric.removeprefix('val_')}", None]))
    flag = data.draw(st.sampled_from([None, "minimise", "maximise"]))
    said = {flag: [named or metric]} if flag else {}
    out = tmp_path_factory.mktemp("search") / "s"
    if flag and (flag == "minimise") != (direction == "min"):
        with pytest.raises(ArchwalkError, match="when"):
            search(out, named or metric, space=benchmark, metric=named, **said)
        assert not out.exists()
        return
    found = search(out, named or metric, space=benchmark, metric=named, **said)
    assert found["value"] == (2.0 if direction == "min" else 7.0)


def test_a_metric_keeps_the_direction_of_the_agents_task(tmp_path: Path) -> None:
    table("rmse", "min").save(tmp_path / "t.parquet")
    archwalk.train(tmp_path / "t.parquet", "one", tmp_path / "a", preset=small_settings())
    for i, options in enumerate(({}, {"metric": "rmse"}, {"metric": "val_rmse"}, {"minimise": ["rmse"]})):
        key = options.get("metric", "rmse")
        found = search(tmp_path / f"s{i}", key, agent=tmp_path / "a", **options)
        assert (found["value"], found["metric"]) == (2.0, key)
    with pytest.raises(ArchwalkError, match="as the table declares it"):
        search(tmp_path / "s", "rmse", agent=tmp_path / "a", metric="rmse", maximise=["rmse"])
    with pytest.raises(SearchError, match="one direction of 'rmse'"):
        search(tmp_path / "s", "rmse", agent=tmp_path / "a", space=table("rmse", "max"), metric="rmse")


def test_a_cost_is_kept_low_or_asked_for(tmp_path: Path) -> None:
    for cost in ("latency", "test_energy", "runtime"):
        with pytest.raises(ArchwalkError, match=f"--minimise {cost}"):
            search(tmp_path / "s", "top1", space=table("top1", "max"), metric="top1", cost=cost)
    low = search(
        tmp_path / "low",
        "top1",
        space=table("top1", "max"),
        metric="top1",
        cost="latency",
        minimise=["latency"],
    )
    assert len(low["front"]) == 6  # the larger the better and the slower
    high = search(
        tmp_path / "high",
        "top1",
        space=table("top1", "max"),
        metric="top1",
        cost="latency",
        maximise=["latency"],
    )
    assert [e["top1"] for e in high["front"]] == [7.0]


def test_a_search_cannot_be_turned_round(tmp_path: Path) -> None:
    options: dict[str, Any] = {"space": make_listed("slots", SPACE), "metric": "x"}
    search(tmp_path / "s", "x", **options)
    with pytest.raises(SearchError, match="max"):
        search(tmp_path / "s", "x", minimise=["x"], **options)


def test_without_a_name_the_table_says_what_is_searched(tmp_path: Path) -> None:
    found = archwalk.search(size, tmp_path / "s", space=table("rmse", "min"), method="random", budget=6)
    assert (found["metric"], found["value"]) == ("rmse", 2.0)


def test_a_bare_number_is_taken_for_nothing_that_nobody_named(tmp_path: Path) -> None:
    options: dict[str, Any] = {"space": make_listed("slots", SPACE), "method": "random", "budget": 6}
    with pytest.raises(SearchError, match="a bare number"):
        archwalk.search(size, tmp_path / "s", **options)
    found = archwalk.search(size, tmp_path / "s", metric="val_loss", **options)
    assert (found["ok"], found["value"]) == (6, 2.0)
