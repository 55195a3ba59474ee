"""Splits: every class everywhere, of equal size, kept as they were made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archwalk.errors import DataError
from archwalk.fitting.data import Dataset, load_data
from archwalk.fitting.splits import BLOCKS, TEST, keep_blocks, kept_blocks, make_blocks, turns


def labelled(counts: list[int]) -> Dataset:
    labels = np.repeat(np.arange(len(counts)), counts)
    return load_data((np.arange(2.0 * len(labels)).reshape(-1, 2), labels), task="classification")


@given(st.lists(st.integers(10, 40), min_size=2, max_size=5), st.integers(0, 9))
def test_blocks_are_stratified(counts: list[int], seed: int) -> None:
    data = labelled(counts)
    blocks = make_blocks(data, seed)
    table = np.array(
        [[((blocks == b) & (data.targets == k)).sum() for b in range(BLOCKS)] for k in range(len(counts))]
    )
    assert table.min() >= 1
    assert (table.max(1) - table.min(1)).max() <= 1
    np.testing.assert_array_equal(blocks, make_blocks(data, seed))
    assert (blocks != make_blocks(data, seed + 1)).any()


def test_blocks_of_quantities_have_the_same_range_of_targets() -> None:
    y = np.random.default_rng(0).standard_normal(500)
    data = load_data((y[:, None] + np.zeros((1, 3)), y))
    blocks = make_blocks(data, 0)
    means = [y[blocks == b].mean() for b in range(BLOCKS)]
    assert np.ptp(means) < 0.03  # about 0.25 where blocks are drawn without regard to the targets
    assert turns(data, blocks) == (0, 1, 2, 3)


def test_splits_of_the_data_itself_are_kept(tmp_path: Path) -> None:
    n = 1_500
    split = np.array(["train", "val", "test"])[np.arange(n) % 3]
    path = tmp_path / "d.npz"
    np.savez(path, vectors=np.arange(2.0 * n).reshape(-1, 2), labels=np.arange(n) // 3 % 2, split=split)
    data = load_data(path)
    blocks = make_blocks(data, 0)
    assert ((blocks == TEST) == (split == "test")).all()
    assert ((blocks == 0) == (split == "val")).all()
    assert turns(data, blocks) == (0,)


def test_splits_are_read_back_and_refused_for_other_examples(tmp_path: Path) -> None:
    data, other = labelled([20, 20]), labelled([20, 21])
    blocks = make_blocks(data, 3)
    keep_blocks(tmp_path, data, blocks)
    np.testing.assert_array_equal(kept_blocks(tmp_path, data), blocks)
    with pytest.raises(DataError, match="these examples"):
        kept_blocks(tmp_path, other)
    (tmp_path / "splits.csv").write_text("damaged")
    with pytest.raises(DataError, match=r"splits\.csv"):
        kept_blocks(tmp_path, data)
