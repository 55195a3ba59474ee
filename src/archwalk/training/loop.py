"""The whole training loop on one screen: act, store, learn, report.

In: a benchmark, a task, ``Settings``, a seed, weights to begin with if any. Out: rows of metrics, and a
``Trainer`` that can be saved and restored bit for bit. Next: ``rundir`` keeps it on disk;
``archwalk.execution`` puts the same ``Loop`` before walks and a replay that are elsewhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from archwalk.agents.base import Agent, Snapshot
from archwalk.agents.dqn.exploration import epsilons
from archwalk.agents.dqn.learner import Learner
from archwalk.agents.dqn.planner import Planner
from archwalk.agents.dqn.replay import Replay, Sample
from archwalk.agents.networks import QNetwork, resolved_precision
from archwalk.config import Settings
from archwalk.envs.process import Walks, make_process, start
from archwalk.envs.reward import shaped_rewards, standardised
from archwalk.seeding import Generators, make_generator
from archwalk.spaces.tokens import make_tokens
from archwalk.tasks.table import Benchmark
from archwalk.training.evaluation import evaluate_agent
from archwalk.training.rollout import Rollout, stored_columns

Row = dict[str, float | int]
CPU = torch.device("cpu")
CURVE = ("validation_score", "valid_mean", "test_mean", "rank_mean", "walk_length_mean")


class Due(NamedTuple):
    """What has come due with an update: copies to target and actors, a row, an evaluation in it, the cut."""

    target: bool
    actors: bool
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

    def updated(self, settings: Settings, cut: int) -> Due:
        """Count one update.

        Args:
            settings: of the run.
            cut: trained steps at which a row with an evaluation comes in any case; 0 for none.
        """
        learner, training, before = settings.learner, settings.training, self.trained_steps
        self.owed -= learner.batch_size
        self.trained_steps += learner.batch_size
        self.updates += 1

        def due(period: int) -> bool:
            return before // period != self.trained_steps // period

        at_cut = before < cut <= self.trained_steps
        finished = self.trained_steps >= training.trained_steps
        evaluation = due(training.evaluate_every) or finished or at_cut
        return Due(
            target=due(learner.target_period) and not learner.planning,
            actors=due(training.actor_period),
            row=due(training.log_every) or evaluation,
            evaluation=evaluation,
            cut=at_cut,
        )


Reported = TypeVar("Reported")


class Rhythm(ABC, Generic[Reported]):
    """When is walked and when is learned: both at the settings' ratio, to the end of the run."""

    settings: Settings
    counters: Counters

    @abstractmethod
    def act(self) -> int:
        """Some more steps of the walks, into replay. Returns how many."""

    @abstractmethod
    def learn(self) -> Iterator[Reported]:
        """One update, and whatever has come due. Yields what is to be reported, if anything is."""

    def ready(self) -> bool:
        """Whether enough has been walked to learn from; every walk's first n steps complete a transition."""
        least = self.settings.learner.n_step * self.settings.exploration.walks
        return self.counters.sampled_steps >= max(self.settings.replay.warmup, least)

    def run(self) -> Iterator[Reported]:
        """Train to the end. Yields whenever something is to be reported; the caller may save then."""
        training, batch = self.settings.training, self.settings.learner.batch_size
        while self.counters.trained_steps < training.trained_steps:
            if self.counters.owed >= batch:  # first, since a run may have stopped between two updates
                yield from self.learn()
                continue
            steps = self.act()
            if self.ready():
                self.counters.owed += steps / training.sampled_per_trained


class Memory(Protocol):
    """What the learner needs of a replay, wherever it is."""

    def __len__(self) -> int: ...

    def sample(self, batch: int, generator: torch.Generator) -> Sample:
        """A batch with importance weights."""
        ...

    def set_errors(self, slots: Int64[Tensor, " batch"], error: Float32[Tensor, " batch"]) -> None:
        """New priorities of the last sample."""
        ...


class Loop(Rhythm[Row]):
    """The loop as the learner sees it. Where the walks and the replay are is left open.

    Args:
        benchmark: what is looked up.
        task: whose reward is learned.
        settings: everything else.
        seed: of every generator.
        weights: network weights to begin with; drawn from the seed if None.
        cut: trained steps at which a row with an evaluation comes in any case, as if the run ended there; 0
            for none. It has no effect on training.
        device: where the network is; walks and replay are on the CPU.
    """

    replay: Memory

    def __init__(
        self,
        benchmark: Benchmark,
        task: str,
        settings: Settings,
        seed: int,
        weights: Mapping[str, Tensor] | None = None,
        cut: int = 0,
        device: torch.device = CPU,
    ) -> None:
        self.benchmark, self.task, self.settings, self.cut = benchmark, task, settings, cut
        self.at_cut = False  # whether the last update was the one that reached the cut
        self.generators = Generators(seed)
        self.counters = Counters()
        rewards = shaped_rewards(benchmark, task, settings.reward)
        process = make_process(benchmark, rewards, settings.walk)
        walks = start(process, settings.exploration.walks, self.generators["starts"])
        self.evaluated = torch.zeros(len(process), dtype=torch.bool)  # architectures looked up
        if settings.reward.standardise:
            self.evaluated[walks.architecture] = True
            process = make_process(benchmark, standardised(rewards, walks.architecture), settings.walk)
        self.agent = make_agent(benchmark, settings, seed, process.rewards, device)
        if weights is not None:
            self.agent.network.load_state_dict(dict(weights))
        self.epsilon = epsilons(settings.exploration)
        self.learner = Learner(
            self.agent, settings.learner, self.generators["learner"], settings.training.reuse
        )
        policy = self.snapshot()
        self.target: Snapshot | Planner = (
            Planner(process, settings.learner.discount) if settings.learner.planning else policy
        )
        self.sums = torch.zeros(
            4, dtype=torch.float64
        )  # loss, |TD error|, q, gradient norm since the last row
        self.begin(walks, policy)

    @abstractmethod
    def begin(self, walks: Walks, policy: Snapshot) -> None:
        """Set walks and replay up.

        Args:
            walks: where they stand.
            policy: what they act by at first.
        """

    @abstractmethod
    def act(self) -> int:
        """Some more steps of the walks, through ``count`` and into replay. Returns how many."""

    @abstractmethod
    def publish(self, frozen: Snapshot | None) -> None:
        """The present parameters for the walks; ``frozen`` has them, if the target was given them too."""

    def close(self) -> None:
        """Let go of whatever runs elsewhere."""

    def snapshot(self) -> Snapshot:
        """The present parameters, frozen until the next copy."""
        training, learner = self.settings.training, self.settings.learner
        trained = 0 if learner.planning else max(learner.target_period, training.actor_period)
        looks = trained + round(max(trained, training.actor_period) * training.sampled_per_trained)
        return Snapshot(self.agent, training.reuse, looks, self.generators["padding"])

    def count(self, architecture: Int64[Tensor, " n"], steps: int, ended: int, ended_steps: int) -> None:
        """Take down what the walks did: where they were, steps, walks that ended, and how long those were."""
        self.evaluated[architecture] = True
        self.counters.sampled_steps += steps
        self.counters.walks_ended += ended
        self.counters.walk_steps += ended_steps

    def learn(self) -> Iterator[Row]:
        """One update; then whatever has come due: copies to target and actors, evaluation, a row."""
        sample = self.replay.sample(self.settings.learner.batch_size, self.generators["replay"])
        self.evaluated[sample.transitions.s_t] = True  # what comes from elsewhere may not be counted yet
        if isinstance(self.target, Planner):
            self.target.refresh(self.evaluated)
        update = self.learner.update(sample, self.target)
        self.replay.set_errors(sample.slots, update.error)
        self.sums += torch.stack([update.loss, update.error.mean(), update.q, update.grad_norm])
        due = self.counters.updated(self.settings, self.cut)
        frozen = self.snapshot() if due.target else None
        if frozen is not None:
            self.target = frozen
        if due.actors:
            self.publish(frozen)
        self.at_cut = due.cut
        if due.row:
            yield self.report() | (self.evaluate() if due.evaluation else {})

    def report(self) -> Row:
        """A row of metrics since the last one; docs/metrics.md explains each."""
        c = self.counters
        updates = max(c.updates - self._reported_updates, 1)
        loss, error, q, norm = (self.sums / updates).tolist()
        row: Row = {
            "trained_steps": c.trained_steps,
            "sampled_steps": c.sampled_steps,
            "updates": c.updates,
            "evaluations": int(self.evaluated.sum()),
            "loss": loss,
            "td_error": error,
            "q": q,
            "grad_norm": norm,
            "walks_ended": c.walks_ended,
            "walk_length": c.walk_steps / c.walks_ended if c.walks_ended else 0.0,
        }
        self.sums.zero_()
        c.walks_ended = c.walk_steps = 0
        self._reported_updates = c.updates
        return row

    _reported_updates = 0

    def evaluate(self) -> Row:
        """Greedy evaluation on the training task, as ``greedy_...`` columns; has no effect on training."""
        result = evaluate_agent(
            self.agent,
            self.benchmark,
            self.task,
            split=self.benchmark.reward_column(self.task).split,
            most_starts=self.settings.training.evaluation_starts,
            generator=self.evaluation_draws(),
        )
        return {f"greedy_{name}": getattr(result, name) for name in CURVE}

    def evaluation_draws(self) -> torch.Generator:
        """What the evaluation that is due now is drawn from."""
        return make_generator(self.generators.seed, f"evaluation {self.counters.trained_steps}")

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """Everything with state on this side, by part."""
        counters = asdict(self.counters) | {"reported_updates": self._reported_updates}
        return {
            "counters": {k: torch.tensor(v, dtype=torch.float64) for k, v in counters.items()},
            "generators": self.generators.state_dict(),
            "learner": self.learner.state_dict(),
            "target": self.target.state_dict(),
            "progress": {"evaluated": self.evaluated, "sums": self.sums},
        }

    def load_parts(self, parts: dict[str, dict[str, Tensor]]) -> None:
        """The inverse of ``parts``; others are left alone."""
        counters: dict[str, Any] = {k: v.item() for k, v in parts["counters"].items()}
        self._reported_updates = int(counters.pop("reported_updates"))
        owed = counters.pop("owed")
        self.counters = Counters(owed=owed, **{k: int(v) for k, v in counters.items()})
        if isinstance(self.target, Snapshot):
            self.target = self.snapshot()  # a shell, filled below
        self.target.load_state_dict(parts["target"])
        self.generators.load_state_dict(parts["generators"])
        self.learner.load_state_dict(parts["learner"])
        self.evaluated = parts["progress"]["evaluated"]
        self.sums = parts["progress"]["sums"]

    def state_dict(self) -> dict[str, Tensor]:
        """Everything a continuation needs, as flat tensors ``part/name``."""
        return {f"{part}/{name}": v for part, state in self.parts().items() for name, v in state.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        parts: dict[str, dict[str, Tensor]] = {}
        for key, value in state.items():
            part, name = key.split("/", 1)
            parts.setdefault(part, {})[name] = value
        self.load_parts(parts)


class Trainer(Loop):
    """All roles of Ape-X (actors, replay, learner) in one process, which repeats itself bit for bit."""

    replay: Replay

    def begin(self, walks: Walks, policy: Snapshot) -> None:
        """One rollout of all walks."""
        process, settings = self.agent.process, self.settings
        self.replay = Replay(settings.replay, stored_columns(process))
        self.rollout = Rollout(process, walks, self.epsilon, settings.learner, policy, self.generators)

    def act(self) -> int:
        """One step of every walk; what it completes goes to replay with its first priority."""
        walked = self.rollout.step()
        self.replay.add(walked.complete, walked.error)
        self.count(walked.architecture, walked.steps, walked.ended, walked.ended_steps)
        return walked.steps

    def publish(self, frozen: Snapshot | None) -> None:
        """The walks act by them from their next step."""
        self.rollout.policy = self.snapshot() if frozen is None else frozen

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """With the walks and the replay."""
        return super().parts() | self.rollout.state_dict() | {"replay": self.replay.state_dict()}

    def load_parts(self, parts: dict[str, dict[str, Tensor]]) -> None:
        """The inverse of ``parts``."""
        self.rollout.policy = self.snapshot()  # a shell, filled below
        self.rollout.load_state_dict(parts)
        super().load_parts(parts)
        self.replay.load_state_dict(parts["replay"])


def make_agent(
    benchmark: Benchmark,
    settings: Settings,
    seed: int,
    process_rewards: Tensor | None = None,
    device: torch.device = CPU,
) -> Agent:
    """An agent with weights drawn from the seed, standing in the benchmark's process.

    Args:
        benchmark: gives neighbours and tokens.
        settings: sizes and limits.
        seed: of the weights.
        process_rewards: [architectures]; zeros by default, which is enough to walk greedily.
        device: where the network is.
    """
    rewards = torch.zeros(len(benchmark)) if process_rewards is None else process_rewards
    process = make_process(benchmark, rewards, settings.walk)
    tokens = make_tokens(benchmark.space, settings.observation.tokens, benchmark.rows)
    precision = resolved_precision(settings.training.precision, settings.network.width, device)
    network = QNetwork(
        tokens.features,
        settings.network,
        make_generator(seed, "weights"),
        bfloat16=precision == "bfloat16",
    )
    return Agent(network.to(device), tokens.to(device), process)
