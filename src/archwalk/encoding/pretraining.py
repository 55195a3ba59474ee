"""Pretraining of an encoder without any measurement: an autoencoder over architectures of many spaces.

In: ``Drawings`` of spaces. Out: an ``Encoder`` from whose vectors the graphs can be told again. Next:
``archwalk.searching.incontext`` begins with its weights.

This is what the paper proposes as a way to search spaces in general (section 5.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional as F

from archwalk.encoding.encoder import Drawings, Encoder
from archwalk.encoding.words import FEATURES

MOST_NODES = 64  # of an architecture that can be decoded
BATCH = 256  # architectures of one space


class Decoder(nn.Module):
    """Vectors of architectures to words of nodes, and to edges.

    Args:
        width: of a vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.place = nn.Embedding(MOST_NODES, width)
        self.node = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.word = nn.Linear(FEATURES, width)
        self.absent = nn.Parameter(torch.zeros(width))
        self.start, self.end = nn.Linear(width, width), nn.Linear(width, width)

    def forward(
        self, vectors: Float[Tensor, "n width"], words: Float32[Tensor, "words features"], nodes: int
    ) -> tuple[Float[Tensor, "n nodes choices"], Float[Tensor, "n nodes nodes"]]:
        """Scores of each node's word, the last choice being that there is no node; and of each edge.

        Args:
            vectors: of architectures of one space.
            words: features of its vocabulary.
            nodes: places to decode.
        """
        x = self.node(vectors[:, None, :] + self.place.weight[:nodes])
        choices = torch.cat([self.word(words), self.absent[None]])
        edges: Tensor = self.start(x) @ self.end(x).transpose(1, 2) * x.shape[-1] ** -0.5
        return x @ choices.T * x.shape[-1] ** -0.5, edges


def reconstruction(encoder: Encoder, decoder: Decoder, drawings: Drawings) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the words plus that of the edges, and the share of words that are told right.

    Args:
        encoder: the encoder.
        decoder: the decoder.
        drawings: architectures of one space.
    """
    operations = drawings.operations
    choices, edges = decoder(encoder(drawings), drawings.words, operations.shape[1])
    truth = torch.where(operations >= 0, operations, len(drawings.words))
    of_words = F.cross_entropy(choices.flatten(0, 1), truth.flatten())
    pairs = (operations >= 0)[:, :, None] & (operations >= 0)[:, None, :]
    upper = torch.ones_like(pairs[0]).triu(1) & pairs
    of_edges = F.binary_cross_entropy_with_logits(edges[upper], (drawings.relations == 1)[upper].float())
    return of_words + of_edges, (choices.argmax(2) == truth).float().mean()


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
        steps: of AdamW, whose step size falls to 0 along a cosine.
        seed: decides all randomness.
        say: told how it goes.

    Returns:
        The share of nodes' words that were told right in the last tenth of the steps.
    """
    generator = np.random.default_rng([seed, 1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = Decoder(encoder.width)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
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
            say(f"pretraining, step {step + 1:,} of {steps:,}: {np.mean(right[-500:]):.1%} of words right")
    return float(np.mean(right[-max(1, steps // 10) :])) if right else 0.0
