"""RoBoT: what weights choose, what follows, where its metrics come from, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from archwalk.errors import SearchError
from archwalk.proxies import measure_proxies
from archwalk.proxies.measuring import DIGITS_SKELETON, random_batch
from archwalk.searching.asktell import check_fit
from archwalk.searching.experience.source import Source
from archwalk.searching.history import make_history
from archwalk.searching.listed import ListedProblem, list_problem
from archwalk.searching.methods import robot
from archwalk.searching.open import OpenProblem
from archwalk.searching.registry import find_method
from archwalk.spaces import make_listed, make_space
from archwalk.tasks import Benchmark


def with_columns(benchmark: Benchmark, **columns: np.ndarray) -> ListedProblem:
    codes = benchmark.space.codes.astype(np.int16)
    sources = [Source(f"file/task/{name}", codes, values, name) for name, values in columns.items()]
    return list_problem(benchmark.space, experience=[*sources, Source("file/other", codes, np.zeros(54))])


def test_metrics_lie_between_0_and_1(tiny: Benchmark) -> None:
    one, two = np.arange(54.0), np.arange(54.0) ** 2
    two[3], two[5] = np.nan, robot.UNDEFINED
    problem = with_columns(tiny, zc_snip=one * 7 - 3, synflow=two)
    problem.experience = (
        problem.experience[0],
        Source(
            "f/t/synflow", problem.experience[1].codes[np.isfinite(two)], two[np.isfinite(two)], "synflow"
        ),
        problem.experience[2],
    )
    ids, table = robot.metrics_of(problem)
    assert (ids.tolist(), table.shape) == ([*range(54)], (54, 2))  # the other task's reward is no metric
    np.testing.assert_allclose(table[:, 0], one / 53)
    assert table[[3, 5], 1].tolist() == [0, 0]
    assert table[53, 1] == 1
    assert (robot.scaled(np.full((3, 1), 2.0)) == 0).all()


def test_a_search_by_hand(tiny: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two metrics, weights given: 53 has most of the first, 0 least, 27 most of the second."""
    second = -np.abs(np.arange(54.0) - 27)
    problem = with_columns(tiny, zc_snip=np.arange(54.0), zc_fisher=second)
    script = [[1.0, 0.0], [0.9, 0.1], [-1.0, 0.0], [0.0, 1.0]]
    told: list[list[float]] = []

    def given(tried: list, values: list, metrics: int, seed: int) -> np.ndarray:
        told.append(list(values))
        return np.array(script[len(tried)])

    monkeypatch.setattr(robot, "next_weights", given)
    rewards = np.zeros(54)
    rewards[[53, 0, 27]] = 0.5, 0.9, 0.7
    optimizer, evaluated = robot.Robot(problem, 0, rounds=4), list[int]()
    while len(evaluated) < 6:
        optimizer.update(make_history(problem, evaluated, rewards[evaluated].tolist()))
        evaluated += optimizer.suggest(1)
    # The second weights choose 53 again, which costs nothing; then the order of the best, [-1, 0]: 1, 2, 3.
    assert evaluated == [53, 0, 27, 1, 2, 3]
    assert told == [[], [0.5], [0.5, 0.5], [0.5, 0.5, 0.9]]
    again = robot.Robot(problem, 0, rounds=4)
    again.update(make_history(problem, evaluated, rewards[evaluated].tolist()))
    assert again.suggest(2) == [4, 5]
    again.update(make_history(problem, [53], [0.1]))  # another past
    assert again.suggest(2) == [0, 52]  # under trial, then by the best so far


def test_the_bound_is_that_of_the_process() -> None:
    tried = list(np.linspace(-0.9, 0.6, 6)[:, None])
    values = [float(np.sin(3 * t[0])) for t in tried]
    chosen = robot.next_weights(tried, values, 1, 3)
    candidates = np.random.default_rng([3, 6, 0x20B7]).uniform(-1, 1, (robot.CANDIDATES, 1))
    mean, deviation = robot.posterior(np.array(tried), np.array(values), candidates, 3)
    near = np.abs(candidates[:, 0] - tried[-1]).argmin()
    assert (mean[near], deviation[near]) == (pytest.approx(values[-1], abs=0.01), pytest.approx(0, abs=0.02))
    assert chosen == candidates[(mean + 2.576 * deviation).argmax()]
    assert (np.abs(robot.next_weights([], [], 6, 0)) <= 1).all()


def test_metrics_of_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each function is measured once, and every architecture that computes it has its numbers."""
    space = make_listed("synthetic-cells")
    rows = np.array(
        sorted([space.index(f"synthetic-{t}") for t in ("3_33_333", "1_00_000", "0_00_000", "1_23_301")])
    )
    problem = list_problem(space, rows)
    monkeypatch.setattr(robot, "IMAGES", 4)
    calls = []
    monkeypatch.setattr(
        robot, "measure_proxies", lambda *a, **k: calls.append(a[1]) or measure_proxies(*a, **k)
    )
    found = robot.computed(problem)
    assert len(calls) == 3
    assert robot.computed(problem) is found
    assert found[0].tolist() == pytest.approx(found[1].tolist(), nan_ok=True)  # both compute nothing
    batch = random_batch(4, 0, side=16)
    alone = measure_proxies(space, "synthetic-3_33_333", batch, robot.METRICS, **DIGITS_SKELETON)
    assert found[3].tolist() == [*alone.values()]


def test_what_is_refused(tiny: Benchmark) -> None:
    method = find_method("robot")
    with pytest.raises(SearchError, match=r"(?s)networks.*'slots'.*--experience FILE:zc_synflow"):
        check_fit(method, list_problem(tiny.space))
    with pytest.raises(SearchError, match="can be listed"):
        check_fit(method, OpenProblem(make_space("darts"), measured_apart=True))
    check_fit(method, with_columns(tiny, zc_snip=np.arange(54.0)))
    check_fit(method, list_problem(make_listed("transnas-macro")))
