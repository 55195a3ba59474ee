"""Evaluation: greedy walks from every start, against the oracle; or from random starts where there is none.

In: a ``QFunction`` and the benchmark. Out: ``Evaluation``, plain numbers. Next: ``archwalk.api`` adds what
the run cost; the loop logs a part of it as training curves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from archwalk.agents.multitask import values_on
from archwalk.agents.values import QFunction
from archwalk.envs.open import OpenProcess
from archwalk.envs.process import SearchProcess
from archwalk.errors import BenchmarkError
from archwalk.tasks.base import Predicted
from archwalk.tasks.metrics import split_of
from archwalk.tasks.several import Tables, places_of
from archwalk.tasks.table import Benchmark

OPEN_STARTS = 1_000  # most starts in a space that nobody lists
CURVE_STARTS = 100  # of those, during training
RANDOM = 10_000  # random architectures that ends are compared with in such a space
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
        random_quantile: mean share of random architectures that are worse than where a walk ends, by the
            reward, ties by half; of all architectures where they are listed, else of ``RANDOM`` drawn ones.

    Where the space is not listed there is no oracle: ``validation_score``, ``oracle``, ``regret_mean``,
    ``rank_mean``, ``rank_percentile_mean`` and everything of a test split are None.
    """

    task: str
    metric: str
    split: str
    starts: int
    walk_length_mean: float
    validation_score: float | None
    mean: float
    std: float
    starts_ci95: tuple[float, float]
    oracle: float | None
    regret_mean: float | None
    rank_mean: float | None
    rank_percentile_mean: float | None
    valid_mean: float
    valid_best_on_walk_mean: float
    test_mean: float | None
    test_std: float | None
    test_best_on_walk_mean: float | None
    oracle_test: float | None
    random_quantile: float

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``best_on_walk_mean`` is short for ``valid_best_on_walk_mean``."""
        return asdict(self) | {"best_on_walk_mean": self.valid_best_on_walk_mean}


def greedy_walks(
    values: QFunction, starts: Int64[Tensor, " starts"], generator: torch.Generator
) -> Int64[Tensor, "steps starts"]:
    """Where greedy walks (epsilon = 0) stand after every step, the starts first, [1 + longest, starts].

    A walk that has ended stays where it ended. No reward is asked for. Where all neighbours are always
    offered the network values a state once, and all of them in one sweep if there are no more states than
    starts.
    """
    process = values.process
    frozen = values.frozen(True, len(starts), generator)
    here, path = starts, [starts]
    under_way = torch.ones_like(starts, dtype=torch.bool)
    while bool(under_way.any()) and len(path) <= process.step_limit:
        offered = process.offer(here, generator)
        action = torch.where(under_way, frozen.q(here, offered).argmax(1), 0)
        here = process.arrive(here, offered, action)
        under_way = under_way & (action != 0)
        path.append(here)
    return torch.stack(path)


# Where walks from some starts stand after every step, as ``greedy_walks`` says it.
Walk = Callable[[Tensor, torch.Generator], Tensor]


def evaluate_agent(
    values: QFunction,
    benchmark: Benchmark | Predicted,
    task: str,
    *,
    split: str | None = None,
    most_starts: int = 20_000,
    generator: torch.Generator,
) -> Evaluation:
    """Greedy walks of an agent, a network in a process over the benchmark; the rest as ``evaluate_walks``."""
    walk = partial(greedy_walks, values)
    return evaluate_walks(
        walk,
        values.process,
        benchmark,
        task,
        split=split,
        most_starts=most_starts,
        generator=generator,
    )


def evaluate_walks(
    walk: Walk,
    process: SearchProcess,
    benchmark: Benchmark | Predicted,
    task: str,
    *,
    split: str | None = None,
    most_starts: int = 20_000,
    generator: torch.Generator,
) -> Evaluation:
    """How good the architectures are on which walks end.

    Args:
        walk: makes them.
        process: over the benchmark, in which they are made; in an open space a fresh one.
        benchmark: a table: walks start at every architecture, or at a uniform sample where there are more
            than ``most_starts``; or an open space: at ``OPEN_STARTS`` random architectures at most.
        task: whose metric counts.
        split: see ``Evaluation``; by default test, or the reward's own where nothing was tested. An open
            space has the one of its reward only.
        most_starts: most starts.
        generator: draws starts, offers and padding.

    Raises:
        BenchmarkError: an unknown task, or a split without the reward's metric.
    """
    if isinstance(benchmark, Benchmark):
        split = benchmark.evaluation_split(task) if split is None else split_of(split) or split
        return _in_table(walk, process, benchmark, task, split, most_starts, generator)
    if split not in (None, benchmark.split):
        raise BenchmarkError(
            f"split {benchmark.split!r}, the only one there", repr(split), "leave --split out"
        )
    return _in_the_open(walk, process, benchmark, task, min(most_starts, OPEN_STARTS), generator)


def evaluate_training(
    values: QFunction,
    benchmark: Benchmark | Predicted | Tables,
    tasks: tuple[str, ...],
    most_starts: int,
    generator: torch.Generator,
) -> dict[str, Any]:
    """What training curves show of an evaluation on the reward's own split: ``CURVE``, and in an open space
    ``random_quantile`` too. Of several tasks: the mean ``validation_score``, and ``CURVE`` of each as
    ``NAME/TASK``."""
    if len(tasks) > 1:
        assert isinstance(benchmark, Benchmark | Tables)
        each = {
            task: evaluate_training(values_on(values, task), table, (own,), most_starts, generator)
            for task, (table, own) in zip(tasks, places_of(benchmark, tasks), strict=True)
        }
        score = float(np.mean([found["validation_score"] for found in each.values()]))
        of_each = {f"{name}/{task}": value for task, found in each.items() for name, value in found.items()}
        return {"validation_score": score} | of_each
    (task,) = tasks
    assert not isinstance(benchmark, Tables)
    if isinstance(benchmark, Benchmark):
        split = benchmark.reward_column(task).split
        walk = partial(greedy_walks, values)
        found = _in_table(walk, values.process, benchmark, task, split, most_starts, generator)
        return {name: getattr(found, name) for name in CURVE}
    assert isinstance(values.process, OpenProcess)
    apart = values.over(values.process.fresh())  # what is met here is no part of the run
    walk = partial(greedy_walks, apart)
    found = _in_the_open(walk, apart.process, benchmark, task, min(most_starts, CURVE_STARTS), generator)
    return {name: getattr(found, name) for name in (*CURVE, "random_quantile")}


CURVE = ("validation_score", "valid_mean", "test_mean", "rank_mean", "walk_length_mean")


def _in_table(
    walk: Walk,
    process: SearchProcess,
    benchmark: Benchmark,
    task: str,
    split: str,
    most_starts: int,
    generator: torch.Generator,
) -> Evaluation:
    reward = benchmark.reward(task)  # larger is better
    reward_column = benchmark.reward_column(task)
    valid = benchmark.columns[reward_column]
    measured = benchmark.values(task, split) if split != reward_column.split else valid
    test = benchmark.values(task, "test") if benchmark.evaluation_split(task) == "test" else None
    n = len(benchmark)
    starts = torch.arange(n)
    if n > most_starts:
        starts = torch.randperm(n, generator=generator)[:most_starts]
    path = walk(starts, generator).numpy()
    final = path[-1]
    on_walk = path[np.nanargmax(reward[path], axis=0), np.arange(path.shape[1])]
    oracle = int(np.argmax(reward))
    rank = ranks(reward)[final]
    spread = reward.max() - reward.mean()
    sign = 1.0 if benchmark.metrics[reward_column.metric].direction == "max" else -1.0
    return Evaluation(
        task=task,
        metric=reward_column.metric,
        split=split,
        starts=len(starts),
        walk_length_mean=_length(path, process.step_limit),
        validation_score=float((reward[final].mean() - reward.mean()) / spread) if spread > 0 else None,
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
        random_quantile=quantile_among(reward[final], reward),
    )


def _in_the_open(
    walk: Walk,
    process: SearchProcess,
    benchmark: Predicted,
    task: str,
    starts: int,
    generator: torch.Generator,
) -> Evaluation:
    metric = benchmark.rewards[task]
    assert isinstance(process, OpenProcess)
    begin = process.draw(torch.ones(starts, dtype=torch.bool), generator)
    path = walk(begin, generator).numpy()
    met, place = np.unique(path, return_inverse=True)
    valid = benchmark.values(task, process.codes[met])[place.reshape(path.shape)]
    final, best = valid[-1], (valid * np.sign(metric.scale)).max(0) * np.sign(metric.scale)
    seed = int(torch.randint(2**62, (1,), generator=generator))
    random = benchmark.values(task, benchmark.space.sample(RANDOM, np.random.default_rng(seed)))
    return Evaluation(
        task=task,
        metric=metric.name,
        split=benchmark.split,
        starts=starts,
        walk_length_mean=_length(path, process.step_limit),
        validation_score=None,
        mean=float(final.mean()),
        std=float(final.std()),
        starts_ci95=bootstrap_mean_ci95(final, seed=0),
        oracle=None,
        regret_mean=None,
        rank_mean=None,
        rank_percentile_mean=None,
        valid_mean=float(final.mean()),
        valid_best_on_walk_mean=float(best.mean()),
        test_mean=None,
        test_std=None,
        test_best_on_walk_mean=None,
        oracle_test=None,
        random_quantile=quantile_among(final * metric.scale, random * metric.scale),
    )


def _length(path: NDArray[np.int64], step_limit: int) -> float:
    """Mean steps of walks, the one that ends each included."""
    moves = (path[1:] != path[:-1]).sum(0)
    return float(np.minimum(moves + 1, step_limit).mean())


def quantile_among(reward: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Mean share of the others that are worse; equal ones count by half."""
    order = np.sort(others)
    below, upto = np.searchsorted(order, reward, "left"), np.searchsorted(order, reward, "right")
    return float(((below + upto) / 2).mean() / len(order))


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
