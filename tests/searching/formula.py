"""A predicting task over a declared space of 10^15 architectures with conditions, whose optimum is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from archwalk.errors import BenchmarkError, unknown
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.spaces.registry import open_space
from archwalk.tasks.metrics import Metric

BLOCKS = 9


def declaration() -> dict[str, object]:
    slots: dict[str, object] = {"depth": {"choices": [2, 3, 4], "kind": "ordinal"}}
    for i in range(BLOCKS):
        slots[f"op{i}"] = {"choices": ["conv", "attention", "skip"]}
        slots[f"kernel{i}"] = {"choices": [3, 5, 7], "kind": "ordinal", "when": {f"op{i}": ["conv"]}}
        slots[f"width{i}"] = {"choices": [16, 32, 64, 128, 256, 512], "kind": "ordinal"}
        slots[f"heads{i}"] = {"choices": [1, 2, 4], "kind": "ordinal", "when": {f"op{i}": ["attention"]}}
    return {"name": "blocks", "slots": slots, "forbidden": [{"depth": 2, "op0": "skip"}]}


def slot_weights(space: SearchSpace) -> np.ndarray:
    """What a choice is worth, absent first, [slots, choices]; one peak a slot, to which steps lead."""
    g = np.random.default_rng(0)
    weights = np.full((len(space.slot_sizes), 8), 0.3)
    for row, size in zip(weights, space.slot_sizes, strict=True):
        some = np.sort(g.uniform(0, 1, size))
        peak = int(g.integers(size))
        row[1 : 1 + peak], row[1 + peak : 1 + size] = some[:peak], some[peak:][::-1]
    return weights


@dataclass
class Formula:
    """Each slot has a best choice; ``hard`` is the same with the direction turned."""

    name: str = "formula"
    checksum: str = "formula-1"
    tasks: tuple[str, ...] = ("hard", "soft")
    split: str = "valid"
    epoch: str = "final"
    source: str = "a formula"
    rewards: dict[str, Metric] = field(
        default_factory=lambda: {
            "soft": Metric("score", "max", ""),
            "hard": Metric("loss", "min", "nats", 0),
        }
    )

    @cached_property
    def space(self) -> SearchSpace:
        return open_space(declaration())

    def values(self, task: str, codes: Codes, metric: str | None = None) -> np.ndarray:
        if task not in self.tasks:
            raise BenchmarkError(*unknown("task", task, self.tasks))
        weights = slot_weights(self.space)
        got = weights[np.arange(codes.shape[1]), codes + 1].sum(1)
        return got if task == "soft" else 30 - got
