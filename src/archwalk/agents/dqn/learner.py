"""The learner: Huber loss towards targets, Adam.

In: samples from replay, a ``Target``. Out: an updated network, new TD errors. Next: ``agent``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional as F

from archwalk.agents.descent import Descent
from archwalk.agents.dqn.replay import Sample
from archwalk.agents.dqn.targets import Online, Target
from archwalk.agents.values import CPU, QFunction
from archwalk.config import LearnerSettings


class Learned(NamedTuple):
    """What one update reports.

    Attributes:
        error: size of each transition's TD error, [batch]; with targets of all actions the largest of its
            state.
        loss: weighted Huber loss, scalar.
        q: mean Q-value of the actions that were trained, scalar.
        grad_norm: L2 norm of the gradient before clipping, scalar.
    """

    error: Float32[Tensor, " batch"]
    loss: Float32[Tensor, ""]
    q: Float32[Tensor, ""]
    grad_norm: Float32[Tensor, ""]


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


Loss = Callable[[Tensor, Tensor, Tensor], Errors]
# A sample and the Q-values of all actions offered where its transitions begin → what is added to the loss.
ExtraLoss = Callable[[Sample, Tensor], Tensor]


class Learner:
    """Trains a network in place.

    Args:
        values: the network in its process.
        settings: step sizes.
        generator: draws the tokens' padding, and offers where not all neighbours are offered.
        reuse: see ``Online``.
        loss: Q-values, targets and importance weights → ``Errors``.

    Attributes:
        extra: what is added to the loss, such as a margin for demonstrations; None for nothing.
    """

    extra: ExtraLoss | None = None

    def __init__(
        self,
        values: QFunction,
        settings: LearnerSettings,
        generator: torch.Generator,
        reuse: bool = True,
        loss: Loss = errors,
    ) -> None:
        self.values, self.settings, self._generator = values, settings, generator
        self._reuse, self._loss = reuse, loss
        self.descent = Descent(
            values.network,
            settings.learning_rate,
            settings.halving_steps,
            settings.max_grad_norm,
            settings.frozen_body_steps,
        )

    def update(self, sample: Sample, target: Target) -> Learned:
        """One step of Adam on the importance-weighted loss."""
        loss, error, mean_q = self.judged(sample, target)
        norm = self.descent.step(loss, len(error))
        return Learned(error.to(CPU), loss.detach().to(CPU), mean_q.to(CPU), norm.detach().to(CPU))

    def judged(self, sample: Sample, target: Target) -> Errors:
        """The loss of a batch, with its gradient."""
        batch, device = sample.transitions, self.values.device
        online = Online(self.values, batch, self._generator, self._reuse)
        every = q = online.q.index_select(0, online.at.to(device))
        y, action = target.goals(batch, online)
        if action is not None:
            q = q.gather(1, action[:, None].to(device))
        judged = self._loss(q, y.to(device), sample.weight.to(device))
        if self.extra is None:
            return judged
        return judged._replace(loss=judged.loss + self.extra(sample, every))

    @property
    def trained_steps(self) -> int:
        """Transitions trained on."""
        return self.descent.trained_steps

    def state_dict(self) -> dict[str, Tensor]:
        """As ``Descent`` has it."""
        return self.descent.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        self.descent.load_state_dict(state)
