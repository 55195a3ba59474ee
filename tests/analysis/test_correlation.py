"""Agreement between tasks and the gamma sweep: by hand, and against the paper where the release is there."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from archwalk.analysis.correlation import gamma_sweep, kendall_matrix
from archwalk.reporting.published import published_correlation
from archwalk.tasks.importers import import_table


def test_tau_by_counting_pairs() -> None:
    a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])
    agree = sum(np.sign((a[i] - a[j]) * (b[i] - b[j])) for i, j in combinations(range(4), 2))
    tau = kendall_matrix([a, b])
    assert tau[0, 1] == tau[1, 0] == pytest.approx(agree / 6)
    assert tau[0, 0] == tau[1, 1] == 1


def test_the_sweep_finds_the_optimum_of_a_formula() -> None:
    low, high = 0.2, 0.8  # largest - smallest: d/dγ (high^γ - low^γ) = 0
    best = np.log(np.log(low) / np.log(high)) / np.log(high / low)
    sweep = gamma_sweep(np.array([low, high]))
    assert sweep.best_extent == pytest.approx(best, abs=1e-3)
    assert sweep.best_deviation == pytest.approx(best, abs=1e-3)
    assert sweep.extent == pytest.approx(2 * sweep.deviation)


def test_the_published_matrix_and_gamma(real_data: Path) -> None:
    benchmark = import_table(real_data / "transnas" / "micro.parquet", "transnas-micro")
    tau = kendall_matrix([benchmark.reward(task) for task in benchmark.tasks])
    published = published_correlation()
    for i, a in enumerate(benchmark.tasks):
        for j, b in enumerate(benchmark.tasks):
            if "segmentsemantic" not in (a, b):
                assert tau[i, j] == pytest.approx(published[a, b], abs=0.01)
    sweep = gamma_sweep(benchmark.reward("segmentsemantic"))
    assert sweep.best_extent == pytest.approx(0.494)
    assert sweep.best_deviation == pytest.approx(0.514)
