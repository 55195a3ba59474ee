"""The method ``rl``; that it suggests by evaluations and seed alone is tested with all methods."""

from __future__ import annotations

import numpy as np
import pytest

from archwalk.searching.experience.source import Source
from archwalk.searching.gp.beliefs import beliefs
from archwalk.searching.history import History, make_history
from archwalk.searching.listed import list_problem
from archwalk.searching.methods import transfer_gp
from archwalk.searching.methods.rl import rl
from archwalk.searching.open import OpenProblem
from archwalk.searching.problem import Problem
from archwalk.searching.registry import find_method
from archwalk.spaces import make_listed
from archwalk.spaces.base import SearchSpace
from archwalk.tasks import Benchmark

SPACE = make_listed("slots", {f"s{i}": ["a", "b", "c"] for i in range(5)})
VALUE = SPACE.codes.astype(float) @ np.array([1.0, -2.0, 0.5, 3.0, -1.0])  # best: c, a, c, c, a


def history_of(problem: Problem, rows: list[int], rewards: list[float], pending: list[int]) -> History:
    texts = list(SPACE.architectures)
    ids, busy = (problem.ids([texts[r] for r in some]).tolist() for some in (rows, pending))
    return make_history(problem, ids, rewards, busy)


def suggested(
    problem: Problem, rows: list[int], rewards: list[float], *, pending: list[int], seed: int = 0
) -> int:
    return SPACE.index(problem.text(rl(problem, history_of(problem, rows, rewards, pending), seed)))


def test_a_sum_of_slots_is_understood() -> None:
    """One evaluation of each choice tells all about a sum; the best of 243 follows within a few."""
    problem, rows = list_problem(SPACE), np.random.default_rng(0).permutation(243)[:14].tolist()
    assert all(len(set(SPACE.codes[rows, slot].tolist())) == 3 for slot in range(5))
    assert int(VALUE.argmax()) not in rows
    found = rows.copy()
    while len(found) < len(rows) + 12:
        found.append(suggested(problem, found, VALUE[found].tolist(), pending=[]))
    assert int(VALUE.argmax()) in found
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("seed", range(3))
def test_what_was_met_before_changes_nothing_and_what_walks_came_by_is_forgotten(seed: int) -> None:
    rows = np.random.default_rng(seed).permutation(243)[:20].tolist()
    rewards = VALUE[rows].tolist()
    fresh, used = (OpenProblem(SPACE, measured_apart=True) for _ in range(2))
    used.sample(50, np.random.default_rng(7))
    mark = len(used)
    expected = suggested(fresh, rows, rewards, pending=[], seed=seed)
    assert suggested(used, rows, rewards, pending=[], seed=seed) == expected
    assert len(fresh) == 21
    assert len(used) <= mark + 21


def test_neither_evaluated_nor_pending() -> None:
    for problem in (list_problem(SPACE), OpenProblem(SPACE, measured_apart=True)):
        rows = list(range(0, 60, 3))
        pending: list[int] = []
        for _ in range(6):
            pending.append(suggested(problem, rows, VALUE[rows].tolist(), pending=pending))
        assert len(set(pending) - set(rows)) == 6


def test_failures_are_avoided() -> None:
    """A region in which everything fails is left alone, however good the model thought it."""
    rows = np.random.default_rng(1).permutation(243)[:60].tolist()
    rewards = [float("nan") if SPACE.codes[r, 3] == 2 else float(VALUE[r]) for r in rows]
    problem, found = list_problem(SPACE), []
    for _ in range(5):
        found.append(suggested(problem, rows, rewards, pending=found.copy()))
    assert all(SPACE.codes[r, 3] != 2 for r in found)
    assert isinstance(suggested(problem, rows[:9], [float("nan")] * 9, pending=[]), int)


def test_sources_come_first(tiny: Benchmark) -> None:
    """The first suggestions are those of the transfer method; then walks in a model that knows the source."""
    reward, noise = tiny.reward("main"), np.random.default_rng(0).normal(size=54)
    known = [Source("near", tiny.space.codes.astype(np.int16), reward + 0.3 * reward.std() * noise)]
    problem = list_problem(tiny.space, experience=known)
    optimizer, found = find_method("rl").make(problem, 0), []
    while len(found) < 16:
        optimizer.update(make_history(problem, found, reward[found].tolist()))
        found += optimizer.suggest(1)
    beliefs_of = beliefs(problem)
    assert beliefs_of is not None
    assert found[: transfer_gp.FIRST] == beliefs_of.portfolio(transfer_gp.FIRST, 0)
    assert int(reward.argmax()) in found


def test_no_growth_with_the_space() -> None:
    """A product of 10^20: nothing is listed, and what was not evaluated is forgotten."""

    class Huge(SearchSpace):
        name, size, max_neighbours, max_nodes = "huge", 10**20, 60, 1
        slot_sizes = (10,) * 20
        vocabulary = ("input",)

        def sample(self, n, generator):  # type: ignore[no-untyped-def]
            return generator.integers(10, size=(n, 20)).astype(np.int16)

        def neighbours(self, codes):  # type: ignore[no-untyped-def]
            around = np.repeat(codes[:, None], 60, axis=1)
            for k in range(60):
                around[:, k, k // 3] = (codes[:, k // 3] + (1, 5, 9)[k % 3]) % 10
            return around

        def parse(self, text):  # type: ignore[no-untyped-def]
            return tuple(int(c) for c in text)

        def format(self, code):  # type: ignore[no-untyped-def]
            return "".join(str(c) for c in code)

        def canonical(self, code):  # type: ignore[no-untyped-def]
            return tuple(code)

        def graph(self, code):  # type: ignore[no-untyped-def]
            raise NotImplementedError

    problem = OpenProblem(Huge(), measured_apart=True)  # type: ignore[no-untyped-call]
    ids: list[int] = problem.sample(30, np.random.default_rng(0)).tolist()
    while len(ids) < 60:
        rewards = (problem.codes(np.array(ids)) == 3).sum(1).astype(float)
        ids.append(rl(problem, make_history(problem, ids, rewards.tolist()), 0))
    assert len(problem) == 60
    rewards = (problem.codes(np.array(ids)) == 3).sum(1)
    assert rewards[30:].max() > rewards[:30].max()
