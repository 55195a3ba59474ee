"""A second metric: what a search with ``--cost`` looks at, and the front that it returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archwalk
from archwalk.cli import main
from tests.conftest import tiny_benchmark
from tests.oracles import searching as slow
from tests.searching.spying import spied

SEEDS = (0, 1, 2)


def objectives() -> dict[str, tuple[float, float]]:
    """Accuracy in percent and parameters of 54 tuples: what is better costs more, with a few exceptions."""
    space = tiny_benchmark().space
    g = np.random.default_rng(7)
    size = space.codes @ np.array([5, 3, 2, 1]) + 1
    accuracy = 50 + 2.0 * size + g.normal(0, 1.5, len(space))
    return {
        name: (round(float(a), 2), float(s))
        for name, a, s in zip(space.architectures, accuracy, size, strict=True)
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file an architecture holds its metrics, so that ``cat`` is the evaluator."""
    (tmp_path / "values").mkdir()
    for name, (accuracy, params) in objectives().items():
        (tmp_path / "values" / name).write_text(json.dumps({"acc": accuracy, "params": params}))
    tiny_benchmark().save(tmp_path / "tiny.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def on_true_front() -> set[str]:
    points = objectives()
    better = slow.front([(a, -p) for a, p in points.values()])
    return {name for name, on in zip(points, better, strict=True) if on}


def test_the_front_is_of_a_large_metric_and_a_small_cost(folder: Path, capsys: pytest.CaptureFixture) -> None:
    """Once from the command line, where suggestions aim at the front too; then by the function alone."""
    points, best = objectives(), on_true_front()
    assert 10 < len(best) < 40

    def measured(name: str) -> dict[str, float]:
        return {"acc": points[name][0], "params": points[name][1]}

    def search(seed: int, cost: bool) -> dict[str, Any]:
        out, second = f"{cost}-{seed}", "params" if cost else None
        if seed or not cost:
            given: dict[str, Any] = {"space": "tiny.parquet", "metric": "acc", "method": "gp", "budget": 30}
            return archwalk.search(measured, out, cost=second, seed=seed, **given)
        words = ["search", "--command", "cat values/{}", "--space", "tiny.parquet", "--metric", "acc"]
        words += ["--cost", "params", "--method", "gp", "--budget", "30", "--json", "--out", out]
        main(words)
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    found = {True: 0, False: 0}
    for seed in SEEDS:
        for cost in (True, False):
            result = search(seed, cost)
            looks = result["looks"]
            assert ("front" in result) == cost
            found[cost] += len(best & {look["architecture"] for look in looks})
            if cost:
                on = slow.front([(look["acc"], -look["params"]) for look in looks])
                assert result["front"] == [look for look, kept in zip(looks, on, strict=True) if kept]
                assert 3 <= len(result["front"]) < len(looks)
    assert found[True] > 1.1 * found[False]


def test_every_suggestion_sees_rewards_that_weigh_both(folder: Path) -> None:
    """Under weights of its own, drawn from the seed and the number of evaluations so far."""
    method, histories = spied("random")
    archwalk.search(
        None,
        "out",
        command="cat values/{}",
        space="tiny.parquet",
        method=method,
        budget=8,
        cost="params",
        seed=4,
    )
    given = [([h.problem.text(i) for i in h.indices.tolist()], h.rewards) for h in histories]
    assert [len(names) for names, _ in given] == list(range(8))
    favourites = set()
    for names, rewards in given[2:]:
        weights = np.random.default_rng([4, len(names)]).dirichlet([1, 1])
        points = [(objectives()[name][0] / 100, -objectives()[name][1]) for name in names]
        np.testing.assert_allclose(rewards, slow.tchebycheff(points, weights.tolist()), atol=1e-9)
        favourites.add(names[int(rewards.argmax())])
    assert len(favourites) > 1
