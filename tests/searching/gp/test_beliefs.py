"""What sources say of architectures against the textbook, and what the transfer method makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.searching.experience.source import Source
from archwalk.searching.gp.beliefs import APART, CONCENTRATION, Beliefs, beliefs
from archwalk.searching.gp.process import NOISES, structure, structure_lengths, warped
from archwalk.searching.gp.surrogate import Improvement, source_kernels, unhelped_kernels
from archwalk.searching.history import make_history
from archwalk.searching.listed import ListedProblem, list_problem
from archwalk.searching.methods import transfer_gp as method
from archwalk.searching.methods.gp import gp
from archwalk.searching.open import make_problem
from archwalk.searching.problem import Floats, Ints, Problem
from archwalk.spaces import make_space
from archwalk.spaces.base import listed
from archwalk.tasks import Benchmark
from tests.oracles.searching import normal_scores

SPACE = listed(
    make_space("slots", {"a": ["x", "y", "z"], "b": ["p", "q", "r"], "c": ["1", "2", "3"], "d": ["u", "v"]})
)
CODES = SPACE.codes.astype(np.int16)


def effects(seed: int, noise: float = 0.1) -> Floats:
    g = np.random.default_rng(seed)
    total = sum(g.standard_normal(size)[SPACE.codes[:, i]] for i, size in enumerate(SPACE.slot_sizes))
    return np.asarray(total + noise * g.standard_normal(len(SPACE)))


def part(name: str, values: Floats, rows: Ints) -> Source:
    return Source(name, CODES[rows], values[rows])


def problem_of(*sources: Source) -> ListedProblem:
    return list_problem(SPACE, experience=sources)


def search(problem: Problem, reward: Floats, n: int, seed: int = 0) -> list[int]:
    found: list[int] = []
    while len(found) < n:
        history = make_history(problem, found, reward[found].tolist())
        found.append(method.transfer_gp(problem, history, seed))
    return found


def test_a_source_that_knows_all_says_its_normal_scores_whatever_the_order(tiny: Benchmark) -> None:
    """Ties share theirs, and nothing is in doubt."""
    g = np.random.default_rng(0)
    codes = tiny.space.codes[tiny.rows].astype(np.int16)
    values = [g.integers(0, 9, len(tiny)).astype(float), g.gamma(0.3, 5.0, len(tiny))]
    order = g.permutation(len(tiny))
    sources = [Source("plain", codes, values[0]), Source("shuffled", codes[order], values[1][order])]
    known = Beliefs(list_problem(tiny.space, tiny.rows, experience=sources))
    for column, value in zip(known.columns().T, values, strict=True):
        np.testing.assert_allclose(column, normal_scores(value.tolist()), atol=1e-9)
    m = known.columns()
    np.testing.assert_allclose(known.covariance(np.arange(5)), m[:5] @ m.T / 2, atol=1e-5)


def textbook(problem: Problem, rows: Ints, values: Floats) -> tuple[Floats, Floats]:
    """Posterior mean and covariance over all architectures, of the length and noise of largest likelihood."""
    y, best = warped(values), (-np.inf, np.empty(0), np.empty(0))
    for length in structure_lengths(problem):
        everything = structure(problem, length, np.arange(len(problem))).astype(np.float64)
        for noise in NOISES:
            inverse = np.linalg.inv(everything[np.ix_(rows, rows)] + (noise + 1e-6) * np.eye(len(rows)))
            mean = inverse.sum(0) @ y / (inverse.sum() + 0.1)
            # the mean has a prior of a tenth of the precision: its shrinkage is in both terms
            residual = y - mean
            variance = (residual @ inverse @ residual + 1) / (len(y) + 1)
            evidence = -(len(y) + 1) / 2 * np.log(variance) + np.linalg.slogdet(inverse)[1] / 2
            if evidence > best[0]:
                cross = everything[rows]
                posterior = variance * (everything - cross.T @ inverse @ cross)
                best = (evidence, mean + cross.T @ inverse @ residual, posterior)
    return best[1], best[2]


@pytest.mark.parametrize("known", [2, 11, 40])
def test_a_source_that_knows_some_says_a_posterior(known: int) -> None:
    values, rows = effects(1), np.random.default_rng(known).permutation(len(SPACE))[:known]
    problem = problem_of(part("one", values, rows), part("two", effects(2), np.arange(20)))
    found = Beliefs(problem)
    everything = np.arange(len(SPACE))
    expected = [textbook(problem, rows, values[rows]), textbook(problem, np.arange(20), effects(2)[:20])]
    for column, (mean, _) in zip(found.columns().T, expected, strict=True):
        np.testing.assert_allclose(column, mean, atol=2e-3)
    total = sum(np.outer(mean, mean) + doubt for mean, doubt in expected) / 2
    np.testing.assert_allclose(found.covariance(everything), total, atol=5e-3)
    np.testing.assert_allclose(found.variance(), np.diag(total), atol=5e-3)
    np.testing.assert_allclose(found.variance(np.array([3])), total[3, 3], atol=5e-3)
    np.testing.assert_allclose(
        found.covariance(np.array([3, 4]), np.array([7])), total[[3, 4]][:, [7]], atol=5e-3
    )


def test_the_covariance_is_that_of_a_random_weight_times_a_random_function() -> None:
    problem = problem_of(part("one", effects(1), np.arange(0, 54, 5)))
    found, at = Beliefs(problem), np.array([1, 2, 23])
    mean = found.columns(at)[:, 0]
    doubt = found.covariance(at, at) - np.outer(mean, mean)
    g = np.random.default_rng(0)
    functions = g.multivariate_normal(mean, doubt, size=200_000)
    drawn = g.standard_normal((200_000, 1)) * functions
    np.testing.assert_allclose(drawn.T @ drawn / len(drawn), found.covariance(at, at), atol=0.02)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_the_first_suggestions_are_good_on_the_sources_and_apart(seed: int, count: int) -> None:
    tables = [effects(100 + seed % 50 + at) for at in range(count)]
    problem = problem_of(*(Source(str(at), CODES, table) for at, table in enumerate(tables)))
    found = Beliefs(problem).portfolio(5, seed)
    ranks = np.array([[1 + sum(v > x for v in table) for x in table] for table in tables])
    g, expected = np.random.default_rng([seed, count]), list[int]()
    for _ in range(5):
        score = g.dirichlet([CONCENTRATION] * count) @ np.log(ranks)
        allowed = [
            i for i in range(len(SPACE)) if all((CODES[i] != CODES[j]).sum() >= APART for j in expected)
        ]
        expected.append(min(allowed, key=lambda i: score[i]))
    assert found == expected
    if count == 1:
        assert found[0] == tables[0].argmax()


def test_the_method_begins_with_the_portfolio_and_asks_every_fourth_time_without_sources() -> None:
    target, source = effects(1), effects(1, noise=0.5)
    problem = problem_of(Source("near", CODES, source))
    found = search(problem, target, 16)
    known = beliefs(problem)
    assert known is not None
    assert found[: method.FIRST] == known.portfolio(method.FIRST, 0)
    strangers = problem_of(Source("other", CODES, effects(7)))
    for step in range(method.FIRST, 16):
        history = make_history(problem, found[:step], target[found[:step]].tolist())
        helped = step % method.TURNS != method.UNHELPED
        kernels = (source_kernels if helped else unhelped_kernels)(problem)
        assert {bool(kernel.sources) for kernel in kernels} == ({True, False} if helped else {False})
        value = Improvement(problem, history, kernels)()
        value[found[:step]] = -np.inf
        assert value[found[step]] == value.max()
    assert search(strangers, target, 16)[: method.FIRST] != found[: method.FIRST]


def test_sources_shorten_the_search_and_misleading_ones_lengthen_it_little() -> None:
    def until_best(sources: list[Source], target: Floats, plain: bool = False) -> int:
        problem = problem_of(*sources)
        if plain:
            found: list[int] = []
            while target.argmax() not in found:
                history = make_history(problem, found, target[found].tolist())
                found.append(gp(problem, history, 0))
            return len(found)
        return 1 + search(problem, target, len(SPACE)).index(int(target.argmax()))

    seeds = range(8)
    true = [until_best([Source("near", CODES, effects(s, 0.3))], effects(s)) for s in seeds]
    some = [
        until_best([part("near", effects(s, 0.3), np.random.default_rng(s).permutation(54)[:20])], effects(s))
        for s in seeds
    ]
    false = [until_best([Source("opposite", CODES, -effects(s, 0.3))], effects(s)) for s in seeds]
    alone = [until_best([], effects(s), plain=True) for s in seeds]
    assert max(np.mean(true), np.mean(some)) < np.mean(alone) / 2
    assert np.mean(true) < 5
    assert np.mean(false) < 1.5 * np.mean(alone)


def test_sources_of_which_nothing_is_known_here_are_no_sources() -> None:
    rows = np.arange(10)
    problem = list_problem(SPACE, np.arange(20, 54), experience=[part("elsewhere", effects(1), rows)])
    assert beliefs(problem) is None
    assert beliefs(problem_of()) is None


def test_experience_in_a_space_that_nobody_lists() -> None:
    space = make_space("slots", {f"s{i}": [*"abcdefgh"] for i in range(6)})
    g = np.random.default_rng(0)
    weights = g.standard_normal((6, 8))

    def reward(codes: np.ndarray) -> Floats:
        return np.asarray(weights[np.arange(6), codes].sum(1))

    codes = np.unique(space.sample(60, g), axis=0)
    source = Source("earlier", codes, reward(codes) + 0.1 * g.standard_normal(len(codes)))
    best = []
    for experience in ([], [source]):
        problem = make_problem(space, measured_apart=True, experience=experience)
        assert not problem.listed
        ids: list[int] = []
        for _ in range(14):
            values = reward(problem.codes(np.array(ids, dtype=np.int64))).tolist() if ids else []
            ids.append(int(method.transfer_gp(problem, make_history(problem, ids, values), 0)))
        best.append(reward(problem.codes(np.array(ids))).max())
    assert best[1] > best[0] + 1
