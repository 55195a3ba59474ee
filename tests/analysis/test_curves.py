"""Smoothing and steps to match against slow versions, censoring included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from archwalk.analysis.curves import Curve, band, match, moving_average


def slow_average(values: list[float], kernel: int) -> list[float]:
    return [float(np.mean(values[max(0, i - kernel + 1) : i + 1])) for i in range(len(values))]


def slow_match(moved: list[Curve], scratch: list[Curve], kernel: int) -> tuple[list, list]:
    costs, reached = [], []
    for ours in moved:
        costs.append([])
        reached.append([])
        for reference in scratch:
            level = slow_average(reference.score.tolist(), kernel)[-1]
            hit = [
                c
                for s, c in zip(slow_average(ours.score.tolist(), kernel), ours.cost, strict=True)
                if s >= level
            ]
            costs[-1].append(hit[0] if hit else ours.cost[-1])
            reached[-1].append(bool(hit))
    return costs, reached


# Quarters are exact in binary, so that both ways to average agree to the last bit and ties are ties.
scores = st.lists(st.integers(-8, 8).map(lambda n: n / 4), min_size=1, max_size=12)


@given(values=scores, kernel=st.sampled_from([1, 2, 4, 16]))
def test_moving_average_against_a_slow_one(values: list[float], kernel: int) -> None:
    assert moving_average(np.array(values), kernel) == pytest.approx(slow_average(values, kernel))


@given(moved=st.lists(scores, min_size=1, max_size=3), scratch=st.lists(scores, min_size=1, max_size=3))
def test_steps_to_match_against_brute_force(moved: list[list[float]], scratch: list[list[float]]) -> None:
    ours = [Curve(np.array(s), np.arange(len(s)) * 10.0 + 5) for s in moved]
    theirs = [Curve(np.array(s), np.arange(len(s)) * 1.0) for s in scratch]
    for kernel in (1, 2, 4):
        found = match(ours, theirs, kernel)
        costs, reached = slow_match(ours, theirs, kernel)
        assert found.cost.tolist() == costs
        assert found.reached.tolist() == reached
        assert found.censored == sum(not r for row in reached for r in row)


def test_a_pair_that_never_matches_is_counted_at_its_whole_cost() -> None:
    low = Curve(np.array([0.0, 0.1]), np.array([10.0, 20.0]))
    high = Curve(np.array([0.5, 0.9]), np.array([10.0, 20.0]))
    found = match([low, high], [high, low], kernel=1)
    assert found.cost.tolist() == [[20.0, 20.0], [20.0, 10.0]]
    assert found.reached.tolist() == [[False, True], [True, True]]
    assert found.censored == 1
    assert found.mean == 17.5
    assert found.mean_reached == pytest.approx(50 / 3)
    never = match([low], [high], kernel=1)
    assert never.censored == 1
    assert np.isnan(never.mean_reached)


def test_a_run_from_scratch_matches_itself() -> None:
    curve = Curve(np.linspace(0, 1, 30), np.arange(30.0))
    found = match([curve], [curve])
    assert found.cost.tolist() == [[29.0]]
    assert found.censored == 0


def test_bands_are_students_intervals() -> None:
    curves = np.random.default_rng(0).normal(0, 1, (5, 3))
    mean, low, high = band(curves)
    for i in range(3):
        expected = stats.t.interval(0.95, 4, curves[:, i].mean(), stats.sem(curves[:, i]))
        assert (low[i], high[i]) == pytest.approx(expected)
    assert mean == pytest.approx(curves.mean(0))
    assert np.isnan(band(curves[:1])[1]).all()
