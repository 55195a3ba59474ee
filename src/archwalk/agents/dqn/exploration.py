"""Exploration: one epsilon a walk.

In: ``ExplorationSettings``. Out: epsilons, and actions drawn from Q-values. Next:
``archwalk.training.rollout``.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from archwalk.config import ExplorationSettings


def epsilons(settings: ExplorationSettings) -> Float32[Tensor, " walks"]:
    """Epsilon of every walk, actor by actor.

    ``apex``: actor i of N has base^(1 + exponent·i/(N-1)) (Horgan et al. 2018, section 4.1), the same for all
    its walks; a single actor has base. ``linear``: even steps from highest to lowest over all walks.
    """
    if settings.schedule == "linear":
        return torch.linspace(settings.highest, settings.lowest, settings.walks)
    rung = torch.arange(settings.actors) / max(settings.actors - 1, 1)
    ladder = settings.base ** (1 + settings.exponent * rung)
    return ladder.float().repeat_interleave(settings.walks_per_actor)


def choose(
    q: Float32[Tensor, "walks actions"],
    exists: Bool[Tensor, "walks actions"],
    epsilon: Float32[Tensor, " walks"],
    u: Float32[Tensor, "walks 2"],
) -> Int64[Tensor, " walks"]:
    """Epsilon-greedy: with probability epsilon uniform over the actions that exist, else the greedy one.

    Args:
        q: Q-values of what is offered.
        exists: False at padding.
        epsilon: of each walk.
        u: draws from [0, 1): whether to explore, and which action then.
    """
    rank = exists.cumsum(1)  # the k-th existing action is the first whose rank is k
    wanted = (u[:, 1] * rank[:, -1]).long().clamp(max=rank[:, -1] - 1) + 1
    uniform = (rank == wanted[:, None]).int().argmax(1)
    return torch.where(u[:, 0] < epsilon, uniform, q.argmax(1))
