"""Where a surrogate may be trusted: close to the architectures that it was fitted on.

In: codes of the sample. Out: which of any architectures are far from it. Next: ``task`` warns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import BenchmarkError, unknown
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.tasks.surrogates.file import Arrays

MOST_KEPT = 4_096  # architectures of the sample that distances are measured to
_ROWS = 1_024  # measured at once


@runtime_checkable
class Reach(Protocol):
    """Where models do not extrapolate; its ``str`` says where they do."""

    kind: str

    def far(self, codes: Codes) -> NDArray[np.bool_]:
        """Which of the codes [n, slots] it does not reach, [n]."""
        ...

    def settings(self) -> dict[str, Any]:
        """All that is not an array, as plain JSON values."""
        ...

    def arrays(self) -> Arrays:
        """Arrays for the file."""
        ...


class SampleReach:
    """The surroundings of a sample.

    An architecture is far if it has a choice in a slot that the sample has nowhere in that slot (being absent
    counts as one), or if its Hamming distance in slots from the nearest kept one exceeds the largest
    such distance of the sample itself, of each member from the nearest other one.

    Args:
        kept: codes of the sample, or of some of it where it is large, [kept, slots].
        seen: whether the sample has a choice in a slot, absent first, [slots, 1 + choices].
        limit: the largest distance within the sample.
    """

    kind = "hamming"

    def __init__(self, kept: Codes, seen: NDArray[np.bool_], limit: int) -> None:
        self.kept, self.seen, self.limit = kept, seen, limit
        self._starts = np.concatenate([[0], np.cumsum(seen.sum(1))])[:-1]
        self._place = np.cumsum(seen, axis=1) - 1 + self._starts[:, None]
        self._columns = self._one_hot(kept).T.copy()

    def _one_hot(self, codes: Codes) -> NDArray[np.float32]:
        """A column for each choice seen, [n, columns]."""
        flat = np.zeros((len(codes), int(self.seen.sum())), dtype=np.float32)
        slots = np.arange(codes.shape[1])
        seen = self.seen[slots, codes + 1]
        rows, at = np.nonzero(seen)
        flat[rows, self._place[slots, codes + 1][rows, at]] = 1
        return flat

    def distances(self, codes: Codes) -> NDArray[np.int64]:
        """Slots in which each differs from the nearest kept architecture, [n]."""
        found = np.empty(len(codes), dtype=np.int64)
        for start in range(0, len(codes), _ROWS):
            shared = self._one_hot(codes[start : start + _ROWS]) @ self._columns
            found[start : start + _ROWS] = codes.shape[1] - shared.max(1).astype(np.int64)
        return found

    def far(self, codes: Codes) -> NDArray[np.bool_]:
        """Which of the codes [n, slots] the sample does not reach, [n]."""
        unseen = ~self.seen[np.arange(codes.shape[1]), codes + 1].all(1)
        return unseen | (self.distances(codes) > self.limit)

    def __str__(self) -> str:
        return f"a choice never seen, or more than {self.limit} slots from the nearest"

    def settings(self) -> dict[str, Any]:
        """The limit."""
        return {"limit": self.limit}

    def arrays(self) -> Arrays:
        """What is kept of the sample, and what was seen in all of it."""
        return {"kept": self.kept, "seen": self.seen.astype(np.uint8)}


def reach_of(space: SearchSpace, codes: Codes, generator: np.random.Generator) -> SampleReach:
    """The reach of a sample.

    Args:
        space: of the architectures.
        codes: distinct, [n, slots], n at least 2.
        generator: draws which to keep of a large sample.
    """
    seen = np.zeros((len(space.slot_sizes), 1 + max(space.slot_sizes)), dtype=np.bool_)
    seen[np.arange(codes.shape[1]), codes + 1] = True
    order = generator.permutation(len(codes))
    kept = codes[np.sort(order[:MOST_KEPT])]
    others = codes[order[MOST_KEPT:][:MOST_KEPT]]
    within = _nearest_other(SampleReach(kept, seen, 0))
    limit = max(int(within.max()), int(SampleReach(kept, seen, 0).distances(others).max(initial=0)))
    return SampleReach(kept, seen, limit)


def _nearest_other(reach: SampleReach) -> NDArray[np.int64]:
    """Distance of each kept architecture from the nearest other one, [kept]."""
    found = np.empty(len(reach.kept), dtype=np.int64)
    for start in range(0, len(found), _ROWS):
        shared = reach._columns[:, start : start + _ROWS].T @ reach._columns
        shared[np.arange(len(shared)), start + np.arange(len(shared))] = -1
        found[start : start + _ROWS] = reach.kept.shape[1] - shared.max(1).astype(np.int64)
    return found


def make_reach(space: SearchSpace, settings: Mapping[str, Any] | None, arrays: Arrays) -> Reach | None:
    """The reach that a file describes.

    Raises:
        BenchmarkError: an unknown kind.
    """
    if settings is None:
        return None
    if settings["kind"] == "skips":
        from archwalk.tasks.surrogates.nasbench301 import SkipReach

        return SkipReach(int(settings["limit"]))
    if settings["kind"] != SampleReach.kind:
        raise BenchmarkError(*unknown("kind of reach", str(settings["kind"]), (SampleReach.kind, "skips")))
    kept = arrays["kept"].astype(np.int16)
    seen = arrays["seen"].astype(np.bool_)
    if kept.shape[1:] != (len(space.slot_sizes),) or seen.shape[0] != len(space.slot_sizes):
        raise BenchmarkError(
            f"a sample of {len(space.slot_sizes)} slots", f"{kept.shape}", "fit the task again on this space"
        )
    return SampleReach(kept, seen, int(settings["limit"]))
