"""Runs on several tasks: they learn each, resume bit for bit, and move on to other tasks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import archwalk
from archwalk.config import Settings
from archwalk.errors import ArchwalkError, BenchmarkError, RunError, SettingsError
from archwalk.tasks.table import make_benchmark
from archwalk.training.rundir import METRICS, WEIGHTS, RunDir
from tests.conftest import small_settings, three_tasks

RUN = """
import sys
from pathlib import Path
import archwalk
archwalk.train(sys.argv[1], "one,three", sys.argv[2], preset=Path(sys.argv[3]), seed=3)
"""


def planned(form: str = "embedding", **training: object) -> Settings:
    return small_settings(
        learner={"planning": True, "n_step": 1, "double": False},
        multitask={"form": form},
        training={"trained_steps": 6_144, "fine_tune_steps": 512, "evaluate_every": 2_048} | training,
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_tasks().save(tmp_path_factory.mktemp("table") / "three.parquet")


@pytest.fixture(scope="module")
def source(table: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = tmp_path_factory.mktemp("source") / "run"
    return archwalk.train(table, "one, three", folder, preset=planned())


def test_one_network_learns_tasks_that_are_at_odds(source: RunDir, table: Path, tmp_path: Path) -> None:
    told = archwalk.evaluate(source.path)
    assert list(told) == ["one", "three"]
    assert min(each["validation_score"] for each in told.values()) > 0.9
    last = source.rows()[-1]
    for task, each in told.items():
        assert each["task"] == task
        assert (each["regime"], each["source_task"], each["protocol"]) == ("scratch", "one,three", "")
        assert last[f"greedy_validation_score/{task}"] == pytest.approx(each["validation_score"], abs=1e-6)
        assert archwalk.evaluate(source.path, task=task) == each
        assert each["evaluations"] == last["evaluations"] <= 108
    mean = np.mean([each["validation_score"] for each in told.values()])
    assert last["greedy_validation_score"] == pytest.approx(mean, abs=1e-6)
    blind = archwalk.train(table, "one,three", tmp_path / "blind", preset=planned("none"))
    untold = archwalk.evaluate(blind.path)
    assert untold["one"]["validation_score"] + untold["three"]["validation_score"] < 1.0
    documented = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    assert all(f"`{name.replace('/one', '/TASK').replace('/three', '/TASK')}`" in documented for name in last)


def test_the_three_regimes_to_another_task(source: RunDir, tmp_path: Path) -> None:
    results = {}
    for regime in ("zero-shot", "fine-tune", "retrain"):
        run = archwalk.transfer(source.path, "two", regime, tmp_path / regime)
        r = results[regime] = archwalk.evaluate(run.path)
        assert (r["source_task"], r["task"], r["regime"]) == ("one,three", "two", regime)
        assert r["source_trained_steps"] == 6_144
        assert not run.spec().tasks
    as_it_is = archwalk.evaluate(source.path, task="two")
    for name in ("regime", "source_task", "mean", "validation_score", "rank_mean", "evaluations"):
        assert results["zero-shot"][name] == as_it_is[name]
    assert results["fine-tune"]["trained_steps"] == 512
    assert results["retrain"]["validation_score"] > 0.9
    assert 0 < results["retrain"]["evaluations"] <= 54
    known = archwalk.transfer(source.path, "three", "zero-shot", tmp_path / "known")  # as that very task
    score = archwalk.evaluate(source.path, task="three")["validation_score"]
    assert archwalk.evaluate(known.path)["validation_score"] == score


def test_it_goes_on_with_the_same_tasks(source: RunDir, table: Path, tmp_path: Path) -> None:
    short = planned(trained_steps=512)
    run = archwalk.train(table, "one,three", tmp_path / "more", preset=short, init=source.path)
    assert run.spec().source_weights == source.weights_digest()
    assert run.spec().regime == "retrain"
    assert archwalk.evaluate(run.path)["one"]["source_trained_steps"] == 6_144
    for tasks, preset in (("three,one", short), ("one,two,three", short), ("one,three", planned("none"))):
        with pytest.raises(RunError, match=f"weights of a run on {tasks}"):
            archwalk.train(table, tasks, tmp_path / "r", preset=preset, init=source.path)
    for regime in ("zero-shot", "fine-tune"):
        with pytest.raises(RunError, match="weights of a run on one,two"):
            archwalk.transfer(source.path, "one,two", regime, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_killed_it_ends_with_the_same_bits(table: Path, tmp_path: Path) -> None:
    settings = planned(trained_steps=4_096, checkpoint_every=256)
    toml = tmp_path / "settings.toml"
    toml.write_text(settings.to_toml())
    whole = archwalk.train(table, "one,three", tmp_path / "whole", preset=settings, seed=3)
    killed = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", RUN, table, killed, toml])
    while process.poll() is None and not (killed / "checkpoint.safetensors").exists():
        time.sleep(0.005)
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL  # it was under way
    assert 0 < len(RunDir(killed).rows()) < len(whole.rows())
    archwalk.train(table, "one,three", killed, preset=settings, seed=3)
    for name in (WEIGHTS, METRICS):
        assert (whole.path / name).read_bytes() == (killed / name).read_bytes(), name


def test_an_agent_of_several_tasks_walks_on_a_named_one(source: RunDir) -> None:
    with pytest.raises(RunError, match="one task to walk on"):
        archwalk.load_agent(source.path)
    agent = archwalk.load_agent(source.path, task="three")
    gains = []
    for start in agent.benchmark.architectures[::6]:
        walk = agent.improve(start)
        gains.append(walk[-1].valid - walk[0].valid)
    assert np.mean(gains) > 1


def test_tasks_that_cannot_be_trained_on_together(table: Path, tmp_path: Path) -> None:
    where, preset = tmp_path / "r", planned()
    with pytest.raises(BenchmarkError, match=r"did you mean 'three'.*several tables") as refused:
        archwalk.train(table, "one,thre", where, preset=preset)
    assert "--benchmark a,b --task A:x,B:y" in refused.value.remedy
    with pytest.raises(BenchmarkError, match="'one' twice"):
        archwalk.train(table, "one,three,one", where, preset=preset)
    with pytest.raises(BenchmarkError, match="task among"):  # of another table, over another space
        archwalk.train(table, "one,alpha", where, preset=preset)
    with pytest.raises(BenchmarkError, match="task among"):
        archwalk.train(table, "one,", where, preset=preset)
    whole = three_tasks()
    gaps = {column: values.copy() for column, values in whole.columns.items()}
    gaps[whole.rewards["three"]][5] = np.nan
    holed = make_benchmark("holed", whole.space, whole.rows, gaps, whole.metrics, whole.rewards)
    with pytest.raises(BenchmarkError, match=r"a reward for every architecture in .*three.*"):
        archwalk.train(holed, "one,three", where, preset=preset)
    assert archwalk.train(holed, "one,two", tmp_path / "whole", preset=preset, steps=256).finished
    unscaled = preset.replace(reward={"standardise": False})
    with pytest.raises(SettingsError, match="made comparable"):
        archwalk.train(table, "one,three", where, preset=unscaled)
    with pytest.raises(SettingsError, match="one task with executor ray"):
        archwalk.train(table, "one,three", where, preset=preset, executor="ray")
    assert not where.exists()


def test_a_folder_of_other_tasks_is_refused(source: RunDir, table: Path) -> None:
    before = {p.name: p.read_bytes() for p in source.path.iterdir() if p.is_file()}
    with pytest.raises(ArchwalkError, match=r"run.task: 'one,three' there"):
        archwalk.train(table, "one,two", source.path, preset=planned())
    with pytest.raises(ArchwalkError, match=r"multitask.form: 'embedding' there, 'none' asked"):
        archwalk.train(table, "one,three", source.path, preset=planned("none"))
    assert {p.name: p.read_bytes() for p in source.path.iterdir() if p.is_file()} == before


def test_a_task_whose_name_has_a_comma_is_one_task(tmp_path: Path) -> None:
    whole = three_tasks()
    columns = dict(whole.columns)
    both = whole.rewards["one"]._replace(task="one,two")
    columns[both] = whole.columns[whole.rewards["one"]]
    rewards = {**whole.rewards, "one,two": both}
    odd = make_benchmark("odd", whole.space, whole.rows, columns, whole.metrics, rewards)
    run = archwalk.train(odd, "one,two", tmp_path / "r", preset=planned(), steps=256)
    assert not run.spec().tasks
    assert archwalk.evaluate(run.path, benchmark=odd, split="valid")["task"] == "one,two"
