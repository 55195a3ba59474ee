"""Evaluation: greedy walks from every start, against the oracle.

In: an ``Agent`` and the benchmark. Out: ``Evaluation``, plain numbers. Next: ``archwalk.api`` adds what the
run cost; the loop logs a part of it as training curves.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from archwalk.agents.base import Agent, Snapshot
from archwalk.envs.process import Walks, offer, take
from archwalk.errors import BenchmarkError
from archwalk.tasks.table import Benchmark

BOOTSTRAP_RESAMPLES = 1_000


@dataclass(frozen=True)
class Evaluation:
    """How good the architectures are on which an agent's greedy walks end.

    All metrics are in the table's own unit. Statistics are over starts, of one agent.

    Attributes:
        task: the task.
        metric: the metric of the task's reward.
        split: the split that ``mean``, ``std``, ``oracle`` and ``regret_mean`` are of.
        starts: number of walks.
        walk_length_mean: steps a walk, the one that ends it included.
        validation_score: (mean validation metric - mean of the space) / (best - mean of the space): 0 is a
            random architecture, 1 the best.
        mean: of the metric on the split.
        std: standard deviation over starts.
        starts_ci95: bootstrap 95 % interval of the mean over starts alone; says nothing about seeds.
        oracle: metric, on the split, of the architecture that is best on the reward's own column.
        regret_mean: mean of how much worse than the oracle, positive is worse.
        rank_mean: mean rank of the final architecture by the reward's column, 1 is best, ties share the
            best rank.
        rank_percentile_mean: mean share of the architectures that are ranked worse, in percent.
        valid_mean: mean of the reward's own column.
        valid_best_on_walk_mean: the same for the best architecture met on the walk.
        test_mean: mean of the test metric; None if there is no test split.
        test_std: its standard deviation over starts.
        test_best_on_walk_mean: test metric of the architecture best by validation on the walk.
        oracle_test: ``oracle`` on the test split.
    """

    task: str
    metric: str
    split: str
    starts: int
    walk_length_mean: float
    validation_score: float
    mean: float
    std: float
    starts_ci95: tuple[float, float]
    oracle: float
    regret_mean: float
    rank_mean: float
    rank_percentile_mean: float
    valid_mean: float
    valid_best_on_walk_mean: float
    test_mean: float | None
    test_std: float | None
    test_best_on_walk_mean: float | None
    oracle_test: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def greedy_walks(
    agent: Agent, starts: Int64[Tensor, " starts"], generator: torch.Generator
) -> Int64[Tensor, "steps starts"]:
    """Where greedy walks (epsilon = 0) stand after every step, the starts first, [1 + longest, starts].

    A walk that has ended stays where it ended. Where all neighbours are always offered the network values a
    state once, and all of them in one sweep if there are no more states than starts.
    """
    process = agent.process
    frozen = Snapshot(agent, True, len(starts), generator)
    walks = Walks(starts.clone(), torch.zeros_like(starts))
    path = [starts]
    under_way = torch.ones_like(starts, dtype=torch.bool)
    while bool(under_way.any()):
        here = walks.architecture
        offered = offer(process, here, generator)
        action = frozen.q(here, offered).argmax(1)
        outcome = take(process, walks, offered, torch.where(under_way, action, 0))
        under_way = under_way & ~(outcome.terminated | outcome.truncated)
        path.append(outcome.architecture)
    return torch.stack(path)


def evaluate_agent(
    agent: Agent,
    benchmark: Benchmark,
    task: str,
    *,
    split: str = "test",
    most_starts: int = 20_000,
    generator: torch.Generator,
) -> Evaluation:
    """Greedy walks from every architecture, or from a uniform sample where there are more than
    ``most_starts``.

    Raises:
        BenchmarkError: an unknown task, or a split without the reward's metric.
    """
    reward = benchmark.reward(task)  # larger is better
    reward_column = benchmark.reward_column(task)
    valid = benchmark.columns[reward_column]
    measured = benchmark.values(task, split) if split != reward_column.split else valid
    try:
        test = benchmark.values(task, "test")
    except BenchmarkError:
        test = None

    n = len(benchmark)
    starts = torch.arange(n)
    if n > most_starts:
        starts = torch.randperm(n, generator=generator)[:most_starts]
    path = greedy_walks(agent, starts, generator).numpy()
    final = path[-1]
    on_walk = path[np.nanargmax(reward[path], axis=0), np.arange(path.shape[1])]
    oracle = int(np.argmax(reward))
    rank = ranks(reward)[final]
    spread = reward.max() - reward.mean()
    sign = 1.0 if benchmark.metrics[reward_column.metric].direction == "max" else -1.0
    moves = (path[1:] != path[:-1]).sum(0)
    return Evaluation(
        task=task,
        metric=reward_column.metric,
        split=split,
        starts=len(starts),
        walk_length_mean=float(np.minimum(moves + 1, agent.process.step_limit).mean()),
        validation_score=float((reward[final].mean() - reward.mean()) / spread) if spread > 0 else 1.0,
        mean=float(measured[final].mean()),
        std=float(measured[final].std()),
        starts_ci95=bootstrap_mean_ci95(measured[final], seed=0),
        oracle=float(measured[oracle]),
        regret_mean=float(sign * (measured[oracle] - measured[final]).mean()),
        rank_mean=float(rank.mean()),
        rank_percentile_mean=float(100 * (1 - (rank - 1) / n).mean()),
        valid_mean=float(valid[final].mean()),
        valid_best_on_walk_mean=float(valid[on_walk].mean()),
        test_mean=None if test is None else float(test[final].mean()),
        test_std=None if test is None else float(test[final].std()),
        test_best_on_walk_mean=None if test is None else float(test[on_walk].mean()),
        oracle_test=None if test is None else float(test[oracle]),
    )


def ranks(reward: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rank of every architecture, 1 is the best; equal rewards share the best rank, [architectures]."""
    return np.searchsorted(np.sort(-reward), -reward, side="left") + 1


def bootstrap_mean_ci95(sample: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean, 1,000 resamples (Efron and Tibshirani 1993, ch. 13)."""
    generator = np.random.default_rng(seed)
    distinct, counts = np.unique(sample, return_counts=True)  # most walks end on few architectures
    drawn = generator.multinomial(len(sample), counts / len(sample), size=BOOTSTRAP_RESAMPLES)
    low, high = np.quantile(drawn @ distinct / len(sample), [0.025, 0.975])
    return float(low), float(high)
