"""Pretraining of an encoder without any measurement: an autoencoder over architectures of many spaces.

In: ``Drawings`` of spaces. Out: an ``Encoder`` from whose vectors the graphs can be told again. Next:
``archwalk.searching.incontext`` begins with its weights.

This is what the paper proposes as a way to search spaces in general (section 5.2). The nodes of a graph have
no order that the encoder sees, so what is told again has none either: how often each operation stands at each
depth, and how many edges lead from each operation to each other one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional as F

from archwalk.encoding.encoder import DEPTH, Drawings, Encoder
from archwalk.encoding.words import FEATURES

DEEPEST = 32  # nodes that are deeper count as so deep
BATCH = 256  # architectures of one space
RATE = 5e-3  # largest step size; with 1e-3 a third fewer counts are told right after 400 steps
WARM_UP = 50  # steps until it is reached


def counts_of(
    drawings: Drawings,
) -> tuple[Float32[Tensor, "n words depths"], Float32[Tensor, "n words words"]]:
    """How often each word stands at each depth, and how many edges lead from word to word."""
    n, _ = drawings.operations.shape
    words = len(drawings.words)
    depth = (drawings.places[:, :, 2] * DEPTH).round().long().clamp(max=DEEPEST - 1)
    row, node = torch.nonzero(drawings.operations >= 0, as_tuple=True)
    standing = torch.zeros(n, words, DEEPEST)
    word = drawings.operations[row, node]
    standing.index_put_((row, word, depth[row, node]), torch.ones(len(row)), accumulate=True)
    row, start, end = torch.nonzero(drawings.relations == 1, as_tuple=True)
    edges = torch.zeros(n, words, words)
    pair = row, drawings.operations[row, start], drawings.operations[row, end]
    edges.index_put_(pair, torch.ones(len(row)), accumulate=True)
    return standing, edges


class Decoder(nn.Module):
    """Vectors of architectures to the logarithms of expected counts.

    Args:
        width: of a vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.word = nn.Linear(FEATURES, width)
        self.depth = nn.Embedding(DEEPEST, width)
        self.there, self.start = (
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            for _ in range(2)
        )
        self.end = nn.Linear(width, width)
        self.rare = nn.Parameter(torch.tensor(-3.0))  # most counts are 0

    def forward(
        self, vectors: Float[Tensor, "n width"], words: Float32[Tensor, "words features"]
    ) -> tuple[Float[Tensor, "n words depths"], Float[Tensor, "n words words"]]:
        """As ``counts_of``.

        Args:
            vectors: of architectures of one space.
            words: features of its vocabulary.
        """
        word, scale = self.word(words), vectors.shape[1] ** -0.5
        each = vectors[:, None, :] + word  # [n, words, width]
        edges: Tensor = self.start(each) @ self.end(word).T * scale
        return self.rare + self.there(each) @ self.depth.weight.T * scale, self.rare + edges


def reconstruction(encoder: Encoder, decoder: Decoder, drawings: Drawings) -> tuple[Tensor, Tensor]:
    """Negative log likelihood of the counts as Poisson numbers, an architecture; and the share of counts of
    operations at depths that are told right, among those that are or should be above 0.

    Args:
        encoder: the encoder.
        decoder: the decoder.
        drawings: architectures of one space.
    """
    standing, edges = counts_of(drawings)
    log_standing, log_edges = decoder(encoder(drawings), drawings.words)
    loss = torch.zeros(())
    for log, counts in ((log_standing, standing), (log_edges, edges)):
        loss = loss + F.poisson_nll_loss(log, counts, reduction="sum") / len(drawings)
    told = log_standing.exp().round()
    right = (told == standing)[(standing > 0) | (told > 0)]
    return loss, right.float().mean()


def pretrain(
    encoder: Encoder,
    drawings: Sequence[Drawings],
    steps: int,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> float:
    """Train an encoder to remember architectures. A step is a batch of one space.

    Args:
        encoder: is changed.
        drawings: architectures, an entry a space.
        steps: of AdamW, whose step size rises to ``RATE``, then falls to 0 along a cosine.
        seed: decides all randomness.
        say: told how it goes.

    Returns:
        The share of counts that were told right in the last tenth of the steps.
    """
    generator = np.random.default_rng([seed, 1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = Decoder(encoder.width)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE)

    def step_size(step: int) -> float:
        return min(1.0, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / max(steps, 1))) / 2

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, step_size)
    right: list[float] = []
    for step in range(steps):
        one = drawings[int(generator.integers(len(drawings)))]
        at = torch.from_numpy(generator.integers(len(one), size=min(BATCH, len(one))))
        loss, share = reconstruction(encoder, decoder, one.rows(at))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        scheduler.step()
        right.append(float(share))
        if (step + 1) % 500 == 0:
            say(f"pretraining, step {step + 1:,} of {steps:,}: {np.mean(right[-500:]):.1%} told right")
    return float(np.mean(right[-max(1, steps // 10) :])) if right else 0.0
