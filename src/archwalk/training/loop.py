"""The whole training loop on one screen: act, store, learn, report.

In: a benchmark, a task, ``Settings``, a seed, weights to begin with if any. Out: rows of metrics, and a
``Trainer`` that can be saved and restored bit for bit. Next: ``rundir`` keeps it on disk;
``archwalk.distributed`` puts the same ``Loop`` before walks and a replay that are elsewhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from archwalk.agent.agent import Agent, Snapshot
from archwalk.agent.exploration import epsilons
from archwalk.agent.learner import Learner
from archwalk.agent.network import QNetwork, resolved_precision
from archwalk.agent.planner import Planner
from archwalk.agent.replay import Replay, Sample
from archwalk.benchmark.table import Benchmark
from archwalk.config import Settings
from archwalk.seeding import Generators, make_generator
from archwalk.space.tokens import make_tokens
from archwalk.training.evaluate import evaluate_agent
from archwalk.training.rollout import Rollout, stored_columns
from archwalk.walk.dynamics import Walks, make_process, start
from archwalk.walk.reward import shaped_rewards, standardised

Row = dict[str, float | int]
CURVE = ("validation_score", "valid_mean", "test_mean", "rank_mean", "walk_length_mean")


@dataclass
class Counters:
    """Where a run stands. A trained step is one transition in a batch, a sampled step one step of a walk."""

    trained_steps: int = 0
    sampled_steps: int = 0
    updates: int = 0
    owed: float = 0.0  # trained steps that the sampled ones allow and that are not taken yet
    walks_ended: int = 0
    walk_steps: int = 0  # of the walks ended since the last row


class Memory(Protocol):
    """What the learner needs of a replay, wherever it is."""

    def __len__(self) -> int: ...

    def sample(self, batch: int, generator: torch.Generator) -> Sample:
        """A batch with importance weights."""
        ...

    def set_errors(self, slots: Int64[Tensor, " batch"], error: Float32[Tensor, " batch"]) -> None:
        """New priorities of the last sample."""
        ...


class Loop(ABC):
    """The loop as the learner sees it. Where the walks and the replay are is left open.

    Args:
        benchmark: what is looked up.
        task: whose reward is learned.
        settings: everything else.
        seed: of every generator.
        weights: network weights to begin with; drawn from the seed if None.
        cut: trained steps at which a row with an evaluation comes in any case, as if the run ended there; 0
            for none. It has no effect on training.
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
        self.agent = make_agent(benchmark, settings, seed, process_rewards=process.rewards)
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

    def close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of whatever runs elsewhere."""

    def snapshot(self) -> Snapshot:
        """The present parameters, frozen until the next copy."""
        training, learner = self.settings.training, self.settings.learner
        trained = 0 if learner.planning else max(learner.target_period, training.actor_period)
        looks = trained + round(max(trained, training.actor_period) * training.sampled_per_trained)
        return Snapshot(self.agent, training.reuse, looks, self.generators["padding"])

    def run(self) -> Iterator[Row]:
        """Train to the end. Yields a row whenever one is due; the caller may save between rows."""
        training = self.settings.training
        while self.counters.trained_steps < training.trained_steps:
            steps = self.act()
            if len(self.replay) < self.settings.replay.warmup:
                continue
            self.counters.owed += steps / training.sampled_per_trained
            while (
                self.counters.owed >= self.settings.learner.batch_size
                and self.counters.trained_steps < training.trained_steps
            ):
                yield from self.learn()

    def count(self, architecture: Int64[Tensor, " n"], steps: int, ended: int, ended_steps: int) -> None:
        """Take down what the walks did: where they were, steps, walks that ended, and how long those were."""
        self.evaluated[architecture] = True
        self.counters.sampled_steps += steps
        self.counters.walks_ended += ended
        self.counters.walk_steps += ended_steps

    def learn(self) -> Iterator[Row]:
        """One update; then whatever has come due: copies to target and actors, evaluation, a row."""
        counters, learner, training = self.counters, self.settings.learner, self.settings.training
        sample = self.replay.sample(learner.batch_size, self.generators["replay"])
        self.evaluated[sample.transitions.s_t] = True  # what comes from elsewhere may not be counted yet
        if isinstance(self.target, Planner):
            self.target.refresh(self.evaluated)
        update = self.learner.update(sample, self.target)
        self.replay.set_errors(sample.slots, update.error)
        self.sums += torch.stack([update.loss, update.error.mean(), update.q, update.grad_norm])
        before = counters.trained_steps
        counters.owed -= learner.batch_size
        counters.trained_steps += learner.batch_size
        counters.updates += 1

        def due(period: int) -> bool:
            return before // period != counters.trained_steps // period

        to_target = due(learner.target_period) and not learner.planning
        to_actors = due(training.actor_period)
        frozen = self.snapshot() if to_target else None
        if frozen is not None:
            self.target = frozen
        if to_actors:
            self.publish(frozen)
        finished = counters.trained_steps >= training.trained_steps
        self.at_cut = before < self.cut <= counters.trained_steps
        evaluate = due(training.evaluate_every) or finished or self.at_cut
        if due(training.log_every) or evaluate:
            yield self.report() | (self.evaluate() if evaluate else {})

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
        c = self.counters
        result = evaluate_agent(
            self.agent,
            self.benchmark,
            self.task,
            split=self.benchmark.reward_column(self.task).split,
            most_starts=self.settings.training.evaluation_starts,
            generator=make_generator(self.generators.seed, f"evaluation {c.trained_steps}"),
        )
        return {f"greedy_{name}": getattr(result, name) for name in CURVE}

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
    benchmark: Benchmark, settings: Settings, seed: int, process_rewards: Tensor | None = None
) -> Agent:
    """An agent with weights drawn from the seed, standing in the benchmark's process.

    Args:
        benchmark: gives neighbours and tokens.
        settings: sizes and limits.
        seed: of the weights.
        process_rewards: [architectures]; zeros by default, which is enough to walk greedily.
    """
    rewards = torch.zeros(len(benchmark)) if process_rewards is None else process_rewards
    process = make_process(benchmark, rewards, settings.walk)
    tokens = make_tokens(benchmark.space, settings.observation.tokens, benchmark.rows)
    network = QNetwork(
        tokens.features,
        settings.network,
        make_generator(seed, "weights"),
        bfloat16=resolved_precision(settings.training.precision, settings.network.width) == "bfloat16",
    )
    return Agent(network, tokens, process)
