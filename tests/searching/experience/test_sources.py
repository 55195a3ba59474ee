"""What the sources say reaches the methods whole, with its sign; suggestions begin at the best place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import archwalk
from archwalk.agents.values import QFunction, make_values
from archwalk.envs.build import greedy_process
from archwalk.searching.experience.opinion import opinion
from archwalk.searching.experience.source import Source
from archwalk.searching.gp.beliefs import beliefs
from archwalk.searching.gp.process import NOISES, warped
from archwalk.searching.gp.surrogate import MOST, Improvement, Kernel
from archwalk.searching.history import make_history
from archwalk.searching.listed import list_problem
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
    return load_values(run, run.benchmark(), run.spec().task)


@pytest.mark.parametrize("keep", [None, 9])
def test_opinions_are_mean_values_of_arriving(keep: int | None) -> None:
    benchmark = tiny_benchmark(keep)
    settings = small_settings()
    agent = make_values(greedy_process(benchmark, settings), settings, 1)
    lonely = (agent.process.choices[:, 1:] < 0).all(1)
    assert bool(lonely.any()) == (keep == 9)
    expected = slow.opinion(agent)
    np.testing.assert_allclose(opinion(agent), expected, atol=1e-5)
    assert np.std(expected) > 1e-3


def test_a_search_knows_its_agents_table_and_opinion(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, given = spied("agent")
    benchmark = run.benchmark()
    monkeypatch.chdir(tmp_path)
    archwalk.search(
        None, tmp_path / "out", command="echo '{\"acc\": 1}'", agent=run.path, method=method, budget=2
    )
    measured, thought = given[0].problem.experience
    assert measured.codes.tolist() == thought.codes.tolist() == benchmark.space.codes.tolist()
    np.testing.assert_array_equal(measured.values, benchmark.reward("one"))
    np.testing.assert_allclose(thought.values, slow.opinion(agent_of(run)), atol=1e-5)


def test_a_comparison_gives_its_sources_whole_and_with_their_signs(table: Path, tmp_path: Path) -> None:
    method, given = spied("agent")
    benchmark, out, names = open_benchmark(table), tmp_path / "out", ("two", "three")
    archwalk.compare(table, "one", out, sources=names, methods=(method,), budgets=(0, 2), seeds=1)
    experience = given[0].problem.experience
    assert [source.name for source in experience] == [*names]
    for source, name in zip(experience, names, strict=True):
        assert source.codes.tolist() == benchmark.space.codes.tolist()
        np.testing.assert_array_equal(source.values, benchmark.reward(name))
    first = pl.read_csv(out / "runs" / "spied-0.csv")["architecture"][0]
    known = beliefs(given[0].problem)
    assert known is not None
    assert first == benchmark.architectures[known.portfolio(1, 0)[0]]


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
    codes = benchmark.space.codes.astype(np.int16)
    known = [Source("s", codes, source)]
    problem = list_problem(benchmark.space, benchmark.rows, experience=known)
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
