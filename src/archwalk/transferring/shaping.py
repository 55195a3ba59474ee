"""``shaping``: every step is rewarded for what the source thinks of it, which changes no optimal policy.

In: sources. Out: an agent whose rewards are shaped by a potential, the sources' value of a state. Next:
``archwalk.training.loop``.

The reward of a step from s to s' becomes r + γΦ(s') - Φ(s) (Ng, Harada and Russell 1999, theorem 1). Values
become Q(s, a) - Φ(s), so the order of the actions of a state, and with it every greedy policy, stays. Ends
need no correction (Grzes 2017), because in this process no end cuts a value off.

A planner's values of what has been evaluated are exact, shaped or not. What is left for a potential is what
has not been evaluated: there shaped learning begins with the value 0, that is V = Φ (Wiewiora 2003; in
model-based learning Asmuth, Littman and Zinkov 2008, section 3), so an action into an unknown architecture x
has the target m + γΦ(x) - Φ(s), with m the mean reward of the first starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from archwalk.agents.base import Agent
from archwalk.agents.dqn.agent import DQNAgent
from archwalk.agents.dqn.planner import Planner
from archwalk.agents.dqn.rollout import Guide
from archwalk.envs.process import Outcome
from archwalk.envs.tabular import TabularProcess
from archwalk.errors import SettingsError
from archwalk.transferring.base import (
    APEX,
    Options,
    Schedule,
    Source,
    Target,
    TransferMethod,
    source_q,
)
from archwalk.transferring.plans import OpinionatedPlanner
from archwalk.transferring.scale import agrees, best_of, line_of, without_values


class ShapingOptions(Options):
    """Which potential, and what the agent begins with."""

    sources: Literal["best", "mean"] = "best"
    """Of several sources: the one that agrees best with the rewards of the first starts, or the mean."""
    unknown: bool = False
    """Whether a plan has targets for what has not been evaluated."""
    begin: Literal["fresh", "source", "agreeing"] = "agreeing"
    """Weights to begin with: drawn anew; the first source's advantages, with the value 0, since what is
    learned is Q - Φ; or those, if what the first source takes for rewards agrees with the rewards of the
    first starts, with a correlation of at least 0.5."""


def potential_of(
    agent: DQNAgent, sources: Sequence[Source], seed: int, several: str
) -> tuple[Float32[Tensor, " states"], float]:
    """The potential of every architecture in the target's units, and the mean reward of the first starts.

    Args:
        agent: about to be trained; the first starts are evaluated.
        sources: whose values it is made of.
        seed: of the tokens' padding.
        several: ``best`` or ``mean``.
    """
    process = agent.process
    assert isinstance(process, TabularProcess)
    discount, found = agent.settings.learner.discount, []
    for source in sources:
        q = source_q(source, process, seed)
        scale = line_of(agent, q, source.settings.learner.discount)
        found.append((scale, scale.of_values(best_of(q), discount)))
    mean = found[0][0].mean
    if several == "mean":
        return torch.stack([values for _, values in found]).mean(0), mean
    return max(found, key=lambda one: one[0].correlation if one[0].correlation == one[0].correlation else -2)[
        1
    ], mean


class Shaper(Guide):
    """Adds F = γΦ(s') - Φ(s) to the reward of every step.

    Args:
        potential: Φ of every state.
        discount: γ, of the agent's own: another one would change what is optimal.
    """

    def __init__(self, potential: Float32[Tensor, " states"], discount: float) -> None:
        self._potential, self._discount = potential, discount

    def reward(self, state: Int64[Tensor, " walks"], outcome: Outcome) -> Float32[Tensor, " walks"]:
        """The shaped reward."""
        there, here = self._potential[outcome.architecture], self._potential[state]
        return outcome.reward + self._discount * there - here


class Shaping(TransferMethod):
    """Potential-based shaping by the sources' values, scaled to the target's rewards.

    As it is (zero-shot), it has the first source's agent. The first starts are evaluated for the scale; with
    ``reward.standardise`` they are anyway.
    """

    name = "shaping"
    options = ShapingOptions
    algorithms = (APEX,)
    many = True
    listed = True
    given: ShapingOptions

    def check(self, sources: Sequence[Source], target: Target, algorithm: str) -> None:
        """Values are read, so they must be a task's own."""
        super().check(sources, target, algorithm)
        refuse_shaped(self.name, sources)

    def weights(self, sources: Sequence[Source], target: Target) -> dict[str, Tensor] | None:
        """Fresh ones, until it is known whether the source agrees."""
        del sources, target
        return None

    def prepare(self, agent: Agent, sources: Sequence[Source], target: Target) -> Schedule:
        """Rewards of steps, and targets of a plan, are shaped from now on."""
        assert isinstance(agent, DQNAgent)
        begin = self.given.begin
        if begin == "source" or (begin == "agreeing" and agrees(agent, sources[0], target.seed)):
            agent.values.network.load_state_dict(without_values(sources[0].weights))
            agent.renew()
        discount = agent.settings.learner.discount
        potential, mean = potential_of(agent, sources, target.seed, self.given.sources)
        agent.rollout.guide = Shaper(potential, discount)
        if isinstance(agent.target, Planner):
            unknown = mean + discount * potential
            agent.target = OpinionatedPlanner(
                agent.process,
                discount,
                (lambda: unknown) if self.given.unknown else None,
                lambda states: potential[states],
            )
        return Schedule()


def refuse_shaped(name: str, sources: Sequence[Source]) -> None:
    """Refuse sources whose Q-values are less a potential where the values are read, not their order alone.

    Raises:
        SettingsError: as said.
    """
    for source in sources:
        if source.shaped:
            raise SettingsError(
                f"a source whose Q-values are those of its task, for --transfer {name}",
                f"{source.name}, whose values are less a potential (--transfer shaping)",
                "use the run that it began with, or a method that reads its policy alone, as policy-reuse",
            )
