"""The learner: Huber loss towards targets, Adam.

In: samples from replay, a ``Target``. Out: an updated network, new TD errors. Next: ``agent``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn import functional as F

from archwalk.agents.dqn.replay import Sample
from archwalk.agents.dqn.targets import Online, Target
from archwalk.agents.networks import is_body
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
        self.trained_steps = 0
        self.freeze(is_body, settings.frozen_body_steps)
        self.optimiser = torch.optim.Adam(values.network.parameters(), lr=settings.learning_rate, fused=True)

    def freeze(self, chosen: Callable[[str], bool], steps: float) -> None:
        """Let some parameters keep the weights that they begin with.

        Args:
            chosen: whether a parameter, by its name, is meant.
            steps: trained steps during which they do; ``inf`` for good.
        """
        self._frozen = [p for name, p in self.values.network.named_parameters() if chosen(name)]
        self._frozen_steps = steps

    def update(self, sample: Sample, target: Target) -> Learned:
        """One step of Adam on the importance-weighted loss."""
        batch, device = sample.transitions, self.values.device
        online = Online(self.values, batch, self._generator, self._reuse)
        every = q = online.q.index_select(0, online.at.to(device))
        y, action = target.goals(batch, online)
        if action is not None:
            q = q.gather(1, action[:, None].to(device))
        loss, error, mean_q = self._loss(q, y.to(device), sample.weight.to(device))
        if self.extra is not None:
            loss = loss + self.extra(sample, every)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.trained_steps < self._frozen_steps:
            for parameter in self._frozen:
                parameter.grad = None  # neither moved nor counted in the norm
        norm = nn.utils.clip_grad_norm_(self.values.network.parameters(), self.settings.max_grad_norm)
        self.optimiser.param_groups[0]["lr"] = self.learning_rate()
        self.optimiser.step()
        self.trained_steps += len(y)
        return Learned(error.to(CPU), loss.detach().to(CPU), mean_q.to(CPU), norm.detach().to(CPU))

    def learning_rate(self) -> float:
        """lr/(1 + trained/halving_steps): falls with the work done, whatever the length of the run, so that a
        run cut off is the same as a shorter one."""
        halving = self.settings.halving_steps
        return self.settings.learning_rate / (1 + self.trained_steps / halving if halving else 1)

    def state_dict(self) -> dict[str, Tensor]:
        """Weights and optimiser moments, flat."""
        state = {f"network.{k}": v for k, v in self.values.network.state_dict().items()}
        state["trained_steps"] = torch.tensor(self.trained_steps)
        for i, moments in self.optimiser.state_dict()["state"].items():
            state |= {f"adam.{i}.{k}": v for k, v in moments.items()}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        weights = {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}
        self.values.network.load_state_dict(weights)
        self.trained_steps = int(state["trained_steps"])
        adam = self.optimiser.state_dict()
        adam["state"] = {}
        for key, value in state.items():
            if key.startswith("adam."):
                _, i, name = key.split(".")
                adam["state"].setdefault(int(i), {})[name] = value
        self.optimiser.load_state_dict(adam)
