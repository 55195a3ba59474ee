"""The Q-network: a transformer over the candidates, with dueling heads; and what all networks share.

In: tokens of the current architecture (first) and its neighbours. Out: one Q-value an action. Next:
``values`` reads Q-values through it, an algorithm's folder trains it or one of its kin.

Paper, section 4, and Wang et al. 2016 for the heads: Q = V + A - mean of A over the actions that exist.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from archwalk.config import NetworkSettings, Precision

BFLOAT16_WIDTH = 128  # a narrower network gains little, and its rounding is a larger part of what it learns


def resolved_precision(asked: Precision, width: int, device: torch.device) -> Precision:
    """``auto`` decided: bfloat16 for a wide network on a CPU or GPU that multiplies in it."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu.get_capabilities()
        fast = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return "bfloat16" if fast and width >= BFLOAT16_WIDTH else "float32"


def is_body(name: str) -> bool:
    """Whether a parameter of a ``QNetwork`` belongs to its body, which lies between the embedding of tokens
    and the heads: the transformer, and the mark of the current architecture."""
    return name.startswith("encoder.") or name == "current"


class Linear(nn.Linear):
    """A linear layer that multiplies in the precision of what comes in, whatever that of its weights."""

    def forward(self, x: Float[Tensor, "*shape inputs"]) -> Float[Tensor, "*shape outputs"]:
        """As ``torch.nn.Linear``."""
        assert self.bias is not None
        return F.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class LayerNorm(nn.LayerNorm):
    """Layer normalisation in the precision of what comes in, whatever that of its weights."""

    def forward(self, x: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape width"]:
        """As ``torch.nn.LayerNorm``."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


def perceptron(
    inputs: int, width: int, outputs: int, layers: int, layer: Callable[[int, int], nn.Module] = Linear
) -> nn.Sequential:
    """Linear layers, or others that ``layer`` makes, with ReLU between them."""
    sizes = [inputs, *[width] * (layers - 1), outputs]
    parts: list[nn.Module] = []
    for i in range(layers):
        parts.append(layer(sizes[i], sizes[i + 1]))
        if i < layers - 1:
            parts.append(nn.ReLU())
    return nn.Sequential(*parts)


class EncoderLayer(nn.Module):
    """One post-norm transformer layer (Vaswani et al. 2017) with ReLU, without dropout.

    The same function as ``torch.nn.TransformerEncoderLayer(dropout=0)``, which the tests hold it to; written
    out for speed on CPUs, attention too: the framework's fused kernel is made for long sequences, and over a
    few dozen candidates its backward pass takes three times as long (docs/performance.md).
    """

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)
        self.up = Linear(width, feedforward)
        self.down = Linear(feedforward, width)
        self.norm1 = LayerNorm(width)
        self.norm2 = LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "batch actions width"], attend: Bool[Tensor, "batch 1 1 actions"] | None
    ) -> Float[Tensor, "batch actions width"]:
        """Attention among the candidates that exist, then the feed-forward part."""
        batch, actions, width = x.shape
        qkv = self.qkv(x).view(batch, actions, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        if attend is not None:
            scores = scores.masked_fill(~attend, -torch.inf)
        mixed = scores.softmax(-1, dtype=torch.float32).to(v.dtype) @ v
        x = self.norm1(x + self.out(mixed.transpose(1, 2).reshape(batch, actions, width)))
        y: Tensor = self.norm2(x + self.down(F.relu(self.up(x))))
        return y


class TokenNetwork(nn.Module):
    """What the networks of all algorithms share: a token is embedded by itself, then judged in its company.

    Args:
        features: length of a token.
        settings: sizes.
        bfloat16: multiply matrices in bfloat16, not float32.

    Weights, their gradients and scores are float32 always.
    """

    def __init__(self, features: int, settings: NetworkSettings, bfloat16: bool = False) -> None:
        super().__init__()
        self._precision = torch.bfloat16 if bfloat16 else torch.float32
        self.embedding = perceptron(features, settings.width, settings.width, settings.embedding_layers)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        """Draw the weights, with the framework's own ranges: uniform in ±1/sqrt(fan-in)."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                bound = module.in_features**-0.5
                module.weight.uniform_(-bound, bound, generator=generator)
                module.bias.uniform_(-bound, bound, generator=generator)

    def embed(self, tokens: Float[Tensor, "*shape features"]) -> Float[Tensor, "*shape width"]:
        """Each token to the latent space, by itself."""
        embedded: Tensor = F.relu(self.embedding(tokens.to(self._precision)))
        return embedded

    @abstractmethod
    def judge(
        self, embedded: Float[Tensor, "batch actions width"], exists: Bool[Tensor, "batch actions"] | None
    ) -> Float[Tensor, "batch actions"]:
        """What greedy walks take the largest of, from embedded candidates, the current architecture first.

        Args:
            embedded: from ``embed``.
            exists: False where an action is padding; None if all exist.

        Returns:
            A score an action, -inf where it does not exist.
        """

    def forward(
        self, tokens: Float[Tensor, "batch actions features"], exists: Bool[Tensor, "batch actions"] | None
    ) -> Float[Tensor, "batch actions"]:
        """``judge`` of ``embed``."""
        return self.judge(self.embed(tokens), exists)


class QNetwork(TokenNetwork):
    """Tokens to Q-values.

    Args:
        features: length of a token.
        settings: sizes.
        generator: draws the weights.
        bfloat16: multiply matrices in bfloat16, not float32.
        outputs: numbers that each head gives; one, but for networks that are of this kind.
        layer: makes the linear layers of the heads.

    Weights, their gradients and Q-values are float32 always. In bfloat16 what lies between the tokens and the
    last layers of the heads is rounded to eight bits; the sum of value and advantages, which differ little
    beside it, is not.
    """

    def __init__(
        self,
        features: int,
        settings: NetworkSettings,
        generator: torch.Generator,
        bfloat16: bool = False,
        outputs: int = 1,
        layer: Callable[[int, int], nn.Module] = Linear,
    ) -> None:
        super().__init__(features, settings, bfloat16)
        width = settings.width
        self.current = nn.Parameter(torch.empty(width))  # marks the current architecture's token
        self.encoder = nn.ModuleList(
            EncoderLayer(width, settings.heads, settings.feedforward) for _ in range(settings.layers)
        )
        self.advantage = perceptron(width, width, outputs, settings.head_layers, layer)
        self.value = perceptron(width, width, outputs, settings.head_layers, layer)
        self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        super()._initialise(generator)
        self.current.uniform_(-0.1, 0.1, generator=generator)

    def compare(
        self, embedded: Float[Tensor, "batch actions width"], exists: Bool[Tensor, "batch actions"] | None
    ) -> Float[Tensor, "batch actions width"]:
        """The body: each candidate in the company of the others."""
        x = torch.cat([embedded[:, :1] + self.current.to(embedded.dtype), embedded[:, 1:]], dim=1)
        attend = None if exists is None else exists[:, None, None, :]
        for layer in self.encoder:
            x = layer(x, attend)
        return x

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
        x = self.compare(embedded, exists)
        advantage = self.advantage[-1](self.advantage[:-1](x).float()).squeeze(-1)
        value = self.value[-1](self.value[:-1](x[:, 0]).float())
        if exists is None:
            return value + advantage - advantage.mean(1, keepdim=True)
        counted = advantage.masked_fill(~exists, 0.0)
        mean = counted.sum(1, keepdim=True) / exists.sum(1, keepdim=True)
        return (value + advantage - mean).masked_fill(~exists, -torch.inf)
