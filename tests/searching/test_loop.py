"""A search that cannot succeed ends early, one that can is not thrown away, and no number wrecks a method."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import archwalk
from archwalk.errors import SearchError
from archwalk.searching.history import LARGEST, bounded
from archwalk.spaces.registry import make_listed

SPACE = make_listed("slots", {"op": [f"o{i}" for i in range(8)], "k": ["x", "y"]})
OPTIONS: dict[str, Any] = {"space": SPACE, "method": "random", "metric": "acc"}


def test_an_evaluator_that_always_fails_alike_ends_the_search(tmp_path: Path) -> None:
    calls: list[str] = []

    def buggy(architecture: str) -> dict[str, float]:
        calls.append(architecture)
        raise NameError(f"name 'scor' is not defined, at 0x{len(calls)}f in {architecture}")

    with pytest.raises(SearchError, match=r"same way: failed: NameError[^$]*--retry-failed"):
        archwalk.search(buggy, tmp_path / "s", budget=12, **OPTIONS)
    assert len(calls) == 3
    assert len(json.loads((tmp_path / "s" / "result.json").read_text())["looks"]) == 3
    with pytest.raises(SearchError, match="same way"):  # the same command goes on, a few at a time
        archwalk.search(buggy, tmp_path / "s", budget=12, **OPTIONS)
    assert len({*calls}) == len(calls) == 6


def test_failed_evaluations_are_made_again(tmp_path: Path) -> None:
    broken = [True]

    def evaluate(architecture: str) -> dict[str, float]:
        if broken[0]:
            raise ValueError(f"out of memory for {architecture}")
        return {"acc": 1.0}

    def some(architecture: str) -> dict[str, float]:
        return evaluate(architecture)

    with pytest.raises(SearchError):
        archwalk.search(some, tmp_path / "s", budget=6, **OPTIONS)
    broken[0] = False
    without = archwalk.search(some, tmp_path / "s", budget=6, **OPTIONS)
    assert (without["ok"], without["failed"]) == (3, 3)
    again = archwalk.search(some, tmp_path / "s", budget=6, retry_failed=True, **OPTIONS)
    assert (again["ok"], again["failed"]) == (6, 0)


def test_failures_that_differ_and_a_success_do_not_end_it(tmp_path: Path) -> None:
    count = [0]

    def fails_differently(architecture: str) -> dict[str, float]:
        count[0] += 1
        raise (ValueError, KeyError)[count[0] % 2]("no")

    result = archwalk.search(fails_differently, tmp_path / "a", budget=6, **OPTIONS)
    assert (result["failed"], result["architecture"]) == (6, None)
    count[0] = 0

    def fails_after_the_first(architecture: str) -> dict[str, float]:
        count[0] += 1
        if count[0] > 1:
            raise ValueError("no")
        return {"acc": 1.0}

    assert archwalk.search(fails_after_the_first, tmp_path / "b", budget=6, **OPTIONS)["failed"] == 5


def test_a_missing_key_asks_once_and_the_same_command_goes_on(tmp_path: Path) -> None:
    def sometimes(architecture: str) -> dict[str, float]:
        return {"acc": 2.0} if architecture.endswith("y") else {"note": 0.0}

    first = []
    for _ in range(2):
        try:
            found = archwalk.search(sometimes, tmp_path / "s", budget=16, **OPTIONS)
            break
        except SearchError as error:
            first.append(error.got)
    assert (found["ok"], found["invalid"]) == (8, 8)
    assert len(first) <= 1
    result = json.loads((tmp_path / "s" / "result.json").read_text())
    assert result["value"] == 2.0

    def otherwise(architecture: str) -> dict[str, float]:
        return {"accuracy": 3.0, "top5": 9.0}

    with pytest.raises(SearchError, match="'accuracy', 'top5'"):
        archwalk.search(otherwise, tmp_path / "t", budget=2, **OPTIONS)
    meant = archwalk.search(otherwise, tmp_path / "t", budget=2, **OPTIONS | {"metric": "accuracy"})
    assert (meant["ok"], meant["value"]) == (2, 3.0)  # the first one was kept


PENALTIES = [sys.float_info.max, 1e300, 3.5e38, 1e19, 1e12]


@pytest.mark.parametrize("method", ["random", "local", "evolution", "reinforce", "forest", "gp", "rl"])
@pytest.mark.parametrize("penalty", [sys.float_info.max])
def test_the_largest_float_as_a_penalty_wrecks_no_method(tmp_path: Path, method: str, penalty: float) -> None:
    def loss(architecture: str) -> dict[str, float]:
        n = sum(map(ord, architecture)) % 17
        return {"loss": penalty if n > 6 else n / 10}

    options = OPTIONS | {"metric": "loss", "method": method}
    found = archwalk.search(loss, tmp_path / "s", budget=12, **options)
    assert found["ok"] == 12
    assert found["value"] == min(e["loss"] for e in found["looks"])


@given(st.lists(st.one_of(st.floats(-100, 100), st.sampled_from([s * p for p in PENALTIES for s in (1, -1)]),
                          st.just(math.nan)), min_size=1, max_size=12))  # fmt: skip
def test_bounded_rewards_keep_their_order_and_can_be_standardised(values: list[float]) -> None:
    rewards = np.array(values)
    found = bounded(rewards)
    assert np.array_equal(np.isnan(found), np.isnan(rewards))
    here = found[~np.isnan(found)]
    assert np.isfinite(here @ here)
    ordinary = np.abs(rewards) <= LARGEST
    if ordinary[~np.isnan(rewards)].any():
        assert np.array_equal(found[ordinary], rewards[ordinary])
    before, after = (v[~np.isnan(rewards)][:, None] for v in (rewards, found))
    assert not ((before < before.T) & (after > after.T)).any()
    if not (np.abs(rewards) > LARGEST).any():
        assert found is rewards


def test_results_are_json_without_nan(tmp_path: Path) -> None:
    def odd(architecture: str) -> dict[str, Any]:
        return {"acc": 1.0, "calibration": math.nan, "ratio": math.inf, "note": "text", "curve": [1.0]}

    archwalk.search(odd, tmp_path / "s", budget=2, **OPTIONS)

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    text = (tmp_path / "s" / "result.json").read_text()
    looks = json.loads(text, parse_constant=refuse)["looks"]
    assert looks[0]["calibration"] is None
    assert looks[0]["ratio"] is None
    assert "note" not in looks[0]
