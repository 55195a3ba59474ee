"""The quantile network: the Q-network's parts, whose heads are noisy and give quantiles of the return.

In: tokens of the current architecture (first) and its neighbours. Out: quantiles of the return of each
action, and their means. Next: ``learner`` trains it, ``agent`` walks by it.
"""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from archwalk.agents.networks import Linear, QNetwork, TokenNetwork
from archwalk.agents.values import CPU, Form, QFunction, Snapshot
from archwalk.config import NetworkSettings, Settings
from archwalk.envs.process import SearchProcess
from archwalk.spaces.base import PAD


class NoisyLinear(Linear):
    """A linear layer with factorised Gaussian noise on its weights (Fortunato et al. 2018, section 3).

    With noise: y = (μ_w + σ_w ∘ f(ε_out) f(ε_in)ᵀ) x + μ_b + σ_b ∘ f(ε_out), f(x) = sign(x) √|x|, drawn anew
    for each row of a batch and the same for all actions of a row. Without, which greedy walks go by, μ alone.

    Args:
        inputs, outputs: sizes.
        sigma: σ at first, times 1/√inputs.
    """

    def __init__(self, inputs: int, outputs: int, sigma: float) -> None:
        super().__init__(inputs, outputs)
        self.sigma_weight = nn.Parameter(torch.full((outputs, inputs), sigma * inputs**-0.5))
        self.sigma_bias = nn.Parameter(torch.full((outputs,), sigma * inputs**-0.5))

    def noisy(
        self, x: Float[Tensor, "batch actions inputs"], generator: torch.Generator
    ) -> Float[Tensor, "batch actions outputs"]:
        """``forward`` with noise."""
        into = _scaled(x, self.in_features, generator)
        out = _scaled(x, self.out_features, generator)
        shaken = F.linear(x * into, self.sigma_weight.to(x.dtype), self.sigma_bias.to(x.dtype))
        noisy: Tensor = self.forward(x) + shaken * out
        return noisy


def _scaled(x: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """f(ε) a row, [batch, 1, size]."""
    drawn = torch.randn(len(x), 1, size, generator=generator)
    return (drawn.sign() * drawn.abs().sqrt()).to(x.device, x.dtype)


class QuantileNetwork(QNetwork):
    """Tokens to quantiles: θ_i = V_i + A_i - mean of A_i over the actions that exist.

    Args:
        features: length of a token.
        settings: sizes.
        generator: draws the weights.
        bfloat16: multiply matrices in bfloat16, not float32.
        quantiles: how many.
        sigma: of the noise at first.
    """

    def __init__(
        self,
        features: int,
        settings: NetworkSettings,
        generator: torch.Generator,
        bfloat16: bool,
        quantiles: int,
        sigma: float,
    ) -> None:
        layer = partial(NoisyLinear, sigma=sigma)
        super().__init__(features, settings, generator, bfloat16, quantiles, layer)

    def quantiles(
        self,
        embedded: Float[Tensor, "batch actions width"],
        exists: Bool[Tensor, "batch actions"] | None,
        noise: torch.Generator | None = None,
    ) -> Float[Tensor, "batch actions quantiles"]:
        """Quantiles of the return, anything where an action does not exist.

        Args:
            embedded: from ``embed``.
            exists: False where an action is padding; None if all exist.
            noise: draws the noise; None for none.
        """
        x = self.compare(embedded, exists)
        advantage = _through(self.advantage, x, noise)
        value = _through(self.value, x[:, :1], noise)
        if exists is None:
            return value + advantage - advantage.mean(1, keepdim=True)
        counted = advantage.masked_fill(~exists[:, :, None], 0.0)
        mean = counted.sum(1, keepdim=True) / exists.sum(1)[:, None, None]
        return value + advantage - mean

    def judge(
        self, embedded: Float[Tensor, "batch actions width"], exists: Bool[Tensor, "batch actions"] | None
    ) -> Float[Tensor, "batch actions"]:
        """Mean of the quantiles without noise, -inf where an action does not exist."""
        mean = self.quantiles(embedded, exists).mean(2)
        return mean if exists is None else mean.masked_fill(~exists, -torch.inf)


def _through(head: nn.Sequential, x: Tensor, noise: torch.Generator | None) -> Tensor:
    for i, layer in enumerate(head):
        x = x.float() if i == len(head) - 1 else x
        x = layer.noisy(x, noise) if noise is not None and isinstance(layer, NoisyLinear) else layer(x)
    return x


class QuantileFunction(QFunction):
    """A quantile network in a process."""

    network: QuantileNetwork

    def over(self, process: SearchProcess, network: TokenNetwork | None = None) -> QFunction:
        """See ``QFunction``."""
        return QuantileFunction(network or self.network, process)

    def quantiles(
        self, state: Tensor, offered: Tensor, generator: torch.Generator, noise: torch.Generator | None
    ) -> Tensor:
        """Quantiles of what is offered, [batch, actions, quantiles], on the device."""
        tokens = self.process.observe(state, offered, generator).to(self.device).float()
        return self.network.quantiles(self.network.embed(tokens), self.exists(offered), noise)


class QuantileSnapshot(Snapshot):
    """A frozen copy: walks go by its means with noise, drawn anew for every walk and step; targets are its
    quantiles without. Nothing is kept, since noise is new each time.

    Args:
        values: whose present parameters are frozen.
        generator: draws the tokens' padding.
        noise: draws the noise.
    """

    def __init__(self, values: QuantileFunction, generator: torch.Generator, noise: torch.Generator) -> None:
        super().__init__(values, False, 0, generator)
        self._noise = noise

    @torch.no_grad()
    def q(self, state: Tensor, offered: Tensor) -> Tensor:
        """Means with noise of what is offered, -inf where an action does not exist; on the CPU."""
        mean = self._values.quantiles(state, offered, self._generator, self._noise).mean(2).to(CPU)
        return mean.masked_fill(offered == PAD, -torch.inf)

    @torch.no_grad()
    def quantiles(self, state: Tensor, offered: Tensor) -> Tensor:
        """Quantiles without noise, [batch, actions, quantiles], on the CPU."""
        return self._values.quantiles(state, offered, self._generator, None).to(CPU)

    @property
    def _values(self) -> QuantileFunction:
        frozen = self._frozen
        assert isinstance(frozen, QuantileFunction)
        return frozen


def _network(features: int, settings: Settings, generator: torch.Generator, bfloat16: bool) -> TokenNetwork:
    own = settings.distributional
    return QuantileNetwork(features, settings.network, generator, bfloat16, own.quantiles, own.noise)


def _function(network: TokenNetwork, process: SearchProcess, settings: Settings) -> QFunction:
    del settings
    return QuantileFunction(network, process)


QUANTILE_FORM = Form(_network, _function)
