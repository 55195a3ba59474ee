"""The Q-network: a transformer over the candidates, with dueling heads.

In: tokens of the current architecture (first) and its neighbours. Out: one Q-value an action. Next:
``agent`` reads Q-values through it, ``learner`` trains it.

Paper, section 4, and Wang et al. 2016 for the heads: Q = V + A - mean of A over the actions that exist.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from archwalk.config import NetworkSettings


def perceptron(inputs: int, width: int, outputs: int, layers: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    sizes = [inputs, *[width] * (layers - 1), outputs]
    parts: list[nn.Module] = []
    for i in range(layers):
        parts.append(nn.Linear(sizes[i], sizes[i + 1]))
        if i < layers - 1:
            parts.append(nn.ReLU())
    return nn.Sequential(*parts)


class EncoderLayer(nn.Module):
    """One post-norm transformer layer (Vaswani et al. 2017) with ReLU, without dropout.

    The same function as ``torch.nn.TransformerEncoderLayer(dropout=0)``, which the tests hold it to; written
    out because the framework's layer takes a quarter more time at width 64 and a tenth more at 256, on a CPU.
    """

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, feedforward)
        self.down = nn.Linear(feedforward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "batch actions width"], attend: Bool[Tensor, "batch 1 1 actions"] | None
    ) -> Float[Tensor, "batch actions width"]:
        """Attention among the candidates that exist, then the feed-forward part."""
        batch, actions, width = x.shape
        qkv = self.qkv(x).view(batch, actions, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attend)
        x = self.norm1(x + self.out(mixed.transpose(1, 2).reshape(batch, actions, width)))
        y: Tensor = self.norm2(x + self.down(F.relu(self.up(x))))
        return y


class QNetwork(nn.Module):
    """Tokens to Q-values.

    Args:
        features: length of a token.
        settings: sizes.

    Weights are drawn from ``generator`` with the framework's own ranges: uniform in ±1/sqrt(fan-in).
    """

    def __init__(self, features: int, settings: NetworkSettings, generator: torch.Generator) -> None:
        super().__init__()
        width = settings.width
        self.embedding = perceptron(features, width, width, settings.embedding_layers)
        self.current = nn.Parameter(torch.empty(width))  # marks the current architecture's token
        self.encoder = nn.ModuleList(
            EncoderLayer(width, settings.heads, settings.feedforward) for _ in range(settings.layers)
        )
        self.advantage = perceptron(width, width, 1, settings.head_layers)
        self.value = perceptron(width, width, 1, settings.head_layers)
        self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                bound = module.in_features**-0.5
                module.weight.uniform_(-bound, bound, generator=generator)
                module.bias.uniform_(-bound, bound, generator=generator)
        self.current.uniform_(-0.1, 0.1, generator=generator)

    def embed(self, tokens: Float[Tensor, "*shape features"]) -> Float[Tensor, "*shape width"]:
        """Each token to the latent space, by itself."""
        embedded: Tensor = F.relu(self.embedding(tokens))
        return embedded

    def judge(
        self, embedded: Float[Tensor, "batch actions width"], exists: Bool[Tensor, "batch actions"] | None
    ) -> Float[Tensor, "batch actions"]:
        """Q-values from embedded candidates, the current architecture first.

        Args:
            embedded: from ``embed``.
            exists: False where an action is padding; None if all exist.

        Returns:
            Q, -inf where an action does not exist. The order of the neighbours changes nothing else.
        """
        x = torch.cat([embedded[:, :1] + self.current, embedded[:, 1:]], dim=1)
        attend = None if exists is None else exists[:, None, None, :]
        for layer in self.encoder:
            x = layer(x, attend)
        advantage = self.advantage(x).squeeze(-1)
        value = self.value(x[:, 0])
        if exists is None:
            return value + advantage - advantage.mean(1, keepdim=True)
        counted = advantage.masked_fill(~exists, 0.0)
        mean = counted.sum(1, keepdim=True) / exists.sum(1, keepdim=True)
        return (value + advantage - mean).masked_fill(~exists, -torch.inf)

    def forward(
        self, tokens: Float[Tensor, "batch actions features"], exists: Bool[Tensor, "batch actions"] | None
    ) -> Float[Tensor, "batch actions"]:
        """``judge`` of ``embed``."""
        return self.judge(self.embed(tokens), exists)
