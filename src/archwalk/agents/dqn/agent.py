"""``DQNAgent``: Ape-X DQN with all its roles in one process, as one flow: walk, store, sample, learn, copy.

In: a process and settings. Out: an ``Agent`` for the loop. ``DQN`` is the learner's side of it, which does
not say where walks and replay are; ``archwalk.training.apex`` puts them on a cluster. Next:
``agents.registry``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from archwalk.agents.base import Agent, Update, Walked, begin_walks
from archwalk.agents.dqn.exploration import epsilons
from archwalk.agents.dqn.learner import Learner
from archwalk.agents.dqn.planner import Planner
from archwalk.agents.dqn.replay import Replay, Sample
from archwalk.agents.dqn.rollout import Rollout, stored_columns
from archwalk.agents.dqn.targets import TargetNetwork
from archwalk.agents.values import CPU, Snapshot, make_values
from archwalk.config import Settings
from archwalk.envs.process import SearchProcess, Walks
from archwalk.seeding import Generators


@runtime_checkable
class Memory(Protocol):
    """What the learner needs of a replay, wherever it is."""

    def __len__(self) -> int: ...

    def sample(self, batch: int, generator: torch.Generator) -> Sample:
        """A batch with importance weights."""
        ...

    def set_errors(self, slots: Int64[Tensor, " batch"], error: Float32[Tensor, " batch"]) -> None:
        """New priorities of the last sample."""
        ...


class DQN(Agent):
    """The learner's side: network, targets, updates, and when copies are made.

    Args:
        process: where the walks are.
        settings: everything that decides what is learned.
        generators: of the run.
        device: where the network is; walks and replay are on the CPU.
        weights: of the network to begin with; drawn from the seed if None.
    """

    replay: Memory
    metrics = ("loss", "td_error", "q", "grad_norm")

    def __init__(
        self,
        process: SearchProcess,
        settings: Settings,
        generators: Generators,
        device: torch.device = CPU,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.process, self.settings, self.generators = process, settings, generators
        walks = begin_walks(process, settings, settings.exploration.walks, generators)
        self.values = make_values(process, settings, generators.seed, device, self.form, weights)
        self.epsilon = epsilons(settings.exploration)
        self.learner = self.make_learner()
        policy = self.snapshot()
        planned = settings.learner.planning
        self.target: TargetNetwork | Planner = (
            Planner(process, settings.learner.discount) if planned else self.make_target(policy)
        )
        self.set_up(walks, policy)

    @abstractmethod
    def set_up(self, walks: Walks, policy: Snapshot) -> None:
        """Make walks and replay.

        Args:
            walks: where they stand.
            policy: what they act by at first.
        """

    def renew(self) -> None:
        """Walks and target go by the present parameters at once, as after a preparation without walks."""
        frozen = self.snapshot()
        if isinstance(self.target, TargetNetwork):
            self.target.snapshot = frozen
        self.publish(frozen)

    @abstractmethod
    def publish(self, frozen: Snapshot | None) -> None:
        """The present parameters for the walks; ``frozen`` has them, if the target was given them too."""

    def make_learner(self) -> Learner:
        """What trains the network."""
        reuse = self.settings.training.reuse
        return Learner(self.values, self.settings.learner, self.generators["learner"], reuse)

    def make_target(self, frozen: Snapshot) -> TargetNetwork:
        """Targets where nothing is planned, from a copy of the network."""
        return TargetNetwork(frozen, self.settings.learner.double)

    def snapshot(self) -> Snapshot:
        """The present parameters, frozen until the next copy."""
        training, learner = self.settings.training, self.settings.learner
        trained = 0 if learner.planning else max(learner.target_period, training.actor_period)
        requests = trained + round(max(trained, training.actor_period) * training.sampled_per_trained)
        return Snapshot(self.values, training.reuse, requests, self.generators["padding"])

    def ready(self, sampled_steps: int) -> bool:
        """Whether warm-up is over; every walk's first n steps complete a transition."""
        least = self.settings.learner.n_step * self.settings.exploration.walks
        return sampled_steps >= max(self.settings.replay.warmup, least)

    def draw(self) -> Sample:
        """A batch from replay."""
        return self.replay.sample(self.settings.learner.batch_size, self.generators["replay"])

    def update(self) -> tuple[Update, list[Walked]]:
        """One update; then copies to target and walks, if they have come due."""
        settings, before = self.settings, self.learner.trained_steps
        sample = self.draw()
        if isinstance(self.target, Planner):
            self.target.refresh()
        learned = self.learner.update(sample, self.target)
        self.replay.set_errors(sample.slots, learned.error)
        after = self.learner.trained_steps

        def due(period: int) -> bool:
            return before // period != after // period

        frozen = None
        if isinstance(self.target, TargetNetwork) and due(settings.learner.target_period):
            frozen = self.target.snapshot = self.snapshot()
        if due(settings.training.actor_period):
            self.publish(frozen)
        numbers = (learned.loss, learned.error.mean(), learned.q, learned.grad_norm)
        return Update(after - before, dict(zip(self.metrics, numbers, strict=True))), []

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """Learner and target."""
        return {"learner": self.learner.state_dict(), "target": self.target.state_dict()}

    def load_parts(self, parts: dict[str, dict[str, Tensor]]) -> None:
        """The inverse of ``parts``."""
        if "target" in parts:
            if isinstance(self.target, TargetNetwork):
                self.target.snapshot = self.snapshot()  # a shell, filled below
            self.target.load_state_dict(parts["target"])
        self.learner.load_state_dict(parts["learner"])


class DQNAgent(DQN):
    """All roles of Ape-X (actors, replay, learner) in one process, which repeats itself bit for bit."""

    replay: Replay

    def set_up(self, walks: Walks, policy: Snapshot) -> None:
        """One rollout of all walks."""
        self.replay = Replay(self.settings.replay, stored_columns(self.process))
        learner = self.settings.learner
        self.rollout = Rollout(self.process, walks, self.epsilon, learner, policy, self.generators)

    def act(self) -> list[Walked]:
        """One step of every walk; what it completes goes to replay with its first priority."""
        rolled = self.rollout.step()
        self.replay.add(rolled.complete, rolled.error)
        return [rolled.walked]

    def publish(self, frozen: Snapshot | None) -> None:
        """The walks act by them from their next step."""
        self.rollout.policy = self.snapshot() if frozen is None else frozen

    def renew(self) -> None:
        """With the step that the walks were about to take."""
        super().renew()
        rollout = self.rollout
        rollout.q = rollout.policy.q(rollout.walks.architecture, rollout.offered)

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """With the walks and the replay; without the target where it is the walks' own copy, and shares
        with them what that has computed."""
        parts = super().parts() | self.rollout.state_dict() | {"replay": self.replay.state_dict()}
        if self._shared():
            del parts["target"]
        return parts

    def _shared(self) -> bool:
        return isinstance(self.target, TargetNetwork) and self.target.snapshot is self.rollout.policy

    def load_parts(self, parts: dict[str, dict[str, Tensor]]) -> None:
        """The inverse of ``parts``."""
        self.rollout.policy = self.snapshot()  # a shell, filled below
        self.rollout.load_state_dict(parts)
        if isinstance(self.target, TargetNetwork) and "target" not in parts:
            self.target.snapshot = self.rollout.policy
        super().load_parts(parts)
        self.replay.load_state_dict(parts["replay"])
