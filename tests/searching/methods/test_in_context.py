"""The method in-context: what it reads, what it refuses, and that an agent of related tasks helps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import archwalk
from archwalk.errors import SearchError
from archwalk.searching.history import make_history
from archwalk.searching.incontext.agent import InContextAgent
from archwalk.searching.incontext.fitting import Training
from archwalk.searching.incontext.model import Sizes
from archwalk.searching.incontext.tasks import Mix
from archwalk.searching.incontext.verbs import train_agent
from archwalk.searching.listed import list_problem
from archwalk.searching.methods.in_context import MOST_READ, _in_unit, _read, in_context, with_agent
from archwalk.searching.open import make_problem
from archwalk.searching.registry import find_method
from archwalk.spaces.registry import make_space
from archwalk.tasks import Benchmark, load_benchmark

SIZES = Sizes(width=16, encoder_layers=1, context_layers=1, query_layers=1, heads=2)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> InContextAgent:
    """Knows two of the formula benchmark's tasks; the others are new to it."""
    out = tmp_path_factory.mktemp("agent") / "small.safetensors"
    left = load_benchmark("synthetic").tasks[0]
    training = Training(250, sizes=SIZES, mix=Mix(tasks=8, architectures=160, queries=48))
    return train_agent(out, benchmarks=["synthetic"], left_out=[left], training=training)


def test_it_finds_more_than_random_on_a_task_it_never_saw(agent: InContextAgent) -> None:
    table = load_benchmark("synthetic")
    task = table.tasks[0]
    assert task not in [one["task"] for one in agent.card.tasks]
    problem, reward = list_problem(table.space, table.rows), table.reward(task)
    found: list[int] = []
    for _ in range(15):
        history = make_history(problem, found, reward[found].tolist())
        index = in_context(agent, problem, history, 0)
        assert index not in found
        assert index == in_context(agent, problem, history, 0)
        found.append(index)
    assert (reward > reward[found].max()).mean() < 0.015  # 0.045 in the median, if it were 15 at random


def test_seeds_differ_and_pending_is_not_suggested_again(agent: InContextAgent) -> None:
    table = load_benchmark("synthetic")
    problem, reward = list_problem(table.space, table.rows), table.reward(table.tasks[0])
    ids = np.random.default_rng(0).choice(len(table), 6, replace=False).tolist()
    history = make_history(problem, ids, reward[ids].tolist())
    assert len({in_context(agent, problem, history, seed) for seed in range(8)}) > 1
    optimizer = with_agent(agent).make(problem, 3)
    optimizer.update(history)
    some = optimizer.suggest(5)
    assert len({*some, *ids}) == 11


def test_what_is_read_and_how_the_pending_are_taken() -> None:
    problem = list_problem(make_space("digits-micro"))
    n = MOST_READ + 50
    rewards = np.random.default_rng(1).permutation(n).astype(float)
    ids, read = _read(make_history(problem, range(n), rewards.tolist()))
    assert len(ids) == MOST_READ
    assert ids.tolist() == sorted(ids.tolist())
    np.testing.assert_array_equal(read, rewards[ids])
    assert set(range(n - MOST_READ // 2, n)) <= set(ids.tolist())
    early = rewards[: n - MOST_READ // 2]
    assert {int(i) for i in np.argsort(-early)[: MOST_READ // 2]} <= set(ids.tolist())
    # Predictions that are the rewards in another unit stay what they are.
    rewards = np.array([3.0, 5.0, 4.0])
    mean = np.array([-1.0, 1.0, 0.0, 2.0])
    np.testing.assert_allclose(_in_unit(mean, rewards), [3, 5, 4, 6])
    np.testing.assert_allclose(_in_unit(mean[:1], rewards[:0]), [0])
    np.testing.assert_allclose(_in_unit(np.array([0.3, 0.5]), rewards[:1]), [3, 3])


def test_a_search_with_failures_that_is_killed_repeats_itself(agent: InContextAgent, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    agent.save(path)

    def evaluate(architecture: str) -> float:
        total = sum(map(int, architecture.rpartition("-")[2].replace("_", "")))
        if total % 3 == 0:
            raise ValueError("no")
        return float(total)

    def search(out: str, budget: int) -> list[str]:
        found = archwalk.search(
            evaluate, tmp_path / out, space="synthetic-cells", metric="acc", budget=budget,
            method="in-context", agent=path,
        )  # fmt: skip
        return [look["architecture"] for look in found["looks"]]

    whole = search("whole", 12)
    assert search("parts", 5) == whole[:5]
    assert search("parts", 12) == whole


def test_an_open_space_is_searched_too(agent: InContextAgent) -> None:
    problem = make_problem(make_space("darts"), measured_apart=True)
    with pytest.raises(SearchError, match="words that none of them has"):
        with_agent(agent).check(make_problem(make_space("mnasnet"), measured_apart=True))
    optimizer = with_agent(agent).make(problem, 0)
    optimizer.update(make_history(problem, [], []))
    first = optimizer.suggest(1)
    text = problem.text(first[0])
    optimizer.update(make_history(problem, problem.ids([text]).tolist(), [1.0]))
    assert problem.text(optimizer.suggest(1)[0]) != text


def test_without_an_agent_for_the_space_it_is_refused(tiny: Benchmark, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="an agent in the box, trained on the space 'slots'"):
        archwalk.search(
            lambda a: 1.0, tmp_path / "out", space=tiny, metric="acc", budget=3, method="in-context"
        )
    assert not (tmp_path / "out").exists()
    with pytest.raises(SearchError, match="No such file"):
        find_method(f"in-context@{tmp_path / 'none.safetensors'}")
    with pytest.raises(SearchError, match="agent in the box"):
        find_method("in-context@box:nobody")


def test_agents_of_one_place_are_told_apart_by_their_digits(agent: InContextAgent, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    agent.save(path)
    found = find_method(f"in-context@{path}")
    assert found.name.startswith(f"in-context@{path}#")
    assert find_method(found.name).name == found.name
    with pytest.raises(SearchError, match="the agent with the SHA-256 0123"):
        find_method(f"in-context@{path}#0123")
    benchmark, task = "synthetic", agent.card.tasks[0]["task"]
    left = load_benchmark(benchmark).tasks[0]
    methods = ("random", f"in-context@{path}")
    rows = archwalk.compare(benchmark, left, tmp_path / "c", methods=methods, budgets=(4,), seeds=2, jobs=2)
    assert [row["method"] for row in rows] == ["random", found.name]
    assert len([*(tmp_path / "c" / "runs").iterdir()]) == 4
    with pytest.raises(SearchError, match="trained on"):
        archwalk.compare(benchmark, task, tmp_path / "d", methods=methods, seeds=1)
