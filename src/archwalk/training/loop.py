"""The one training loop: act, learn, report; whichever algorithm, wherever its parts run.

In: a benchmark, a task, ``Settings``, a seed, weights to begin with if any. Out: rows of metrics, and state
that can be saved and restored bit for bit. Next: ``runner`` keeps it on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from archwalk.agents.base import MakeAgent, Walked
from archwalk.agents.registry import DEFAULT, find_algorithm
from archwalk.agents.values import CPU
from archwalk.config import Settings
from archwalk.envs.build import run_process
from archwalk.memory import keep_memory
from archwalk.seeding import Generators, make_generator
from archwalk.tasks.base import split_tasks
from archwalk.tasks.several import AnyTasks
from archwalk.training.evaluation import evaluate_training
from archwalk.transferring.base import Prepare, Schedule

Row = dict[str, Any]  # numbers; None where the benchmark has none


class Due(NamedTuple):
    """What has come due with an update: a row, an evaluation in it, the cut."""

    row: bool
    evaluation: bool
    cut: bool


@dataclass
class Counters:
    """Where a run stands. A trained step is one transition in a batch, a sampled step one step of a walk."""

    trained_steps: int = 0
    sampled_steps: int = 0
    updates: int = 0
    owed: float = 0.0  # trained steps that the sampled ones allow and that are not taken yet
    walks_ended: int = 0
    walk_steps: int = 0  # of the walks ended since the last row

    def updated(self, trained: int, settings: Settings, cut: int) -> Due:
        """Count one update.

        Args:
            trained: transitions that it trained on.
            settings: of the run.
            cut: trained steps at which a row with an evaluation comes in any case; 0 for none.
        """
        training, before = settings.training, self.trained_steps
        self.owed -= trained
        self.trained_steps += trained
        self.updates += 1

        def due(period: int) -> bool:
            return before // period != self.trained_steps // period

        at_cut = before < cut <= self.trained_steps
        finished = self.trained_steps >= training.trained_steps
        evaluation = due(training.evaluate_every) or finished or at_cut
        return Due(row=due(training.log_every) or evaluation, evaluation=evaluation, cut=at_cut)


class Loop:
    """A run in memory.

    Args:
        benchmark: a table, several of them, or what values any architecture.
        task: whose reward is learned; ``a,b,c`` for several at once.
        settings: everything else.
        seed: of every generator.
        weights: network weights to begin with; drawn from the seed if None.
        cut: trained steps at which a row with an evaluation comes in any case, as if the run ended there; 0
            for none. It has no effect on training.
        device: where the network is; walks and replay are on the CPU.
        make_agent: what makes the algorithm's agent; ``ape-x`` in this process by default.
        prepare: makes the agent ready with what others know; nothing by default.

    Attributes:
        tasks: the tasks, one or several.
        agent: the algorithm.
        schedule: what a transfer still does while the agent is trained.
        process: where the walks are, with the ledger of what was evaluated.
        at_cut: whether the last update was the one that reached the cut.
    """

    def __init__(
        self,
        benchmark: AnyTasks,
        task: str,
        settings: Settings,
        seed: int,
        weights: Mapping[str, Tensor] | None = None,
        cut: int = 0,
        device: torch.device = CPU,
        make_agent: MakeAgent | None = None,
        prepare: Prepare | None = None,
    ) -> None:
        keep_memory()
        self.benchmark, self.settings, self.cut = benchmark, settings, cut
        self.tasks = split_tasks(task, benchmark.tasks)
        self.at_cut = False
        self.generators = Generators(seed)
        self.counters = Counters()
        self.process = run_process(benchmark, self.tasks, settings)
        make_agent = make_agent or find_algorithm(DEFAULT)
        self.agent = make_agent(self.process, settings, self.generators, device, weights)
        self.schedule = prepare(self.agent) if prepare else Schedule()
        self._count(self.schedule.walked)
        self._sums = torch.zeros(len(self.agent.metrics), dtype=torch.float64)  # since the last row
        self._reported_updates = 0

    def run(self) -> Iterator[Row]:
        """Train to the end, walking and learning at the settings' ratio. Yields a row of metrics whenever one
        is due; the caller may save then."""
        training, batch = self.settings.training, self.settings.learner.batch_size
        self.agent.begin()
        while self.counters.trained_steps < training.trained_steps:
            if self.schedule.preparing(self.counters.trained_steps):  # without walking
                self.counters.owed += batch
            if self.counters.owed >= batch:  # first, since a run may have stopped between two updates
                yield from self._learn()
                continue
            steps = self._count(self.agent.act())
            if self.agent.ready(self.counters.sampled_steps):
                self.counters.owed += steps / training.sampled_per_trained

    def _count(self, walked: list[Walked]) -> int:
        """Take down what the walks did. Returns their steps."""
        for part in walked:
            self.process.mark(part.architecture)
            self.counters.sampled_steps += part.steps
            self.counters.walks_ended += part.ended
            self.counters.walk_steps += part.ended_steps
        return sum(part.steps for part in walked)

    def _learn(self) -> Iterator[Row]:
        update, walked = self.schedule.update(self.agent)
        self.counters.owed += self._count(walked) / self.settings.training.sampled_per_trained
        self._sums += torch.stack([update.metrics[name] for name in self.agent.metrics])
        due = self.counters.updated(update.trained_steps, self.settings, self.cut)
        self.at_cut = due.cut
        if due.row:
            yield self._report() | (self._evaluate() if due.evaluation else {})

    def _report(self) -> Row:
        """A row of metrics since the last one; docs/metrics.md explains each."""
        c = self.counters
        means = self._sums / max(c.updates - self._reported_updates, 1)
        row: Row = {
            "trained_steps": c.trained_steps,
            "sampled_steps": c.sampled_steps,
            "updates": c.updates,
            "evaluations": int(self.process.evaluated.sum()),
            **dict(zip(self.agent.metrics, means.tolist(), strict=True)),
            "walks_ended": c.walks_ended,
            "walk_length": c.walk_steps / c.walks_ended if c.walks_ended else 0.0,
            **self.agent.report(),
            **self.schedule.report(),
        }
        self._sums.zero_()
        c.walks_ended = c.walk_steps = 0
        self._reported_updates = c.updates
        return row

    def _evaluate(self) -> Row:
        """Greedy evaluation on what is trained on, as ``greedy_...`` columns; has no effect on training."""
        draws = make_generator(self.generators.seed, f"evaluation {self.counters.trained_steps}")
        training = self.settings.training
        at_end = self.at_cut or self.counters.trained_steps >= training.trained_steps
        most = training.evaluation_starts
        most = most if at_end else min(most, training.curve_starts)
        found = evaluate_training(self.agent.values, self.benchmark, self.tasks, most, draws)
        return {f"greedy_{name}": value for name, value in found.items()}

    def close(self) -> None:
        """Let go of whatever runs elsewhere."""
        self.agent.close()

    def state_dict(self) -> dict[str, Tensor]:
        """Everything a continuation needs, as flat tensors ``part/name``."""
        counters = asdict(self.counters) | {"reported_updates": self._reported_updates}
        parts = self.agent.parts() | {
            "counters": {k: torch.tensor(v, dtype=torch.float64) for k, v in counters.items()},
            "generators": self.generators.state_dict(),
            "process": self.process.state_dict(),
            "progress": {"sums": self._sums},
            "transfer": self.schedule.state_dict(),
        }
        return {f"{part}/{name}": v for part, state in parts.items() for name, v in state.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        parts: dict[str, dict[str, Tensor]] = {}
        for key, value in state.items():
            part, name = key.split("/", 1)
            parts.setdefault(part, {})[name] = value
        counters: dict[str, Any] = {k: v.item() for k, v in parts["counters"].items()}
        self._reported_updates = int(counters.pop("reported_updates"))
        owed = counters.pop("owed")
        self.counters = Counters(owed=owed, **{k: int(v) for k, v in counters.items()})
        self.process.load_state_dict(parts["process"])
        self.agent.load_parts(parts)
        self.schedule.load_state_dict(parts.get("transfer", {}))
        self.generators.load_state_dict(parts["generators"])
        self._sums = parts["progress"]["sums"]
