"""What the sources say reaches the methods whole, with its sign; suggestions begin at the best place."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import archwalk
from archwalk.agents.values import QFunction, make_values
from archwalk.envs.build import greedy_process
from archwalk.searching.adapt import make_sources, mean_of_sources
from archwalk.searching.gp.surrogate import MOST, NOISES, Improvement, Kernel, warped
from archwalk.searching.history import make_history
from archwalk.searching.listed import ListedProblem, list_problem
from archwalk.spaces import make_space
from archwalk.tasks import Benchmark, Column
from archwalk.tasks.metrics import METRICS
from archwalk.tasks.table import make_benchmark, open_benchmark
from archwalk.training.rundir import RunDir
from archwalk.training.runner import load_values
from tests.conftest import small_settings, tiny_benchmark
from tests.oracles import searching as slow
from tests.searching.spying import spied


def three_tasks() -> Benchmark:
    """54 tuples of four slots; ``two`` is a loss, so that its reward and its metric have opposite signs."""
    space = make_space(
        "slots", {"a": ["x", "y", "z"], "b": ["p", "q"], "c": ["1", "2", "3"], "d": ["u", "v", "w"]}
    )
    g = np.random.default_rng(3)
    effects = [g.standard_normal(size)[space.codes[:, i]] for i, size in enumerate(space.slot_sizes)]
    values, rewards = {}, {}
    for task in ("one", "two", "three"):
        quality = sum(effects) + g.standard_normal(len(space))
        metric, stored = ("loss", 8 - quality) if task == "two" else ("acc", 50 + 4 * quality)
        rewards[task] = Column(task, metric, "valid", "final")
        values[rewards[task]] = np.round(stored, 2)
    metrics = {name: METRICS[name] for name in ("acc", "loss")}
    return make_benchmark("three", space, np.arange(len(space)), values, metrics, rewards)


SETTINGS = small_settings(training={"trained_steps": 512})


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_tasks().save(tmp_path_factory.mktemp("table") / "three.parquet")


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = tmp_path_factory.mktemp("runs") / "one"
    return RunDir(archwalk.train(table, "one", folder, preset=SETTINGS).path)


def agent_of(run: RunDir) -> QFunction:
    return load_values(run, run.benchmark())


def most_ended(*agents: QFunction) -> int:
    """The architecture on which most walks from all starts end; the tests need it to be one alone."""
    votes = Counter(end for a in agents for end in slow.ends(a, range(len(a.process))))
    (best, most), *others = votes.most_common()
    assert all(count < most for _, count in others)
    assert others, "walks that all end on one architecture tell nothing"
    return best


@pytest.mark.parametrize("keep", [None, 9])
def test_opinions_are_mean_values_of_arriving_and_most_walks_make_the_suggestion(keep: int | None) -> None:
    benchmark = tiny_benchmark(keep)
    settings = small_settings()
    agents = [make_values(greedy_process(benchmark, settings), settings, seed) for seed in (1, 2)]
    lonely = (agents[0].process.choices[:, 1:] < 0).all(1)
    assert bool(lonely.any()) == (keep == 9)
    known = make_sources(agents, [benchmark.reward("main")])
    assert len(known.columns) == 3
    np.testing.assert_array_equal(known.columns[0], benchmark.reward("main"))
    for agent, column in zip(agents, known.columns[1:], strict=True):
        expected = slow.opinion(agent)
        np.testing.assert_allclose(column, expected, atol=1e-5)
        assert np.std(expected) > 1e-3
    if keep is None:
        assert known.proposal == most_ended(*agents) != 0
        assert make_sources(agents[:1], []).proposal == most_ended(agents[0])


def test_the_mean_of_sources_is_the_mean_of_them_all(synthetic: Benchmark) -> None:
    """Though their units are not the same, and whatever their order."""
    for benchmark, names in ((three_tasks(), ("one", "two")), (synthetic, ("delta", "gamma", "alpha"))):
        expected = slow.mean_of_standardised([benchmark.reward(name) for name in names])
        for order in (names, names[::-1]):
            mean = mean_of_sources(benchmark, order)
            np.testing.assert_allclose(mean.reward(mean.tasks[0]), expected, atol=1e-9)


def test_columns_keep_what_the_sources_say(tiny: Benchmark) -> None:
    """Normal scores that rise with the source; ties share theirs."""
    g = np.random.default_rng(0)
    sources = [g.integers(0, 9, len(tiny)).astype(float), g.gamma(0.3, 5.0, len(tiny))]
    problem = list_problem(tiny.space, tiny.rows, sources=sources, proposal=3)
    for i, source in enumerate(sources):
        np.testing.assert_allclose(problem.sources[:, i], slow.normal_scores(source.tolist()), atol=1e-9)
    assert problem.proposal == 3


def test_an_agents_search_begins_where_its_walks_end_and_knows_its_opinion(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, given = spied("agent")
    agent, benchmark = agent_of(run), run.benchmark()
    monkeypatch.chdir(tmp_path)
    result = archwalk.search(
        None, tmp_path / "out", command="echo '{\"acc\": 1}'", agent=run.path, method=method, budget=2
    )
    assert result["looks"][0]["architecture"] == benchmark.architectures[most_ended(agent)]
    assert result["looks"][1] != result["looks"][0]
    assert isinstance(given[0].problem, ListedProblem)
    columns = given[0].problem.sources
    expected = [benchmark.reward("one").tolist(), slow.opinion(agent)]
    np.testing.assert_allclose(columns[:, 0], slow.normal_scores(expected[0]), atol=1e-9)
    assert np.corrcoef(columns[:, 1], slow.normal_scores(expected[1]))[0, 1] > 0.9999


def test_a_comparison_learns_the_mean_of_its_sources_and_gives_what_they_say(
    table: Path, tmp_path: Path
) -> None:
    method, given = spied("agent")
    benchmark, out, names = open_benchmark(table), tmp_path / "out", ("two", "three")
    options = {"sources": names, "methods": (method,), "budgets": (0, 2), "seeds": 1, "preset": SETTINGS}
    zero, _ = archwalk.compare(table, "one", out, **options)  # type: ignore[arg-type]
    learned = RunDir(out / "agent" / "run")
    mean = slow.mean_of_standardised([benchmark.reward(name) for name in names])
    np.testing.assert_allclose(learned.benchmark().reward(learned.spec().task), mean, atol=1e-9)
    agent, reward = agent_of(learned), benchmark.reward("one")
    best = most_ended(agent)
    assert pl.read_csv(out / "runs" / "spied-0.csv")["architecture"][0] == benchmark.architectures[best]
    rank = 1 + sum(reward > reward[best])
    assert json.loads((out / "zero-shot.json").read_text())["proposal"] == rank == zero["rank_mean"]
    told = json.loads((out / "zero-shot.json").read_text())
    assert told["best_of_source"] == {
        name: 1 + sum(reward > reward[benchmark.reward(name).argmax()]) for name in names
    }
    assert isinstance(given[0].problem, ListedProblem)
    columns = given[0].problem.sources
    assert columns.shape == (54, 3)
    for i, name in enumerate(names):
        np.testing.assert_allclose(
            columns[:, i], slow.normal_scores(benchmark.reward(name).tolist()), atol=1e-9
        )
    assert np.corrcoef(columns[:, 2], slow.normal_scores(slow.opinion(agent)))[0, 1] > 0.9999


@pytest.mark.parametrize("case", ["a true source", "a useless source", "none is right"])
@pytest.mark.parametrize("evaluated_count", [5, 14, 30])
def test_hypotheses_are_averaged_by_their_evidence(case: str, evaluated_count: int) -> None:
    benchmark = three_tasks()
    reward, noise = benchmark.reward("one"), np.random.default_rng(0).normal(size=(2, 54))
    truth, source = {
        "a true source": (reward, reward),
        "a useless source": (reward, noise[0]),
        "none is right": (noise[0], noise[1]),
    }[case]
    problem = list_problem(benchmark.space, benchmark.rows, sources=[source], proposal=0)
    evaluated = np.random.default_rng(evaluated_count).permutation(54)[:evaluated_count]
    history = make_history(problem, evaluated.tolist(), truth[evaluated].tolist())
    kernels = (Kernel(1.0), Kernel(8.0), Kernel(3.0, 0.3), Kernel(3.0, 30.0))
    covariances = [kernel(problem, np.arange(54)).astype(np.float64) for kernel in kernels]
    each, weights = slow.improvements(covariances, NOISES, evaluated, warped(history.rewards), MOST)
    expected = weights @ each
    np.testing.assert_allclose(Improvement(problem, history, kernels)(), expected, rtol=1e-3, atol=2e-5)
    if (
        evaluated_count == 14 and case == "a true source"
    ):  # where a plain mean of the likeliest would be far off
        assert np.abs(each.mean(0) / expected - 1).max() > 0.05
        assert weights[0] > 1.5 * weights[-1]
