"""Values planned over what has been seen: value iteration in the known part of the process.

In: a ``WalkProcess`` and which architectures have been looked at. Out: targets for every action offered whose
reward is known. Next: ``learner``.

Where a step leads is known, and a reward once seen stays known; only rewards not yet seen are open. So values
need not trickle through a network one copy at a time: V(s) = max over seen neighbours x of r(x) + γ V(x) is
solved exactly (Bellman 1957; planning with a learned model is Dyna, Sutton 1991, and the model of a
deterministic process is the table of what was seen).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from archwalk.space.space import PAD
from archwalk.walk.dynamics import WalkProcess

GROWTH = 0.01  # all is planned again when this share of it is new, which bounds the work a look
TOLERANCE = 1e-6  # relative; well above rounding
CHUNK = 65_536  # states backed up at a time


class Planner:
    """Exact values of the process restricted to architectures that have been looked at.

    Where only some neighbours are offered at a step, planning takes all of them as offered: an upper bound.

    Args:
        process: where steps lead, and the rewards, of which only those seen are read.
        discount: discount a step, below 1.
    """

    def __init__(self, process: WalkProcess, discount: float) -> None:
        self.process, self.discount = process, discount
        self._arrival = torch.full((len(process),), -torch.inf)  # r(x) + γ V(x); -inf where not seen
        self._since = 0  # newly seen since all of it was planned
        self._stale = torch.zeros(len(process), dtype=torch.bool)  # a neighbour changed since the last backup

    def refresh(self, seen: Bool[Tensor, " architectures"]) -> None:
        """Take in what is newly seen: one backup there, and a whole plan once enough has come together."""
        new = (seen & (self._arrival == -torch.inf)).nonzero().squeeze(1)
        if not len(new):
            return
        self._arrival[new] = self.process.rewards[new] / (1 - self.discount)  # staying there
        self._arrival[new] = self._backed_up(new)
        self._spread(new)
        self._since += len(new)
        count = int(seen.sum())
        if self._since >= GROWTH * count or count == len(seen):
            self._plan(seen.nonzero().squeeze(1))
            self._since = 0

    def _plan(self, rows: Int64[Tensor, " seen"]) -> None:
        """Back up all that is seen until nothing changes.

        What is known already is a lower bound: at least the value of staying there. A best walk ends by
        staying somewhere, so the values are exact after as many backups as that walk has steps. A backup
        where nothing around has changed would give the same value again and is left out.
        """
        while True:
            stale = rows[self._stale[rows]]
            self._stale[stale] = False
            before = self._arrival[stale]
            after = torch.cat([self._backed_up(part) for part in stale.split(CHUNK)])
            self._arrival[stale] = after
            self._spread(stale[after != before])
            if not bool((after > before + TOLERANCE * before.abs()).any()):
                return

    def _spread(self, changed: Int64[Tensor, " rows"]) -> None:
        """Mark what reads the values that have changed; neighbours are each other's neighbours."""
        for part in changed.split(CHUNK):
            choices = self.process.choices[part]
            self._stale[torch.where(choices == PAD, choices[:, :1], choices)] = True

    def _backed_up(self, rows: Int64[Tensor, " rows"]) -> Float32[Tensor, " rows"]:
        """r(x) + γ max over what is seen around x, x included, of r + γ V."""
        choices = self.process.choices[rows]
        around = self._arrival[choices.clamp(min=0)].masked_fill_(choices == PAD, -torch.inf)
        return self.process.rewards[rows] + self.discount * around.amax(1)

    def targets(self, offered: Int64[Tensor, "batch actions"]) -> Float32[Tensor, "batch actions"]:
        """r(x) + γ V(x) of every architecture offered; -inf where its reward is not known, and at padding."""
        return self._arrival[offered.clamp(min=0)].masked_fill(offered == PAD, -torch.inf)

    def state_dict(self) -> dict[str, Tensor]:
        """The values, and how much has come since they were planned."""
        return {"arrival": self._arrival, "since": torch.tensor(self._since)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        self._arrival, self._since = state["arrival"], int(state["since"])
        self._stale.fill_(True)  # backs up more than need be once, to the same values
