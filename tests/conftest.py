"""Fixtures: formula benchmarks, and real releases where ``ARCHWALK_DATA`` names their folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from archwalk.config import Settings, load_preset
from archwalk.spaces import make_space
from archwalk.tasks import Benchmark, Column, load_benchmark
from archwalk.tasks.metrics import METRICS
from archwalk.tasks.table import make_benchmark


@pytest.fixture(scope="session")
def synthetic() -> Benchmark:
    return load_benchmark("synthetic")


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = os.environ.get("ARCHWALK_DATA")
    if not folder:
        pytest.skip("ARCHWALK_DATA does not name a folder of measured releases")
    return Path(folder)


def two_tasks(share: float = 0.7) -> Benchmark:
    """54 tuples of four slots, two tasks that agree to some extent, smooth enough to learn in no time."""
    space = make_space(
        "slots", {"a": ["x", "y", "z"], "b": ["p", "q"], "c": ["1", "2", "3"], "d": ["u", "v", "w"]}
    )
    g = np.random.default_rng(0)
    common = sum(g.standard_normal(size)[space.codes[:, i]] for i, size in enumerate(space.slot_sizes))
    values, rewards = {}, {}
    for task in ("one", "two"):
        own = sum(g.standard_normal(size)[space.codes[:, i]] for i, size in enumerate(space.slot_sizes))
        quality = share * common + (1 - share) * own
        for split in ("valid", "test"):
            noisy = quality + 0.1 * g.standard_normal(len(space))
            values[Column(task, "acc", split, "final")] = np.round(50 + 8 * noisy, 3)
        rewards[task] = Column(task, "acc", "valid", "final")
    rows = np.arange(len(space))
    return make_benchmark("two", space, rows, values, {"acc": METRICS["acc"]}, rewards)


def three_tasks(keep: int | None = None) -> Benchmark:
    """``two_tasks``, and a task that is the first one upside down; some of the architectures, or all."""
    two = two_tasks(0.3)
    columns, rewards = dict(two.columns), dict(two.rewards)
    for column in two.columns:
        if column.task == "one":
            columns[column._replace(task="three")] = 100 - two.columns[column]
    rewards["three"] = rewards["one"]._replace(task="three")
    rows = np.sort(np.random.default_rng(0).permutation(len(two))[:keep])
    few = {column: values[rows] for column, values in columns.items()}
    return make_benchmark("three", two.space, rows, few, two.metrics, rewards)


def tiny_benchmark(keep: int | None = None, seed: int = 0) -> Benchmark:
    """54 tuples of four slots (or some of them), one task, random accuracies."""
    space = make_space(
        "slots", {"a": ["x", "y", "z"], "b": ["p", "q"], "c": ["1", "2", "3"], "d": ["u", "v", "w"]}
    )
    g = np.random.default_rng(seed)
    n = len(space)
    rows = np.arange(n) if keep is None else np.sort(g.permutation(n)[:keep])
    values = {
        Column("main", "acc", split, "final"): np.round(g.uniform(10, 90, len(rows)), 3)
        for split in ("valid", "test")
    }
    reward = Column("main", "acc", "valid", "final")
    return make_benchmark("tiny", space, rows, values, {"acc": METRICS["acc"]}, {"main": reward})


@pytest.fixture
def tiny() -> Benchmark:
    return tiny_benchmark()


def small_settings(**groups: dict[str, object]) -> Settings:
    """The quick preset, shrunk until a run takes a second."""
    settings = load_preset("quick").replace(
        network={"width": 16, "feedforward": 32, "heads": 2},
        exploration={"actors": 2, "walks_per_actor": 16},
        replay={"capacity": 2_000, "warmup": 100},
        learner={
            "batch_size": 32,
            "target_period": 256,
            "discount": 0.9,
            "halving_steps": 0,
            "planning": False,
        },
        training={
            "trained_steps": 2_048,
            "fine_tune_steps": 512,
            "sampled_per_trained": 1.0,
            "actor_period": 256,
            "evaluate_every": 512,
            "log_every": 256,
            "checkpoint_every": 512,
            "precision": "float32",  # the same on every machine
            "threads": 1,
        },
    )
    return settings.replace(**groups)
