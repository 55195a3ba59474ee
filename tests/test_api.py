"""The verbs in Python: the three regimes, what they cost, and what they refuse."""

from __future__ import annotations

import io
import pkgutil
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import archwalk
from archwalk.cli import main
from archwalk.errors import ArchwalkError, RunError, SettingsError
from archwalk.tasks import Benchmark, Column
from archwalk.training.rundir import WEIGHTS, RunDir
from tests.conftest import small_settings, tiny_benchmark, two_tasks


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    settings = small_settings(training={"trained_steps": 4_096})
    return archwalk.train("synthetic", "alpha", tmp_path_factory.mktemp("s") / "alpha", preset=settings)


def test_the_three_regimes(source: RunDir, tmp_path: Path) -> None:
    results = {}
    for regime in ("zero-shot", "fine-tune", "retrain"):
        run = archwalk.transfer(source.path, "beta", regime, tmp_path / regime)
        results[regime] = archwalk.evaluate(run.path)
        r = results[regime]
        assert (r["source_task"], r["task"], r["regime"], r["seed"]) == ("alpha", "beta", regime, 0)
        assert r["source_trained_steps"] == 4_096
        assert r["starts"] == 4_096
    assert results["zero-shot"]["trained_steps"] == results["zero-shot"]["evaluations"] == 0
    assert results["fine-tune"]["trained_steps"] == 512
    assert results["retrain"]["trained_steps"] == 4_096
    assert 0 < results["fine-tune"]["evaluations"] < results["retrain"]["evaluations"] <= 4_096
    zero, as_it_is = results["zero-shot"], archwalk.evaluate(source.path, task="beta")
    for name in ("regime", "source_task", "mean", "validation_score", "rank_mean", "evaluations"):
        assert zero[name] == as_it_is[name]
    assert (tmp_path / "zero-shot" / WEIGHTS).read_bytes() == (source.path / WEIGHTS).read_bytes()


def test_fine_tuning_is_the_retraining_cut_off(source: RunDir, tmp_path: Path) -> None:
    cut = archwalk.transfer(source.path, "delta", "fine-tune", tmp_path / "f")
    whole = archwalk.transfer(source.path, "delta", "retrain", tmp_path / "r")
    same = [r for r in whole.rows() if r["trained_steps"] <= 512]
    assert cut.rows() == same


def test_transferring_again_adds_up_and_goes_by_the_latest_task(source: RunDir, tmp_path: Path) -> None:
    second = archwalk.transfer(source.path, "beta", "fine-tune", tmp_path / "b")
    third = archwalk.transfer(second.path, "delta", "zero-shot", tmp_path / "d")
    plan = third.spec()
    assert plan.source_task == "beta"
    assert plan.source_trained_steps == 4_096 + 512


def test_init_is_retraining(source: RunDir, tmp_path: Path) -> None:
    settings = small_settings(training={"trained_steps": 512})
    run = archwalk.train("synthetic", "beta", tmp_path / "r", preset=settings, init=source.path)
    assert run.spec().regime == "retrain"
    assert run.spec().source_weights == source.weights_digest()


def test_a_walk_of_the_agent(source: RunDir) -> None:
    agent = archwalk.load_agent(source.path)
    values = dict(zip(agent.benchmark.architectures, agent.benchmark.values("alpha"), strict=True))
    gains = []
    for start in agent.benchmark.architectures[::500]:
        walk = agent.improve(start)
        assert walk[0].architecture == start
        for one, two in pairwise(walk):
            a, b = (agent.benchmark.index(s.architecture) for s in (one, two))
            assert b in agent.benchmark.neighbours[a]
        assert all(step.valid == values[step.architecture] for step in walk)
        gains.append(walk[-1].valid - walk[0].valid)
    assert sum(gains) / len(gains) > 1  # percent points: it learned to improve
    with pytest.raises(ArchwalkError, match="synthetic"):
        agent.improve("64-41414-0_00_000")


def test_sources_that_do_not_fit(source: RunDir, tmp_path: Path) -> None:
    table = tiny_benchmark().save(tmp_path / "t.parquet")
    with pytest.raises(RunError, match="made for the space 'synthetic-cells'"):
        archwalk.transfer(source.path, "main", "retrain", tmp_path / "r", benchmark=table)
    wider = small_settings(network={"width": 32, "feedforward": 32, "heads": 2})
    with pytest.raises(RunError, match="same network settings"):
        archwalk.train("synthetic", "beta", tmp_path / "r", preset=wider, init=source.path)
    with pytest.raises(RunError, match="no such file"):
        archwalk.transfer(tmp_path / "nowhere", "beta", "retrain", tmp_path / "r")
    with pytest.raises(RunError, match="another folder"):
        archwalk.transfer(source.path, "beta", "retrain", source.path)
    with pytest.raises(SettingsError, match="regime among"):
        archwalk.transfer(source.path, "beta", "few-shot", tmp_path / "r")
    with pytest.raises(SettingsError, match="seed"):
        archwalk.train("synthetic", "beta", tmp_path / "r", preset="quick", seed=-1)
    with pytest.raises(SettingsError, match="did you mean 'paper'"):
        archwalk.train("synthetic", "beta", tmp_path / "r", preset="papr")
    assert not (tmp_path / "r").exists()


def test_no_subpackage_stands_in_the_place_of_a_verb() -> None:
    assert not {module.name for module in pkgutil.iter_modules(archwalk.__path__)} & set(archwalk.__all__)


def test_the_public_verbs_and_nothing_else() -> None:
    assert set(archwalk.__all__) <= set(dir(archwalk))
    for name in archwalk.__all__:
        assert callable(getattr(archwalk, name))
        assert name in vars(archwalk)  # where readers of an imported module look
    with pytest.raises(AttributeError, match="no attribute 'trian'; did you mean 'train'"):
        archwalk.trian  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        archwalk.nothing  # noqa: B018


def untested(metric: str = "acc") -> Benchmark:
    """Two tasks without test values: one of them without the column, one with a gap in it."""
    whole = two_tasks()
    columns = {c: v for c, v in whole.columns.items() if c.split == "valid"}
    gaps = Column("two", "acc", "test", "final")
    columns[gaps] = whole.columns[gaps].copy()
    columns[gaps][7] = np.nan
    return replace(whole, columns=columns)


@pytest.mark.parametrize("task", ["one", "two"])
def test_a_table_without_test_values_works_everywhere(tmp_path: Path, task: str) -> None:
    benchmark = untested()
    other = "two" if task == "one" else "one"
    benchmark.save(tmp_path / "v.parquet")
    assert benchmark.evaluation_split(task) == "valid"
    archwalk.train(tmp_path / "v.parquet", task, tmp_path / "a", preset=small_settings())
    found = archwalk.evaluate(tmp_path / "a")
    assert found["split"] == "valid"
    assert found["mean"] == found["valid_mean"]
    assert found["test_mean"] is None
    why = "no test values of acc" if task == "one" else "test values of acc are missing for 1 of 54"
    assert why in found["note"]
    assert found["note"].endswith("of valid instead")
    assert found == archwalk.evaluate(tmp_path / "a", split="validation") | {"note": found["note"]}
    moved = archwalk.transfer(tmp_path / "a", other, "zero-shot", tmp_path / "z")
    assert archwalk.evaluate(moved.path)["split"] == "valid"
    searched = archwalk.search(
        lambda a: {"acc": 1.0}, tmp_path / "s", agent=tmp_path / "a", budget=2, method="random"
    )
    assert searched["ok"] == 2
    with redirect_stdout(io.StringIO()) as said:
        main(["evaluate", str(tmp_path / "a")])
    assert found["note"] in said.getvalue()
    if task == "one":
        with pytest.raises(ArchwalkError, match="split among: valid"):
            archwalk.evaluate(tmp_path / "a", split="test")


def test_a_task_without_variance_is_refused_not_scored(tmp_path: Path) -> None:
    whole = two_tasks()
    same = {c: np.full(len(whole), 70.0) if c.task == "two" else v for c, v in whole.columns.items()}
    replace(whole, columns=same).save(tmp_path / "t.parquet")
    archwalk.train(tmp_path / "t.parquet", "one", tmp_path / "a", preset=small_settings())
    for verb in (
        lambda: archwalk.train(tmp_path / "t.parquet", "two", tmp_path / "b", preset=small_settings()),
        lambda: archwalk.transfer(tmp_path / "a", "two", "zero-shot", tmp_path / "b"),
        lambda: archwalk.evaluate(tmp_path / "a", task="two"),
        lambda: archwalk.compare(tmp_path / "t.parquet", "two", tmp_path / "c", methods=["random"], seeds=1),
    ):
        with pytest.raises(ArchwalkError, match="differ in their reward"):
            verb()
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("file", ["settings.toml", "weights.safetensors", "costs.json"])
def test_a_run_that_was_changed_afterwards_is_refused(tmp_path: Path, file: str) -> None:
    two_tasks().save(tmp_path / "t.parquet")
    archwalk.train(tmp_path / "t.parquet", "one", tmp_path / "a", preset=small_settings())
    truth = archwalk.evaluate(tmp_path / "a")
    settings = tmp_path / "a" / "settings.toml"
    settings.write_text(
        settings.read_text().replace(str(tmp_path / "t.parquet"), str(tmp_path / "u.parquet"))
    )
    (tmp_path / "t.parquet").rename(tmp_path / "u.parquet")  # where the benchmark lies may change
    assert archwalk.evaluate(tmp_path / "a") == truth
    path = tmp_path / "a" / file
    content = bytearray(path.read_bytes())
    if file == "settings.toml":
        content = bytearray(content.replace(b"max_neighbours", b"#ax_neighbours"))
    else:
        content[-20] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ArchwalkError):
        archwalk.evaluate(tmp_path / "a")
