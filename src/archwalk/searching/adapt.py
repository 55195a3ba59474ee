"""From source tasks to what the default method knows before any evaluation.

In: a benchmark's source tasks, or trained agents. Out: ``Sources``: one column an architecture for each
source, and the architecture that greedy walks end on. Next: ``problem`` puts them beside the architectures.

A source task's measured metric is one column. A trained agent is another: the mean Q-value of arriving at an
architecture over all neighbours that offer it. The network has seen every architecture's noise only through
its own smoothness, so the column is a denoised opinion of the sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from archwalk.agents.values import CPU, QFunction
from archwalk.config import Settings
from archwalk.searching.problem import Floats
from archwalk.seeding import make_generator
from archwalk.tasks.metrics import Column, Metric
from archwalk.tasks.table import Benchmark, make_benchmark
from archwalk.training.evaluation import greedy_walks
from archwalk.training.rundir import RunDir
from archwalk.training.runner import Runner, load_values
from archwalk.training.spec import RunSpec

MEAN = "mean-of-sources"
STARTS = 1_000  # greedy walks that vote for the proposal, where there are more architectures


@dataclass(frozen=True)
class Sources:
    """What is known before any evaluation of the target.

    Attributes:
        columns: one value an architecture each, larger is better, [N].
        proposal: index of the architecture that most greedy walks of the agents end on.
    """

    columns: tuple[Floats, ...]
    proposal: int


def mean_of_sources(benchmark: Benchmark, sources: Sequence[str]) -> Benchmark:
    """A benchmark with one task: the mean of the source tasks' rewards, each standardised.

    Raises:
        BenchmarkError: an unknown source, or one with missing rewards.
    """
    rewards = [benchmark.reward(task) for task in sources]
    mean = np.mean([(r - r.mean()) / max(float(r.std()), 1e-12) for r in rewards], axis=0)
    column = Column(MEAN, "standardised", "valid", "final")
    return make_benchmark(
        f"{benchmark.name}: {', '.join(sources)}",
        benchmark.space,
        benchmark.rows,
        {column: mean},
        {"standardised": Metric("standardised", "max", "")},
        {MEAN: column},
        source="mean of standardised rewards",
    )


def pretrain(benchmark: Benchmark, sources: Sequence[str], folder: Path, settings: Settings) -> QFunction:
    """An agent trained on the mean of the source tasks; made once a folder, resumed if it was killed.

    Args:
        benchmark: has the sources.
        sources: names of its tasks; the target is not among them.
        folder: of the run and its table.
        settings: of the training.

    Raises:
        RunError: the folder belongs to another run.
    """
    table = mean_of_sources(benchmark, sources)
    path = folder / "sources.parquet"
    run = RunDir(folder / "run")
    spec = RunSpec(str(path.resolve()), table.checksum, table.space.describe(), MEAN, 0, "scratch", settings)
    if not (run.finished and run.spec().identity() == run.settled(spec, CPU).identity()):
        table.save(path)
        Runner(run, spec, table).make()
    return load_values(run, table)


def opinion(agent: QFunction) -> Floats:
    """Mean Q-value of arriving at each architecture, over the neighbours that offer it, [N].

    Where not all neighbours are offered at every step, the sweep still sees all of them.
    """
    q = agent.sweep(make_generator(0, "opinion"))[:, 1:]
    to = agent.process.choices[:, 1:]
    real = to >= 0
    total = torch.zeros(len(to), dtype=torch.float64).index_add_(0, to[real], q[real].double())
    times = torch.zeros(len(to), dtype=torch.float64).index_add_(
        0, to[real], torch.ones_like(q[real]).double()
    )
    known = total / times.clamp(min=1)
    known[times == 0] = known[times > 0].mean() if bool((times > 0).any()) else 0.0
    return known.numpy()


def make_sources(agents: Sequence[QFunction], columns: Sequence[Floats]) -> Sources:
    """Measured columns, then the agents' opinions; the walks of all agents vote for the proposal.

    Args:
        agents: at least one, over the same architectures.
        columns: measured rewards of source tasks, [N] each; may be none.
    """
    generator = make_generator(0, "proposal")
    votes = torch.zeros(len(agents[0].process), dtype=torch.int64)
    for agent in agents:
        starts = torch.randperm(len(agent.process), generator=generator)[:STARTS]
        ends = greedy_walks(agent, starts, generator)[-1]
        votes += torch.bincount(ends, minlength=len(votes))
    return Sources((*columns, *(opinion(a) for a in agents)), int(votes.argmax()))
