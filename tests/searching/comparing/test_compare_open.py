"""Comparisons and searches on predicting tasks, whose space nobody lists."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import archwalk
from archwalk.cli.console import print_comparison
from archwalk.errors import ArchwalkError, BenchmarkError, SearchError
from archwalk.searching.comparing import judge
from archwalk.searching.comparing.judge import find_reference
from archwalk.searching.optimizer import Method, Optimizer
from archwalk.searching.problem import Problem
from archwalk.tasks.base import Predicted
from tests.searching.formula import Formula, slot_weights


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "ROUNDS", 3)
    monkeypatch.setattr(judge, "RANDOM", 2_000)


def best_possible(formula: Formula) -> float:
    """By hand: blocks are independent but for the forbidden pair, which the best may not meet."""
    weights = slot_weights(formula.space)
    names = list(formula.space.declaration.slots)  # type: ignore[attr-defined]
    sizes = dict(zip(names, formula.space.slot_sizes, strict=True))

    def top(slot: str) -> float:
        return float(weights[names.index(slot), 1 : 1 + sizes[slot]].max())

    def block(i: int, ops: tuple[int, ...]) -> float:
        at, absent = names.index(f"op{i}"), 0.3
        ends = (top(f"kernel{i}") + absent, absent + top(f"heads{i}"), absent + absent)
        return top(f"width{i}") + max(weights[at, 1 + op] + ends[op] for op in ops)

    rest = sum(block(i, (0, 1, 2)) for i in range(1, 9))
    depth = weights[0, 1:4]
    return rest + max(depth[0] + block(0, (0, 1)), max(depth[1:]) + block(0, (0, 1, 2)))


def test_the_best_known_is_the_best() -> None:
    formula = Formula()
    assert isinstance(formula, Predicted)
    assert formula.space.size is not None
    assert formula.space.size > 10**13
    found = find_reference(formula, "soft")
    assert found.best == pytest.approx(best_possible(formula))
    codes = formula.space.sample(20_000, np.random.default_rng(5))
    assert found.mean == pytest.approx(formula.values("soft", codes).mean(), abs=0.05)
    assert formula.values("soft", formula.space.rows([found.architecture]))[0] == pytest.approx(found.best)
    assert find_reference(formula, "hard").best == pytest.approx(found.best - 30)


def test_scores_instead_of_ranks(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    formula, out = Formula(), tmp_path / "out"
    kept: dict = {"methods": ("random", "evolution", "gp"), "budgets": (0, 30), "seeds": 2}
    rows = archwalk.compare(formula, "hard", out, **kept)
    reference = json.loads((out / "reference.json").read_text())
    curves = pl.read_csv(out / "curves.csv")
    for row in rows:
        assert row["rank_mean"] is row["rank_std"] is row["rank_ci95"] is None
        some = curves.filter((pl.col.method == row["method"]) & (pl.col.evaluations <= max(row["budget"], 1)))
        best = some.group_by("seed").agg(pl.col.reward.max())["reward"].to_numpy()
        gap = reference["best"] - reference["mean"]
        assert row["score_mean"] == pytest.approx(((best - reference["mean"]) / gap).mean())
        assert row["regret_mean"] == pytest.approx((reference["best"] - best).mean())
        assert row["reference"] == reference
        assert row["evaluations"] == row["budget"]
    by = {(r["method"], r["budget"]): r["score_mean"] for r in rows}
    assert by["gp", 30] > by["random", 30] > by["random", 0]
    assert set(pl.read_csv(out / "summary.csv").columns) >= {"rank_mean", "score_mean", "score_std"}
    print_comparison(rows)
    assert "best known" in capsys.readouterr().out
    stamp = (out / "reference.json").stat().st_mtime_ns
    again = archwalk.compare(formula, "hard", out, **kept)
    assert [{k: v for k, v in r.items() if k != "seconds"} for r in again] == [
        {k: v for k, v in r.items() if k != "seconds"} for r in rows
    ]
    assert (out / "reference.json").stat().st_mtime_ns == stamp


def test_comparisons_that_are_refused(tmp_path: Path) -> None:
    def needy(problem: Problem, seed: int) -> Optimizer:
        raise AssertionError("never made")

    method = Method("needy", needy, "", "", needs=("listed",))
    good: dict = {"target": "soft", "methods": ("random",), "budgets": (5,), "seeds": 1}
    for change, kind, says in [
        ({"target": "sfot"}, BenchmarkError, "task"),
        ({"sources": ("hard",)}, SearchError, "no sources"),
        ({"methods": (method,)}, SearchError, "can be listed"),
    ]:
        with pytest.raises(kind, match=says):
            archwalk.compare(Formula(), out=tmp_path / "out", **(good | change))
    assert not (tmp_path / "out").exists()


def test_a_predicting_task_answers_a_search(tmp_path: Path) -> None:
    formula = Formula()
    result = archwalk.search(formula, tmp_path / "a", task="hard", method="gp", budget=20)
    assert result["metric"] == "loss"
    values = [e["loss"] for e in result["looks"]]
    assert result["value"] == min(values)
    expected = formula.values("hard", formula.space.rows([e["architecture"] for e in result["looks"]]))
    np.testing.assert_allclose(values, expected)
    again = archwalk.search(None, tmp_path / "a", space=formula, task="hard", budget=20, method="gp")
    assert again == result
    for wrong, says in [
        ({"task": None}, "one of the tasks"),
        ({"task": "hard", "space": "nasbench201"}, "the space of the task"),
        ({"task": "hard", "minimise": ["loss"]}, "no --minimise"),
        ({"task": "hard", "agent": "runs/a"}, "no --agent"),
        ({"task": "hard", "metric": "pain_latency"}, "--minimise pain_latency"),
        ({"task": "hrad"}, "did you mean 'hard'"),
    ]:
        with pytest.raises(ArchwalkError, match=says):
            archwalk.search(formula, tmp_path / "b", budget=2, method="gp", **wrong)  # type: ignore[arg-type]
    with pytest.raises(SearchError, match="checksum"):
        archwalk.search(Formula(checksum="formula-2"), tmp_path / "a", task="hard", budget=30, method="gp")
    assert not (tmp_path / "b").exists()
