"""``CodeIndex``: architectures met so far, numbered in the order in which they came.

In: batches of codes. Out: ids, and codes by id. Its memory grows with what was met, not with the space, so
that walks and searches can go on in a space that nobody lists. Next: ``archwalk.envs.open``,
``archwalk.searching.problem``.

Codes are looked up by a 64-bit hash in sorted arrays, many at once. A hash that two codes share is noticed,
and another hash taken: ids are exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archwalk.spaces.base import PAD, Codes

RECENT = 4_096  # ids added since the last merge, at least; looked up apart, so that adding stays cheap
UInts = NDArray[np.uint64]
Ints = NDArray[np.int64]


class CodeIndex:
    """Ids of codes.

    Args:
        slots: length of a code.
    """

    def __init__(self, slots: int) -> None:
        self._codes = np.empty((1_024, slots), dtype=np.int16)
        self._count, self._salt = 0, 0
        self._keys: UInts = np.empty(0, dtype=np.uint64)
        self._ids: Ints = np.empty(0, dtype=np.int64)
        self._new_keys, self._new_ids = self._keys, self._ids
        self._rekey()

    def __len__(self) -> int:
        return self._count

    @property
    def codes(self) -> Codes:
        """Codes by id, [ids, slots]; not to be written to."""
        return self._codes[: self._count]

    def find(self, codes: Codes) -> Ints:
        """Ids, ``PAD`` where a code has not been met, [n].

        Args:
            codes: [n, slots].
        """
        keys = self._hash(codes)
        found = _look_up(keys, self._keys, self._ids)
        missing = np.flatnonzero(found == PAD)
        if len(missing) and len(self._new_keys):
            found[missing] = _look_up(keys[missing], self._new_keys, self._new_ids)
        hit = np.flatnonzero(found != PAD)
        same = (self._codes[found[hit]] == codes[hit]).all(1)
        found[hit[~same]] = PAD
        return found

    def add(self, codes: Codes) -> Ints:
        """Ids of codes, [n]; those not met before get the next ids, in their order.

        Args:
            codes: [n, slots].
        """
        found = self.find(codes)
        new = np.flatnonzero(found == PAD)
        if not len(new):
            return found
        _, first, which = np.unique(codes[new], axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")  # as they came
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        found[new] = self._count + rank[which.ravel()]
        self._append(np.ascontiguousarray(codes[new[first[order]]]))
        return found

    def truncate(self, count: int) -> None:
        """Forget all ids from ``count`` on, so that what was only considered takes no room."""
        self._count = min(count, self._count)
        kept, new = self._ids < count, self._new_ids < count
        self._keys, self._ids = self._keys[kept], self._ids[kept]
        self._new_keys, self._new_ids = self._new_keys[new], self._new_ids[new]

    def _append(self, codes: Codes) -> None:
        before, after = self._count, self._count + len(codes)
        if after > len(self._codes):
            grown = np.empty((max(after, 2 * len(self._codes)), self._codes.shape[1]), dtype=np.int16)
            grown[:before] = self._codes[:before]
            self._codes = grown
        self._codes[before:after] = codes
        self._count = after
        keys, ids = self._hash(codes), np.arange(before, after)
        self._new_keys, self._new_ids = _merged(self._new_keys, self._new_ids, keys, ids)
        if len(self._new_keys) > max(RECENT, len(self._keys) // 8):
            self._keys, self._ids = _merged(self._keys, self._ids, self._new_keys, self._new_ids)
            self._new_keys, self._new_ids = self._new_keys[:0], self._new_ids[:0]
        if (self.find(codes) != ids).any():  # two codes with one hash
            self._rekey()

    def _rekey(self) -> None:
        """Hash everything anew, by a multiplier not used before."""
        while True:
            self._salt += 1
            keys, ids = self._hash(self.codes), np.arange(self._count)
            self._keys, self._ids = _merged(keys[:0], ids[:0], keys, ids)
            self._new_keys, self._new_ids = keys[:0], ids[:0]
            if len(np.unique(keys)) == self._count:
                return

    def _hash(self, codes: Codes) -> UInts:
        return hashed(codes, self._salt)

    def state(self) -> Codes:
        """For a checkpoint: the codes."""
        return self.codes.copy()

    def load(self, codes: Codes) -> None:
        """The inverse of ``state``."""
        self._codes, self._count = np.array(codes, dtype=np.int16), len(codes)
        if not len(codes):
            self._codes = np.empty((1_024, codes.shape[1]), dtype=np.int16)
        self._rekey()


def hashed(codes: Codes, salt: int) -> UInts:
    """A 64-bit hash of each code: multiply and shift over its words of four slots, [n]."""
    n, slots = codes.shape
    words = np.zeros((n, -(-slots // 4) * 4), dtype=np.int16)
    words[:, :slots] = codes
    multiplier = np.random.default_rng(salt).integers(2**63, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    key = np.full(n, salt, dtype=np.uint64)
    for word in words.view(np.uint64).T:
        key = (key ^ word) * multiplier
        key ^= key >> np.uint64(29)
    return key


def _look_up(keys: UInts, among: UInts, ids: Ints) -> Ints:
    found = np.full(len(keys), PAD, dtype=np.int64)
    if len(among):
        place = np.searchsorted(among, keys).clip(max=len(among) - 1)
        hit = among[place] == keys
        found[hit] = ids[place[hit]]
    return found


def _merged(keys: UInts, ids: Ints, more: UInts, more_ids: Ints) -> tuple[UInts, Ints]:
    order = np.argsort(more, kind="stable")
    more, more_ids = more[order], more_ids[order]
    place = np.searchsorted(keys, more)
    return np.insert(keys, place, more), np.insert(ids, place, more_ids)
