"""The learner: double-DQN targets or planned ones, Huber loss, Adam.

In: samples from replay, and the target snapshot or the planner. Out: an updated network, new TD errors. Next:
the loop.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from archwalk.agents.base import Agent, Snapshot
from archwalk.agents.dqn.planner import Planner
from archwalk.agents.dqn.replay import Sample, Transitions
from archwalk.config import LearnerSettings
from archwalk.envs.process import offer

ROUND = 16  # states


class Update(NamedTuple):
    """What one update reports.

    Attributes:
        error: size of each transition's TD error, [batch]; with planned targets the largest of its state.
        loss: weighted Huber loss, scalar.
        q: mean Q-value of the actions that were trained, scalar.
        grad_norm: L2 norm of the gradient before clipping, scalar.
    """

    error: Float32[Tensor, " batch"]
    loss: Float32[Tensor, ""]
    q: Float32[Tensor, ""]
    grad_norm: Float32[Tensor, ""]


def _rounded(states: Int64[Tensor, " states"], most: int) -> Int64[Tensor, " rounded"]:
    """The states, the last one repeated up to a multiple of ``ROUND`` or to ``most``.

    Kernels are compiled, and memory is laid out, once a shape: a batch should have few.
    """
    missing = min(-len(states) % ROUND, most - len(states))
    return torch.cat([states, states[-1:].expand(missing)])


class Known(NamedTuple):
    """Q-values of the present parameters at some states, which stand in order."""

    states: Int64[Tensor, " states"]
    q: Float32[Tensor, "states actions"]


class Errors(NamedTuple):
    """How far Q-values lie from their targets.

    Attributes:
        loss: importance-weighted Huber loss, averaged over the known actions of a state and over the batch.
        error: size of the largest TD error of each transition.
        q: mean of the Q-values that have a target.
    """

    loss: Float32[Tensor, ""]
    error: Float32[Tensor, " batch"]
    q: Float32[Tensor, ""]


def errors(
    q: Float32[Tensor, "batch actions"],
    y: Float32[Tensor, "batch actions"],
    weight: Float32[Tensor, " batch"],
) -> Errors:
    """Q-values against targets, which are -inf where there is none."""
    open_ = y == -torch.inf
    y, q = y.masked_fill(open_, 0.0), q.masked_fill(open_, 0.0)
    known = (~open_).sum(1)
    loss = (weight * F.huber_loss(q, y, reduction="none").sum(1) / known).mean()
    return Errors(loss, (y - q).detach().abs().amax(1), q.detach().sum() / known.sum())


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


class Learner:
    """Trains an agent's network in place.

    Args:
        agent: whose network is trained.
        settings: targets and step sizes.
        generator: draws the tokens' padding, and offers where not all neighbours are offered.
        reuse: evaluate each distinct state of a batch once, where offers are a function of the state. The
            numbers are the same; where padding is random, equal states of a batch then share a draw.
    """

    def __init__(
        self, agent: Agent, settings: LearnerSettings, generator: torch.Generator, reuse: bool = True
    ) -> None:
        self.agent, self.settings, self._generator = agent, settings, generator
        self._reuse = reuse and agent.process.offers_all
        self.trained_steps = 0
        self.optimiser = torch.optim.Adam(agent.network.parameters(), lr=settings.learning_rate, fused=True)

    @torch.no_grad()
    def targets(
        self, sample: Sample, target: Snapshot, known: Known | None = None
    ) -> Float32[Tensor, " batch"]:
        """``bootstrapped`` from the target network, which without ``double`` also chooses.

        Args:
            sample: the batch.
            target: Q_target.
            known: Q_online at some states, not to be computed again.
        """
        batch = sample.transitions
        offered = self._offer(batch.s_t, batch.offer_t)
        value = target.q(batch.s_t, offered)
        if not self.settings.double:
            online = value
        elif known is None:
            online = self.agent.q(offered, self._generator)
        else:
            online = self._online(batch.s_t, known)
        return bootstrapped(batch, value, online)

    def update(self, sample: Sample, target: Snapshot | Planner) -> Update:
        """One step of Adam on the importance-weighted Huber loss.

        With a snapshot, of the actions taken. With a planner, of all actions of the states sampled whose
        reward has been seen, averaged a state: a forward pass values them all anyway.
        """
        batch = sample.transitions
        s, at = self._distinct(batch.s_tm1)
        offered = self._offer(s, batch.offer_tm1)
        values = self.agent.q(offered, self._generator)
        q = values.index_select(0, at)
        if isinstance(target, Planner):
            y = target.targets(offered).index_select(0, at)
        else:
            known_q = Known(s, values.detach()) if self._reuse else None
            y = self.targets(sample, target, known_q)[:, None]
            q = q.gather(1, batch.a_tm1[:, None])
        loss, error, mean_q = errors(q, y, sample.weight)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.agent.network.parameters(), self.settings.max_grad_norm)
        self.optimiser.param_groups[0]["lr"] = self.learning_rate()
        self.optimiser.step()
        self.trained_steps += len(y)
        return Update(error, loss.detach(), mean_q, norm.detach())

    def learning_rate(self) -> float:
        """lr/(1 + trained/halving_steps): falls with the work done, whatever the length of the run, so that a
        run cut off is the same as a shorter one."""
        halving = self.settings.halving_steps
        return self.settings.learning_rate / (1 + self.trained_steps / halving if halving else 1)

    def _distinct(self, s: Int64[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        """The states to evaluate, in order, and the place of each of the batch among them."""
        if self._reuse:
            states, at = s.unique(return_inverse=True)
            return _rounded(states, len(s)), at
        return s, torch.arange(len(s))

    def _online(self, s: Int64[Tensor, " batch"], known: Known) -> Float32[Tensor, "batch actions"]:
        """The network's Q-values, computed once a distinct state that is not known yet."""
        states, at = self._distinct(s)
        place = torch.searchsorted(known.states, states).clamp(max=len(known.states) - 1)
        values = known.q[place]
        new = (known.states[place] != states).nonzero().squeeze(1)
        if len(new):
            offered = self.agent.process.choices[_rounded(states[new], len(s))]
            values[new] = self.agent.q(offered, self._generator)[: len(new)]
        return values[at]

    def _offer(self, s: Tensor, stored: Tensor) -> Tensor:
        process = self.agent.process
        return offer(process, s, self._generator) if process.offers_all else stored

    def state_dict(self) -> dict[str, Tensor]:
        """Weights and optimiser moments, flat."""
        state = {f"network.{k}": v for k, v in self.agent.network.state_dict().items()}
        state["trained_steps"] = torch.tensor(self.trained_steps)
        for i, moments in self.optimiser.state_dict()["state"].items():
            state |= {f"adam.{i}.{k}": v for k, v in moments.items()}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        weights = {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}
        self.agent.network.load_state_dict(weights)
        self.trained_steps = int(state["trained_steps"])
        adam = self.optimiser.state_dict()
        adam["state"] = {}
        for key, value in state.items():
            if key.startswith("adam."):
                _, i, name = key.split(".")
                adam["state"].setdefault(int(i), {})[name] = value
        self.optimiser.load_state_dict(adam)
