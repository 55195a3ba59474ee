"""Problems in spaces that nobody lists: ids, what is left, and every method; small ones against listing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.searching.acquisition import maximise
from archwalk.searching.gp.surrogate import STRUCTURE, Improvement
from archwalk.searching.history import History, draw, make_history
from archwalk.searching.listed import list_problem
from archwalk.searching.methods import arch_graph, graphpnas, ncp
from archwalk.searching.methods.reinforce import MOVES, reinforce
from archwalk.searching.open import OpenProblem, make_problem
from archwalk.searching.problem import Problem
from archwalk.searching.registry import find_method, methods
from archwalk.spaces import ListedSpace, make_listed
from archwalk.spaces.base import SearchSpace
from archwalk.tasks import Benchmark


def open_history(space: ListedSpace, rows: list[int], rewards: list[float]) -> tuple[OpenProblem, History]:
    problem = OpenProblem(space, measured_apart=True)
    ids = problem.intern(space.codes[rows].astype(np.int16))
    return problem, make_history(problem, ids.tolist(), rewards)


def positions(problem: OpenProblem, space: ListedSpace, ids: list[int]) -> list[int]:
    return space.positions(problem.codes(np.array(ids, dtype=np.int64)).astype(np.int16)).tolist()


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_ids_are_exact_and_stay(data: st.DataObject) -> None:
    space = make_listed("transnas-macro")  # has absent slots
    problem = OpenProblem(space, measured_apart=True)
    given_rows = data.draw(st.lists(st.integers(0, len(space) - 1), min_size=1, max_size=60))
    codes = space.codes[given_rows].astype(np.int16)
    ids = problem.intern(codes)
    np.testing.assert_array_equal(problem.codes(ids), codes)
    assert len(set(ids.tolist())) == len(set(given_rows)) == len(problem)
    mark = len(problem)
    later = problem.sample(data.draw(st.integers(1, 3_000)), np.random.default_rng(0))
    assert [problem.text(i) for i in later.tolist()] == [
        space.format(c) for c in problem.codes(later).tolist()
    ]
    problem.forget(mark)
    assert len(problem) == mark
    np.testing.assert_array_equal(problem.intern(codes), ids)
    around = problem.neighbours(ids[:1])[0]
    expected = [r for r in space.neighbour_table()[given_rows[0]].tolist() if r >= 0]
    assert positions(problem, space, [i for i in around.tolist() if i >= 0]) == expected
    differ = (codes[:, None] != codes[None]).sum(2)
    np.testing.assert_array_equal(problem.distances(0, ids, ids), differ)


def test_one_evaluation_serves_its_group() -> None:
    space = make_listed("synthetic-cells")
    for apart in (False, True):
        problem = OpenProblem(space, measured_apart=apart)
        a, b, other = problem.ids(["synthetic-1_00_000", "synthetic-0_00_000", "synthetic-3_33_333"]).tolist()
        history = make_history(problem, [a], [0.5])
        assert history.visited(np.array([a, b, other])).tolist() == [True, not apart, False]
        assert (problem.key_text(a) == problem.key_text(b)) is not apart
        assert problem.key_text(a) != problem.key_text(other)


def value_of(space: ListedSpace, seed: int) -> np.ndarray:
    """A value that is not monotone in the slots: pairs of them matter too."""
    g = np.random.default_rng(seed)
    codes = space.codes.astype(np.int64)
    slots = codes.shape[1]
    total = np.zeros(len(space))
    for a in range(slots):
        for b in range(a, slots):
            total += g.standard_normal((8, 8))[codes[:, a], codes[:, b]]
    return total


@pytest.mark.parametrize("seed", range(5))
def test_climbing_finds_what_listing_finds(seed: int) -> None:
    space = make_listed("synthetic-cells")
    value = value_of(space, seed)
    evaluated = np.random.default_rng(seed).permutation(len(space))[:30].tolist()
    evaluated.append(int(value.argmax()))  # the largest of all is no use, for it is visited
    problem, history = open_history(space, evaluated, value[evaluated].tolist())

    def of(ids: np.ndarray | None) -> np.ndarray:
        assert ids is not None
        return value[positions(problem, space, ids.tolist())]

    best = maximise(problem, history, of, 0, climbs=40)
    left = np.delete(np.arange(len(space)), evaluated)
    assert positions(problem, space, [best]) == [int(left[value[left].argmax()])]
    assert len(problem) == 32  # what was only considered is forgotten


def test_the_model_is_the_same_listed_or_open() -> None:
    """Where the coarser views are the code itself, as in a product of slots."""
    space = make_listed("slots", {"a": ["x", "y", "z"], "b": ["p", "q"], "c": ["1", "2", "3"]})
    rows, rewards = [3, 8, 1, 11, 14, 6], [0.3, 1.4, -0.2, 0.8, 0.1, 2.0]
    listed = list_problem(space)
    expected = Improvement(listed, make_history(listed, rows, rewards), STRUCTURE)()
    problem, history = open_history(space, rows, rewards)
    ids = problem.intern(space.codes.astype(np.int16))
    np.testing.assert_allclose(Improvement(problem, history, STRUCTURE)(ids), expected, atol=1e-5)


def evaluated_by(method: str, space: SearchSpace, value: np.ndarray, count: int, seed: int = 0) -> list[int]:
    assert isinstance(space, ListedSpace)
    problem, found = OpenProblem(space, measured_apart=True), []
    optimizer = find_method(method).make(problem, seed)
    ids: list[int] = []
    while len(found) < count:
        optimizer.update(make_history(problem, ids, value[found].tolist()))
        ids += optimizer.suggest(1)
        found = positions(problem, space, ids)
    return found


COLUMNS = ("robot", "mnasnet", "enas", "aio-p")  # which need more than a space
LIBRARIES = ("smac", "botorch", "syne-tune")  # whose suggestions take seconds


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """How well predictors fit does not matter here."""
    monkeypatch.setattr(ncp, "EPOCHS", 2)
    monkeypatch.setattr(arch_graph, "TUNED", 10)


METHODS = [method for method in methods() if method not in COLUMNS + LIBRARIES]


@pytest.mark.parametrize("method", [*METHODS, "botorch"])
def test_every_method_in_an_open_space(method: str) -> None:
    space = make_listed("transnas-macro")
    value, count = value_of(space, 0), 7 if method in LIBRARIES else 26
    found = evaluated_by(method, space, value, count)
    assert len(set(found)) == count
    assert found == evaluated_by(method, space, value, count)
    assert found != evaluated_by(method, space, value, count, seed=1)


@pytest.mark.parametrize("method", METHODS)
def test_a_suggestion_depends_on_the_evaluations_alone(method: str) -> None:
    """A new process, which has met other architectures, suggests the same."""
    space = make_listed("synthetic-cells")
    value = value_of(space, 1)
    found = evaluated_by(method, space, value, 24)
    problem, history = open_history(space, found[:23], value[found[:23]].tolist())
    problem.sample(100, np.random.default_rng(9))
    optimizer = find_method(method).make(problem, 0)
    optimizer.update(history)
    assert positions(problem, space, optimizer.suggest(1)) == found[23:]


@pytest.mark.parametrize("method", [method for method in METHODS if method != "in-context"])
def test_to_the_last_architecture(method: str, tiny: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = graphpnas.fit  # how well it fits does not matter here
    monkeypatch.setattr(graphpnas, "fit", lambda p, h, seed, of: fit(p, h, seed, replace(of, epochs=1)))
    found = evaluated_by(method, tiny.space, tiny.reward("main"), 54)
    assert sorted(found) == list(range(54))
    problem, history = open_history(tiny.space, found, tiny.reward("main")[found].tolist())
    assert history.exhausted()
    optimizer = find_method(method).make(problem, 0)
    optimizer.update(history)
    assert optimizer.suggest(3) == []


def test_models_beat_chance_in_an_open_space() -> None:
    space = make_listed("synthetic-cells")
    value = value_of(space, 3)
    best = {
        m: np.mean([value[evaluated_by(m, space, value, 50, s)].max() for s in range(3)])
        for m in ("random", "gp", "forest")
    }
    assert best["gp"] > best["random"]
    assert best["forest"] > best["random"]


def test_several_at_once_differ(tiny: Benchmark) -> None:
    for problem in (list_problem(tiny.space), OpenProblem(tiny.space, measured_apart=True)):
        for method in ("random", "gp", "evolution"):
            optimizer = find_method(method).make(problem, 0)
            ids = problem.ids(tiny.architectures[:6]).tolist()
            optimizer.update(make_history(problem, ids, [0.1, 0.2, 0.4, 0.3, 0.9, 0.5]))
            several = optimizer.suggest(5)
            assert len(set(several)) == 5
            assert not set(several) & set(ids)


def test_reinforce_samples_its_policy(tiny: Benchmark) -> None:
    """As often as exact samples of a listed space have the choice that was rewarded."""
    rows = [r for r in range(54) if r % 3 == 0]
    value = (tiny.space.codes[:, 0] == 0).astype(float)
    drawn = []
    for seed in range(40):
        problem, history = open_history(tiny.space, rows, value[rows].tolist())
        drawn += positions(problem, tiny.space, [reinforce(problem, history, seed)])
    assert MOVES > 0
    listed = list_problem(tiny.space)
    expected = [reinforce(listed, make_history(listed, rows, value[rows].tolist()), s) for s in range(400)]
    share, wanted = value[drawn].mean(), value[expected].mean()
    assert wanted > 0.5
    assert abs(share - wanted) < 0.25
    assert len(set(drawn)) > 8


def test_what_sampling_misses_is_found_by_its_neighbours(tiny: Benchmark) -> None:
    class Stuck(type(tiny.space)):  # type: ignore[misc]
        def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
            return np.repeat(self.codes[:1], n, axis=0).astype(np.int16)

    space = Stuck(tiny.space.slots)
    problem, history = open_history(space, [0], [1.0])
    left = draw(problem, history, 0)
    assert left is not None
    assert positions(problem, space, [left])[0] in space.neighbour_table()[0]


def test_which_problem_a_space_makes(tiny: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_problem(tiny.space, measured_apart=True).listed
    monkeypatch.setattr("archwalk.searching.open.LISTED", 53)
    assert not make_problem(tiny.space, measured_apart=True).listed  # of 54
    problem: Problem = make_problem(tiny.space, np.arange(7), measured_apart=True)
    assert problem.listed
    assert len(problem) == 7
