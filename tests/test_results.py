"""Results are dictionaries, with typed attributes, readable print and JSON; every declared one is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_type_hints

import pytest

import archwalk
from archwalk.results import ComparisonRow, EvaluationResult, Result, SearchResult
from tests.conftest import small_settings, tiny_benchmark, two_tasks


def test_a_result_is_a_dictionary_with_attributes() -> None:
    found = SearchResult(architecture="a", value=float("nan"), looks=[{"acc": 1.0}] * 9)
    assert found == {**found}
    assert found.architecture == found["architecture"] == "a"
    assert "value" in dir(found)
    assert found.to_dict() == {"architecture": "a", "value": None, "looks": [{"acc": 1.0}] * 9}
    assert type(found.to_dict()) is dict
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    assert str(found) == "architecture: a\nvalue: nan\nlooks: 9 entries"
    with pytest.raises(AttributeError, match="SearchResult has no 'arch'; it has architecture, value, looks"):
        found.arch  # type: ignore[attr-defined] # noqa: B018
    assert len(str(Result(message="x" * 999))) < 100


def test_what_is_declared_is_there(tmp_path: Path) -> None:
    two_tasks().save(tmp_path / "t.parquet")
    run = archwalk.train(tmp_path / "t.parquet", "one", tmp_path / "a", preset=small_settings())
    evaluated = archwalk.evaluate(run.path)
    rows = archwalk.compare(tmp_path / "t.parquet", "one", tmp_path / "c", methods=["random"], seeds=2)
    found = archwalk.search(
        lambda a: {"acc": float(len(a)), "params": 1.0}, tmp_path / "s", space=tiny_benchmark(), metric="acc",
        cost="params", method="random", budget=2,
    )  # fmt: skip
    for result, kind, sometimes in (
        (evaluated, EvaluationResult, set()),
        (found, SearchResult, {"experience", "tasks"}),
        (rows[0], ComparisonRow, {"reference"}),
    ):
        assert type(result) is kind
        assert get_type_hints(kind).keys() - result.keys() == sometimes
        assert json.loads(json.dumps(result)) == json.loads(json.dumps(result.to_dict()))
    assert evaluated.regime == "scratch"
    assert found.ok == 2


def test_several_tasks(tmp_path: Path) -> None:
    two_tasks().save(tmp_path / "t.parquet")
    run = archwalk.train(tmp_path / "t.parquet", "one,two", tmp_path / "a", preset=small_settings())
    each = archwalk.evaluate(run.path)
    assert {task: type(one) for task, one in each.items()} == {
        "one": EvaluationResult,
        "two": EvaluationResult,
    }
