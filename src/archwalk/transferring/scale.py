"""A source's values in the units of the target's rewards.

In: a source's Q-values in the target's process, and the rewards of the first starts there. Out: a slope and
an offset. Next: ``shaping`` and ``mapping`` use the values so scaled.

If r' = a r + b at every architecture, every policy's values are a V + b / (1 - γ), since no end cuts a value
off; so what holds of rewards is fitted to rewards, and what follows for values is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from archwalk.agents.dqn.agent import DQNAgent
from archwalk.agents.values import CPU
from archwalk.envs.process import SearchProcess
from archwalk.transferring.base import Source

LAST = ("advantage", "value")  # heads, whose last layers are scaled
AGREES = 0.5  # correlation from which on a source's weights are worth beginning with
SMALLEST = 0.05  # slope: a source that contradicts the target is believed so little, not upside down


class Scale(NamedTuple):
    """Rewards of the target as a line over those of the source.

    Attributes:
        slope: a; at least ``SMALLEST`` times the ratio of the spreads.
        offset: b.
        correlation: of the two over the first starts, NaN if one of them does not vary.
        mean: of the target's rewards there.
    """

    slope: float
    offset: float
    correlation: float
    mean: float

    def of_values(self, values: Tensor, discount: float) -> Tensor:
        """Values of the source's rewards as those of the target's: a V + b / (1 - γ)."""
        return self.slope * values + self.offset / (1 - discount)


def own_rewards(q: Float32[Tensor, "states actions"], discount: float) -> Float32[Tensor, " states"]:
    """What a source takes for the reward of arriving at each architecture: Q(x, keep) - γ max Q(x, ·).

    Args:
        q: its Q-values, keeping first.
        discount: its discount.
    """
    return q[:, 0] - discount * q.amax(1)


def line(known: Float32[Tensor, " n"], rewards: Float32[Tensor, " n"]) -> Scale:
    """Least squares of the target's rewards over what the source takes them for, at some architectures."""
    x, y = known.double(), rewards.double()
    spread_x, spread_y = float(x.std(correction=0)), float(y.std(correction=0))
    if spread_x < 1e-9 or spread_y < 1e-9:
        return Scale(SMALLEST, float(y.mean() - SMALLEST * x.mean()), float("nan"), float(y.mean()))
    correlation = float(((x - x.mean()) * (y - y.mean())).mean()) / (spread_x * spread_y)
    slope = max(correlation, SMALLEST) * spread_y / spread_x
    return Scale(slope, float(y.mean()) - slope * float(x.mean()), correlation, float(y.mean()))


def at_starts(agent: DQNAgent) -> tuple[Int64[Tensor, " starts"], Float32[Tensor, " starts"]]:
    """Where the first walks stand, and the rewards there, which are evaluations and count."""
    process: SearchProcess = agent.process
    starts = agent.rollout.walks.architecture.unique()
    process.mark(starts)
    return starts, process.reward(starts)


def line_of(agent: DQNAgent, q: Tensor, discount: float) -> Scale:
    """``line`` over the first starts.

    Args:
        agent: about to be trained.
        q: the source's Q-values at every state, [states, actions].
        discount: the source's.
    """
    starts, rewards = at_starts(agent)
    return line(own_rewards(q, discount)[starts], rewards)


def keep_of(q: Float32[Tensor, "states actions"]) -> Float32[Tensor, " states"]:
    """The value of arriving at each architecture, r + γ V: that of keeping it once there."""
    return q[:, 0]


def best_of(q: Float32[Tensor, "states actions"]) -> Float32[Tensor, " states"]:
    """The value of each architecture, V."""
    return torch.amax(q, 1)


def rescaled(weights: Mapping[str, Tensor], scale: Scale, discount: float) -> dict[str, Tensor]:
    """A network whose Q-values are a Q + b / (1 - γ): its heads are linear at their ends.

    Args:
        weights: of a ``QNetwork``.
        scale: a and b.
        discount: γ.
    """
    last = {head: max(int(k.split(".")[1]) for k in weights if k.startswith(f"{head}.")) for head in LAST}
    found = dict(weights)
    for head, layer in last.items():
        for kind in ("weight", "bias"):
            found[f"{head}.{layer}.{kind}"] = scale.slope * weights[f"{head}.{layer}.{kind}"]
    name = f"value.{last['value']}.bias"
    found[name] = found[name] + scale.offset / (1 - discount)
    return found


def believed(
    source: Source, agent: DQNAgent, states: Int64[Tensor, " n"], seed: int
) -> Float32[Tensor, " n"]:
    """``own_rewards`` of a source at some states of the target. Costs no evaluation."""
    generator = torch.Generator().manual_seed(seed)
    process, values = agent.process, source.values(agent.process)
    with torch.no_grad():
        q = values.q(states, process.offer(states, generator), generator).to(CPU)
    return own_rewards(q, source.settings.learner.discount)


def agrees(agent: DQNAgent, source: Source, seed: int) -> bool:
    """Whether what a source takes for rewards correlates by ``AGREES`` with the rewards of the first starts.

    Args:
        agent: just made; its first starts are evaluated.
        source: whose opinion counts.
        seed: of the tokens' padding.
    """
    starts, rewards = at_starts(agent)
    return line(believed(source, agent, starts, seed), rewards).correlation >= AGREES


def begin_agreeing(agent: DQNAgent, source: Source, seed: int) -> None:
    """Let an agent with fresh weights begin with a source's after all, if the source ``agrees``."""
    if agrees(agent, source, seed):
        agent.values.network.load_state_dict(dict(source.weights))
        agent.renew()


def without_values(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A network with the advantages of another one, and the value 0 of every state: its value head ends in
    zeros.

    Args:
        weights: of a ``QNetwork``.
    """
    last = max(int(name.split(".")[1]) for name in weights if name.startswith("value."))
    ends = (f"value.{last}.weight", f"value.{last}.bias")
    return dict(weights) | {name: torch.zeros_like(weights[name]) for name in ends}
