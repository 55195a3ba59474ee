"""The lines of every comparison: the walk through the sources, and the clairvoyant one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import archwalk
from archwalk.errors import SearchError
from archwalk.searching.comparing import clairvoyant
from archwalk.searching.comparing.clairvoyant import clairvoyant_order, leave_one_out, likeliest
from archwalk.searching.experience.source import Source
from archwalk.searching.gp.surrogate import Kernel
from archwalk.searching.history import make_history
from archwalk.searching.listed import ListedProblem
from archwalk.searching.methods.source_walk import source_order
from archwalk.searching.open import make_problem
from archwalk.searching.optimizer import Method
from archwalk.searching.problem import normal_scores
from archwalk.searching.registry import find_method, register_method
from archwalk.tasks import Benchmark
from tests.conftest import two_tasks
from tests.oracles import lines as slow


def problem_of(benchmark: Benchmark) -> ListedProblem:
    problem = make_problem(benchmark.space, benchmark.rows, measured_apart=True)
    assert isinstance(problem, ListedProblem)
    return problem


def some_sources(problem: ListedProblem, seed: int, parts: tuple[int, ...]) -> list[Source]:
    g = np.random.default_rng(seed)
    sources = []
    for n in parts:
        known = g.permutation(len(problem))[:n]
        codes = problem.codes(known).astype(np.int16)
        codes = np.concatenate([codes, [[7, 7, 7, 7]]]).astype(np.int16)  # one that the target does not have
        sources.append(Source("s", codes, g.integers(0, 9, n + 1).astype(float)))
    return sources


@pytest.mark.parametrize("parts", [(54, 54, 54), (54, 10), (9, 5, 14), (1,)])
def test_the_walk_against_the_slow_one(parts: tuple[int, ...], tiny: Benchmark) -> None:
    problem = problem_of(tiny)
    codes = [tuple(code) for code in problem.codes(np.arange(54)).tolist()]
    for seed in range(3):
        sources = some_sources(problem, seed, parts)
        said = [dict(zip(map(tuple, s.codes.tolist()), s.values.tolist(), strict=True)) for s in sources]
        expected = slow.walk(codes, said)
        assert source_order(problem, sources).tolist() == expected
        problem.experience = tuple(sources)
        for of in (0, 1):
            walk = find_method("source-walk").make(problem, of)
            walked: list[int] = []
            while len(walked) < 54:
                walk.update(make_history(problem, walked, [0.0] * len(walked)))
                walked += walk.suggest(3)
            assert walked[: len(expected)] == expected
            assert sorted(walked) == list(range(54))  # then the unknown ones
            left = [i for i in np.random.default_rng(of).permutation(54).tolist() if i not in expected]
            assert walked[len(expected) :] == left


def test_a_walk_needs_sources(tmp_path: Path, tiny: Benchmark) -> None:
    with pytest.raises(SearchError, match="sources, for the method source-walk"):
        archwalk.search(lambda text: 1.0, tmp_path / "out", space=tiny, method="source-walk")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("single", "block"), [(False, 500), (False, 7), (True, 20)])
def test_predictions_without_each(single: bool, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = two_tasks()
    problem = problem_of(benchmark)
    monkeypatch.setattr(clairvoyant, "BLOCK", block)
    monkeypatch.setattr(clairvoyant, "DOUBLE", 0 if single else 10_000)
    everything = np.arange(54)
    for task, length, noise in (("one", 1.0, 0.03), ("two", 8.0, 0.3)):
        y, kernel = normal_scores(benchmark.reward(task)), Kernel(length)
        found = leave_one_out(problem, y, kernel, noise)
        covariance = kernel(problem, everything, everything).astype(float)
        expected = slow.without_each(covariance, y, noise + 1e-6, 1 / clairvoyant.PRIOR)
        np.testing.assert_allclose(found, expected, atol=2e-3 if single else 1e-6)
    assert not any(problem_of(benchmark)._kept)


def test_its_order_knows_the_others_and_not_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = two_tasks()
    problem, rewards = problem_of(benchmark), benchmark.reward("one")
    kernel, noise = likeliest(problem, normal_scores(rewards))
    order = clairvoyant_order(problem, rewards)
    expected = leave_one_out(problem, normal_scores(rewards), kernel, noise)
    assert sorted(order.tolist()) == list(range(54))
    np.testing.assert_array_equal(order, np.argsort(-expected, kind="stable"))
    best = int(rewards.argmax())
    y = normal_scores(rewards)
    changed = y.copy()
    changed[best] -= 5
    before, after = (leave_one_out(problem, v, kernel, noise) for v in (y, changed))
    assert before is not None
    assert after is not None
    assert after[best] == pytest.approx(before[best], abs=1e-6)  # its own value says nothing about it
    assert np.abs(after - before).max() > 0.1
    monkeypatch.setattr(clairvoyant, "MOST", 53)
    with pytest.raises(SearchError, match="at most 53 architectures"):
        clairvoyant_order(problem, rewards)


def test_more_noise_where_rounding_makes_it_singular(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, tried = problem_of(two_tasks()), []

    def failing(problem: object, y: object, kernel: object, noise: float) -> np.ndarray | None:
        tried.append(noise)
        return None if len(tried) < 3 else np.arange(54.0)

    monkeypatch.setattr(clairvoyant, "leave_one_out", failing)
    monkeypatch.setattr(clairvoyant, "likeliest", lambda problem, y: (Kernel(1.0), 0.03))
    assert clairvoyant_order(problem, two_tasks().reward("one")).tolist() == list(range(53, -1, -1))
    assert tried == [0.03, 0.1, 0.3]


def test_no_method_is_clairvoyant() -> None:
    with pytest.raises(SearchError, match="a method among"):
        find_method("clairvoyant")
    gp = find_method("gp")
    with pytest.raises(SearchError, match="a name that no other method has"):
        register_method(Method("clairvoyant", gp.make, "", ""))
