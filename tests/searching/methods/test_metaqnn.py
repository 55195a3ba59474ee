"""MetaQNN's rule by hand, its schedule, and that the mean reward rises as epsilon falls."""

from __future__ import annotations

import numpy as np
import pytest

from archwalk.searching.history import make_history
from archwalk.searching.listed import list_problem
from archwalk.searching.methods.metaqnn import PUBLISHED, REPLAYS, MetaQNN
from archwalk.spaces import make_listed
from archwalk.tasks import Benchmark


def test_one_replay_by_hand() -> None:
    space = make_listed("slots", {"a": ["x", "y", "z"], "b": ["p", "q"], "c": ["1", "2"]})
    agent = MetaQNN(list_problem(space), 0)
    agent.replay([2, 1, 2], 0.9)  # y, p, 2
    assert agent.values[2][1][2] == pytest.approx(0.5 + 0.01 * 0.4)
    assert agent.values[1][2][1] == pytest.approx(0.5 + 0.01 * (0.504 - 0.5))  # the best that can follow
    assert agent.values[0][0][2] == pytest.approx(0.5 + 0.01 * (0.50004 - 0.5))
    agent.replay([2, 1, 1], 0.1)
    assert agent.values[2][1] == pytest.approx([0.5, 0.496, 0.504])
    assert agent.values[1][2][1] == pytest.approx(0.50004 + 0.01 * (0.504 - 0.50004))  # not of what it took
    changed = sum(value != 0.5 for slot in agent.values for state in slot for value in state)
    assert changed == 4


def test_where_a_slot_is_absent_nothing_else_can_follow() -> None:
    agent = MetaQNN(list_problem(make_listed("transnas-macro")), 0)
    last = len(agent.values) - 1
    agent.values[last][1] = [0.5, 0.9, 0.9, 0.9, 0.9][: len(agent.values[last][1])]
    agent.replay([1] * last + [0], 0.7)
    assert agent.values[last][1][0] == pytest.approx(0.5 + 0.01 * 0.2)
    agent.replay([1] * (last - 1) + [0, 0], 0.7)
    assert agent.values[last - 1][1][0] == pytest.approx(0.5 + 0.01 * (0.502 - 0.5))


def test_the_schedule(tiny: Benchmark) -> None:
    problem = list_problem(tiny.space)
    assert PUBLISHED == 2_700
    paper, here = MetaQNN(problem, 0, PUBLISHED), MetaQNN(problem, 0)
    of_paper = [paper.epsilon(n) for n in (0, 1_499, 1_500, 1_799, 1_800, 1_950, 2_549, 2_550, 9_999)]
    assert of_paper == [1.0, 1.0, 0.9, 0.7, 0.6, 0.5, 0.2, 0.1, 0.1]
    assert [here.epsilon(n) for n in (0, 55, 56, 67, 99, 500)] == [1.0, 1.0, 0.9, 0.6, 0.1, 0.1]


def test_a_hundred_replays_after_each_model(tiny: Benchmark) -> None:
    problem = list_problem(tiny.space)
    agent = MetaQNN(problem, 0)
    agent.update(make_history(problem, [7], [0.9]))
    *_, before, last = problem.codes(np.array([7]))[0].tolist()
    assert agent.values[-1][before + 1][last + 1] == pytest.approx(0.9 - 0.4 * 0.99**REPLAYS)


def test_the_mean_reward_rises_as_epsilon_falls() -> None:
    space = make_listed("synthetic-cells")
    problem = list_problem(space)
    reward = (space.codes == 3).mean(1)
    agent, evaluated = MetaQNN(problem, 0), list[int]()
    while len(evaluated) < 120:
        agent.update(make_history(problem, evaluated, reward[evaluated].tolist()))
        evaluated += agent.suggest(1)
    got = reward[evaluated]
    assert abs(got[:56].mean() - reward.mean()) < 0.08
    assert got[95:].mean() > reward.mean() + 0.12  # untried choices, at 0.5, look better than most
