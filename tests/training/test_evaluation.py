"""Every number of an evaluation from the architectures on which walks end, one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archwalk.agents.values import make_values
from archwalk.envs.build import greedy_process
from archwalk.seeding import make_generator
from archwalk.spaces import make_space
from archwalk.tasks import Benchmark, Column
from archwalk.tasks.metrics import METRICS
from archwalk.tasks.table import make_benchmark
from archwalk.training.evaluation import evaluate_agent, greedy_walks
from tests.conftest import small_settings


def benchmark_of(metric: str) -> Benchmark:
    """36 tuples whose validation and test values have little to do with each other, with ties."""
    space = make_space("slots", {"a": ["x", "y", "z"], "b": ["p", "q", "r"], "c": ["1", "2", "3", "4"]})
    g = np.random.default_rng(2)
    values = {
        Column("main", metric, split, "final"): low + g.integers(0, 12, len(space)).astype(float)
        for split, low in (("valid", 10), ("test", 30))
    }
    reward = Column("main", metric, "valid", "final")
    rows = np.arange(len(space))
    return make_benchmark("ties", space, rows, values, {metric: METRICS[metric]}, {"main": reward})


@pytest.mark.parametrize("split", ["valid", "test"])
@pytest.mark.parametrize("metric", ["acc", "loss"])
def test_every_number_by_hand(metric: str, split: str) -> None:
    benchmark, n = benchmark_of(metric), 36
    settings = small_settings(walk={"step_limit": 2})
    agent = make_values(greedy_process(benchmark, settings), settings, 3)
    path = greedy_walks(agent, torch.arange(n), make_generator(0, "t")).T.tolist()
    result = evaluate_agent(agent, benchmark, "main", split=split, generator=make_generator(0, "t"))
    final = [walk[-1] for walk in path]
    assert len(set(final)) > 3
    columns = {s: benchmark.values("main", s).tolist() for s in ("valid", "test")}
    valid, test, shown = columns["valid"], columns["test"], columns[split]

    def better(a: int, b: int) -> bool:
        return valid[a] > valid[b] if metric == "acc" else valid[a] < valid[b]

    def best(of: list[int]) -> int:
        chosen = of[0]
        for other in of[1:]:
            chosen = other if better(other, chosen) else chosen
        return chosen

    oracle = best(list(range(n)))
    met = [best(walk) for walk in path]
    ranks = [1 + sum(better(other, f) for other in range(n)) for f in final]
    spread = valid[oracle] - np.mean(valid)
    sign = 1 if metric == "acc" else -1
    expected = {
        "mean": np.mean([shown[f] for f in final]),
        "std": np.std([shown[f] for f in final]),
        "oracle": shown[oracle],
        "regret_mean": np.mean([sign * (shown[oracle] - shown[f]) for f in final]),
        "rank_mean": np.mean(ranks),
        "rank_percentile_mean": np.mean([100 * (n - rank + 1) / n for rank in ranks]),
        "validation_score": (np.mean([valid[f] for f in final]) - np.mean(valid)) / spread,
        "valid_mean": np.mean([valid[f] for f in final]),
        "valid_best_on_walk_mean": np.mean([valid[m] for m in met]),
        "test_mean": np.mean([test[f] for f in final]),
        "test_std": np.std([test[f] for f in final]),
        "test_best_on_walk_mean": np.mean([test[m] for m in met]),
        "oracle_test": test[oracle],
    }
    for name, value in expected.items():
        assert getattr(result, name) == pytest.approx(value), name
    assert (result.split, result.metric, result.starts) == (split, metric, n)
