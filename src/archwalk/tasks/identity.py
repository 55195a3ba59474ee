"""What a ledger is for: its space, its table, its evaluator, its metrics and limits.

In: what a search was asked. Out: entries that a file keeps and compares. Next: ``ledger``.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from archwalk.tasks.metrics import Metric

FORMAT = "2"
FIRST_FORMAT = "1"  # knew a task by its first architecture, and called the evaluations looks


@dataclass(frozen=True)
class Identity:
    """What a ledger is for. All of it must stay the same for as long as the file is used.

    Attributes:
        space: ``SearchSpace.describe()``. Slots are compared by name, in the order in which an architecture's
            string has them, and their choices by value, in whatever order they were met.
        checksum: of the table whose architectures are to choose from, or of the predicting task; None where
            the space alone says it.
        evaluator: what it is called.
        metrics: to improve, each with its direction.
        first: how files of the first format named the space: its first architecture and their number.
        architectures: all that may occur, for such a file; empty where none can fit.
        limits: what architectures must keep to.
        bare: whether an evaluator may answer with one number: somebody has said which metric that is.
    """

    space: Mapping[str, Any]
    checksum: str | None
    evaluator: str | None
    metrics: tuple[Metric, ...]
    first: tuple[str, int] | None = None
    architectures: Container[str] = ()
    limits: tuple[str, ...] = ()
    bare: bool = True

    def entries(self) -> dict[str, str]:
        """As the file keeps it: name → JSON."""
        values = {
            "space": comparable(self.space),
            "checksum": self.checksum,
            "evaluator": self.evaluator,
            "metrics": [[m.name, m.direction] for m in self.metrics],
            **({"limits": sorted(self.limits)} if self.limits else {}),
        }
        return {"format": FORMAT} | {name: json.dumps(value) for name, value in values.items()}

    def first_entries(self) -> dict[str, str]:
        """As a file of the first format kept it."""
        space, count = self.first or (None, None)
        names = [m.name for m in self.metrics]
        values = {"space": space, "architectures": count, "evaluator": self.evaluator, "metrics": names}
        return {"format": FIRST_FORMAT} | {name: json.dumps(value) for name, value in values.items()}


def comparable(description: Any) -> Any:
    """A space's description with everything in a fixed order but its slots, whose order is the string's."""
    if isinstance(description, Mapping):
        entries = {str(k): comparable(v) for k, v in description.items() if k != "slots"}
        sorted_entries: dict[str, Any] = {k: entries[k] for k in sorted(entries)}
        if "slots" in description:
            slots = description["slots"]
            named = slots.items() if isinstance(slots, Mapping) else enumerate(slots)
            sorted_entries["slots"] = [[str(name), comparable(slot)] for name, slot in named]
        return sorted_entries
    if isinstance(description, list | tuple):
        return sorted((comparable(v) for v in description), key=lambda v: json.dumps(v, sort_keys=True))
    return description


def first_difference(at: str, new: Any, old: Any) -> tuple[str, Any, Any]:
    """Where two JSON values part, and what stands there in each."""
    if isinstance(new, dict) and isinstance(old, dict):
        for key in sorted({*new, *old}):
            if new.get(key) != old.get(key):
                return first_difference(f"{at}.{key}", new.get(key), old.get(key))
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        parts = [(a, b) for a, b in zip(new, old, strict=True) if a != b]
        named = all(isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) for p in parts[0])
        if named and parts[0][0][0] == parts[0][1][0]:  # a slot or metric of one name
            (name, a), (_, b) = parts[0]
            return first_difference(f"{at}.{name}", a, b)
    return at, new, old
