"""The quantile loss, its targets, and the learner that has them.

In: samples from replay, a ``Target``. Out: an updated network, new TD errors. Next: ``agent``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor

from archwalk.agents.distributional.network import QuantileFunction, QuantileSnapshot
from archwalk.agents.dqn.learner import Errors, Learner
from archwalk.agents.dqn.replay import Sample, Transitions
from archwalk.agents.dqn.targets import Goals, Online, Target, TargetNetwork
from archwalk.config import DistributionalSettings, LearnerSettings
from archwalk.spaces.base import PAD


def quantile_errors(
    theta: Float32[Tensor, "batch columns quantiles"],
    y: Float32[Tensor, "batch columns samples"],
    weight: Float32[Tensor, " batch"],
    kappa: float,
) -> Errors:
    """The quantile Huber loss (Dabney et al. 2018, equations 9 and 10): of a column the mean over i and j of
    |τ_i - 1{u < 0}| L_κ(u) / κ with u = y_j - θ_i and τ_i = (i - 1/2) / N; the paper sums over i.

    Args:
        theta: quantiles of the return of each column, an action.
        y: samples of what it should be, -inf in columns without a target.
        weight: importance of each transition.
        kappa: κ.
    """
    count = theta.shape[2]
    level = (torch.arange(count, device=theta.device) + 0.5) / count
    open_ = (y == -torch.inf).all(2)
    y, theta = y.masked_fill(open_[..., None], 0.0), theta.masked_fill(open_[..., None], 0.0)
    u = y[:, :, None, :] - theta[:, :, :, None]
    size = u.abs()
    huber = torch.where(size <= kappa, 0.5 * u.square(), kappa * (size - 0.5 * kappa))
    tilted = (level[:, None] - (u.detach() < 0).float()).abs() * huber / kappa
    known = (~open_).sum(1)
    loss = (weight * tilted.mean((2, 3)).sum(1) / known).mean()
    mean = theta.detach().mean(2)
    return Errors(loss, (y.mean(2) - mean).abs().amax(1), mean.sum() / known.sum())


class QuantileTarget(TargetNetwork):
    """Quantiles of a frozen copy of the network, of the action that is best there, or, with double
    Q-learning, best by the online network."""

    snapshot: QuantileSnapshot

    @torch.no_grad()
    def goals(self, batch: Transitions, online: Online) -> Goals:
        """y_j = r_t + discount_t θ_j(s_t, a*), [batch, quantiles], of the actions taken."""
        offered = online.offer(batch.s_t, batch.offer_t)
        theta = self.snapshot.quantiles(batch.s_t, offered)
        absent = offered == PAD
        chooser = online.at_other(batch.s_t, offered) if self.double else theta.mean(2)
        best = chooser.masked_fill(absent, -torch.inf).argmax(1)
        following = theta[torch.arange(len(best)), best]
        return Goals(batch.r_t[:, None] + batch.discount_t[:, None] * following, batch.a_tm1)


class QuantileOnline(Online):
    """The online network with noise at the states of a batch; ``q`` are means."""

    theta: Tensor  # quantiles, differentiable, [states, actions, quantiles]

    def _look(self, state: Tensor, offered: Tensor) -> Tensor:
        values = self._values
        assert isinstance(values, QuantileFunction)
        self.theta = values.quantiles(state, offered, self._generator, self._generator)
        return self.theta.detach().mean(2).masked_fill((offered == PAD).to(self.theta.device), -torch.inf)


class QuantileLearner(Learner):
    """Trains a quantile network in place: the loss is another one, all else the learner's.

    Args:
        values: the network in its process.
        settings: step sizes.
        generator: draws padding, offers and noise.
        reuse: see ``Online``.
        own: of the loss.
    """

    def __init__(
        self,
        values: QuantileFunction,
        settings: LearnerSettings,
        generator: torch.Generator,
        reuse: bool,
        own: DistributionalSettings,
    ) -> None:
        super().__init__(values, settings, generator, reuse)
        self._kappa = own.kappa

    def judged(self, sample: Sample, target: Target) -> Errors:
        """The loss of a batch: towards samples of the action taken, or one target of each known action."""
        batch, device = sample.transitions, self.values.device
        online = QuantileOnline(self.values, batch, self._generator, self._reuse)
        theta = online.theta.index_select(0, online.at.to(device))
        y, action = target.goals(batch, online)
        if action is None:
            y = y[:, :, None]
        else:
            theta = theta[torch.arange(len(action)), action][:, None]
            y = y[:, None]
        return quantile_errors(theta, y.to(device), sample.weight.to(device), self._kappa)
