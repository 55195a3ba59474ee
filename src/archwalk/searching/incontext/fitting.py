"""Training a network on many tasks of many spaces.

In: ``Pool``s of architectures and ``Training``. Out: an ``InContext`` network. Next: ``agent`` keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from archwalk.encoding.pretraining import pretrain
from archwalk.searching.incontext.model import InContext, Sizes
from archwalk.searching.incontext.tasks import Lesson, Mix, Pool, make_lesson

Pretrained = Literal["none", "frozen", "fine-tuned"]
WARM_UP, SAY_EVERY = 200, 250  # steps


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        steps: lessons, of 16 tasks each.
        rate: largest step size of AdamW, reached after 200 steps; it then falls to 0 along a cosine.
        seed: decides all randomness.
        pretraining: steps of the autoencoder, before anything is learned of tasks.
        encoder: what becomes of the pretrained encoder; ``none``: there is no pretraining.
        sizes: of the network.
        mix: what tasks there are.
    """

    steps: int = 6_000
    rate: float = 1e-3
    seed: int = 0
    pretraining: int = 3_000
    encoder: Pretrained = "none"
    sizes: Sizes = field(default_factory=Sizes)
    mix: Mix = field(default_factory=Mix)


def loss_of(network: InContext, lesson: Lesson) -> Float[Tensor, ""]:
    """Mean negative log likelihood of the targets, less log √(2π)."""
    vectors = network.embed(lesson.drawings)
    mean, log = network(vectors[lesson.context], lesson.rewards, lesson.known, vectors[lesson.queries])
    return (log + ((lesson.targets - mean) / log.exp()) ** 2 / 2).mean()


def train(
    pools: Sequence[Pool],
    training: Training,
    say: Callable[[str], None] = lambda text: None,
    network: InContext | None = None,
) -> InContext:
    """Train a network. A step is a lesson of one pool.

    A pool is chosen in proportion to the square root of one more than its number of real tasks.

    Args:
        pools: at least one.
        training: how.
        say: told how it goes.
        network: to go on with; a new one by default. It is changed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        network = network or InContext(training.sizes)
    if training.encoder != "none":
        drawings = [pool.drawings for pool in pools]
        pretrain(network.encoder, drawings, training.pretraining, training.seed, say)
        network.encoder.requires_grad_(training.encoder == "fine-tuned")
    learned = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=training.rate, betas=(0.9, 0.98), weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, training.steps))
    generator = np.random.default_rng(training.seed)
    weights = np.sqrt([1.0 + len(pool.scores) for pool in pools])
    losses: list[float] = []
    for step in range(training.steps):
        pool = pools[int(generator.choice(len(pools), p=weights / weights.sum()))]
        loss = loss_of(network, make_lesson(pool, training.mix, generator))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
        if (step + 1) % SAY_EVERY == 0:
            say(f"step {step + 1:,} of {training.steps:,}: loss {np.mean(losses[-SAY_EVERY:]):.3f}")
    return network.requires_grad_(True).eval()


def _share(step: int, steps: int) -> float:
    """Of the largest step size."""
    return min(1.0, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / max(steps, 1))) / 2
