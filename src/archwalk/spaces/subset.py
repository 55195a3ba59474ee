"""``MeasuredSubset``: the measured architectures of a space that nobody lists, as a space that can be listed.

In: a ``SearchSpace`` and architectures of it. Out: a ``ListedSpace`` of these alone, so that a table of
measurements can stand on it. Next: ``archwalk.tasks.table`` makes and opens such tables.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import ArchitectureError
from archwalk.spaces.base import PAD, Code, Codes, Graph, Graphs, ListedSpace, SearchSpace

_BATCH = 4096  # architectures whose neighbours are held at once


class MeasuredSubset(ListedSpace):
    """Some architectures of a space, in the order of their codes; neighbours are the space's among them.

    It describes itself as the space does: a table's own rows say which architectures it has.

    Args:
        whole: the space.
        codes: [n, slots], distinct, none of them padding; choices below 127.

    Raises:
        ArchitectureError: no architectures, or one twice.
    """

    def __init__(self, whole: SearchSpace, codes: Codes) -> None:
        self.whole = whole
        self.name, self.vocabulary, self.max_nodes = whole.name, whole.vocabulary, whole.max_nodes
        self.slot_sizes = whole.slot_sizes
        self._codes = np.unique(codes.astype(np.int8), axis=0)
        if not len(codes) or len(self._codes) < len(codes):
            raise ArchitectureError(
                f"distinct architectures of {whole.name!r}, at least one",
                f"{len(codes):,}, of which {len(self._codes):,} are distinct",
                "leave the repeated ones out",
            )

    @property
    def codes(self) -> NDArray[np.int8]:
        """Every architecture, [n, slots]."""
        return self._codes

    def neighbour_table(self) -> NDArray[np.int32]:
        """Indices one edit of the space away, in its order, [n, K]."""
        return self._neighbour_table

    @cached_property
    def _neighbour_table(self) -> NDArray[np.int32]:
        parts = []
        for first in range(0, len(self), _BATCH):
            around = self.whole.neighbours(self._codes[first : first + _BATCH].astype(np.int16))
            found = self._find(around.reshape(-1, around.shape[2])).reshape(around.shape[:2])
            order = np.argsort(found == PAD, axis=1, kind="stable")
            parts.append(np.take_along_axis(found, order, axis=1))
        table = np.concatenate(parts)
        return np.ascontiguousarray(table[:, : int((table != PAD).sum(1).max(initial=0))])

    def positions(self, codes: Codes) -> NDArray[np.int64]:
        """Index of each architecture, [n]."""
        found = self._find(codes)
        if (found == PAD).any():
            raise KeyError(f"{int((found == PAD).sum())} architectures that were not measured")
        return found.astype(np.int64)

    def _find(self, codes: NDArray[np.int16]) -> NDArray[np.int32]:
        """Index of each code, [n]; ``PAD`` for padding and for what was not measured."""
        rows, keys = _as_rows(self._codes), _as_rows(codes.astype(np.int8))
        place = np.minimum(np.searchsorted(rows, keys), len(rows) - 1)
        return np.where(rows[place] == keys, place, PAD).astype(np.int32)

    def parse(self, text: str) -> Code:
        """As the space does; the architecture must be a measured one."""
        code = self.whole.parse(text)
        full = np.full(len(self.slot_sizes), PAD, dtype=np.int8)
        full[: len(code)] = code
        if full.tobytes() not in self._position:
            raise ArchitectureError(
                f"one of the {len(self):,} architectures of {self.name!r} that were measured",
                repr(text),
                "choose one of them, or fit a surrogate to the table",
            )
        return code

    def format(self, code: Sequence[int]) -> str:
        """As the space does."""
        return self.whole.format(code)

    def canonical(self, code: Sequence[int]) -> Hashable:
        """As the space does."""
        return self.whole.canonical(code)

    def graph(self, code: Sequence[int]) -> Graph:
        """As the space does."""
        return self.whole.graph(code)

    def graphs(self, codes: Codes) -> Graphs:
        """As the space does."""
        return self.whole.graphs(codes)

    def live_code(self, code: Sequence[int]) -> Code:
        """As the space does."""
        return self.whole.live_code(code)

    def describe(self) -> dict[str, Any]:
        """As the space does."""
        return self.whole.describe()


def _as_rows(codes: NDArray[np.int8]) -> NDArray[Any]:
    """Each row as one value that sorts as ``np.unique`` sorts rows: shifted to be unsigned, read bytewise."""
    shifted = np.ascontiguousarray((codes.astype(np.int16) + 128).astype(np.uint8))
    return shifted.view(np.dtype((np.void, codes.shape[1]))).ravel()
