"""Every transfer method as a run: folders, resume, costs, refusals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import archwalk
from archwalk.agents.dqn.agent import DQNAgent
from archwalk.config import Settings
from archwalk.envs.build import task_process
from archwalk.errors import RunError, SettingsError
from archwalk.execution.inline import Inline
from archwalk.studies.plan import Job
from archwalk.training.loop import Loop
from archwalk.training.ordering import order_transfer
from archwalk.training.rundir import METRICS, SETTINGS, WEIGHTS, RunDir
from archwalk.transferring import registry
from archwalk.transferring.initialise import Initialise
from archwalk.transferring.registry import register_transfer, transfer_names
from tests.conftest import small_settings, two_tasks
from tests.oracles.open import AsOpen
from tests.training.test_across import cells

ALL = (
    "initialise",
    "shaping",
    "demonstrations",
    "policy-reuse",
    "mapping",
    "successor-features",
    "frozen-body",
)
OFTEN = {"log_every": 64, "evaluate_every": 256, "checkpoint_every": 128}
QUICK: dict[str, dict[str, Any]] = {
    "demonstrations": {"walks": 4, "pretraining": 128, "halving": 128},
    "successor-features": {"fitting": 128},
}


def planned(**training: object) -> Settings:
    return small_settings(
        learner={"planning": True, "n_step": 1, "double": False},
        training={"trained_steps": 512, "fine_tune_steps": 256} | OFTEN | training,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transfers")
    two_tasks().save(folder / "two.parquet")
    cells().save(folder / "cells.parquet")
    return folder


@pytest.fixture(scope="module")
def source(folder: Path) -> RunDir:
    settings = planned(trained_steps=1_024)
    return archwalk.train(folder / "two.parquet", "one", folder / "planned", preset=settings)


@pytest.fixture(scope="module")
def bootstrapped(folder: Path) -> RunDir:
    """Without a planner: three-step targets of a network."""
    settings = small_settings(training={"trained_steps": 512, "fine_tune_steps": 256} | OFTEN)
    return archwalk.train(folder / "two.parquet", "two", folder / "bootstrapped", preset=settings)


def transfer(source: RunDir, to: Path, method: str, steps: int = 256, **also: Any) -> RunDir:
    task = "two" if source.spec().task == "one" else "one"
    options = QUICK.get(method, {}) | also.pop("options", {})
    return archwalk.transfer(
        source.path, task, "retrain", to, steps=steps, transfer=method, options=options, **also
    )


@pytest.mark.parametrize(
    ("method", "planning"),
    [
        *((method, True) for method in ALL),
        *((method, False) for method in ("shaping", "demonstrations", "successor-features")),
    ],
)
def test_a_run_stopped_anywhere_goes_on_to_the_same_bits(
    source: RunDir, bootstrapped: RunDir, tmp_path: Path, method: str, planning: bool
) -> None:
    begun = source if planning else bootstrapped
    whole = transfer(begun, tmp_path / "whole", method)
    spec, at = whole.spec(), tmp_path / "parts"
    assert (spec.transfer, spec.source_task) == (method, begun.spec().task)
    assert spec.source_weights == begun.weights_digest()

    class Stopped(Exception):
        pass

    left = iter(range(2))

    def stop(row: dict[str, Any], seconds: float) -> None:
        if next(left, None) is None:  # in the third row, whose checkpoint is not written yet
            raise Stopped

    with pytest.raises(Stopped):
        transfer(begun, at, method, on_row=stop)
    transfer(begun, at, method)
    for name in (WEIGHTS, METRICS):
        assert (whole.path / name).read_bytes() == (at / name).read_bytes(), name
    rows = whole.rows()
    assert rows[-1]["evaluations"] == whole.costs().evaluations <= 54
    documented = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    assert all(f"`{name}`" in documented for name in rows[-1])
    if method != "initialise":
        with pytest.raises(RunError, match=r"run\.transfer"):
            transfer(begun, at, "initialise")


RUN = """
import sys, archwalk
from tests.transferring.test_transfers import QUICK
s, to, m = sys.argv[1:]
archwalk.transfer(s, "two", "retrain", to, steps=256, transfer=m, options=QUICK.get(m, {}))
"""


def test_a_killed_run_goes_on_to_the_same_bits(source: RunDir, tmp_path: Path) -> None:
    """``policy-reuse``, which has most state of its own, by SIGKILL."""
    whole, killed = transfer(source, tmp_path / "whole", "policy-reuse"), tmp_path / "killed"
    arguments = [sys.executable, "-c", RUN, str(source.path), str(killed), "policy-reuse"]
    process = subprocess.Popen(arguments, cwd=Path(__file__).parents[2])
    while process.poll() is None and not RunDir(killed).rows():
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    transfer(source, killed, "policy-reuse")
    for name in (WEIGHTS, METRICS):
        assert (whole.path / name).read_bytes() == (killed / name).read_bytes(), name


def test_initialising_is_what_it_was(source: RunDir, tmp_path: Path) -> None:
    """Named or not; the folder does not mention it, so that older ones mean the same."""
    plain = archwalk.transfer(source.path, "two", "retrain", tmp_path / "plain", steps=256)
    named = transfer(source, tmp_path / "named", "initialise", steps=256)
    assert (plain.path / WEIGHTS).read_bytes() == (named.path / WEIGHTS).read_bytes()
    text = (plain.path / SETTINGS).read_text()
    assert text == (named.path / SETTINGS).read_text()
    assert "transfer" not in text.replace("transfers", "")
    begun = order_transfer(source.path, "two", "retrain", tmp_path / "order").initial
    assert begun is not None
    assert all((begun[name] == value).all() for name, value in source.weights().items())


def test_frozen_layers_stay(source: RunDir, tmp_path: Path) -> None:
    begun = source.weights()
    for layers, frozen in (("body", ("encoder.", "current")), ("embedding", ("embedding.",))):
        run = transfer(source, tmp_path / layers, "frozen-body", steps=256, options={"layers": layers})
        for name, value in run.weights().items():
            assert bool((value == begun[name]).all()) == name.startswith(frozen), name
    some = transfer(source, tmp_path / "some", "frozen-body", steps=256, frozen_body_steps=128)
    assert some.spec().transfer_options == {"layers": "body", "steps": 128}
    old = transfer(source, tmp_path / "old", "initialise", steps=256, frozen_body_steps=128)
    assert (some.path / WEIGHTS).read_bytes() == (old.path / WEIGHTS).read_bytes()
    with pytest.raises(SettingsError, match="initialise or frozen-body, for a part"):
        transfer(source, tmp_path / "x", "shaping", part="body")


def test_what_each_does_before_any_step(source: RunDir, folder: Path, tmp_path: Path) -> None:
    as_it_is = archwalk.evaluate(source.path, task="two")
    for method in ALL:
        run = archwalk.transfer(
            source.path, "two", "zero-shot", tmp_path / method, transfer=method, options=QUICK.get(method)
        )
        found = archwalk.evaluate(run.path)
        assert (found["regime"], found["transfer"]) == ("zero-shot", method)
        if method == "successor-features":
            assert 2 <= found["evaluations"] <= 32  # the first starts
            assert found["trained_steps"] == 128
        else:
            assert (found["evaluations"], found["trained_steps"]) == (0, 0)
            assert found["mean"] == as_it_is["mean"]  # type: ignore[typeddict-item]


@pytest.mark.parametrize("method", ["successor-features", "demonstrations"])
def test_walks_begin_by_what_was_prepared(source: RunDir, tmp_path: Path, method: str) -> None:
    """Not by the network that there was before."""
    order = order_transfer(
        source.path, "two", "retrain", tmp_path / "r", steps=128, transfer=method, options=QUICK[method]
    )
    assert order.moved is not None
    loop = Loop(order.benchmark, "two", order.spec.settings, 0, order.initial, prepare=order.moved.prepare)
    list(loop.run())
    agent = loop.agent
    assert isinstance(agent, DQNAgent)
    assert agent.learner.trained_steps == 128
    here, offered = agent.rollout.walks.architecture, agent.rollout.offered
    with torch.no_grad():
        q = agent.values.q(here, offered, torch.Generator())
    assert torch.allclose(agent.rollout.q, q, atol=1e-5)


def test_demonstrations_and_their_costs(source: RunDir, tmp_path: Path) -> None:
    """While it learns from demonstrations alone, what they and the first starts evaluated is all there is."""
    run = transfer(source, tmp_path / "r", "demonstrations", options={"walks": 3, "steps": 4})
    first = run.rows()[0]
    assert first["sampled_steps"] == 0 + 12 if first["trained_steps"] <= 128 else first["sampled_steps"] > 12
    order = order_transfer(
        source.path, "two", "retrain", tmp_path / "o", transfer="demonstrations", options={"walks": 3}
    )
    assert order.moved is not None
    process = task_process(order.benchmark, "two", order.spec.settings)  # type: ignore[arg-type]
    assert not process.evaluated.any()


def test_several_sources(source: RunDir, folder: Path, tmp_path: Path) -> None:
    other = archwalk.train(
        folder / "two.parquet", "two", tmp_path / "two", preset=planned(), seed=3, steps=256
    )
    both = f"{source.path},{other.path}"
    for method in ("policy-reuse", "shaping", "successor-features"):
        run = archwalk.transfer(
            both, "two", "retrain", tmp_path / method, steps=64, transfer=method, options=QUICK.get(method)
        )
        spec = run.spec()
        assert spec.source_task == "one+two"
        assert [one["weights"] for one in spec.sources] == [source.weights_digest(), other.weights_digest()]
        assert spec.source_trained_steps == 1_024 + 256
    for method in ("initialise", "demonstrations", "mapping", "frozen-body"):
        with pytest.raises(SettingsError, match=f"one source, all that --transfer {method}"):
            archwalk.transfer([source.path, other.path], "two", "retrain", tmp_path / "x", transfer=method)
    assert not (tmp_path / "x").exists()


def test_a_source_of_another_space(source: RunDir, folder: Path, tmp_path: Path) -> None:
    there = folder / "cells.parquet"
    for method in set(ALL) - {"mapping"}:
        with pytest.raises(RunError, match="space"):
            archwalk.transfer(source.path, "one", "retrain", tmp_path / "x", benchmark=there, transfer=method)
    assert not (tmp_path / "x").exists()
    run = archwalk.transfer(
        source.path,
        "one",
        "retrain",
        tmp_path / "r",
        benchmark=there,
        steps=512,
        transfer="mapping",
        options={"fitting": 256},
    )
    assert archwalk.evaluate(run.path)["benchmark"] == "cells"
    at_once = archwalk.transfer(
        source.path,
        "one",
        "zero-shot",
        tmp_path / "z",
        benchmark=there,
        transfer="mapping",
        options={"fitting": 256},
    )
    assert archwalk.evaluate(at_once.path)["trained_steps"] == 256


def test_in_a_space_that_nobody_lists(folder: Path, tmp_path: Path) -> None:
    """Random padding too: what sources have said there is a part of the checkpoint."""
    there = AsOpen(two_tasks())
    settings = planned(trained_steps=128).replace(observation={"tokens": "graph"})
    source = archwalk.train(there, "one", tmp_path / "source", preset=settings)

    def stop(row: dict[str, Any], seconds: float) -> None:
        if row["trained_steps"] > 128:
            raise ZeroDivisionError

    for method in ("policy-reuse", "demonstrations"):
        also = {"benchmark": there, "steps": 192, "options": QUICK.get(method), "transfer": method}
        whole = archwalk.transfer(source.path, "two", "retrain", tmp_path / method, **also)
        parts = tmp_path / f"{method}-parts"
        with pytest.raises(ZeroDivisionError):
            archwalk.transfer(source.path, "two", "retrain", parts, on_row=stop, **also)
        archwalk.transfer(source.path, "two", "retrain", parts, **also)
        assert (whole.path / WEIGHTS).read_bytes() == (parts / WEIGHTS).read_bytes(), method
    for method in ("shaping", "successor-features"):
        with pytest.raises(SettingsError, match="a table, whose architectures are listed"):
            archwalk.transfer(source.path, "two", "retrain", tmp_path / "x", benchmark=there, transfer=method)


def test_a_distributional_agent_is_served_where_it_can_be(folder: Path, tmp_path: Path) -> None:
    source = archwalk.train(
        folder / "two.parquet", "one", tmp_path / "s", preset=planned(), steps=64, algorithm="distributional"
    )
    for method in ("policy-reuse", "frozen-body"):
        run = transfer(source, tmp_path / method, method, steps=64)
        assert run.spec().algorithm == "distributional"
    for method in ("shaping", "demonstrations", "mapping", "successor-features"):
        with pytest.raises(SettingsError, match=f"an algorithm that --transfer {method} can serve: ape-x"):
            transfer(source, tmp_path / "x", method)


def test_a_study_moves_agents_in_each_way(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archwalk.studies.study.Processes", lambda path, jobs: Inline(path))
    settings, ways = planned(trained_steps=128, fine_tune_steps=64), ("initialise", "policy-reuse")
    study = archwalk.study(
        folder / "two.parquet", ("one", "two"), tmp_path / "s", seeds=1, preset=settings, transfers=ways
    )
    made = {job: study.run(job).spec() for job in study.plan().jobs() if not job.scratch}
    assert [(job.transfer, spec.transfer) for job, spec in made.items()] == [
        (w, w) for w in ways for _ in "ab"
    ]
    rows = study.run(Job("one", "two", 0, transfer="policy-reuse")).rows()
    assert 0 < rows[0]["follow_a_source"] < 1


def test_what_is_refused(source: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="did you mean 'shaping'"):
        transfer(source, tmp_path / "x", "shapin")
    with pytest.raises(SettingsError, match=r"options of --transfer policy-reuse: probability \(That a walk"):
        transfer(source, tmp_path / "x", "policy-reuse", options={"psi": 1})
    with pytest.raises(SettingsError, match="it has none"):
        transfer(source, tmp_path / "x", "initialise", options={"psi": 1})
    with pytest.raises(SettingsError, match="less than or equal to 1"):
        transfer(source, tmp_path / "x", "policy-reuse", options={"probability": "2"})
    shaped = transfer(source, tmp_path / "shaped", "shaping", steps=128)
    with pytest.raises(SettingsError, match="for an agent used as it is"):
        archwalk.transfer(shaped.path, "one", "zero-shot", tmp_path / "x")
    for method in ("shaping", "mapping"):
        with pytest.raises(SettingsError, match="whose Q-values are those of its task"):
            archwalk.transfer(shaped.path, "one", "retrain", tmp_path / "x", transfer=method)
    with pytest.raises(SettingsError, match="a name that no transfer method has"):
        register_transfer(Initialise)
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))

    class Other(Initialise):
        name = "other"
        algorithms = ("ppo",)

    register_transfer(Other)
    assert transfer_names() == (*ALL, "other")
    with pytest.raises(SettingsError, match="an algorithm that --transfer other can serve: ppo"):
        transfer(source, tmp_path / "x", "other")
    assert not (tmp_path / "x").exists()
