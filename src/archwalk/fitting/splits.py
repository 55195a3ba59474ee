"""Which examples are trained on, which choose the architecture, and which are kept for the end.

In: a ``Dataset`` and a seed. Out: a block for every example, kept as a file beside the result. Next:
``training`` trains on some blocks and measures on others.

Five blocks, equal in size and stratified: by class, or by the rank of the target. The last one is the test
split, which only the networks of the end are measured on. The others take turns as validation split where
there is little data; where there is more, block 0 is the validation split. The networks of the end are
trained on all four.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from archwalk.errors import DataError, reason
from archwalk.files import write_atomically
from archwalk.fitting.data import Dataset

BLOCKS = 5
TEST = BLOCKS - 1
FILE = "splits.csv"
SMALL = 1_000  # examples that are not test below which all blocks take turns

Blocks = NDArray[np.int8]


def make_blocks(data: Dataset, seed: int) -> Blocks:
    """A block 0 to 4 for every example, [n]; 4 is the test split.

    Where the data has splits of its own, its test split is block 4, its validation split block 0, and what is
    trained on blocks 1 to 3; without a validation split of its own it is blocks 0 to 3.
    """
    generator = np.random.default_rng([seed, 5])
    blocks = np.empty(len(data), dtype=np.int8)
    if data.given is None:
        blocks[:] = _stratified(data, np.arange(len(data)), tuple(range(BLOCKS)), generator)
        return blocks
    own = bool((data.given == 1).any())
    blocks[data.given == 2], blocks[data.given == 1] = TEST, 0
    rows = np.flatnonzero(data.given == 0)
    blocks[rows] = _stratified(data, rows, (1, 2, 3) if own else (0, 1, 2, 3), generator)
    return blocks


def _stratified(
    data: Dataset, rows: NDArray[np.int64], among: tuple[int, ...], generator: np.random.Generator
) -> Blocks:
    """Blocks of some rows: dealt out in random order class by class, or in the order of the targets."""
    blocks = np.empty(len(data), dtype=np.int8)
    groups = [rows[data.targets[rows] == k] for k in range(len(data.classes))] if data.classes else [rows]
    for group in groups:
        order = generator.permutation(group)
        order = order[np.argsort(data.targets[order], kind="stable")]
        rounds = -(-len(group) // len(among))
        dealt = [generator.permutation(among) for _ in range(rounds)]
        blocks[order] = np.concatenate([np.empty(0, dtype=np.int64), *dealt])[: len(group)]
    return blocks[rows]


def turns(data: Dataset, blocks: Blocks) -> tuple[int, ...]:
    """The blocks that are the validation split in turns."""
    own = data.given is not None and bool((data.given == 1).any())
    return (0,) if own or int((blocks != TEST).sum()) >= SMALL else tuple(range(TEST))


def keep_blocks(folder: Path, data: Dataset, blocks: Blocks) -> None:
    """Write the splits, a line an example."""
    words = np.where(blocks == TEST, "test", "train or validation")
    frame = pl.DataFrame({"example": data.names, "block": blocks.tolist(), "use": words.tolist()})
    text = io.StringIO()
    frame.write_csv(text)
    write_atomically(folder / FILE, text.getvalue().encode())


def kept_blocks(folder: Path, data: Dataset) -> Blocks:
    """The splits of a folder. Raises ``DataError`` if they are damaged or of other examples."""
    path = folder / FILE
    try:
        frame = pl.read_csv(path, schema_overrides={"example": pl.String, "block": pl.Int8})
        blocks = frame["block"].to_numpy()
        same = frame["example"].to_list() == list(data.names)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            "the splits of the run", f"{path}: {reason(error)}", "choose another --out"
        ) from error
    if not same or not set(blocks.tolist()) <= set(range(BLOCKS)):
        raise DataError("the splits of these examples", f"{path} of others", "choose another --out")
    return np.asarray(blocks, dtype=np.int8)
