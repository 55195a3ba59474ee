"""A second metric: what a search with ``--cost`` looks at, and the front that it returns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import archwalk
from archwalk.cli import main
from archwalk.searching.registry import METHODS
from tests.conftest import tiny_benchmark
from tests.oracles import searching as slow

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
    """From the command line, where suggestions aim at the front too."""
    best = on_true_front()
    assert 10 < len(best) < 40
    given = ["search", "--command", "cat values/{}", "--space", "tiny.parquet", "--metric", "acc"]
    given += ["--method", "gp", "--budget", "22", "--json"]
    found = {True: 0, False: 0}
    cheapest = {True: 0.0, False: 0.0}
    for seed in SEEDS:
        for cost in (True, False):
            options = ["--cost", "params"] if cost else []
            main([*given, "--seed", str(seed), "--out", f"{cost}-{seed}", *options])
            result = json.loads(capsys.readouterr().out)
            looks = result["looks"]
            assert ("front" in result) == cost
            found[cost] += len(best & {look["architecture"] for look in looks})
            cheapest[cost] += np.mean([look["params"] for look in looks[5:]])
            if cost:
                on = slow.front([(look["acc"], -look["params"]) for look in looks])
                assert result["front"] == [look for look, kept in zip(looks, on, strict=True) if kept]
                assert 3 <= len(result["front"]) < len(looks)
    assert found[True] > found[False]
    assert cheapest[True] < 0.9 * cheapest[False]


def test_every_suggestion_sees_rewards_that_weigh_both(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under weights of its own, drawn from the seed and the number of evaluations so far."""
    given, original = [], METHODS["random"]

    def spy(problem, history, seed):  # type: ignore[no-untyped-def]
        given.append(([problem.architectures[i] for i in history.indices], history.rewards))
        return original(problem, history, seed)

    monkeypatch.setitem(METHODS, "random", spy)
    archwalk.search(
        None,
        "out",
        command="cat values/{}",
        space="tiny.parquet",
        method="random",
        budget=8,
        cost="params",
        seed=4,
    )
    assert [len(names) for names, _ in given] == list(range(8))
    favourites = set()
    for names, rewards in given[2:]:
        weights = np.random.default_rng([4, len(names)]).dirichlet([1, 1])
        points = [(objectives()[name][0] / 100, -objectives()[name][1]) for name in names]
        np.testing.assert_allclose(rewards, slow.tchebycheff(points, weights.tolist()), atol=1e-9)
        favourites.add(names[int(rewards.argmax())])
    assert len(favourites) > 1
