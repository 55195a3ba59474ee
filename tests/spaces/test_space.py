"""Spaces: strings, neighbours, canonical keys, graphs."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archwalk.errors import ArchitectureError, SettingsError
from archwalk.spaces import make_space
from archwalk.spaces.base import restrict_neighbours
from tests.oracles.cells import same_function

NAMED = {"transnas-micro": 4096, "transnas-macro": 3256, "nasbench201": 15625, "synthetic-cells": 4096}


@pytest.mark.parametrize(("name", "size"), NAMED.items())
def test_every_architecture_round_trips(name: str, size: int) -> None:
    space = make_space(name)
    assert len(space) == size
    assert len(set(space.architectures)) == size
    for i, text in enumerate(space.architectures):
        code = space.parse(text)
        assert space.format(code) == text
        assert [v for v in space.codes[i].tolist() if v >= 0] == list(code)
        assert space.index(text) == i


def test_published_strings() -> None:
    assert make_space("transnas-micro").parse("64-41414-1_23_012") == (1, 2, 3, 0, 1, 2)
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
    assert make_space("nasbench201").parse(text) == (3, 0, 1, 4, 2, 0)
    assert make_space("transnas-macro").parse("64-111114-basic") == (0, 0, 0, 0, 0, 3)


STRANGERS = {
    "transnas-micro": [
        "",
        "64-41414-4_00_000",
        "64-41414-0_0_0000",
        "64-41414-0_00_0000",
        "x64-41414-0_00_000",
        "64-41414-0_00_000\n",
        "64-41414-٣_00_000",
        "64-111114-basic",
    ],
    "transnas-macro": [
        "64-111111-basic",
        "64-444444-basic",
        "64-1234567-basic",
        "64-114-basic",
        "64-11115-basic",
    ],
    "nasbench201": [
        "|none~0|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~0|",
        "|zero~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    ],
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, ts in STRANGERS.items() for t in ts])
def test_strangers_are_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(ArchitectureError, match=name):
        make_space(name).parse(text)


@given(st.text(max_size=40))
def test_parse_never_accepts_what_it_would_not_write(text: str) -> None:
    for name in NAMED:
        space = make_space(name)
        try:
            code = space.parse(text)
        except ArchitectureError:
            continue
        assert space.format(code) == text


def brute_force_slot_neighbours(codes: np.ndarray, i: int) -> set[int]:
    return set(np.flatnonzero((codes != codes[i]).sum(1) == 1).tolist())


@pytest.mark.parametrize("name", ["transnas-micro", "nasbench201"])
def test_cell_neighbours_are_all_single_changes(name: str) -> None:
    space = make_space(name)
    table = space.neighbour_table()
    assert table.min() >= 0
    for i in range(0, len(space), 37):
        row = table[i].tolist()
        assert len(set(row)) == len(row)
        assert set(row) == brute_force_slot_neighbours(space.codes, i)


def test_macro_neighbours_are_all_single_edits() -> None:
    space = make_space("transnas-macro")
    table = space.neighbour_table()
    chains = [tuple(m for m in code if m >= 0) for code in space.codes.tolist()]

    def one_edit(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
        if len(a) == len(b):
            return sum(x != y for x, y in zip(a, b, strict=True)) == 1
        long, short = (a, b) if len(a) > len(b) else (b, a)
        return len(long) - len(short) == 1 and any(
            long[:i] + long[i + 1 :] == short for i in range(len(long))
        )

    for i in range(0, len(space), 131):
        expected = {j for j, other in enumerate(chains) if one_edit(chains[i], other)}
        assert {j for j in table[i].tolist() if j >= 0} == expected


@pytest.mark.parametrize("name", NAMED)
def test_neighbours_are_mutual(name: str) -> None:
    table = make_space(name).neighbour_table()
    pairs = {(i, j) for i, row in enumerate(table.tolist()) for j in row if j >= 0}
    assert all((j, i) in pairs for i, j in pairs)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_slot_space_and_its_restriction(sizes: list[int], data: st.DataObject) -> None:
    space = make_space("slots", {f"s{i}": [f"c{k}" for k in range(n)] for i, n in enumerate(sizes)})
    table = space.neighbour_table()
    assert all(space.index(text) == i for i, text in enumerate(space.architectures))
    for i in range(len(space)):
        assert set(table[i].tolist()) == brute_force_slot_neighbours(space.codes, i)
    kept = np.array(sorted(data.draw(st.sets(st.integers(0, len(space) - 1), min_size=1))))
    restricted = restrict_neighbours(table, kept)
    for new, old in enumerate(kept):
        expected = [int(np.searchsorted(kept, j)) for j in table[old] if j in kept]
        row = restricted[new].tolist()
        assert row[: len(expected)] == expected
        assert set(row[len(expected) :]) <= {-1}


@pytest.mark.parametrize(
    "slots",
    [{}, {"a": []}, {"a": ["x", "x"]}, {"a": ["x,y"]}, {"a": [""]}, {"a": [str(i) for i in range(200)]}],
)
def test_bad_slots(slots: dict[str, list[str]]) -> None:
    with pytest.raises(ArchitectureError):
        make_space("slots", slots)


def test_unknown_space_suggests_the_near_one() -> None:
    with pytest.raises(SettingsError, match="did you mean 'transnas-micro'"):
        make_space("transnas-mikro")
    with pytest.raises(SettingsError, match="slots"):
        make_space("slots")


def test_canonical_keys_against_trying_all_weights() -> None:
    space = make_space("transnas-micro")
    g = np.random.default_rng(1)
    codes = [tuple(c) for c in space.codes[g.permutation(len(space))[:36]].tolist()]
    agree = {True: 0, False: 0}
    for one, two in itertools.combinations(codes, 2):
        same = same_function(one, two)
        assert (space.canonical(one) == space.canonical(two)) == same, (one, two)
        agree[same] += 1
    groups = space.canonical_groups()
    for group in range(0, groups.max() + 1, 40):  # pairs that are the same are rare among random ones
        members = [tuple(c) for c in space.codes[groups == group].tolist()]
        assert all(same_function(members[0], other) for other in members[1:6])
        agree[True] += len(members) - 1
    assert min(agree.values()) > 50


def test_shared_and_separate_weights_differ() -> None:
    space = make_space("transnas-micro")
    shared = space.parse("64-41414-3_01_011")  # one convolution, used twice
    separate = space.parse("64-41414-3_00_310")  # two convolutions of the input
    assert space.canonical(shared) != space.canonical(separate)
    assert space.canonical(space.parse("64-41414-1_00_030")) == space.canonical(
        space.parse("64-41414-0_00_300")
    )


def test_dead_edges_leave_2128_cells() -> None:
    space = make_space("transnas-micro")
    alive = {
        tuple(v if e in space.live_edges(c) else 0 for e, v in enumerate(c))  # type: ignore[attr-defined]
        for c in space.codes.tolist()
    }
    assert len(alive) == 2128


def test_exact_ties_in_the_real_table_share_a_key(real_data) -> None:
    tidy = pl.read_parquet(real_data / "transnas" / "micro.parquet").filter(pl.col.split != "none")
    wide = tidy.with_columns(c=pl.concat_str("task", "metric", "split", "epoch")).pivot(
        on="c", index="arch", values="value"
    )
    space = make_space("transnas-micro")
    groups = space.canonical_groups()[space.indices(wide["arch"])]
    _, tie = np.unique(wide.drop("arch").to_numpy(), axis=0, return_inverse=True)
    pairs = np.unique(np.stack([tie, groups]), axis=1)
    assert len(np.unique(tie)) < 3_000  # more than a quarter of the cells tie with another one
    assert pairs.shape[1] == len(np.unique(tie))  # and each set of ties has one key


def test_real_macro_architectures_are_the_space(real_data) -> None:
    archs = pl.read_parquet(real_data / "transnas" / "macro.parquet")["arch"].unique()
    assert set(archs) == set(make_space("transnas-macro").architectures)
