"""Every algorithm behind the same loop, run folders and verbs: it learns, resumes, moves, and is refused."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import archwalk
from archwalk.agents.registry import algorithm_names, find_algorithm, form_of
from archwalk.cli import main
from archwalk.config import Settings
from archwalk.envs.open import OpenProcess
from archwalk.errors import RunError, SettingsError
from archwalk.searching.experience.opinion import opinion
from archwalk.training.loop import Loop
from archwalk.training.rundir import METRICS, WEIGHTS, RunDir
from archwalk.training.rundir import SETTINGS as SETTINGS_FILE
from archwalk.training.runner import load_values
from tests.conftest import small_settings, three_tasks, tiny_benchmark, two_tasks
from tests.oracles.open import AsOpen
from tests.oracles.planning import follow, value_iteration

OTHERS = ("ppo", "distributional", "model-based")
OWN = {
    "ppo": {"horizon": 4, "learning_rate": 3e-3, "entropy": 0.003},
    "model_based": {"walks": 8, "plan_every": 128, "batch_size": 8},
}


def settings_of(**groups: dict[str, object]) -> Settings:
    return small_settings(**(OWN | groups))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_tasks().save(tmp_path_factory.mktemp("table") / "two.parquet")


def test_all_four_are_known() -> None:
    assert set(algorithm_names()) >= {"ape-x", *OTHERS}


LEARNING: dict[str, dict[str, dict[str, object]]] = {
    "ppo": {},
    "distributional": {
        "learner": {"learning_rate": 4e-3, "batch_size": 64, "n_step": 1, "double": False, "planning": True}
    },
    "model-based": {"training": {"trained_steps": 6_144}},
}


@pytest.mark.parametrize("algorithm", OTHERS)
def test_it_learns_what_planning_knows(algorithm: str) -> None:
    """Greedy walks on a small table end about where value iteration's do."""
    benchmark = tiny_benchmark()
    often = {"trained_steps": 12_288, "log_every": 6_144, "evaluate_every": 6_144}
    settings = settings_of(
        network={"width": 32, "feedforward": 32, "heads": 2}, training=often | {"sampled_per_trained": 0.5}
    ).replace(**LEARNING[algorithm])
    loop = Loop(benchmark, "main", settings, seed=0, make_agent=find_algorithm(algorithm))
    last = list(loop.run())[-1]
    process = loop.process
    best = value_iteration(
        process.choices.numpy(), process.rewards.double().numpy(), settings.learner.discount
    )
    metric = benchmark.values("main")
    planned = metric[follow(process.choices.numpy(), best, settings.walk.step_limit)].mean()
    reached = (planned - metric.mean()) / (metric.max() - metric.mean())
    assert last["greedy_validation_score"] > 0.9 * reached


@pytest.mark.parametrize(
    ("algorithm", "most"), [("ppo", 50), ("ppo", 4), ("distributional", 4), ("model-based", 50)]
)
def test_stopped_at_any_row_it_goes_on_with_the_same_bits(algorithm: str, most: int) -> None:
    settings = settings_of(
        walk={"max_neighbours": most},
        training={"trained_steps": 512, "log_every": 32, "evaluate_every": 256},
    )

    def begin() -> Loop:
        return Loop(tiny_benchmark(), "main", settings, 0, make_agent=find_algorithm(algorithm))

    whole, rows, states = begin(), [], []
    for row in whole.run():
        rows.append(row)
        states.append(copy.deepcopy(whole.state_dict()))
    assert len(rows) == 16
    for at in (0, 6, 13):
        again = begin()
        again.load_state_dict(copy.deepcopy(states[at]))
        torch.manual_seed(at)  # a global generator must not matter
        assert list(again.run()) == rows[at + 1 :]
        end = again.state_dict()
        assert end.keys() == states[-1].keys()
        assert all(torch.equal(end[name], states[-1][name]) for name in end)


RUN = """
import sys
import archwalk
archwalk.train(sys.argv[1], "one", sys.argv[2], preset=sys.argv[3], seed=3, algorithm=sys.argv[4])
"""


@pytest.mark.parametrize("algorithm", ["ppo"])
def test_killed_it_ends_with_the_same_bits(algorithm: str, table: Path, tmp_path: Path) -> None:
    settings = settings_of(training={"checkpoint_every": 256, "trained_steps": 1_536, "log_every": 128})
    toml, killed = tmp_path / "settings.toml", tmp_path / "killed"
    toml.write_text(settings.to_toml())
    whole = archwalk.train(table, "one", tmp_path / "whole", preset=settings, seed=3, algorithm=algorithm)
    process = subprocess.Popen([sys.executable, "-c", RUN, table, killed, toml, algorithm])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(RunDir(killed).rows()) < 5 and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    archwalk.train(table, "one", killed, preset=settings, seed=3, algorithm=algorithm)
    for name in (WEIGHTS, METRICS, SETTINGS_FILE):
        assert (killed / name).read_bytes() == (whole.path / name).read_bytes()


@pytest.mark.parametrize("algorithm", OTHERS)
def test_every_verb_finds_the_right_network(algorithm: str, table: Path, tmp_path: Path) -> None:
    settings = settings_of(training={"trained_steps": 1_024, "fine_tune_steps": 256, "evaluate_every": 256})
    run = archwalk.train(table, "one", tmp_path / "run", preset=settings, algorithm=algorithm)
    spec = run.spec()
    assert spec.algorithm == algorithm
    others = {"ppo", "distributional", "model_based"} - {algorithm.replace("-", "_")}
    assert not any(f"[{group}]" in (run.path / SETTINGS_FILE).read_text() for group in others)
    score = archwalk.evaluate(run.path)["validation_score"]  # type: ignore[index]
    assert score == pytest.approx(run.rows()[-1]["greedy_validation_score"], abs=1e-6)
    zero = archwalk.transfer(run.path, "two", "zero-shot", tmp_path / "zero")
    as_it_is = archwalk.evaluate(run.path, task="two")
    assert archwalk.evaluate(zero.path)["validation_score"] == as_it_is["validation_score"]  # type: ignore[index]
    tuned = archwalk.transfer(run.path, "two", "retrain", tmp_path / "tuned")
    assert tuned.spec().algorithm == algorithm
    cut = RunDir(tuned.path / "fine-tune")
    assert cut.costs().trained_steps == 256
    assert cut.weights().keys() == run.weights().keys()
    agent = archwalk.load_agent(run.path)
    steps = agent.improve(two_tasks().architectures[0])
    assert steps[-1].architecture in two_tasks().architectures
    values = load_values(run, two_tasks(), "one")
    assert type(values.network) is type(
        form_of(algorithm).network(4, spec.settings, torch.Generator(), False)
    )
    said = opinion(values)
    assert said.shape == (54,)
    assert np.isfinite(said).all()
    assert np.corrcoef(said, two_tasks().values("one"))[0, 1] > 0.2


@pytest.mark.parametrize("algorithm", OTHERS)
def test_in_an_open_space_nothing_is_asked_for_twice_and_it_learns(algorithm: str) -> None:
    open_ = AsOpen(two_tasks())
    settings = settings_of(
        training={"trained_steps": 2_048, "evaluate_every": 2_048}, learner={"planning": False}
    )
    loop = Loop(open_, "one", settings, seed=0, make_agent=find_algorithm(algorithm))
    row = list(loop.run())[-1]
    assert isinstance(loop.process, OpenProcess)
    asked = open_.asked[: row["evaluations"]]
    assert len(set(asked)) == len(asked) == row["evaluations"]
    assert row["greedy_random_quantile"] > 0.6
    again = Loop(AsOpen(two_tasks()), "one", settings, seed=0, make_agent=find_algorithm(algorithm))
    again.load_state_dict(copy.deepcopy(loop.state_dict()))
    for _ in range(3):
        ours, theirs = (one.agent.act() for one in (loop, again))
        assert all(torch.equal(a.architecture, b.architecture) for a, b in zip(ours, theirs, strict=True))
        for one, walked in ((loop, ours), (again, theirs)):
            one._count(walked)
        here, there = (one.agent.update()[0].metrics for one in (loop, again))
        assert all(torch.equal(here[name], there[name]) for name in here)


@pytest.mark.parametrize("algorithm", OTHERS)
def test_several_tasks_at_once(algorithm: str, tmp_path: Path) -> None:
    settings = settings_of(training={"trained_steps": 512, "evaluate_every": 256})
    run = archwalk.train(three_tasks(), "one,three", tmp_path / "run", preset=settings, algorithm=algorithm)
    found = archwalk.evaluate(run.path, benchmark=three_tasks())
    last = run.rows()[-1]
    for task in ("one", "three"):
        score = found[task]["validation_score"]
        assert score == pytest.approx(last[f"greedy_validation_score/{task}"], abs=1e-6)
    found = archwalk.evaluate(run.path, benchmark=three_tasks(), task="two")
    assert (found["regime"], found["algorithm"], found["transfer"]) == ("zero-shot", algorithm, "")


def test_what_is_refused(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    settings = settings_of(training={"trained_steps": 64})
    run = archwalk.train(table, "one", tmp_path / "run", preset=settings, algorithm="ppo")

    def train(folder: str = "new", **options: object) -> RunDir:
        return archwalk.train(table, "one", tmp_path / folder, **{"preset": settings} | options)  # type: ignore

    with pytest.raises(SettingsError, match="did you mean 'ppo'"):
        train(algorithm="pppo")
    for part in ("all", "body"):
        with pytest.raises(RunError, match="with --algorithm ppo, or begin with an agent"):
            train(algorithm="distributional", init=run.path, init_part=part)
    with pytest.raises(RunError, match="source trained by ape-x"):
        train(init=run.path)
    with pytest.raises(RunError, match=r"run.algorithm: 'ppo' there, 'distributional' asked"):
        train("run", algorithm="distributional")
    with pytest.raises(RunError, match=r"run.algorithm: 'ppo' there, 'ape-x' asked"):
        train("run")
    with pytest.raises(SettingsError, match="the only one with walks and replay on Ray"):
        train(algorithm="ppo", executor="ray")
    model = train("model", algorithm="model-based")
    with pytest.raises(SettingsError, match="no body of its own"):
        train(algorithm="model-based", init=model.path, init_part="body")
    assert not (tmp_path / "new").exists()
    before = capsys.readouterr()
    arguments = ["train", "--benchmark", str(table), "--task", "one", "--run-dir", str(tmp_path / "new")]
    with pytest.raises(SystemExit):
        main([*arguments, "--ppo.clip", "0.1"])
    assert "ask for the algorithm ppo" in capsys.readouterr().err + before.err
    assert not (tmp_path / "new").exists()


def test_settings_of_other_algorithms_decide_nothing(table: Path, tmp_path: Path) -> None:
    short = {"trained_steps": 64}
    one = settings_of(training=short, ppo={"clip": 0.1})
    two = settings_of(training=short, ppo={"clip": 0.3}, model_based={"walks": 3})
    archwalk.train(table, "one", tmp_path / "run", preset=one)
    made = (tmp_path / "run" / SETTINGS_FILE).read_bytes()
    assert b"ppo" not in made
    archwalk.train(table, "one", tmp_path / "run", preset=two)  # the same run
    assert (tmp_path / "run" / SETTINGS_FILE).read_bytes() == made
