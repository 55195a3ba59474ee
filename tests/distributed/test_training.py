"""Ape-X on two real nodes: where it runs, that it learns, and what happens when parts of it die."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

import archwalk
from archwalk.agents.dqn.replay import Replay, Transitions, strata
from archwalk.config import RaySettings, ReplaySettings
from archwalk.execution.cluster import load_ray
from archwalk.seeding import make_generator
from archwalk.training.apex.agent import ApexAgent, allot
from archwalk.training.apex.roles import ReplayShard, to_arrays
from archwalk.training.loop import Loop
from archwalk.training.rundir import CHECKPOINT, RunDir
from tests.conftest import small_settings, tiny_benchmark
from tests.distributed.conftest import PATIENCE, Nodes

SETTINGS = small_settings(
    exploration={"actors": 4, "walks_per_actor": 16},
    learner={"learning_rate": 4e-3},
    training={"trained_steps": 16_384, "log_every": 512, "evaluate_every": 8_192},
)


def make_loop(both: RaySettings, **groups: dict[str, object]) -> Loop:
    ray = both.model_copy(update={"shards": 2, "chunk": 64})
    return Loop(
        tiny_benchmark(), "main", SETTINGS.replace(**groups), 0, make_agent=partial(ApexAgent, ray=ray)
    )


def transitions(count: int, first: int = 0) -> Transitions:
    """Distinguishable by their state."""
    s = torch.arange(first, first + count)
    offer = torch.zeros(count, 0, dtype=torch.long)
    return Transitions(s, offer, s, s.float(), s.float(), s, offer)


def test_a_batch_from_shards_is_the_batch_from_one_replay() -> None:
    """The oracle is one replay that holds what the shards hold, end to end."""
    settings = ReplaySettings(capacity=300, warmup=1)
    whole, sizes = Replay(settings, 0), [70, 0, 20, 110]
    shards = [ReplayShard(settings, 0) for _ in sizes]
    errors = torch.rand(200, generator=make_generator(0, "e")) ** 3
    first = 0
    for shard, size in zip(shards, sizes, strict=True):
        part = slice(first, first + size)
        whole.add(transitions(size, first), errors[part])
        shard.add(to_arrays(transitions(size, first)._asdict()), errors[part].numpy())
        first += size
    at = strata(64, make_generator(0, "s"))
    expected = whole.find(at).transitions.s_tm1.tolist()
    mass = torch.tensor([shard.filled().mass for shard in shards], dtype=torch.float64)
    drawn = [(k, shards[k].sample(within.numpy())) for k, within in allot(at, mass)]
    assert [int(s) for _, d in drawn for s in d.transitions["s_tm1"]] == expected
    probability = np.concatenate([d.mass / d.filled.mass * float(mass[k] / mass.sum()) for k, d in drawn])
    assert probability == pytest.approx(whole.probabilities()[expected].numpy())


def test_a_replaced_transition_keeps_its_own_priority() -> None:
    shard = ReplayShard(ReplaySettings(capacity=8, warmup=1), 0)
    shard.add(to_arrays(transitions(8)._asdict()), np.ones(8, dtype=np.float32))
    drawn = shard.sample(np.linspace(0, 0.99, 8))
    shard.add(to_arrays(transitions(3, 8)._asdict()), np.ones(3, dtype=np.float32))
    shard.set_errors(drawn.slots, np.full(8, 2.0, dtype=np.float32), drawn.added)
    mass = shard.state()["mass"]
    assert mass[:3] == pytest.approx(1.0, rel=1e-3)  # these three are new
    assert mass[3:] == pytest.approx(2**0.6, rel=1e-3)


def test_a_run_on_two_nodes_learns_and_is_an_ordinary_run(
    nodes: Nodes, both: RaySettings, tmp_path: Path
) -> None:
    table = tiny_benchmark().save(tmp_path / "tiny.parquet")
    ray = both.model_copy(update={"shards": 2, "chunk": 64})
    run = archwalk.train(table, "main", tmp_path / "r", preset=SETTINGS, executor="ray", ray=ray)
    rows = run.rows()
    assert max(row["nodes"] for row in rows) == 2
    assert rows[-1]["restarts"] == 0
    walked = rows[-1]["sampled_steps"] - SETTINGS.replay.warmup
    assert walked / rows[-1]["trained_steps"] == pytest.approx(1.0, rel=0.1)
    assert archwalk.evaluate(run.path)["validation_score"] > 0.8
    assert archwalk.load_agent(run.path).improve(tiny_benchmark().architectures[0])
    with pytest.raises(archwalk.errors.RunError, match=r"run.executor: 'ray.*' there, 'inline' asked"):
        archwalk.train(table, "main", tmp_path / "r", preset=SETTINGS)
    longer = SETTINGS.training.trained_steps + 1_024
    archwalk.train(table, "main", tmp_path / "r", preset=SETTINGS, steps=longer, executor="ray", ray=ray)
    assert RunDir(tmp_path / "r").costs().trained_steps == longer


def test_actors_and_shards_that_die_come_back(both: RaySettings) -> None:
    loop = make_loop(both, learner={"planning": True})
    ray, rows = load_ray(), []
    victims: list[Callable[[], object]] = [
        lambda: loop.agent._actors[1],
        lambda: loop.agent.replay.handles[0],
        lambda: loop.agent.replay.handles[1],
    ]
    for row in loop.run():
        rows.append(row)
        if len(rows) % 6 == 0 and victims:
            ray.kill(victims.pop(0)())
    loop.close()
    assert rows[-1]["restarts"] == 3
    assert rows[-1]["trained_steps"] == SETTINGS.training.trained_steps
    assert rows[-1]["greedy_validation_score"] > 0.7
    assert rows[-1]["sampled_steps"] < 1.5 * rows[-1]["trained_steps"]


def test_a_node_that_dies_takes_no_run_with_it(nodes: Nodes, both: RaySettings) -> None:
    loop = make_loop(both, training={"trained_steps": 10**9})
    killed_at = 0
    for row in loop.run():
        assert row["trained_steps"] < 500_000
        if not killed_at and len(loop.agent.nodes) == 2:
            nodes.kill("right")
            killed_at = row["trained_steps"]
        if row["restarts"] and row["trained_steps"] >= killed_at + 4_096:
            break  # it has noticed, and goes on
    assert row["nodes"] == 1
    loop.close()


def test_an_actor_that_dies_too_often_ends_the_run(both: RaySettings) -> None:
    loop = make_loop(both.model_copy(update={"losses": 1}))

    def run() -> None:
        for _ in loop.run():
            load_ray().kill(loop.agent._actors[0])

    with pytest.raises(archwalk.errors.ClusterError, match=r"rollout actor 0 to live(.|\n)*time 2"):
        run()
    loop.close()


def test_too_few_resources_are_told_before_anything_begins(both: RaySettings) -> None:
    with pytest.raises(archwalk.errors.ClusterError, match=r"room for 4 rollout actors of 3 CPU each") as e:
        make_loop(both.model_copy(update={"actor_cpus": 3.0}))
    assert "lower --ray.actor-cpus" in e.value.remedy
    with pytest.raises(archwalk.errors.ClusterError, match=r"0 unicorn in all"):
        make_loop(both.model_copy(update={"resources": {"unicorn": 1.0}}))


def test_a_learner_that_is_killed_goes_on_from_its_checkpoint(
    nodes: Nodes, both: RaySettings, tmp_path: Path
) -> None:
    """The command is killed; what it had started goes with it; the same command finishes the run."""
    table = tiny_benchmark().save(tmp_path / "tiny.parquet")
    settings = SETTINGS.replace(training={"checkpoint_every": 2_048})
    toml, folder = tmp_path / "s.toml", tmp_path / "r"
    toml.write_text(settings.to_toml())
    words = ["train", "--benchmark", table, "--task", "main", "--preset", toml, "--run-dir", folder]
    words += ["--executor", "ray", "--ray.address", nodes.address, "--ray.shards", 2, "--ray.chunk", 64]
    words += ["--ray.actor-cpus", 0.5]
    code = "import sys; from archwalk.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *map(str, words)]
    others = actors_alive()  # of whatever else runs on this machine
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while not (folder / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert actors_alive() - others
    process.kill()
    process.wait()
    reached = safetensors_rows(folder)
    deadline = time.monotonic() + PATIENCE
    while actors_alive() - others and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not actors_alive() - others
    finished = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE)
    assert finished.returncode == 0, finished.stderr
    rows = RunDir(folder).rows()
    steps = [row["trained_steps"] for row in rows]
    assert steps == sorted(set(steps))
    assert 0 < reached < len(rows)
    assert steps[-1] == settings.training.trained_steps


def actors_alive() -> set[str]:
    """Numbers of the processes of rollouts and shards, on whichever node."""
    alive = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            name = (process / "cmdline").read_bytes()
            if name.startswith((b"ray::RolloutActor", b"ray::ReplayShard")):
                alive.add(process.name)
    return alive


def safetensors_rows(folder: Path) -> int:
    with safetensors.safe_open(folder / CHECKPOINT, framework="pt") as file:
        return int(file.metadata()["rows"])
