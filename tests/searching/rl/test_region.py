"""The region that walks in the model reach, and the values planned over it."""

from __future__ import annotations

import numpy as np
import pytest

from archwalk.searching.listed import list_problem
from archwalk.searching.open import OpenProblem
from archwalk.searching.rl.region import Region, planned_walks
from archwalk.spaces import make_listed
from archwalk.tasks import Benchmark
from tests.oracles.planning import value_iteration

DISCOUNT = 0.8


def test_a_path_by_hand() -> None:
    """Two slots of two choices make a square; what is good lies two edits away."""
    space = make_listed("slots", {"a": ["0", "1"], "b": ["0", "1"]})
    problem = list_problem(space)
    reward = np.array([0.0, -1.0, -2.0, 10.0])  # 00, 01, 10, 11
    region = Region(problem, lambda ids: reward[ids], 0.5)
    assert region.rows(np.array([0])).tolist() == [0]
    offered = region.expand(np.array([0]))
    assert sorted(region.ids[offered[0]].tolist()) == [0, 1, 2]
    region.plan()
    assert region.values[region.rows(np.arange(3))].tolist() == [0.0, -1.0, -2.0]
    region.expand(region.rows(np.array([1])))
    region.plan()
    # 11 is taken as a place to stay at: 10; 01: (1-γ)(-1) + γ 10; 00: γ V(01)
    assert dict(zip(region.ids.tolist(), region.values.tolist(), strict=True)) == {
        0: 2.25,
        1: 4.5,
        2: -2.0,
        3: 10.0,
    }


@pytest.mark.parametrize("opened", [False, True])
def test_planned_everywhere_it_is_value_iteration(opened: bool, tiny: Benchmark) -> None:
    space, reward = tiny.space, tiny.reward("main") / 100
    problem = OpenProblem(space, measured_apart=True) if opened else list_problem(space)
    ids = problem.ids(tiny.architectures)
    place = {int(i): at for at, i in enumerate(ids)}

    def of(some: np.ndarray) -> np.ndarray:
        return reward[[place[int(i)] for i in some]]

    region = Region(problem, of, DISCOUNT)
    region.expand(region.rows(np.random.default_rng(0).permutation(ids)))
    region.plan()
    choices = np.concatenate([np.arange(54)[:, None], space.neighbour_table()], axis=1)
    q = value_iteration(choices, reward, DISCOUNT).max(1)  # V = max of r + γ V over what is offered
    arrival = (1 - DISCOUNT) * (reward + DISCOUNT * q)
    np.testing.assert_allclose(region.values[region.rows(ids)], arrival, atol=1e-4)


def test_what_is_reached_again_is_not_asked_for_again(tiny: Benchmark) -> None:
    problem, asked = list_problem(tiny.space), []

    def of(ids: np.ndarray) -> np.ndarray:
        asked.extend(ids.tolist())
        return np.zeros(len(ids))

    region = Region(problem, of, DISCOUNT)
    for start in (3, 4, 3):
        region.expand(region.rows(np.array([start, start])))
    assert len(asked) == len(set(asked)) == len(region.ids)
    assert len(region.choices) == 2
    short = region.rows(np.array([[0, -1]]))
    assert short[0, 1] == -1


def test_a_plan_crosses_a_valley_that_a_climb_does_not() -> None:
    """From 00 every step is down, yet another walk has seen what lies behind 01."""
    space = make_listed("slots", {"a": ["0", "1"], "b": ["0", "1"]})
    reward = np.array([0.0, -1.0, -2.0, 10.0])  # 00, 01, 10, 11
    problem = list_problem(space)
    alone = planned_walks(Region(problem, lambda ids: reward[ids], 0.5), np.array([0]))
    assert alone[-1].tolist() == [0]
    both = planned_walks(Region(problem, lambda ids: reward[ids], 0.5), np.array([0, 1]))
    assert both.T.tolist() == [[0, 1, 3, 3], [1, 3, 3, 3]]
    impatient = planned_walks(Region(problem, lambda ids: reward[ids], 0.05), np.array([0, 1]))
    assert impatient[-1].tolist() == [0, 3]  # so far away the end is worth less than staying
