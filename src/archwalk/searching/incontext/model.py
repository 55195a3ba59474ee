"""``InContext``: from a few evaluated architectures of a task to a distribution for every other one.

In: vectors of architectures from an ``Encoder``, and rewards of some. Out: mean and deviation of where each
architecture stands among all of its space, as a normal score. Next: ``fitting`` trains it, ``agent`` keeps
it.

A transformer over the set of evaluated architectures, which has no order; candidates read the set and not
each other, so that each prediction is as if it were alone (prior-fitted networks, Müller et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from archwalk.encoding.encoder import Drawings, Encoder

TOLD = 3  # features of a reward: see ``told``
LOWEST, HIGHEST = -3.0, 1.0  # of the logarithm of a predicted deviation


def told(
    rewards: Float[Tensor, "tasks context"], known: Bool[Tensor, "tasks context"]
) -> Float[Tensor, "tasks context features"]:
    """What the network is told of rewards, whatever their unit: [tasks, context, TOLD].

    Standardised, cut at ±4; their normal score by rank; how many there are. One alone tells nothing but that.

    Args:
        rewards: larger is better; anything finite where they are not known.
        known: False for padding.
    """
    count = known.sum(1, keepdim=True)
    some = count.clamp(min=1)
    kept = torch.where(known, rewards, 0.0)
    mean = kept.sum(1, keepdim=True) / some
    spread = torch.where(known, rewards - mean, 0.0).square().sum(1, keepdim=True) / some
    standard = ((rewards - mean) / spread.sqrt().clamp(min=1e-12)).clamp(-4, 4)
    below = (rewards[:, None, :] < rewards[:, :, None]) & known[:, None, :]
    alike = (rewards[:, None, :] == rewards[:, :, None]) & known[:, None, :]
    rank = below.sum(2) + alike.sum(2) / 2
    score = torch.special.ndtri((rank / some).clamp(1e-3, 1 - 1e-3))
    number = (count.float().log1p() / 4).expand_as(rewards)
    features = torch.stack([standard, score, number], 2)
    return torch.where(known[:, :, None], features, 0.0)


class Reader(nn.Module):
    """A pre-norm transformer layer in which rows read a set.

    Args:
        width: of a vector.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.pair = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(
        self,
        x: Float[Tensor, "tasks rows width"],
        read: Float[Tensor, "tasks set width"] | None,
        absent: Float[Tensor, "tasks 1 1 set"],
    ) -> Float[Tensor, "tasks rows width"]:
        """The rows after one layer.

        Args:
            x: what reads.
            read: what is read; None: the rows themselves.
            absent: added to the scores, -inf for padding.
        """
        tasks, rows, width = x.shape
        normed = self.norm1(x)
        source = normed if read is None else read
        q = self.query(normed).view(tasks, rows, self.heads, -1).transpose(1, 2)
        k, v = self.pair(source).view(tasks, source.shape[1], 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3) + absent
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(tasks, rows, width)
        x = x + self.out(mixed)
        y: Tensor = x + self.down(F.gelu(self.up(self.norm2(x))))
        return y


@dataclass(frozen=True)
class Sizes:
    """Of a network.

    Attributes:
        width: of a vector, a multiple of ``heads`` and of 4.
        encoder_layers: transformer layers over an architecture's nodes.
        context_layers: over the set of what is evaluated.
        query_layers: in which candidates read that set.
        heads: of the attention to the set.
    """

    width: int = 64
    encoder_layers: int = 3
    context_layers: int = 3
    query_layers: int = 2
    heads: int = 4


class InContext(nn.Module):
    """The network.

    Args:
        sizes: of its parts.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, heads = sizes.width, sizes.heads
        self.encoder = Encoder(width, sizes.encoder_layers)
        self.evaluated, self.reward = nn.Linear(width, width), nn.Linear(TOLD, width)
        self.nothing = nn.Parameter(torch.randn(width) * 0.1)  # is always in the set
        self.context = nn.ModuleList(Reader(width, heads) for _ in range(sizes.context_layers))
        self.read = nn.LayerNorm(width)
        self.candidate = nn.Linear(width, width)
        self.queries = nn.ModuleList(Reader(width, heads) for _ in range(sizes.query_layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2)

    def embed(self, drawings: Drawings) -> Float[Tensor, "n width"]:
        """Vectors of architectures, which depend on nothing else."""
        vectors: Tensor = self.encoder(drawings)
        return vectors

    def forward(
        self,
        vectors: Float[Tensor, "tasks context width"],
        rewards: Float[Tensor, "tasks context"],
        known: Bool[Tensor, "tasks context"],
        candidates: Float[Tensor, "tasks candidates width"],
    ) -> tuple[Float[Tensor, "tasks candidates"], Float[Tensor, "tasks candidates"]]:
        """Mean and logarithm of the deviation of the candidates' normal scores.

        Args:
            vectors: of evaluated architectures.
            rewards: of these, in any unit, larger is better.
            known: False for padding.
            candidates: vectors of what is asked for.
        """
        x = self.evaluated(vectors) + self.reward(told(rewards, known))
        x = torch.cat([self.nothing.expand(len(x), 1, -1), x], 1)
        there = torch.cat([known.new_ones(len(known), 1), known], 1)
        absent = torch.zeros(there.shape).masked_fill(~there, -torch.inf)[:, None, None, :]
        for layer in self.context:
            x = layer(x, None, absent)
        x = self.read(x)
        y = self.candidate(candidates)
        for layer in self.queries:
            y = layer(y, x, absent)
        mean, log = self.head(self.norm(y)).unbind(-1)
        return mean, LOWEST + (HIGHEST - LOWEST) * torch.sigmoid(log)
