"""``SlotSpace``: a tuple of named slots with a few choices each; one edit changes one slot.

In: slot names and their choices. Out: a ``SearchSpace`` over the whole product. This is the space of a
user's own table (``archwalk data import table --space slots --slots op0,op1,...``) and the base of cells.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import ArchitectureError, enumerated
from archwalk.spaces.base import Code, Codes, Graph, ListedSpace

MAX_SIZE, MAX_CHOICES = 5_000_000, 127


class SlotSpace(ListedSpace):
    """The product of named slots, in lexicographic order of the choices as given.

    An architecture is written ``choice,choice,...`` in slot order. Two different tuples are taken to
    compute different functions, and the graph is the chain of the slots, since nothing more is known.

    Args:
        slots: slot name → its choices (strings without a comma), at least one slot.
        name: the space's name.

    Raises:
        ArchitectureError: no slots, an empty or repeated choice, a comma in one, or over 5 million tuples.
    """

    def __init__(self, slots: Mapping[str, Sequence[str]], *, name: str = "slots") -> None:
        self.name = name
        self.slots = {str(slot): tuple(str(c) for c in choices) for slot, choices in slots.items()}
        self.slot_sizes = tuple(len(choices) for choices in self.slots.values())
        self._check()
        named = [f"{slot}={choice}" for slot, choices in self.slots.items() for choice in choices]
        self.vocabulary = ("input", "output", *named)
        self.max_nodes = len(self.slots) + 2
        starts = np.concatenate([[0], np.cumsum(self.slot_sizes)[:-1]]) + 2
        self._first_node_operation = tuple(int(s) for s in starts)

    def _check(self) -> None:
        if not self.slots:
            raise ArchitectureError("at least one slot", "none", "name the slot columns with --slots")
        for slot, choices in self.slots.items():
            if not choices or len(set(choices)) != len(choices) or any(c == "" or "," in c for c in choices):
                raise ArchitectureError(
                    f"distinct, non-empty choices without a comma in slot {slot!r}",
                    enumerated(map(repr, choices), 12) or "no choices",
                    "rename the choices in the table",
                )
            if len(choices) > MAX_CHOICES:
                raise ArchitectureError(
                    f"at most {MAX_CHOICES} choices a slot",
                    f"{len(choices):,} in slot {slot!r}: {enumerated(choices, 6)}",
                    "keep fewer different values in it, or take it out of the slots if it is a measurement",
                )
        if prod(self.slot_sizes) > MAX_SIZE:
            raise ArchitectureError(
                f"at most {MAX_SIZE:,} tuples, so that the space can be enumerated",
                f"{prod(self.slot_sizes):,}, slot sizes {enumerated(map(str, self.slot_sizes), 12)}",
                "leave out slots that hardly matter, or declare a space and fit a surrogate: docs/spaces.md",
            )

    def describe(self) -> dict[str, Any]:
        """Name and slots."""
        return {"name": self.name, "slots": {slot: list(choices) for slot, choices in self.slots.items()}}

    @cached_property
    def codes(self) -> NDArray[np.int8]:
        """The product in lexicographic order, [architectures, slots]."""
        grid = np.indices(self.slot_sizes, dtype=np.int8)
        return np.ascontiguousarray(grid.reshape(len(self.slot_sizes), -1).T)

    def parse(self, text: str) -> Code:
        """Read ``choice,choice,...``."""
        parts = text.split(",")
        choices = list(self.slots.values())
        if len(parts) != len(choices) or any(p not in c for p, c in zip(parts, choices, strict=True)):
            raise self._stranger(text, ",".join(self.slots))
        return tuple(c.index(p) for p, c in zip(parts, choices, strict=True))

    def format(self, code: Sequence[int]) -> str:
        """Write ``choice,choice,...``."""
        return ",".join(c[v] for v, c in zip(code, self.slots.values(), strict=True))

    def neighbour_table(self) -> NDArray[np.int32]:
        """All tuples that differ in exactly one slot: slot by slot, choices in order."""
        here = np.arange(len(self.codes), dtype=np.int32)
        table = np.empty((len(here), sum(self.slot_sizes) - len(self.slot_sizes)), dtype=np.int32)
        column, stride = 0, len(here)
        for slot, size in enumerate(self.slot_sizes):
            stride //= size
            value = self.codes[:, slot].astype(np.int32)
            for k in range(size - 1):  # the k-th choice that is not the present one
                table[:, column] = here + (k + (k >= value) - value) * stride
                column += 1
        return table

    def positions(self, codes: Codes) -> NDArray[np.int64]:
        """Index of each architecture, [n]."""
        return np.ravel_multi_index(tuple(codes.T.astype(np.int64)), self.slot_sizes).astype(np.int64)

    def canonical(self, code: Sequence[int]) -> Hashable:
        """The tuple itself."""
        return tuple(code)

    def graph(self, code: Sequence[int]) -> Graph:
        """A chain: input, one node a slot, output."""
        nodes = [first + value for first, value in zip(self._first_node_operation, code, strict=True)]
        operations = (0, *nodes, 1)
        return Graph(operations, tuple(pairwise(range(len(operations)))))
