"""The Gaussian process against the textbook written out, and expected improvement against an integral."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from archwalk.searching.acquisition import expected_improvement
from archwalk.searching.experience.source import Source
from archwalk.searching.gp.beliefs import beliefs
from archwalk.searching.gp.encoder import train_encoder
from archwalk.searching.gp.process import COARSE, fit, warped
from archwalk.searching.gp.surrogate import Kernel
from archwalk.searching.listed import ListedProblem, list_problem
from archwalk.tasks import Benchmark
from tests.oracles.searching import normal_scores


def small_problem(benchmark: Benchmark) -> ListedProblem:
    codes = benchmark.space.codes[benchmark.rows].astype(np.int16)
    values = [np.random.default_rng(s).normal(size=len(benchmark)) for s in (0, 1)]
    return list_problem(
        benchmark.space, benchmark.rows, experience=[Source(str(at), codes, v) for at, v in enumerate(values)]
    )


def naive_kernel(problem: ListedProblem, kernel: Kernel, i: int, j: int) -> float:
    total = 0.0
    known = beliefs(problem)
    assert known is not None
    assert known.encoding is not None
    if kernel.length is None:
        for share, e in zip(known.encoding.shares, known.encoding.vectors, strict=True):
            apart = sum((float(a) - float(b)) ** 2 for a, b in zip(e[i], e[j], strict=True))
            total += share * np.exp(-apart)
    else:
        for weight, view in ((COARSE, problem.tables[0]), (1 - COARSE, problem.tables[1])):
            differ = sum(a != b for a, b in zip(view[i].tolist(), view[j].tolist(), strict=True))
            total += weight * np.exp(-differ / kernel.length)
    for source in problem.experience:
        scores = normal_scores(source.values.tolist())
        a, b = scores[i], scores[j]
        total += kernel.sources * a * b / len(problem.experience)
    return total


def test_kernels(tiny: Benchmark) -> None:
    problem = small_problem(tiny)
    rows = np.array([0, 7, 20])
    for kernel in (Kernel(1.0), Kernel(3.0, 0.5), Kernel(None), Kernel(None, 1.0)):
        fast = kernel(problem, rows)
        slow = [[naive_kernel(problem, kernel, i, j) for j in range(len(problem))] for i in rows.tolist()]
        np.testing.assert_allclose(fast, slow, atol=1e-5)
        np.testing.assert_allclose(kernel(problem, rows, rows), fast[:, rows], atol=1e-6)
        variance = np.broadcast_to(kernel.variance(problem, rows), 3)
        np.testing.assert_allclose(variance, np.diag(fast[:, rows]), atol=1e-5)


def test_half_of_the_rewards_half_of_their_order() -> None:
    y = warped(np.array([-100.0, 1.0, 2.0, 2.0, 3.0]))
    scores = norm.ppf([0.1, 0.3, 0.6, 0.6, 0.9])
    plain = np.array([-100.0, 1.0, 2.0, 2.0, 3.0])
    np.testing.assert_allclose(y, (scores + (plain - plain.mean()) / plain.std()) / 2)
    assert np.isfinite(warped(np.ones(3))).all()


def test_the_encoder_finds_the_slots_that_matter() -> None:
    """Only slot 0 matters, and two of its choices are alike."""
    codes = np.array([[a, b, c] for a in range(4) for b in range(4) for c in range(4)])
    effect = np.array([1.0, 1.0, -1.0, 3.0])
    noise = 0.1 * np.random.default_rng(0).normal(size=(64, 2))
    encoding = train_encoder([codes, codes], effect[codes[:, 0]][:, None] + noise)
    assert sum(encoding.shares) == pytest.approx(1)

    def alike(one: list[int], two: list[int]) -> float:
        at = [int(np.flatnonzero((codes == c).all(1))[0]) for c in (one, two)]
        return float(encoding.correlation(np.array(at[:1]), np.array(at[1:]))[0, 0])

    assert alike([2, 1, 3], [2, 1, 3]) == pytest.approx(1, abs=1e-5)
    assert alike([2, 0, 0], [2, 3, 3]) > 0.8
    assert alike([0, 1, 2], [1, 1, 2]) > 0.8
    assert alike([0, 1, 2], [3, 1, 2]) < 0.5


def test_posterior_and_evidence(tiny: Benchmark) -> None:
    problem, kernel, noise = small_problem(tiny), Kernel(3.0), 0.1
    rows = np.array([0, 5, 9, 30, 41, 53])
    y = np.array([0.3, -1.2, 0.8, 1.4, -0.6, -0.7])
    cross = kernel(problem, rows)
    fitted = fit(cross[:, rows], y, noise)
    inverse = np.linalg.inv(cross[:, rows] + noise * np.eye(6))
    np.testing.assert_allclose(fitted.mean, inverse.sum(0) @ y / (inverse.sum() + 0.1), atol=1e-4)
    residual = y - fitted.mean
    np.testing.assert_allclose(fitted.variance, (residual @ inverse @ residual + 1) / 7, atol=1e-4)
    mean, deviation = fitted.predict(cross, kernel.variance(problem))
    np.testing.assert_allclose(mean, fitted.mean + cross.T @ inverse @ residual, atol=1e-3)
    variance = fitted.variance * (1 + noise - np.einsum("ij,ik,kj->j", cross, inverse, cross))
    np.testing.assert_allclose(deviation, np.sqrt(variance), atol=1e-3)
    others = fit(kernel(problem, rows, rows), y, 0.3)
    density = [
        multivariate_normal(np.full(6, f.mean), f.variance * (cross[:, rows] + n * np.eye(6))).logpdf(y)
        - (np.log(f.variance) + 1 / f.variance) / 2
        for f, n in ((fitted, noise), (others, 0.3))
    ]
    np.testing.assert_allclose(fitted.evidence - others.evidence, density[0] - density[1], atol=1e-3)


def test_expected_improvement() -> None:
    for mean, deviation, best in ((0.0, 1.0, 0.5), (2.0, 0.3, 1.0), (-1.0, 0.5, 1.0)):
        exact, _ = quad(lambda f, m=mean, d=deviation, b=best: (f - b) * norm.pdf(f, m, d), best, best + 12)
        fast = expected_improvement(np.array([mean]), np.array([deviation]), best)
        np.testing.assert_allclose(fast, [exact], atol=1e-8)
