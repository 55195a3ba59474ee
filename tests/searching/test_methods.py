"""Every method suggests only what is not visited, from the history alone; the simple ones by hand."""

from __future__ import annotations

import numpy as np
import pytest

from archwalk.searching.experience.source import Source
from archwalk.searching.history import make_history
from archwalk.searching.listed import ListedProblem, list_problem
from archwalk.searching.methods import arch_graph, ncp, robot
from archwalk.searching.methods.evolution import POPULATION, evolution
from archwalk.searching.methods.local import local
from archwalk.searching.methods.reinforce import reinforce
from archwalk.searching.pareto import pareto_front, scalarised
from archwalk.searching.problem import Problem
from archwalk.searching.registry import find_method, methods
from archwalk.spaces import make_space
from archwalk.tasks import Benchmark


def problem_of(benchmark: Benchmark, **options: object) -> ListedProblem:
    return list_problem(benchmark.space, benchmark.rows, **options)  # type: ignore[arg-type]


def evaluated_by(method: str, problem: Problem, reward: np.ndarray, count: int, seed: int = 0) -> list[int]:
    optimizer, evaluated = find_method(method).make(problem, seed), []
    while len(evaluated) < count:
        optimizer.update(make_history(problem, evaluated, reward[evaluated].tolist()))
        evaluated += optimizer.suggest(1)
    return evaluated


def informed(benchmark: Benchmark, values: np.ndarray, columns: tuple[str, ...] = ()) -> ListedProblem:
    """A problem that knows one other task, all of it, and columns of random numbers."""
    codes = benchmark.space.codes[benchmark.rows].astype(np.int16)
    generator = np.random.default_rng(0)
    said = [Source(f"file/other/{c}", codes, -generator.uniform(1, 2, len(codes)), c) for c in columns]
    return problem_of(benchmark, experience=[Source("other", codes, values), *said])


SLOW = {"smac": 3, "botorch": 7, "syne-tune": 8}  # evaluations of methods that take long
COLUMNS = {"robot": ("zc_snip", "zc_fisher"), "mnasnet": ("inference_ms",)}


APART = ("enas", "aio-p", "in-context")  # which cannot serve this table; they have tests of their own


@pytest.mark.parametrize("method", [name for name in methods() if name not in APART])
def test_no_architecture_twice_and_seeds_decide(
    method: str, tiny: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robot, "RESTARTS", 0)  # which take most of its seconds
    monkeypatch.setattr(robot, "CANDIDATES", 100)
    monkeypatch.setattr(ncp, "EPOCHS", 5)
    monkeypatch.setattr(arch_graph, "STEPS", 20)
    monkeypatch.setattr(arch_graph, "TUNED", 20)
    reward = tiny.reward("main")
    problem = informed(tiny, reward, COLUMNS.get(method, ()))
    if method == "syne-tune":
        pytest.importorskip("syne_tune")
    count = SLOW.get(method, 30)
    evaluated = evaluated_by(method, problem, reward, count)
    assert len(set(evaluated)) == count
    assert evaluated == evaluated_by(method, problem, reward, count)
    other_seed = evaluated_by(method, problem, reward, count, seed=1)
    assert (evaluated == other_seed) == (method == "source-walk")  # which has nothing to decide
    if method not in ("ncp", "arch-graph"):  # which may, or may not, find what the other task says
        assert (evaluated[0] == reward.argmax()) == (method in ("rl", "source-walk", "transfer-gp"))


@pytest.mark.parametrize("method", ["local", "evolution", "reinforce", "gp"])
def test_to_the_last_architecture(method: str, tiny: Benchmark) -> None:
    assert sorted(evaluated_by(method, problem_of(tiny), tiny.reward("main"), 54)) == list(range(54))


def test_a_perfect_source_is_followed_and_a_useless_one_forgotten(tiny: Benchmark) -> None:
    reward = tiny.reward("main")
    best = int(reward.argmax())
    assert best in evaluated_by("agent", informed(tiny, reward), reward, 8)
    alone = [evaluated_by("gp", problem_of(tiny), reward, 54, seed).index(best) for seed in range(4)]
    noise = np.random.default_rng(0).normal(size=(4, 54))
    misled = [evaluated_by("agent", informed(tiny, one), reward, 54).index(best) for one in noise]
    assert np.mean(misled) < 1.25 * np.mean(alone)


def test_local_search_climbs_by_hand(tiny: Benchmark) -> None:
    reward, problem = tiny.reward("main"), problem_of(tiny)
    evaluated = evaluated_by("local", problem, reward, 40)
    at, rest = evaluated[0], evaluated[1:]
    while rest:
        around = [i for i in problem.edits[at].tolist() if i >= 0]
        new = [i for i in around if i not in evaluated[: len(evaluated) - len(rest)]]
        assert set(rest[: len(new)]) <= set(new)
        rest = rest[len(new) :]
        best = max(around, key=lambda i: reward[i])
        if reward[best] <= reward[at]:
            break  # the next one is a restart
        at = best


def test_evolution_forgets_the_oldest(tiny: Benchmark) -> None:
    """The best evaluation of all, once older than the population, has no more children."""
    problem = problem_of(tiny)
    indices = list(range(POPULATION + 1))
    rewards = [9.0] + [float(i) / 100 for i in range(POPULATION)]
    history = make_history(problem, indices, rewards)
    children = {evolution(problem, history, seed) for seed in range(60)}
    young = {n for i in indices[1:] for n in problem.edits[i].tolist()}
    only_old = {n for n in problem.edits[0].tolist() if n not in young}
    assert children <= young
    assert not children & only_old
    assert not children & set(indices)


def test_reinforce_learns_the_better_slot(tiny: Benchmark) -> None:
    """Reward is 1 where the first slot is its first choice; the policy soon prefers it."""
    problem = problem_of(tiny)
    reward = (problem.tables[2][:, 0] == 0).astype(float)
    first = [evaluated_by("reinforce", problem, reward, 18, seed) for seed in range(4)]
    assert np.mean([reward[evaluated[6:]].mean() for evaluated in first]) > 0.45  # chance is 1/3
    assert reinforce(problem, make_history(problem, [], []), 0) in range(54)


def test_one_evaluation_serves_its_group() -> None:
    space = make_space("synthetic-cells")
    problem = list_problem(space, measured_apart=False)
    a, b = space.index("synthetic-1_00_000"), space.index("synthetic-0_00_000")  # both compute nothing
    history = make_history(problem, [a], [0.5])
    assert history.visited(np.array([b]))[0]
    assert not make_history(list_problem(space), [a], [0.5]).visited(np.array([b]))[0]
    assert local(problem, history, 0) != b


def test_what_all_sources_measured_alike_is_one_network() -> None:
    space = make_space("synthetic-cells")
    a, b = space.index("synthetic-1_00_000"), space.index("synthetic-0_00_000")  # both compute nothing
    other = space.index("synthetic-3_33_333")
    one, two = np.random.default_rng(0).normal(size=(2, len(space)))
    one[b] = one[other] = one[a]
    two[other] = two[a]
    codes = space.codes.astype(np.int16)
    for tables, alike in (([one], True), ([one, two], False), ([], False)):
        known = [Source(str(at), codes, table) for at, table in enumerate(tables)]
        keys = list_problem(space, experience=known).groups
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
