"""How good the best of a search is: its rank in a table, or its share of what can be gained in an open space.

In: a table or a predicting task, and a target. Out: a ``Judge``: evaluator, metric, and columns of the
curves.
Next: ``compare`` writes them.

In an open space nothing has a rank. The score is the share of a gap that is closed: from the mean of random
architectures to the best known, which is the best of a random sample and of an iterated local search from it
with all neighbours, far longer than any search that is compared. It is computed once and kept in the folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.errors import SearchError
from archwalk.files import write_atomically
from archwalk.searching.problem import Floats
from archwalk.spaces.base import Codes
from archwalk.tasks.base import Predicted
from archwalk.tasks.evaluators import PredictedEvaluator, TableEvaluator
from archwalk.tasks.ledger import Evaluator
from archwalk.tasks.registry import AnyBenchmark
from archwalk.tasks.table import Benchmark

REFERENCE = "reference.json"
RANDOM, CLIMBS, ROUNDS, KICK = 10_000, 20, 20, 4  # sampled, climbed from, times kicked, edits a kick


@dataclass(frozen=True)
class Reference:
    """The two ends of the score in an open space.

    Attributes:
        mean: reward of a random architecture, on average.
        best: reward of the best known one, larger is better.
        architecture: the best known one.
        values: architectures that were asked about to find it.
        how: in words.
    """

    mean: float
    best: float
    architecture: str
    values: int
    how: str


class TableJudge:
    """Ranks in a table.

    Args:
        benchmark: the table.
        target: whose reward column ranks.

    Raises:
        BenchmarkError: no such task, or missing rewards.
    """

    size: int | None

    def __init__(self, benchmark: Benchmark, target: str) -> None:
        reward = benchmark.reward(target)
        self.metric = benchmark.metrics[benchmark.reward_column(target).metric]
        self.evaluator: Evaluator = TableEvaluator(benchmark, target)
        self.size = len(benchmark)
        self._order, self._best, self._mean = np.sort(-reward), reward.max(), reward.mean()

    def columns(self, best: Floats) -> dict[str, Any]:
        """Rank and regret of the best reward so far, [evaluations]."""
        return {
            "best_rank": np.searchsorted(self._order, -best) + 1,
            "regret": (self._best - best) / abs(self.metric.scale),
        }

    def score(self, best: Floats) -> Floats:
        """Best rewards so far between the mean of the table, 0, and its best, 1; 1 if all are the same."""
        gap = self._best - self._mean
        return (best - self._mean) / gap if gap > 0 else np.ones_like(best)


class OpenJudge:
    """Scores between random architectures and the best known.

    Args:
        task_of: the predicting tasks.
        target: one of them.
        reference: the two ends.
    """

    def __init__(self, task_of: Predicted, target: str, reference: Reference) -> None:
        self.metric = task_of.rewards[target]
        self.evaluator: Evaluator = PredictedEvaluator(task_of, target, (self.metric.name,))
        self.size = task_of.space.size
        self.reference = reference

    def columns(self, best: Floats) -> dict[str, Any]:
        """No rank; regret against the best known, negative beyond it; and the score, [evaluations]."""
        return {
            "best_rank": [None] * len(best),
            "regret": (self.reference.best - best) / abs(self.metric.scale),
            "score": self.score(best),
        }

    def score(self, best: Floats) -> Floats:
        """Best rewards so far between random architectures on average, 0, and the best known, 1."""
        return (best - self.reference.mean) / (self.reference.best - self.reference.mean)


def make_judge(benchmark: AnyBenchmark, target: str, folder: Path) -> TableJudge | OpenJudge:
    """The judge of a comparison; the reference of an open one is read from its folder, or found and kept
    there.

    Raises:
        ArchwalkError: no such target.
    """
    if isinstance(benchmark, Benchmark):
        return TableJudge(benchmark, target)
    file = folder / REFERENCE
    if not file.exists():
        write_atomically(file, json.dumps(asdict(find_reference(benchmark, target)), indent=2).encode())
    return OpenJudge(benchmark, target, Reference(**json.loads(file.read_text("utf-8"))))


def find_reference(task_of: Predicted, target: str, seed: int = 0) -> Reference:
    """The mean of random architectures, and the best that can be found with plenty of values.

    The ``CLIMBS`` best of ``RANDOM`` random architectures step to their best neighbour until none is better;
    then, ``ROUNDS`` times, all are kicked ``KICK`` random edits away and climb again (Lourenço et al. 2003),
    each keeping the better end.

    Raises:
        SearchError: all random architectures are worth the same.
    """
    space, scale = task_of.space, task_of.rewards[target].scale
    generator = np.random.default_rng(seed)
    asked = 0

    def reward(codes: Codes) -> Floats:
        nonlocal asked
        asked += len(codes)
        return np.asarray(scale * task_of.values(target, codes), dtype=np.float64)

    def around(codes: Codes) -> tuple[Codes, Any]:
        """Neighbours [n, K, slots], and which of them are there [n, K]."""
        found = space.neighbours(codes)
        return found, (found >= 0).any(2)

    def climb(at: Codes, height: Floats) -> tuple[Codes, Floats]:
        at, height = at.copy(), height.copy()
        rising = np.arange(len(at))
        while len(rising):
            others, there = around(at[rising])
            heights = np.full(there.shape, -np.inf)
            heights[there] = reward(others[there])
            step = heights.argmax(1)
            top = heights[np.arange(len(rising)), step]
            up = top > height[rising]
            at[rising[up]] = others[up, step[up]]
            height[rising[up]] = top[up]
            rising = rising[up]
        return at, height

    sample = space.sample(RANDOM, generator)
    values = reward(sample)
    if values.min() == values.max():
        raise SearchError(
            f"architectures of different worth on the task {target!r}",
            f"{values[0]:.6g} for each of {RANDOM:,} random ones",
            "choose another task",
        )
    start = np.argsort(-values, kind="stable")[:CLIMBS]
    at, height = climb(sample[start], values[start])
    for _ in range(ROUNDS):
        kicked = at.copy()
        for _ in range(KICK):
            others, there = around(kicked)
            pick = [generator.choice(np.flatnonzero(row)) for row in there]
            kicked = others[np.arange(len(kicked)), pick]
        other, its = climb(kicked, reward(kicked))
        better = its > height
        at[better], height[better] = other[better], its[better]
    best = int(height.argmax())
    how = (
        f"best of {RANDOM:,} random architectures, and of climbs with all neighbours from the best {CLIMBS} "
        f"of them, kicked {ROUNDS} times by {KICK} edits"
    )
    mean, top = float(values.mean()), float(height[best])
    return Reference(mean, top, space.format(at[best].tolist()), asked, how)
