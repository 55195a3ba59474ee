"""``Descent``: steps of Adam on a network, counted in trained steps.

In: losses. Out: a network that has moved, in place. Next: the learners of the algorithms.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from archwalk.agents.networks import is_body


class Descent:
    """Adam with a step size that falls, clipped gradients, and a body that may be kept for a while.

    Args:
        network: trained in place.
        learning_rate: step size at the start.
        halving_steps: trained steps after which it has halved; 0: constant.
        max_grad_norm: gradients are clipped to this L2 norm.
        frozen_body_steps: trained steps during which the body keeps its weights.

    Attributes:
        trained_steps: transitions trained on.
    """

    def __init__(
        self,
        network: nn.Module,
        learning_rate: float,
        halving_steps: int,
        max_grad_norm: float,
        frozen_body_steps: int = 0,
    ) -> None:
        self._network, self._rate, self._halving = network, learning_rate, halving_steps
        self._most = max_grad_norm
        self.trained_steps = 0
        self.freeze(is_body, frozen_body_steps)
        self._parameters = list(network.parameters())  # found once: finding them costs as much as moving them
        self.optimiser = torch.optim.Adam(self._parameters, lr=learning_rate, fused=True)

    def freeze(self, chosen: Callable[[str], bool], steps: float) -> None:
        """Let some parameters keep the weights that they begin with.

        Args:
            chosen: whether a parameter, by its name, is meant.
            steps: trained steps during which they do; ``inf`` for good.
        """
        self._frozen = [p for name, p in self._network.named_parameters() if chosen(name)]
        self._frozen_steps = steps

    def step(self, loss: Float32[Tensor, ""], trained: int) -> Float32[Tensor, ""]:
        """One step.

        Args:
            loss: to go down.
            trained: transitions that it is of.

        Returns:
            L2 norm of the gradient before clipping.
        """
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()
        if self.trained_steps < self._frozen_steps:
            for parameter in self._frozen:
                parameter.grad = None  # neither moved nor counted in the norm
        norm = nn.utils.clip_grad_norm_(self._parameters, self._most)
        self.optimiser.param_groups[0]["lr"] = self.learning_rate()
        self.optimiser.step()
        self.trained_steps += trained
        return norm

    def learning_rate(self) -> float:
        """lr/(1 + trained/halving_steps): falls with the work done, whatever the length of the run, so that a
        run cut off is the same as a shorter one."""
        return self._rate / (1 + self.trained_steps / self._halving if self._halving else 1)

    def state_dict(self) -> dict[str, Tensor]:
        """Weights and optimiser moments, flat."""
        state = {f"network.{k}": v for k, v in self._network.state_dict().items()}
        state["trained_steps"] = torch.tensor(self.trained_steps)
        for i, moments in self.optimiser.state_dict()["state"].items():
            state |= {f"adam.{i}.{k}": v for k, v in moments.items()}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        weights = {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}
        self._network.load_state_dict(weights)
        self.trained_steps = int(state["trained_steps"])
        adam = self.optimiser.state_dict()
        adam["state"] = {}
        for key, value in state.items():
            if key.startswith("adam."):
                _, i, name = key.split(".")
                adam["state"].setdefault(int(i), {})[name] = value
        self.optimiser.load_state_dict(adam)
