"""The reward model: the token's embedding that all networks have, and an ensemble of heads.

In: tokens of architectures. Out: what each head thinks that arriving there is worth. Next: ``plan``.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from archwalk.agents.networks import TokenNetwork
from archwalk.config import NetworkSettings


class Heads(nn.Module):
    """Perceptrons beside each other, each from the latent space to one number.

    Args:
        members: how many.
        width: of the latent space and the hidden layers.
        layers: linear layers of each.
    """

    def __init__(self, members: int, width: int, layers: int) -> None:
        super().__init__()
        sizes = [width] * layers + [1]
        self.weights = nn.ParameterList(torch.empty(members, a, b) for a, b in pairwise(sizes))
        self.biases = nn.ParameterList(torch.empty(members, 1, b) for b in sizes[1:])

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Uniform in ±1/sqrt(fan-in), each head by itself."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            bound = weight.shape[1] ** -0.5
            weight.uniform_(-bound, bound, generator=generator)
            bias.uniform_(-bound, bound, generator=generator)

    def forward(self, x: Float[Tensor, "n width"]) -> Float[Tensor, "members n"]:
        """What each head says."""
        y = x.expand(len(self.weights[0]), *x.shape)
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            y = torch.baddbmm(bias.to(y.dtype), y, weight.to(y.dtype))
            y = F.relu(y) if i < last else y
        return y.squeeze(2).float()


class RewardNetwork(TokenNetwork):
    """Tokens to rewards of arriving at them, as each member of an ensemble sees it (Lakshminarayanan et al.
    2017), on one embedding.

    Each head is trained on the evaluations with weights of its own (``agent``), so that heads agree on what
    was evaluated and differ elsewhere.

    Args:
        features: length of a token.
        settings: sizes; there is no transformer, since a reward does not depend on the company.
        generator: draws the weights.
        bfloat16: multiply matrices in bfloat16, not float32.
        members: heads.
    """

    def __init__(
        self,
        features: int,
        settings: NetworkSettings,
        generator: torch.Generator,
        bfloat16: bool,
        members: int,
    ) -> None:
        super().__init__(features, settings, bfloat16)
        self.heads = Heads(members, settings.width, settings.head_layers)
        self._initialise(generator)
        self.heads.initialise(generator)

    def rewards(self, tokens: Float[Tensor, "n features"]) -> Float[Tensor, "members n"]:
        """What each member thinks."""
        told: Tensor = self.heads(self.embed(tokens))
        return told

    def judge(
        self, embedded: Float[Tensor, "batch actions width"], exists: Bool[Tensor, "batch actions"] | None
    ) -> Float[Tensor, "batch actions"]:
        """Mean reward of arriving at each candidate, -inf where there is none."""
        mean: Tensor = self.heads(embedded.flatten(0, 1)).mean(0).view(embedded.shape[:2])
        return mean if exists is None else mean.masked_fill(~exists, -torch.inf)
