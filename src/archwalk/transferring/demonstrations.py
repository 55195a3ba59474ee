"""``demonstrations``: the source's walks on the target are learned from first, and kept.

In: a source. Out: its walks in replay for good, a margin in the loss, and updates on them before anything
else. Next: ``archwalk.training.loop``.

Deep Q-learning from demonstrations (Hester et al. 2018, "The algorithm"): pretraining on demonstrations
alone; the large-margin loss max_a [Q(s, a) + l(a_E, a)] - Q(s, a_E) with l = 0.8 for other actions than the
demonstrator's; priorities of demonstrations raised by a bonus. Temporal-difference or planned targets are the
agent's own. The paper's demonstrator is good; a source may be wrong on the target, so here the margin's
weight falls with the steps trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float32, Int64
from pydantic import Field
from torch import Tensor

from archwalk.agents.base import Agent, Update, Walked
from archwalk.agents.dqn.agent import DQNAgent
from archwalk.agents.dqn.replay import Replay, Sample, Transitions, to_mass
from archwalk.agents.dqn.rollout import Rollout, stored_columns
from archwalk.agents.values import Snapshot
from archwalk.config import ReplaySettings
from archwalk.envs.process import start
from archwalk.seeding import Generators
from archwalk.transferring.base import APEX, Options, Schedule, Source, Target, TransferMethod
from archwalk.transferring.scale import begin_agreeing


class DemonstrationOptions(Options):
    """How much is demonstrated, and how much it counts."""

    walks: int = Field(32, ge=1)
    """Walks of the source at the same time; those that end begin anew."""
    steps: int = Field(10, ge=1)
    """Steps of each; what they evaluate counts."""
    pretraining: int = Field(10_240, ge=0)
    """Trained steps on demonstrations alone before the agent walks."""
    margin: float = Field(0.8, ge=0)
    """By how much the demonstrated action should be better, in units of reward."""
    weight: float = Field(1.0, ge=0)
    """Of the margin loss at first."""
    halving: int = Field(10_240, ge=0)
    """Trained steps after which the weight has halved: weight/(1 + trained/halving); 0: it stays."""
    bonus: float = Field(1.0, ge=0)
    """Added to the TD error of a demonstration for its priority."""
    begin: Literal["fresh", "source", "agreeing"] = "agreeing"
    """Weights to begin with: drawn anew; the source's; or those, if what the source takes
    for rewards agrees with the rewards of the first starts, with a correlation of at least 0.5. (These are
    evaluations, but with reward.standardise they are made anyway.)"""


def margin_loss(
    q: Float32[Tensor, "batch actions"], action: Int64[Tensor, " batch"], margin: float
) -> Float32[Tensor, " batch"]:
    """max_a [Q(s, a) + l(a_E, a)] - Q(s, a_E), l = margin where a is another one than a_E (Hester et al.
    2018, equation 2; Piot et al. 2014).

    Args:
        q: Q-values, -inf where an action does not exist.
        action: demonstrated, a_E.
        margin: in the units of Q.
    """
    raised = q + margin
    own = q.gather(1, action[:, None])
    return raised.scatter(1, action[:, None], own).amax(1) - own.squeeze(1)


class DemonstrationReplay(Replay):
    """A replay whose first transitions stay for good, with a bonus to their priorities.

    Args:
        settings: capacity of what is not demonstrated.
        columns: as for ``Replay``.
        transitions: what was demonstrated.
        error: its first TD errors.
        bonus: added to them, now and later.
    """

    def __init__(
        self,
        settings: ReplaySettings,
        columns: int,
        transitions: Transitions,
        error: Float32[Tensor, " n"],
        bonus: float,
    ) -> None:
        self._bonus = bonus
        super().__init__(settings.model_copy(update={"capacity": settings.capacity + len(error)}), columns)
        self.kept = len(error)
        for store, new in zip(self._store, transitions, strict=True):
            store[: self.kept] = new
        self._mass[: self.kept] = to_mass(error + bonus, settings.alpha)
        self._next = self._size = self.kept

    def set_errors(self, slots: Int64[Tensor, " batch"], error: Float32[Tensor, " batch"]) -> None:
        """New priorities after an update, with the bonus where it belongs."""
        super().set_errors(slots, error + self._bonus * (slots < self.kept))


class Margin:
    """The margin loss of the demonstrations in a batch, as ``Learner.extra``.

    Args:
        agent: whose trained steps the weight falls with.
        given: how much.
        kept: transitions in slots below are demonstrations.
    """

    def __init__(self, agent: DQNAgent, given: DemonstrationOptions, kept: int) -> None:
        self._agent, self._given, self._kept = agent, given, kept

    @property
    def weight(self) -> float:
        """At the present update."""
        halving, trained = self._given.halving, self._agent.learner.trained_steps
        return self._given.weight / (1 + trained / halving if halving else 1)

    def __call__(self, sample: Sample, q: Tensor) -> Tensor:
        """Importance-weighted, averaged over the batch."""
        batch = sample.transitions
        loss = margin_loss(q, batch.a_tm1.to(q.device), self._given.margin)
        shown = (sample.slots < self._kept).to(q.device)
        return self.weight * (loss * shown * sample.weight.to(q.device)).mean()


class Demonstrated(Schedule):
    """Updates on demonstrations alone come first.

    Args:
        agent: what is trained on them.
        pretraining: trained steps of them.
        walked: what the source's walks were.
    """

    def __init__(self, agent: DQNAgent, pretraining: int, walked: list[Walked]) -> None:
        self._agent, self._pretraining, self.walked = agent, pretraining, walked

    def preparing(self, trained_steps: int) -> bool:
        """Whether pretraining goes on."""
        return trained_steps < self._pretraining

    def update(self, agent: Agent) -> tuple[Update, list[Walked]]:
        """The agent's own; the walks begin by what pretraining made of it."""
        before = self.preparing(self._agent.learner.trained_steps)
        done = agent.update()
        if before and not self.preparing(self._agent.learner.trained_steps):
            self._agent.renew()
        return done


class Demonstrations(TransferMethod):
    """Learning from the source's greedy walks on the target.

    As it is (zero-shot), it has the source's agent. What the walks evaluate counts, and so do their steps and
    the updates of pretraining.
    """

    name = "demonstrations"
    options = DemonstrationOptions
    algorithms = (APEX,)
    given: DemonstrationOptions

    def weights(self, sources: Sequence[Source], target: Target) -> dict[str, Tensor] | None:
        """As ``begin`` says."""
        return super().weights(sources, target) if self.given.begin == "source" else None

    def prepare(self, agent: Agent, sources: Sequence[Source], target: Target) -> Schedule:
        """The source walks; its steps are in replay for good."""
        assert isinstance(agent, DQNAgent)
        if self.given.begin == "agreeing":
            begin_agreeing(agent, sources[0], target.seed)
        process, given = agent.process, self.given
        generators = Generators(target.seed, "demonstrations ")
        policy = Snapshot(sources[0].values(process), True, given.walks * given.steps, generators["padding"])
        walks = start(process, given.walks, generators["starts"])
        rollout = Rollout(
            process, walks, torch.zeros(given.walks), agent.settings.learner, policy, generators
        )
        rolled = [rollout.step() for _ in range(given.steps)]
        shown = Transitions(*(torch.cat(f) for f in zip(*(r.complete for r in rolled), strict=True)))
        error = torch.cat([r.error for r in rolled])
        agent.replay = DemonstrationReplay(
            agent.settings.replay, stored_columns(process), shown, error, given.bonus
        )
        agent.learner.extra = Margin(agent, given, agent.replay.kept)
        return Demonstrated(agent, given.pretraining, [r.walked for r in rolled])
