"""Training the ensemble of networks, all members at once.

In: codes and a target. Out: ``networks.Networks``. Next: ``fit`` compares it with boosted trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor
from torch.nn import functional as F

from archwalk.seeding import make_generator
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.tasks.surrogates.models import Floats
from archwalk.tasks.surrogates.networks import Inputs, Networks, forward

MEMBERS = 5
WIDTHS = (64, 64)
SMALLEST, BATCH = 32, 256
EPOCHS, FEWEST_STEPS, MOST_STEPS = 50, 400, 12_000
RATE, DECAY = 1e-2, 1e-2
CHECKS = 30  # how often each member is measured on its own part; its best weights are kept


def train_networks(
    space: SearchSpace, codes: Codes, target: Floats, ordered: Sequence[bool], seed: int
) -> Networks:
    """Five members, each trained on four fifths of the sample and stopped where its own fifth says.

    Args:
        space: of the architectures.
        codes: [n, slots].
        target: [n], not constant.
        ordered: whether the choices of each slot have an order, [slots].
        seed: of the parts, the weights and the batches.
    """
    generator = make_generator(seed, "surrogate")
    level, scale = float(target.mean()), float(target.std())
    inputs = Inputs(space.slot_sizes, ordered)
    x, y = inputs(codes), torch.from_numpy((target - level) / scale).float()
    order = torch.randperm(len(y), generator=generator)
    held = len(y) // MEMBERS
    parts = torch.stack([order.roll(-held * member) for member in range(MEMBERS)])
    outside, inside = parts[:, :held], parts[:, held:]
    sizes = (inputs.width, *WIDTHS, 1)
    weights = [
        (torch.randn(MEMBERS, a, b, generator=generator) * sqrt(2 / a)).requires_grad_()
        for a, b in pairwise(sizes)
    ]
    biases = [torch.zeros(MEMBERS, b, requires_grad=True) for b in sizes[1:]]
    optimiser = torch.optim.AdamW([*weights, *biases], lr=RATE, weight_decay=DECAY)
    batch = max(SMALLEST, min(BATCH, len(y) // 16), len(y) // 100)
    steps = min(MOST_STEPS, max(FEWEST_STEPS, EPOCHS * inside.shape[1] // batch))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    best = torch.full((MEMBERS,), torch.inf)
    kept = [p.detach().clone() for p in (*weights, *biases)]
    every = max(1, steps // CHECKS)
    for step in range(steps):
        drawn = torch.randint(inside.shape[1], (MEMBERS, batch), generator=generator)
        rows = inside.gather(1, drawn)
        loss = F.smooth_l1_loss(forward(x[rows], weights, biases), y[rows], reduction="none").mean(1).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % every == 0 or step + 1 == steps:
            with torch.no_grad():
                error = (forward(x[outside], weights, biases) - y[outside]).square().mean(1)
            better = error < best
            best = torch.where(better, error, best)
            for to, now in zip(kept, (*weights, *biases), strict=True):
                to[better] = now.detach()[better]
    final: list[Tensor] = kept
    return Networks(space, ordered, final[: len(weights)], final[len(weights) :], level, scale)
