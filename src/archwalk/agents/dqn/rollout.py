"""``Rollout``: the role of an actor: walks, an epsilon each, a frozen policy; out come transitions.

In: a process, a ``Snapshot`` to act by, generators. Out: ``Rolled``: complete transitions with their first
priorities. Next: ``agent`` has one rollout of all walks; ``training.apex`` has many, each in a process.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from archwalk.agents.base import Walked
from archwalk.agents.dqn.exploration import choose
from archwalk.agents.dqn.replay import Transitions, Windows
from archwalk.agents.values import Snapshot
from archwalk.config import LearnerSettings
from archwalk.envs.process import Outcome, SearchProcess, Walks, restart, take
from archwalk.seeding import Generators
from archwalk.spaces.base import PAD


class Rolled(NamedTuple):
    """What one step of every walk yields.

    Attributes:
        complete: the transitions that it completed.
        error: the actor's absolute TD error of each, which is its first priority.
        walked: what is counted.
    """

    complete: Transitions
    error: Float32[Tensor, " n"]
    walked: Walked


class Guide:
    """What else has a say in the walks: this one has none. ``archwalk.transferring`` has some that do."""

    def act(
        self, walks: Walks, offered: Int64[Tensor, "walks actions"], action: Int64[Tensor, " walks"]
    ) -> Int64[Tensor, " walks"]:
        """The actions to take.

        Args:
            walks: where they stand.
            offered: what they are offered.
            action: what the agent would take.
        """
        del walks, offered
        return action

    def reward(self, state: Int64[Tensor, " walks"], outcome: Outcome) -> Float32[Tensor, " walks"]:
        """What is learned from as the reward of a step from ``state``."""
        del state
        return outcome.reward

    def after(self, outcome: Outcome, ended: Bool[Tensor, " walks"]) -> None:
        """Told of every step once it is taken, before the walks that ended begin anew."""
        return


class Rollout:
    """Walks that explore.

    Args:
        process: what is walked in.
        walks: where the walks stand at first.
        epsilon: of each walk.
        learner: length of the windows, and the discount.
        policy: Q-values to act by; replaced from outside whenever there are newer ones.
        generators: ``offers``, ``exploration`` and ``starts`` are drawn from.

    Attributes:
        guide: what else has a say.
    """

    def __init__(
        self,
        process: SearchProcess,
        walks: Walks,
        epsilon: Float32[Tensor, " walks"],
        learner: LearnerSettings,
        policy: Snapshot,
        generators: Generators,
    ) -> None:
        self.process, self.walks, self.epsilon = process, walks, epsilon
        self.policy, self.generators, self.guide = policy, generators, Guide()
        self.windows = Windows(len(epsilon), learner.n_step, learner.discount, stored_columns(process))
        self.offered = process.offer(walks.architecture, generators["offers"])
        self.q = policy.q(walks.architecture, self.offered)

    def step(self) -> Rolled:
        """One step of every walk; those that end begin anew elsewhere."""
        process, gen, state = self.process, self.generators, self.walks.architecture
        u = torch.rand(len(self.epsilon), 2, generator=gen["exploration"])
        action = choose(self.q, self.offered != PAD, self.epsilon, u)
        action = self.guide.act(self.walks, self.offered, action)
        q_taken = self.q.gather(1, action[:, None]).squeeze(1)
        outcome = take(process, self.walks, self.offered, action)
        ended = outcome.terminated | outcome.truncated
        offered = process.offer(outcome.architecture, gen["offers"])
        q = self.policy.q(outcome.architecture, offered)
        columns = self.windows.columns
        complete, error = self.windows.push(
            s=state,
            offer=self.offered[:, :columns],
            a=action,
            r=self.guide.reward(state, outcome),
            q=q_taken,
            s_next=outcome.architecture,
            offer_next=offered[:, :columns],
            v_next=q.amax(1),
            ended=ended,
        )
        self.guide.after(outcome, ended)
        ended_steps = int(self.walks.age[ended].sum())
        restart(process, self.walks, ended, gen["starts"])
        fresh = ended.nonzero().squeeze(1)
        offered[fresh] = process.offer(self.walks.architecture[fresh], gen["offers"])
        q[fresh] = self.policy.q(self.walks.architecture[fresh], offered[fresh])
        self.offered, self.q = offered, q
        walked = Walked(outcome.architecture, len(action), int(ended.sum()), ended_steps)
        return Rolled(complete, error, walked)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Walks, windows and policy, each flat; the generators belong to whoever gave them."""
        walks = {
            "architecture": self.walks.architecture,
            "age": self.walks.age,
            "offered": self.offered,
            "q": self.q,
        }
        return {"walks": walks, "windows": self.windows.state_dict(), "actors": self.policy.state_dict()}

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """The inverse of ``state_dict``."""
        self.policy.load_state_dict(state["actors"])
        walks = state["walks"]
        self.walks.architecture, self.walks.age = walks["architecture"], walks["age"]
        self.offered, self.q = walks["offered"], walks["q"]
        self.windows.load_state_dict(state["windows"])


def stored_columns(process: SearchProcess) -> int:
    """Columns of an offer that a transition must keep: none where offers are a function of the state."""
    return 0 if process.offers_all else process.actions
