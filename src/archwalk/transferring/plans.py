"""A plan that also says something of architectures whose reward is not known yet, and may be shaped.

In: the planner's exact values of what has been evaluated, an opinion of the rest, a potential. Out: targets.
Next: ``shaping`` and ``successor_features`` put it in the place of the agent's planner.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float32
from torch import Tensor

from archwalk.agents.dqn.planner import Planner
from archwalk.agents.dqn.replay import Transitions
from archwalk.agents.dqn.targets import Goals, Online
from archwalk.envs.process import SearchProcess
from archwalk.spaces.base import PAD

Opinion = Callable[[], Tensor]  # value of arriving at each state, r + γ V, [states]
Potential = Callable[[Tensor], Tensor]  # states, [n] → Φ, [n]


class OpinionatedPlanner(Planner):
    """Exact values of what has been evaluated; of the rest an opinion, as targets alone.

    What is not evaluated is never backed up, so a wrong opinion of an architecture reaches no other one, and
    is gone when that architecture is evaluated.

    Args:
        process: as for ``Planner``.
        discount: likewise.
        opinion: of arriving at each state; None where none is had.
        potential: Φ, which is taken off every action's target: with the reward F = γΦ(s') - Φ(s) added to
            each step, exact values are Q(s, a) - Φ(s) (Ng, Harada and Russell 1999, corollary 2).
    """

    def __init__(
        self,
        process: SearchProcess,
        discount: float,
        opinion: Opinion | None = None,
        potential: Potential | None = None,
    ) -> None:
        self._opinion, self._potential = opinion, potential
        super().__init__(process, discount)

    def goals(self, batch: Transitions, online: Online) -> Goals:
        """Targets of every action whose reward is known, or of which there is an opinion."""
        del batch
        offered = online.known()
        y: Float32[Tensor, "states actions"] = self.targets(offered)
        if self._opinion is not None:
            guess = self._opinion()[offered.clamp(min=0)]
            y = torch.where((y == -torch.inf) & (offered != PAD), guess, y)
        if self._potential is not None:
            y = y - self._potential(online.states)[:, None]
        return Goals(y.index_select(0, online.at), None)
