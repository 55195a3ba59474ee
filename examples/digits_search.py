"""Search for a cell by really training every candidate, within a budget of evaluations.

    python examples/digits_search.py [--budget 20] [--method climb|random] [--epochs 15] [--out found.py]

The task is scikit-learn's 1,797 handwritten digits of 8×8 pixels, split once: 1,000 to train on, 400 to
choose by, 397 to report on. ``evaluate`` is all that a search needs of a task, so another one can use it too:
``examples.digits_search:evaluate``.

Needs the extra archwalk[digits].
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from archwalk.networks import build_network, network_code
from archwalk.seeding import make_generator
from archwalk.spaces import make_space

SPACE = "transnas-micro"
# A published skeleton is made for larger images; this one trains in a second or two.
SKELETON = {"inputs": 1, "channels": 8, "modules": "14", "cells": 1, "stem_stride": 1, "live_only": True}
EPOCHS, BATCH, LEARNING_RATE = 15, 50, 0.01
torch.set_num_threads(1)  # so small a network gains nothing from a second one, and loses where cores are busy


@cache
def digits() -> dict[str, tuple[Tensor, Tensor]]:
    """Split → (images [n, 1, 8, 8] from 0 to 1, labels [n])."""
    data = load_digits()
    images = torch.from_numpy(data.images).float().unsqueeze(1) / 16
    labels = torch.from_numpy(data.target).long()
    order = torch.randperm(len(labels), generator=make_generator(0, "split"))
    rows = dict(zip(("train", "valid", "test"), order.split([1000, 400, 397]), strict=True))
    return {split: (images[at], labels[at]) for split, at in rows.items()}


def train(architecture: str, epochs: int = EPOCHS, seed: int = 0) -> nn.Module:
    """The architecture's network, trained with Adam and a step size that falls to zero along a cosine."""
    network = build_network(None, architecture, classes=10, seed=seed, **SKELETON)
    images, labels = digits()["train"]
    shuffle = make_generator(seed, "shuffle")
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    steps = epochs * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(labels), generator=shuffle).split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimiser.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def top1(network: nn.Module, split: str) -> float:
    """Accuracy in percent."""
    images, labels = digits()[split]
    return 100 * (network(images).argmax(1) == labels).double().mean().item()


def evaluate(architecture: str, epochs: int = EPOCHS) -> dict[str, float]:
    """What a search sees: validation accuracy in percent, and the number of parameters."""
    network = train(architecture, epochs)
    return {"top1": top1(network, "valid"), "params": sum(p.numel() for p in network.parameters())}


def search(budget: int, method: str, epochs: int, seed: int) -> dict[str, dict[str, float]]:
    """Architecture → its metrics, in the order of evaluation.

    Of cells with one canonical key only the first is trained. They are one function, but for the weights that
    "skip" has where a cell changes the shape.
    """
    space = make_space(SPACE)
    neighbours, groups = space.neighbour_table(), space.canonical_groups()
    g = np.random.default_rng(seed)
    seen: dict[str, dict[str, float]] = {}
    known: dict[int, float] = {}  # group of equal functions → top1

    def look(i: int) -> float:
        if groups[i] not in known and len(seen) < budget:
            metrics = seen[space.architectures[i]] = evaluate(space.architectures[i], epochs)
            known[groups[i]] = metrics["top1"]
            row = f"{len(seen):4}  {metrics['top1']:5.1f} %  {metrics['params']:6,}  {space.architectures[i]}"
            print(row, flush=True)
        return known.get(groups[i], -1.0)

    while len(seen) < min(budget, groups.max() + 1):
        here = int(g.integers(len(space)))
        best = look(here)
        climbing = method == "climb"
        while climbing:  # to the first better neighbour, until none is; then from another start
            climbing = False
            for there in g.permutation(neighbours[here]):
                if (value := look(int(there))) > best:
                    here, best, climbing = int(there), value, True
                    break
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", type=int, default=20, help="architectures to train")
    parser.add_argument("--method", choices=("climb", "random"), default="climb")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/digits_network.py"))
    args = parser.parse_args()
    if args.budget < 1:
        parser.error("--budget must be at least 1")

    print("   #   valid  params")
    seen = search(args.budget, args.method, args.epochs, args.seed)
    best = max(seen, key=lambda architecture: seen[architecture]["top1"])
    test = top1(train(best, args.epochs), "test")
    print(f"best of {len(seen)} evaluations: {best}, {seen[best]['top1']:.1f} % valid, {test:.1f} % test")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(network_code(SPACE, best, classes=10, **SKELETON))
    print(f"its network as code: {args.out}")
