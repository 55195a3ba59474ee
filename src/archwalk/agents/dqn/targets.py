"""Targets of Q-values as a part: the target network's; ``planner`` has planned ones.

In: a batch, and the online network at its states. Out: ``Goals``. Next: ``learner`` trains towards them.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from archwalk.agents.dqn.replay import Transitions
from archwalk.agents.values import CPU, QFunction, Snapshot

ROUND = 16  # states


class Goals(NamedTuple):
    """What Q-values should be.

    Attributes:
        y: targets, -inf where there is none; of every action offered, or one column.
        action: whose targets they are, if there is one column.
    """

    y: Float32[Tensor, "batch actions"]
    action: Int64[Tensor, " batch"] | None


class Online:
    """The online network at the states of a batch, each distinct state evaluated once.

    Args:
        values: the network.
        batch: transitions.
        generator: draws the tokens' padding, and offers where not all neighbours are offered.
        reuse: evaluate each distinct state once, where offers are a function of the state. The numbers are
            the same; where padding is random, equal states of a batch then share a draw.

    Attributes:
        states: where the transitions begin, [states].
        at: the place of each transition's state among them, [batch].
        offered: what is offered at each, [states, actions].
        q: its Q-values, differentiable, [states, actions].
    """

    def __init__(
        self, values: QFunction, batch: Transitions, generator: torch.Generator, reuse: bool
    ) -> None:
        self._values, self._generator = values, generator
        self._reuse = reuse and values.process.offers_all
        self.states, self.at = self._distinct(batch.s_tm1)
        self.offered = self.offer(self.states, batch.offer_tm1)
        self.q = self._look(self.states, self.offered)

    def offer(self, state: Tensor, stored: Tensor) -> Tensor:
        """What is offered at states: a function of them, or what was stored."""
        process = self._values.process
        return process.offer(state, self._generator) if process.offers_all else stored

    def _look(self, state: Tensor, offered: Tensor) -> Tensor:
        return self._values.q(state, offered, self._generator)

    def known(self) -> Int64[Tensor, "states actions"]:
        """States of what is offered at ``states``."""
        return self._values.process.known(self.states, self.offered)

    @torch.no_grad()
    def at_other(
        self, state: Int64[Tensor, " batch"], offered: Int64[Tensor, "batch actions"]
    ) -> Float32[Tensor, "batch actions"]:
        """Q-values at other states, those known already not computed again; on the CPU."""
        if not self._reuse:
            return self._values.q(state, offered, self._generator).to(CPU)
        states, at = self._distinct(state)
        place = torch.searchsorted(self.states, states).clamp(max=len(self.states) - 1)
        values = self.q.detach().to(CPU)[place]
        new = (self.states[place] != states).nonzero().squeeze(1)
        if len(new):
            asked = _rounded(states[new], len(state))
            around = self._values.process.offer(asked, self._generator)
            values[new] = self._values.q(asked, around, self._generator)[: len(new)].to(CPU)
        return values[at]

    def _distinct(self, s: Int64[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        """The states to evaluate, in order, and the place of each of the batch among them."""
        if self._reuse:
            states, at = s.unique(return_inverse=True)
            return _rounded(states, len(s)), at
        return s, torch.arange(len(s))


@runtime_checkable
class Target(Protocol):
    """Where targets come from."""

    def goals(self, batch: Transitions, online: Online) -> Goals:
        """Targets for a batch."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        ...


class TargetNetwork:
    """Double or plain Q-learning towards a frozen copy of the network.

    Args:
        snapshot: the copy; replaced from outside whenever it is to be newer.
        double: the online network chooses the action that the copy values (van Hasselt et al. 2016).
    """

    def __init__(self, snapshot: Snapshot, double: bool) -> None:
        self.snapshot, self.double = snapshot, double

    @torch.no_grad()
    def goals(self, batch: Transitions, online: Online) -> Goals:
        """``bootstrapped``, of the actions taken."""
        offered = online.offer(batch.s_t, batch.offer_t)
        value = self.snapshot.q(batch.s_t, offered)
        chooser = online.at_other(batch.s_t, offered) if self.double else value
        return Goals(bootstrapped(batch, value, chooser)[:, None], batch.a_tm1)

    def state_dict(self) -> dict[str, Tensor]:
        """The copy's."""
        return self.snapshot.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        self.snapshot.load_state_dict(state)


def bootstrapped(
    t: Transitions, value: Float32[Tensor, "batch actions"], chooser: Float32[Tensor, "batch actions"]
) -> Float32[Tensor, " batch"]:
    """y = r_t + discount_t · Q_target(s_t, argmax_a Q_chooser(s_t, a)) (van Hasselt et al. 2016).

    Actions that do not exist have Q = -inf in both and are never chosen.

    Args:
        t: the batch.
        value: Q_target at s_t.
        chooser: Q_online there, or ``value`` itself without double Q-learning.
    """
    best = chooser.argmax(1)
    return t.r_t + t.discount_t * value.gather(1, best[:, None]).squeeze(1)


def _rounded(states: Int64[Tensor, " states"], most: int) -> Int64[Tensor, " rounded"]:
    """The states, the last one repeated up to a multiple of ``ROUND`` or to ``most``.

    Kernels are compiled, and memory is laid out, once a shape: a batch should have few.
    """
    missing = min(-len(states) % ROUND, most - len(states))
    return torch.cat([states, states[-1:].expand(missing)])
