"""Lanes: each is the agent that it would be alone, whatever else is in the program, and survives kills."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from archwalk import api
from archwalk.agent.learner import Learner
from archwalk.benchmark.table import Benchmark
from archwalk.config import Settings
from archwalk.errors import SettingsError
from archwalk.training.lanes import Lane, Lanes
from archwalk.training.loop import Row, Trainer
from archwalk.training.making import CPU, Order, find_device, make_lanes
from archwalk.training.rundir import CHECKPOINT, METRICS, WEIGHTS, RunDir
from tests.conftest import small_settings, tiny_benchmark, two_tasks

LANES = [("one", 0), ("two", 0), ("one", 1)]
# small steps, or rounding grows into other choices
LEARNERS = {
    "planning": {"planning": True, "n_step": 1, "double": False},
    "double": {"planning": False, "n_step": 3, "double": True},
    "plain": {"planning": False, "n_step": 2, "double": False},
}


def settings_of(kind: str, tokens: str = "slots", period: int = 64, **training: object) -> Settings:
    return small_settings(
        observation={"tokens": tokens},
        learner=LEARNERS[kind] | {"batch_size": 16, "learning_rate": 1e-4, "target_period": 64},
        training={
            "trained_steps": 512,
            "log_every": 64,
            "evaluate_every": 256,
            "actor_period": period,
            "sampled_per_trained": 0.4,
        }
        | training,
    )


def alone(benchmark: Benchmark, task: str, settings: Settings, seed: int) -> Trainer:
    """The trainer with all its shortcuts, but one evaluation a transition: so it draws the same padding."""
    trainer = Trainer(benchmark, task, settings, seed)
    agent, generator = trainer.agent, trainer.generators["learner"]
    trainer.learner = Learner(agent, settings.learner, generator, reuse=False)
    return trainer


def together(benchmark: Benchmark, settings: Settings, lanes: list[tuple[str, int]]) -> list[Lane]:
    return [Lane(benchmark, task, settings, seed) for task, seed in lanes]


def rows_of(lanes: list[Lane]) -> list[list[Row]]:
    """The rows of each."""
    return [list(rows) for rows in zip(*Lanes(lanes, CPU).run(), strict=True)]


def check_rows(ours: list[Row], expected: list[Row]) -> None:
    assert len(ours) == len(expected) > 5
    for mine, other in zip(ours, expected, strict=True):
        assert mine.keys() == other.keys()
        for name in mine:
            assert mine[name] == pytest.approx(other[name], rel=1e-3, abs=1e-4), name


@pytest.mark.parametrize("period", [64, 8])  # all states swept at a copy, and looked at one by one
@pytest.mark.parametrize("tokens", ["slots", "graph"])
@pytest.mark.parametrize("kind", LEARNERS)
def test_a_lane_is_the_agent_trained_alone(kind: str, tokens: str, period: int) -> None:
    benchmark, settings = two_tasks(), settings_of(kind, tokens, period)
    lanes = together(benchmark, settings, LANES)
    rows = rows_of(lanes)
    assert Lanes(lanes, CPU)._sweeps == (period == 64)
    for (task, seed), lane, mine in zip(LANES, lanes, rows, strict=True):
        trainer = alone(benchmark, task, settings, seed)
        check_rows(mine, list(trainer.run()))
        expected, got = trainer.state_dict(), lane.state_dict()
        assert expected.keys() == got.keys()
        last = [name for name, _ in trainer.agent.network.named_parameters()].index("advantage.4.bias")
        left_out = {f"learner/adam.{last}.{k}" for k in ("exp_avg", "exp_avg_sq")}  # its gradient is rounding
        left_out |= {name for name in expected if name.endswith(("advantage.4.bias", "/table", "/known"))}
        for name in expected.keys() - left_out:  # alone only some states are known
            torch.testing.assert_close(got[name], expected[name], rtol=1e-2, atol=2e-4, msg=name)
        for generator in [name for name in expected if name.startswith("generators/")]:
            assert torch.equal(got[generator], expected[generator])


def test_who_else_is_in_the_program_changes_no_bit() -> None:
    benchmark, settings = two_tasks(), settings_of("planning")
    three, two = together(benchmark, settings, LANES), together(benchmark, settings, [LANES[2], LANES[0]])
    rows_of(three)
    rows_of(two)
    for one, other in ((three[0], two[1]), (three[2], two[0])):
        ours, theirs = one.state_dict(), other.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("kind", ["planning", "double"])
def test_a_lane_goes_on_alone_and_back(kind: str) -> None:
    """A checkpoint is the trainer's own: lanes, then alone, then lanes, as alone from the first step."""
    benchmark = two_tasks()
    legs = [settings_of(kind, trained_steps=steps) for steps in (192, 384, 576)]
    begun = together(benchmark, legs[0], LANES[:2])
    rows_of(begun)
    middle = []
    for (task, seed), lane in zip(LANES[:2], begun, strict=True):
        trainer = alone(benchmark, task, legs[1], seed)
        trainer.load_state_dict({k: v.clone() for k, v in lane.state_dict().items()})
        list(trainer.run())
        middle.append(trainer)
    ended = together(benchmark, legs[2], LANES[:2])
    for lane, trainer in zip(ended, middle, strict=True):
        lane.load_state_dict({k: v.clone() for k, v in trainer.state_dict().items()})
    rows = rows_of(ended)
    for (task, seed), mine in zip(LANES[:2], rows, strict=True):
        trainer = alone(benchmark, task, legs[2], seed)
        expected = [row for row in trainer.run() if row["trained_steps"] > 384]
        assert [row["trained_steps"] for row in mine] == [row["trained_steps"] for row in expected]
        for name in expected[-1]:
            assert mine[-1][name] == pytest.approx(expected[-1][name], rel=1e-2, abs=1e-3), name


def test_lanes_learn_in_bfloat16() -> None:
    settings = small_settings(
        network={"width": 32, "feedforward": 32, "heads": 2},
        learner=LEARNERS["planning"] | {"halving_steps": 8_000},
        training={
            "trained_steps": 16_384,
            "sampled_per_trained": 0.25,
            "evaluate_every": 4_096,
            "precision": "bfloat16",
        },
    )
    benchmark = tiny_benchmark()
    lanes = [Lane(benchmark, "main", settings, seed) for seed in range(2)]
    for rows in rows_of(lanes):
        assert rows[-1]["greedy_validation_score"] > 0.9
        assert rows[-1]["loss"] < rows[0]["loss"]


def orders_in(folder: Path, settings: Settings, seeds: int = 2) -> tuple[list[Order], Benchmark]:
    file = folder.parent / "two.parquet"
    if not file.exists():
        two_tasks().save(file)
    made = [
        api.order_training(file, task, folder / f"{task}-{seed}", settings, seed)
        for seed in range(seeds)
        for task in ("one", "two")
    ]
    return [order for order, _ in made], made[0][1]


def numbers(folder: Path) -> dict[str, bytes]:
    files = [f for name in (METRICS, WEIGHTS) for f in folder.rglob(name)]
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


SETTINGS = settings_of("planning", trained_steps=1_024, checkpoint_every=256)
SCRIPT = """
import sys
from pathlib import Path
from tests.training.test_lanes import SETTINGS, orders_in
from archwalk.training.making import CPU, make_lanes
orders, table = orders_in(Path(sys.argv[1]), SETTINGS)
make_lanes(orders, table, CPU)
"""


def test_killed_lanes_go_on_to_the_same_numbers(tmp_path: Path) -> None:
    orders, table = orders_in(tmp_path / "a" / "whole", SETTINGS)
    make_lanes(orders, table, CPU)
    whole = numbers(tmp_path / "a" / "whole")
    folder = tmp_path / "b" / "killed"
    (tmp_path / "b").mkdir()
    last = folder / "two-1" / CHECKPOINT
    for _ in range(3):
        before = last.stat().st_mtime_ns if last.exists() else 0
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)])
        while process.poll() is None and (not last.exists() or last.stat().st_mtime_ns == before):
            time.sleep(0.01)
        process.kill()
        process.wait()
    (folder / "one-0" / CHECKPOINT).unlink()  # one stands elsewhere: it goes on in a program of its own
    orders, table = orders_in(folder, SETTINGS)
    make_lanes(orders, table, CPU)
    again = numbers(folder)
    others = [name for name in whole if not name.startswith("one-0")]
    assert len(others) == 6
    assert {name: again[name] for name in others} == {name: whole[name] for name in others}
    check_rows(RunDir(folder / "one-0").rows(), RunDir(tmp_path / "a" / "whole" / "one-0").rows())
    costs = [RunDir(folder / name).costs() for name in ("one-0", "two-1")]
    assert all(c.trained_steps == 1_024 and c.evaluations > 0 for c in costs)
    make_lanes(orders, table, CPU)  # nothing is left to do
    assert numbers(folder) == again


def test_lanes_share_the_time_that_passes(tmp_path: Path) -> None:
    orders, table = orders_in(tmp_path / "runs", SETTINGS)
    began = time.monotonic()
    make_lanes(orders, table, CPU)
    passed = time.monotonic() - began
    seconds = [order.run.costs().seconds for order in orders]
    assert sum(seconds) <= passed
    assert min(seconds) > 0


def test_what_fixed_shapes_cannot_do_is_refused_before_any_write(tmp_path: Path) -> None:
    few = small_settings(walk={"max_neighbours": 3})
    small = small_settings(replay={"capacity": 101, "warmup": 10}, learner={"n_step": 4})
    for settings, match in ((few, "max_neighbours"), (small, "replay.capacity")):
        orders, table = orders_in(tmp_path / "runs", settings, seeds=1)
        with pytest.raises(SettingsError, match=match):
            make_lanes(orders, table, CPU)
        assert not (tmp_path / "runs").exists()


def test_devices_are_found_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert find_device("auto") == find_device("cpu") == CPU
    for bad in ("cuda", "cuda:1", "tpu", "cuda:x", ""):
        with pytest.raises(SettingsError, match="0 GPUs"):
            find_device(bad)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("auto") == find_device("cuda") == torch.device("cuda")
    assert find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(SettingsError, match="2 GPUs"):
        find_device("cuda:2")


def test_auto_leaves_to_the_cpu_what_lanes_cannot_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    table = two_tasks()
    assert api.device_for(small_settings(), table, "auto").type == "cuda"
    few = small_settings(walk={"max_neighbours": 3})
    assert api.device_for(few, table, "auto") == CPU
    assert api.device_for(few, table, "cuda").type == "cuda"  # and is refused with a reason
