"""A source's values in the units of the target's rewards.

In: a source's Q-values in the target's process, and the rewards of the first starts there. Out: a slope and
an offset. Next: ``shaping`` and ``mapping`` use the values so scaled.

If r' = a r + b at every architecture, every policy's values are a V + b / (1 - γ), since no end cuts a value
off; so what holds of rewards is fitted to rewards, and what follows for values is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from archwalk.agents.dqn.agent import DQNAgent
from archwalk.envs.process import SearchProcess

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
