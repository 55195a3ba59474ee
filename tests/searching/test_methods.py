"""Every method proposes only what is not taken, from the history alone; the simple ones by hand."""

from __future__ import annotations

import numpy as np
import pytest

from archwalk.searching.baselines import POPULATION, evolution, local, reinforce
from archwalk.searching.pareto import pareto_front, scalarised
from archwalk.searching.problem import Problem, make_history, make_problem
from archwalk.searching.registry import METHODS
from archwalk.spaces import make_space
from archwalk.tasks import Benchmark


def problem_of(benchmark: Benchmark, **options: object) -> Problem:
    return make_problem(benchmark.space, benchmark.rows, measured_apart=True, **options)  # type: ignore[arg-type]


def looks_of(method: str, problem: Problem, reward: np.ndarray, count: int, seed: int = 0) -> list[int]:
    looks: list[int] = []
    while len(looks) < count:
        history = make_history(problem, looks, reward[looks].tolist())
        looks.append(METHODS[method](problem, history, seed))
    return looks


@pytest.mark.parametrize("method", METHODS)
def test_no_architecture_twice_and_seeds_decide(method: str, tiny: Benchmark) -> None:
    reward = tiny.reward("main")
    problem = problem_of(tiny, sources=[reward], proposal=4)
    looks = looks_of(method, problem, reward, 30)
    assert len(set(looks)) == 30
    assert looks == looks_of(method, problem, reward, 30)
    assert looks != looks_of(method, problem, reward, 30, seed=1)
    assert (looks[0] == 4) == (method == "agent")


@pytest.mark.parametrize("method", ["local", "evolution", "reinforce", "gp"])
def test_to_the_last_architecture(method: str, tiny: Benchmark) -> None:
    assert sorted(looks_of(method, problem_of(tiny), tiny.reward("main"), 54)) == list(range(54))


def test_a_perfect_source_is_followed_and_a_useless_one_forgotten(tiny: Benchmark) -> None:
    reward = tiny.reward("main")
    noise = np.random.default_rng(5).normal(size=54)
    best = int(reward.argmax())
    assert best in looks_of("agent", problem_of(tiny, sources=[reward], proposal=0), reward, 8)
    assert best in looks_of("agent", problem_of(tiny, sources=[noise], proposal=0), reward, 45)


def test_local_search_climbs_by_hand(tiny: Benchmark) -> None:
    reward, problem = tiny.reward("main"), problem_of(tiny)
    looks = looks_of("local", problem, reward, 40)
    at, rest = looks[0], looks[1:]
    while rest:
        around = [i for i in problem.neighbours[at].tolist() if i >= 0]
        new = [i for i in around if i not in looks[: len(looks) - len(rest)]]
        assert set(rest[: len(new)]) <= set(new)
        rest = rest[len(new) :]
        best = max(around, key=lambda i: reward[i])
        if reward[best] <= reward[at]:
            break  # the next look is a restart
        at = best


def test_evolution_forgets_the_oldest(tiny: Benchmark) -> None:
    """The best look of all, once older than the population, has no more children."""
    problem = problem_of(tiny)
    indices = list(range(POPULATION + 1))
    rewards = [9.0] + [float(i) / 100 for i in range(POPULATION)]
    history = make_history(problem, indices, rewards)
    children = {evolution(problem, history, seed) for seed in range(60)}
    young = {n for i in indices[1:] for n in problem.neighbours[i].tolist()}
    only_old = {n for n in problem.neighbours[0].tolist() if n not in young}
    assert children <= young
    assert not children & only_old
    assert not children & set(indices)


def test_reinforce_learns_the_better_slot(tiny: Benchmark) -> None:
    """Reward is 1 where the first slot is its first choice; the policy soon prefers it."""
    problem = problem_of(tiny)
    reward = (problem.codes[:, 0] == 0).astype(float)
    first = [looks_of("reinforce", problem, reward, 18, seed) for seed in range(4)]
    assert np.mean([reward[looks[6:]].mean() for looks in first]) > 0.45  # chance is 1/3
    assert reinforce(problem, make_history(problem, [], []), 0) in range(54)


def test_one_look_serves_its_group() -> None:
    space = make_space("synthetic-cells")
    problem = make_problem(space, measured_apart=False)
    a, b = space.index("synthetic-1_00_000"), space.index("synthetic-0_00_000")  # both compute nothing
    history = make_history(problem, [a], [0.5])
    assert history.taken[b]
    assert not make_history(make_problem(space, measured_apart=True), [a], [0.5]).taken[b]
    assert local(problem, history, 0) != b


def test_what_all_sources_measured_alike_is_one_network() -> None:
    space = make_space("synthetic-cells")
    a, b = space.index("synthetic-1_00_000"), space.index("synthetic-0_00_000")  # both compute nothing
    other = space.index("synthetic-3_33_333")
    one, two = np.random.default_rng(0).normal(size=(2, len(space)))
    one[b] = one[other] = one[a]
    two[other] = two[a]
    for tables, alike in (([one], True), ([one, two], False), ([], False)):
        keys = make_problem(space, measured_apart=True, measured=tables).keys
        assert (keys[a] == keys[b]) == alike
        assert keys[a] != keys[other]  # another function, though measured the same


def test_failures_count_as_the_worst(tiny: Benchmark) -> None:
    problem = problem_of(tiny)
    assert make_history(problem, [1, 2, 3], [0.5, float("nan"), 0.2]).rewards.tolist() == [0.5, 0.2, 0.2]
    assert make_history(problem, [1], [float("nan")]).rewards.tolist() == [0.0]


def test_pareto() -> None:
    points = np.array([[1.0, 1.0], [2.0, 0.0], [1.0, 0.5], [2.0, 0.0], [np.nan, 9.0], [0.0, 2.0]])
    assert pareto_front(points).tolist() == [True, True, False, True, False, True]
    rewards = scalarised(points, [0, 1])
    assert np.isnan(rewards[4])
    assert rewards[0] > rewards[2]  # what dominates is worth more, whatever the weights
    assert np.isnan(scalarised(points[4:5], [0, 1])).all()
