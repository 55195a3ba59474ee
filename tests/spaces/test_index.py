"""Ids of codes against a dictionary, and a hash that fails."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.spaces import index
from archwalk.spaces.base import PAD
from archwalk.spaces.index import CodeIndex


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), slots=st.integers(1, 9), batches=st.integers(1, 12))
def test_ids_are_those_of_a_dictionary(seed: int, slots: int, batches: int) -> None:
    g = np.random.default_rng(seed)
    mine, slow = CodeIndex(slots), {}
    for _ in range(batches):
        codes = g.integers(-1, 3, size=(int(g.integers(0, 60)), slots)).astype(np.int16)
        before = [slow.get(code.tobytes(), PAD) for code in codes]
        assert mine.find(codes).tolist() == before
        assert mine.add(codes).tolist() == [slow.setdefault(c.tobytes(), len(slow)) for c in codes]
        assert mine.find(codes).tolist() == [slow[c.tobytes()] for c in codes]
    assert len(mine) == len(slow)
    assert [c.tobytes() for c in mine.codes] == list(slow)
    half = len(slow) // 2
    mine.truncate(half)
    assert len(mine) == half
    names = list(slow)
    texts = [np.frombuffer(name, dtype=np.int16) for name in names]
    if names:
        assert mine.find(np.stack(texts)).tolist() == [*range(half), *[PAD] * (len(names) - half)]
        assert mine.add(np.stack(texts)).tolist() == list(range(len(names)))
    again = CodeIndex(slots)
    again.load(mine.state())
    assert again.find(mine.codes).tolist() == list(range(len(slow)))


def test_many_are_merged_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "RECENT", 64)
    mine, g = CodeIndex(5), np.random.default_rng(0)
    every = np.unique(g.integers(0, 9, size=(4_000, 5)).astype(np.int16), axis=0)
    g.shuffle(every)
    for part in np.array_split(every, 40):
        mine.add(part)
    assert mine.find(every).tolist() == list(range(len(every)))


def test_two_codes_with_one_hash_keep_ids_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = index.hashed

    def poor(codes: np.ndarray, salt: int) -> np.ndarray:
        return plain(codes, salt) % np.uint64(7) if salt < 3 else plain(codes, salt)

    monkeypatch.setattr(index, "hashed", poor)
    mine = CodeIndex(3)
    codes = np.array([[i, j, 0] for i in range(6) for j in range(5)], dtype=np.int16)
    for part in np.array_split(codes, 10):
        mine.add(part)
    assert mine.find(codes).tolist() == list(range(30))
    assert mine.find(np.array([[9, 9, 9]], dtype=np.int16)).tolist() == [PAD]
