"""Values planned over what has been seen: value iteration in the known part of the process.

In: a ``SearchProcess`` and which of its states have been evaluated. Out: targets for every action offered
whose reward is known. Next: ``learner``.

Where a step leads is known, and a reward once seen stays known; only rewards not yet seen are open. So values
need not trickle through a network one copy at a time: V(s) = max over seen neighbours x of r(x) + γ V(x) is
solved exactly (Bellman 1957; planning with a learned model is Dyna, Sutton 1991, and the model of a
deterministic process is the table of what was seen).
"""

from __future__ import annotations

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from archwalk.agents.dqn.replay import Transitions
from archwalk.agents.dqn.targets import Goals, Online
from archwalk.envs.process import SearchProcess
from archwalk.spaces.base import PAD

CHUNK = 65_536  # states backed up at a time
GROWTH = 0.01  # all is planned again when this share of it is new, which bounds the work a step
ROUNDS = 8  # most backups of a plan


def backed_up(
    rows: Int64[Tensor, " rows"],
    arrival: Float32[Tensor, " architectures"],
    choices: Int64[Tensor, "architectures choices"],
    rewards: Float32[Tensor, " architectures"],
    discount: float,
) -> Float32[Tensor, " rows"]:
    """r(x) + γ max over what is seen around x, x included, of r + γ V; never less than it was, so that
    rounding cannot keep values going up and down.

    Args:
        rows: every x.
        arrival: r + γ V of every architecture, -inf where not seen.
        choices: each architecture, then its neighbours.
        rewards: of arriving at each.
        discount: γ.
    """
    best = known_of(choices[rows], arrival).amax(1)
    return torch.maximum(rewards[rows] + discount * best, arrival[rows])


def known_of(
    offered: Int64[Tensor, "batch actions"], arrival: Float32[Tensor, " architectures"]
) -> Float32[Tensor, "batch actions"]:
    """r + γ V of what is offered; -inf where its reward is not known, and at padding."""
    return arrival[offered.clamp(min=0)].masked_fill(offered == PAD, -torch.inf)


class Planner:
    """Values of the process restricted to architectures that have been evaluated (``Target``).

    Values only rise towards the exact ones. What is newly evaluated is backed up at once; everything is
    planned again once ``GROWTH`` of it is new, by at most ``ROUNDS`` backups of all at the same time, so that
    news spreads by so many steps of a walk a plan. A backup where nothing around has changed would give the
    same value again and is left out.

    Where only some neighbours are offered at a step, planning takes all of them as offered: an upper bound.

    Args:
        process: where steps lead, and the rewards, of which only those evaluated are read.
        discount: discount a step, below 1.
    """

    def __init__(self, process: SearchProcess, discount: float) -> None:
        self.process, self.discount = process, discount
        self._arrival = torch.empty(0)  # r(x) + γ V(x); -inf where not evaluated
        self._stale = torch.empty(0, dtype=torch.bool)  # a neighbour changed since the last backup
        self._rewards = torch.empty(0)
        self._since = torch.tensor(0)  # newly evaluated since all of it was planned
        self._grow()

    def _grow(self) -> None:
        """Room for states met since."""
        more = len(self.process) - len(self._arrival)
        if more > 0:
            self._arrival = torch.cat([self._arrival, torch.full((more,), -torch.inf)])
            self._stale = torch.cat([self._stale, torch.zeros(more, dtype=torch.bool)])
            self._rewards = torch.cat([self._rewards, torch.zeros(more)])

    def refresh(self) -> None:
        """Take in what is newly evaluated, and plan again if it is time."""
        self._grow()
        seen = self.process.evaluated
        new = (seen & (self._arrival == -torch.inf)).nonzero().squeeze(1)
        self._rewards[new] = self.process.reward(new)
        self._arrival[new] = self._rewards[new] / (1 - self.discount)  # as if walks stayed there
        self._arrival[new] = self._backed_up(new)
        self._spread(new)
        self._since += len(new)
        count = seen.sum()
        if self._since < GROWTH * count and count < len(seen):
            return
        self._since.zero_()
        for _ in range(ROUNDS):
            rows = (seen & self._stale).nonzero().squeeze(1)
            if not len(rows):
                return
            self._stale[rows] = False
            after = torch.cat([self._backed_up(part) for part in rows.split(CHUNK)])
            changed = after != self._arrival[rows]
            self._arrival[rows] = after
            self._spread(rows[changed])

    def _backed_up(self, rows: Int64[Tensor, " rows"]) -> Float32[Tensor, " rows"]:
        return backed_up(rows, self._arrival, self.process.choices, self._rewards, self.discount)

    def _spread(self, changed: Int64[Tensor, " rows"]) -> None:
        """Mark what reads the values that have changed; neighbours are each other's neighbours."""
        for part in changed.split(CHUNK):
            choices = self.process.choices[part]
            self._stale[torch.where(choices == PAD, choices[:, :1], choices)] = True

    def targets(self, offered: Int64[Tensor, "batch actions"]) -> Float32[Tensor, "batch actions"]:
        """``known_of`` states that are offered."""
        return known_of(offered, self._arrival)

    def goals(self, batch: Transitions, online: Online) -> Goals:
        """Targets of every action whose reward is known, at the states where transitions begin."""
        del batch
        return Goals(self.targets(online.known()).index_select(0, online.at), None)

    def state_dict(self) -> dict[str, Tensor]:
        """The values, and how much has come since they were planned."""
        return {"arrival": self._arrival, "since": self._since}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``; the process has been restored before."""
        self._grow()
        self._arrival, self._since = state["arrival"], state["since"]
        self._grow()
        seen = (self._arrival > -torch.inf).nonzero().squeeze(1)
        self._rewards[seen] = self.process.reward(seen)
        self._stale.fill_(True)  # backs up more than need be once, to the same values
