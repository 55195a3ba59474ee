"""Intervals cover what they say, by simulation; tests and corrections against scipy and by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from archwalk.analysis.statistics import (
    Interval,
    crossed_interval,
    difference_test,
    holm,
    improvement_interval,
    interquartile_mean,
    jackknife_interval,
    mean_interval,
    pooled_starts,
    probability_of_improvement,
)

REPEATS = 1_000  # standard error of a coverage of 95 %: 0.7 percent points


def coverage(draw: Callable[[], Interval], truth: float, repeats: int = REPEATS) -> float:
    hits = 0
    for _ in range(repeats):
        low, high = draw()
        hits += low <= truth <= high
    return hits / repeats


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_the_interval_of_a_mean_covers_it(seeds: int) -> None:
    g = np.random.default_rng(seeds)
    assert 0.93 <= coverage(lambda: mean_interval(g.normal(3, 2, seeds)), 3.0) <= 0.97


def test_the_bootstrap_of_a_mean_covers_it() -> None:
    g = np.random.default_rng(0)
    assert 0.93 <= coverage(lambda: mean_interval(g.normal(3, 2, 10)), 3.0, 600) <= 0.97
    assert 0.93 <= coverage(lambda: mean_interval(g.gamma(4, 1, 15)), 4.0, 600) <= 0.97


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_of_an_interquartile_mean_covers_it(seeds: int) -> None:
    def draw(n: int, g: np.random.Generator) -> np.ndarray:
        return np.linspace(0, 1, 12) + g.normal(0, 0.3, (n, 1)) + g.normal(0, 0.3, (n, 12))

    truth = interquartile_mean(draw(100_000, np.random.default_rng(1)))
    g = np.random.default_rng(seeds)
    observed = coverage(lambda: jackknife_interval(draw(seeds, g), interquartile_mean), truth, 600)
    assert 0.93 <= observed <= 0.97


@pytest.mark.parametrize(("rows", "columns", "pairs"), [(1.0, 1.0, 0.3), (1.0, 0.1, 0.1), (0.3, 0.3, 1.0)])
def test_the_interval_over_pairs_of_runs_covers_their_mean(rows: float, columns: float, pairs: float) -> None:
    g = np.random.default_rng(0)

    def draw() -> Interval:
        values = g.normal(0, rows, (5, 1)) + g.normal(0, columns, 5) + g.normal(0, pairs, (5, 5))
        return crossed_interval(values)

    assert 0.93 <= coverage(draw, 0.0) <= 0.975


@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0, 2.0])
def test_the_interval_of_an_improvement_covers_it(effect: float) -> None:
    g = np.random.default_rng(0)
    truth = float(stats.norm.cdf(effect / math.sqrt(2)))
    observed = coverage(lambda: improvement_interval(g.normal(effect, 1, 5), g.normal(0, 1, 5)), truth, 600)
    assert 0.93 <= observed <= 0.97


def test_an_interval_over_starts_covers_the_mean_of_those_agents_only() -> None:
    g = np.random.default_rng(0)
    agents = np.array([1.0, 3.0, 2.0])

    def draw() -> Interval:
        walks = agents[:, None] + g.normal(0, 1, (3, 200))
        return pooled_starts(walks.mean(1), walks.std(1), np.full(3, 200.0))[1]

    assert 0.93 <= coverage(draw, 2.0) <= 0.97
    walks = agents[:, None] + g.normal(0, 1, (3, 200))
    deviation, _ = pooled_starts(walks.mean(1), walks.std(1), np.full(3, 200.0))
    assert deviation == pytest.approx(walks.std())


def test_one_seed_has_no_interval() -> None:
    one = np.array([1.0])
    for interval in (
        mean_interval(one),
        jackknife_interval(one[:, None], interquartile_mean),
        crossed_interval(one[:, None]),
        improvement_interval(one, one),
    ):
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)
    assert math.isnan(difference_test(one, one))


def test_the_jackknife_of_a_mean_is_students_interval() -> None:
    values = np.random.default_rng(0).normal(0, 1, 6)
    expected = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    assert mean_interval(values) == pytest.approx(expected)
    assert jackknife_interval(values, lambda v: float(v.mean())) == pytest.approx(expected)


def test_equal_seeds_have_a_point_for_an_interval() -> None:
    assert mean_interval(np.full(4, 2.0)) == (2.0, 2.0)
    assert mean_interval(np.full(12, 2.0)) == (2.0, 2.0)
    assert crossed_interval(np.full((3, 3), 2.0)) == (2.0, 2.0)


def test_interquartile_mean_by_hand() -> None:
    assert interquartile_mean(np.array([[9.0, 1.0], [2.0, -50.0]])) == 1.5


def test_improvement_by_hand() -> None:
    assert probability_of_improvement(np.array([1.0, 2.0]), np.array([1.0, 0.0])) == pytest.approx(0.875)
    low, high = improvement_interval(np.arange(5.0) + 10, np.arange(5.0))
    assert 0.5 < low < 1
    assert high == 1
    assert improvement_interval(np.arange(5.0), np.arange(5.0) + 10) == pytest.approx((1 - high, 1 - low))


def test_the_test_is_welchs() -> None:
    g = np.random.default_rng(0)
    ours, theirs = g.normal(1, 1, 5), g.normal(0, 3, 7)
    expected = stats.ttest_ind(ours, theirs, equal_var=False).pvalue
    assert difference_test(ours, theirs) == pytest.approx(expected, rel=1e-6)
    same = np.full(3, 51.1)
    assert difference_test(same, same + 1e-14 * np.arange(3)) == 1  # only rounding is between them
    assert difference_test(np.full(3, 1.0), np.full(3, 1.0)) == 1
    assert difference_test(np.full(3, 1.0), np.full(3, 2.0)) == 0


def test_holm_by_hand_and_what_it_promises() -> None:
    corrected = holm(np.array([0.01, np.nan, 0.04, 0.03, 0.005]))
    assert corrected[[0, 2, 3, 4]] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert math.isnan(corrected[1])
    g = np.random.default_rng(0)
    false = sum(bool((holm(g.uniform(0, 1, 12)) < 0.05).any()) for _ in range(2_000)) / 2_000
    assert false <= 0.06


def test_a_sample_of_which_all_but_one_are_alike_has_an_interval_of_its_own_size() -> None:
    sample = np.array([0.7] * 19 + [0.1])
    low, high = mean_interval(sample)
    assert -1 < low <= sample.mean() < high < 2
