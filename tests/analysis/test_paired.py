"""The exact signed-rank test against all signs one by one, groups and ratios by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from archwalk.analysis.paired import ranking, ratio, signed_rank
from archwalk.analysis.statistics import holm


def all_signs(differences: np.ndarray) -> tuple[float, float]:
    """The definition: how many of all signs lie as far out."""
    ranks = stats.rankdata(np.abs(differences))
    kept = [(r, d) for r, d in zip(ranks.tolist(), differences.tolist(), strict=True) if d]
    balance = sum(r if d > 0 else -r for r, d in kept)
    sums = [
        sum(s * r for s, (r, _) in zip(signs, kept, strict=True))
        for signs in product((1, -1), repeat=len(kept))
    ]
    return balance, float(np.mean([abs(s) >= abs(balance) for s in sums]))


@pytest.mark.parametrize("seed", range(6))
def test_the_signed_rank_test_is_exact(seed: int) -> None:
    g = np.random.default_rng(seed)
    for n in (1, 2, 5, 9):
        tied = g.integers(-3, 5, n).astype(float)  # with ties and zeros
        assert signed_rank(tied) == pytest.approx(all_signs(tied))
    plain = g.standard_normal(14) + 0.4
    assert signed_rank(plain)[1] == pytest.approx(stats.wilcoxon(plain, method="exact").pvalue)


def test_the_ends_of_the_signed_rank_test() -> None:
    assert signed_rank(np.zeros(7)) == (0.0, 1.0)
    assert signed_rank(np.full(20, 3.0)) == (210.0, pytest.approx(2 / 2**20))
    assert signed_rank(np.full(20, -3.0))[0] == -210
    assert signed_rank(np.array([5.0])) == (1.0, 1.0)


def test_it_keeps_its_level() -> None:
    """Where nothing differs, at most 5 % of tests say so; heavy tails and ties change nothing."""
    g = np.random.default_rng(1)
    drawn = np.rint(g.standard_cauchy((2_000, 12)) * 3)
    said = np.mean([signed_rank(row)[1] < 0.05 for row in drawn])
    assert 0.03 < said < 0.06


def test_ratios_over_tasks() -> None:
    center, (low, high) = ratio(np.array([1.0, 8.0]), np.array([2.0, 4.0]))
    assert center == pytest.approx(1)
    half = stats.t.ppf(0.975, 1) * np.log(2)  # deviation of ±ln 2 is √2 ln 2, over √2
    assert (np.log(low), np.log(high)) == pytest.approx((-half, half))
    assert np.isnan(ratio(np.array([1.0]), np.array([2.0]))[1].low)


def test_who_is_alike() -> None:
    g = np.random.default_rng(0)
    good = g.uniform(size=(12, 2))
    values = np.column_stack([good[:, 0], good[:, 1] + 10, good[:, 1] * 0.5 + 0.2])
    found = ranking(values)
    np.testing.assert_allclose(found.mean_ranks, stats.rankdata(values, axis=1).mean(0))
    assert found.mean_ranks[1] == 3
    assert found.friedman == pytest.approx(stats.friedmanchisquare(*values.T).pvalue)
    raw = [signed_rank(values[:, a] - values[:, b])[1] for a, b in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(
        [found.p_holm[0, 1], found.p_holm[0, 2], found.p_holm[1, 2]], holm(np.array(raw))
    )
    assert [sorted(group) for group in found.groups] == [[0, 2]]
    assert ranking(values[:2]).groups == (tuple(np.argsort(ranking(values[:2]).mean_ranks, kind="stable")),)
    assert np.isnan(ranking(values[:, :2]).friedman)
    assert ranking(np.ones((4, 3))).friedman == 1
