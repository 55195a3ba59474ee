"""Declared spaces: random ones held to trying everything; what is refused; those of measured tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from archwalk.errors import ArchitectureError, SpaceError
from archwalk.spaces import (
    DeclaredSpace,
    Slot,
    listed,
    load_declaration,
    make_space,
    open_space,
    read_declaration,
)
from archwalk.spaces import declared as module
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.counting import Counting
from tests.oracles import declared as oracle

MINE = """
name = "my-space"
[slots.depth]
choices = [2, 3, 4]
kind = "ordinal"
[slots.op1]
choices = ["conv", "attention", "skip"]
[slots.kernel1]
choices = [3, 5, 7]
kind = "ordinal"
when = { op1 = ["conv"] }
[[forbidden]]
depth = 2
op1 = "skip"
"""


@pytest.fixture
def mine(tmp_path: Path) -> DeclaredSpace:
    file = tmp_path / "mine.toml"
    file.write_text(MINE)
    return DeclaredSpace(load_declaration(file))


@st.composite
def declarations(draw: st.DrawFn) -> dict[str, Any]:
    """Up to five slots, conditions on any others without a cycle, up to three forbidden combinations."""
    n = draw(st.integers(1, 5))
    order = draw(st.permutations(range(n)))  # parents may stand behind their children in the file
    sizes = [draw(st.integers(1, 4)) for _ in range(n)]

    def some(s: int) -> list[int]:
        return sorted(draw(st.sets(st.integers(0, sizes[s] - 1), min_size=1)))

    slots: dict[str, Any] = {}
    for s in range(n):
        kind = draw(st.sampled_from(["categorical", "ordinal"]))
        slots[f"s{s}"] = {"choices": list(range(sizes[s])), "kind": kind}
        earlier = list(order[: order.index(s)])
        parents = draw(st.sets(st.sampled_from(earlier), max_size=2)) if earlier else set()
        if parents:
            slots[f"s{s}"]["when"] = {f"s{p}": some(p) for p in sorted(parents)}
    rows = draw(st.lists(st.sets(st.integers(0, n - 1), min_size=1, max_size=3), max_size=3))
    return {"slots": slots, "forbidden": [{f"s{s}": some(s) for s in sorted(row)} for row in rows]}


def open_or_skip(declared: dict[str, Any]) -> DeclaredSpace:
    try:
        return DeclaredSpace(read_declaration(declared))
    except SpaceError:
        assume(False)
        raise


def text(values: dict[str, Any]) -> str:
    return ",".join(f"{slot}={choice}" for slot, choice in values.items())


@settings(max_examples=300, deadline=None)
@given(declarations(), st.sampled_from([1, 4, 32]))
def test_architectures_and_neighbours_are_those_of_trying_everything(
    declared: dict[str, Any], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_COMPLETIONS", most)
        space = open_or_skip(declared)
        expected = oracle.architectures(declared)
        assert space.size == space.most == len(expected)
        codes = space.rows(map(text, expected))
        assert space.contains(codes).all()
        around = space.neighbours(codes)
        widest = 0
        for a, row in zip(expected, around, strict=True):
            there = (row >= 0).any(1)
            found = [space.format(code) for code in row[there].tolist()]
            assert found == list(dict.fromkeys(found))
            assert set(found) == {text(b) for b in expected if oracle.one_edit(a, b, declared, most)}
            assert not there[len(found) :].any()  # padding at the end
            widest = max(widest, len(found))
        assert widest <= space.max_neighbours
        assert space.max_nodes == 2 + max(map(len, expected))


@settings(max_examples=150, deadline=None)
@given(declarations())
def test_strings_values_graphs_and_the_listed_form_agree(declared: dict[str, Any]) -> None:
    space = open_or_skip(declared)
    expected = oracle.architectures(declared)
    table = listed(space)
    assert sorted(table.architectures) == sorted(map(text, expected))
    assert (np.diff([table.index(t) for t in table.architectures]) == 1).all()
    codes = table.codes.astype(np.int16)
    for i, values in enumerate(map(space.values, codes.tolist())):
        assert space.encode(values) == tuple(codes[i].tolist())
        assert space.parse(table.architectures[i]) == tuple(codes[i].tolist())
    around = table.neighbour_table()
    pairs = {(i, j) for i, row in enumerate(around.tolist()) for j in row if j >= 0}
    assert all((j, i) in pairs for i, j in pairs)
    for i, row in enumerate(space.neighbours(codes)):
        direct = [space.format(c) for c in row[(row >= 0).any(1)].tolist()]
        assert direct == [table.architectures[j] for j in around[i] if j >= 0]
    fast, slow = space.graphs(codes), SearchSpace.graphs(space, codes)
    for one, other in zip(vars(fast).values(), vars(slow).values(), strict=True):
        np.testing.assert_array_equal(one, other)
    again = make_space(**json.loads(json.dumps(space.describe())))
    assert again.describe() == space.describe() == table.describe()
    assert (
        again.sample(5, np.random.default_rng(3)).tolist()
        == space.sample(5, np.random.default_rng(3)).tolist()
    )


@settings(max_examples=100, deadline=None)
@given(declarations(), st.integers(0, 10**6))
def test_contains_is_being_in_the_list(declared: dict[str, Any], seed: int) -> None:
    space = open_or_skip(declared)
    g = np.random.default_rng(seed)
    codes = g.integers(-1, np.array(space.slot_sizes) + 1, (200, len(space.slot_sizes))).astype(np.int16)
    there = {tuple(code) for code in listed(space).codes.tolist()}
    assert space.contains(codes).tolist() == [tuple(code) in there for code in codes.tolist()]


@settings(max_examples=60, deadline=None)
@given(declarations(), st.integers(0, 10**6))
def test_samples_are_uniform(declared: dict[str, Any], seed: int) -> None:
    space = open_or_skip(declared)
    assume(space.size is not None and space.size <= 60)
    n = 200 * int(space.size or 0)
    counts = np.bincount(
        listed(space).positions(space.sample(n, np.random.default_rng(seed))), minlength=space.size
    )
    # six deviations of a binomial count: one example in 10^7 fails by chance
    assert np.abs(counts - 200).max() <= 6 * np.sqrt(200) + 1


def test_samples_without_counting_are_uniform_too(
    monkeypatch: pytest.MonkeyPatch, mine: DeclaredSpace
) -> None:
    real = Counting.__init__

    def refuse(self: Counting, sizes: Any, when: Any, forbidden: Any) -> None:
        if forbidden:
            raise module.TooManyStates
        real(self, sizes, when, forbidden)

    monkeypatch.setattr(Counting, "__init__", refuse)
    space = DeclaredSpace(mine.declaration)
    assert (space.size, space.most) == (None, 15)
    assert "at most 15" in repr(space)
    assert space.listing() is None
    codes = space.sample(14 * 500, np.random.default_rng(0))
    counts = np.bincount(listed(mine).positions(codes), minlength=14)
    assert np.abs(counts - 500).max() <= 6 * np.sqrt(500)


def test_the_format_of_the_docs(mine: DeclaredSpace) -> None:
    assert (mine.name, mine.size) == ("my-space", 14)
    code = mine.parse("depth=3,op1=conv,kernel1=5")
    assert code == (1, 0, 1)
    assert mine.values(code) == {"depth": 3, "op1": "conv", "kernel1": 5}
    assert mine.parse("depth=4,op1=skip") == (2, 2, -1)
    around = [mine.format(c) for c in mine.neighbours(mine.rows(["depth=3,op1=conv,kernel1=7"]))[0].tolist()]
    assert around == [
        "depth=2,op1=conv,kernel1=7",
        "depth=4,op1=conv,kernel1=7",
        "depth=3,op1=attention",
        "depth=3,op1=skip",
        "depth=3,op1=conv,kernel1=5",
        "",
    ]


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        ("", "slot=choice"),
        ("depth=3", "a choice of slot 'op1'"),
        ("depth=3,op1=conv", "under op1=conv"),
        ("depth=3,op1=skip,kernel1=3", "no slot 'kernel1'.* except under op1=conv"),
        ("depth=2,op1=skip", "forbids depth=2 and op1=skip"),
        ("depth=3,op1=convv,kernel1=3", "did you mean 'conv'"),
        ("depht=3,op1=attention", "did you mean 'depth'"),
        ("op1=attention,depth=3", "in their order"),
        ("depth=3,op1=attention,op1=attention", "slot=choice"),
        ("depth=3,op1", "slot=choice"),
        ("depth=03,op1=attention", "choice of slot 'depth'"),
    ],
)
def test_strangers(mine: DeclaredSpace, architecture: str, words: str) -> None:
    with pytest.raises(ArchitectureError, match=words):
        mine.parse(architecture)


@given(st.text(alphabet="depth=23,op1convskip ", max_size=30))
def test_parse_never_accepts_what_it_would_not_write(text: str) -> None:
    space = DeclaredSpace({"depth": [2, 3], "op1": ["conv", "skip"], "k": Slot([3, 5], when={"op1": "conv"})})
    try:
        code = space.parse(text)
    except ArchitectureError:
        return
    assert space.format(code) == text


AB: dict[str, Any] = {"choices": ["a", "b"]}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "a table with slots"),
        ({}, "at least one slot"),
        ({"slots": []}, "at least one slot"),
        ({"slots": {"x": AB}, "forbiden": []}, "did you mean 'forbidden'"),
        ({"slots": {"x": AB}, "name": 3}, "name as text"),
        ({"slots": {"x": AB}, "name": "a,b"}, "name as text"),
        ({"slots": {"x": AB}, "forbidden": {"x": "a"}}, r"\[\[forbidden\]\]"),
        ({"slots": {"x": AB}, "forbidden": [{}]}, "forbidden combination 1"),
        ({"slots": {"x": AB}, "forbidden": [{"y": "a"}]}, "slot in forbidden combination 1"),
        ({"slots": {"x": AB}, "forbidden": [{"x": "c"}]}, "choice of slot 'x' in forbidden combination 1"),
        ({"slots": {"x": AB}, "forbidden": [{"x": []}]}, "at least one choice of 'x'"),
        ({"slots": {"x": AB}, "forbidden": [{"x": {"a": 1}}]}, "choice of slot 'x'"),
        ({"slots": {"x": AB}, "forbidden": [{"x": ["a", "b"]}]}, "an architecture left"),
        ({"slots": {"x": AB}, "forbidden": [{"x": "a"}]}, "at least two architectures"),
        ({"slots": {"x": {"choices": ["a"]}}}, "at least two architectures"),
        ({"slots": {"x": {"choices": []}}}, "at least one choice in slot 'x'"),
        ({"slots": {"x": {}}}, "at least one choice in slot 'x'"),
        ({"slots": {"x": {"choices": "ab"}}}, "a list of choices in slot 'x'"),
        ({"slots": {"x": {"choices": ["a", "a"]}}}, "distinct choices in slot 'x'"),
        ({"slots": {"x": {"choices": [1, "1"]}}}, "distinct choices in slot 'x'"),
        ({"slots": {"x": {"choices": ["a", ""]}}}, "not empty, in slot 'x'"),
        ({"slots": {"x": {"choices": ["a", "b,c"]}}}, "without ','"),
        ({"slots": {"x": {"choices": ["a", "b=c"]}}}, "without ','"),
        ({"slots": {"x": {"choices": ["a", " b"]}}}, "blanks"),
        ({"slots": {"x": {"choices": ["a", "b\n"]}}}, "blanks"),
        ({"slots": {"x": {"choices": ["a", [1]]}}}, "as choices of slot 'x'"),
        ({"slots": {"x": {"choices": [1.0, float("nan")]}}}, "finite numbers"),
        ({"slots": {"x": {"choices": list(range(40_000))}}}, "at most 32,767 choices"),
        ({"slots": {"x=y": AB}}, "slot names without"),
        ({"slots": {"": AB}}, "slot names without"),
        ({"slots": {"x": 3}}, "slot 'x' as a table"),
        ({"slots": {"x": {"choices": ["a", "b"], "kinds": "ordinal"}}}, "did you mean 'kind'"),
        ({"slots": {"x": {"choices": ["a", "b"], "kind": "ordnal"}}}, "did you mean 'ordinal'"),
        ({"slots": {"x": {"choices": ["a", "b"], "low": 1}}}, "no low in the categorical slot 'x'"),
        ({"slots": {"x": {"kind": "integer", "choices": [1, 2]}}}, "integer slot 'x'"),
        ({"slots": {"x": {"kind": "integer", "low": 1}}}, "whole numbers"),
        ({"slots": {"x": {"kind": "integer", "low": 1, "high": 2.5}}}, "whole numbers"),
        ({"slots": {"x": {"kind": "integer", "low": 3, "high": 2}}}, "low <= high"),
        ({"slots": {"x": {"kind": "integer", "low": 1, "high": 9, "step": 0}}}, "step >= 1"),
        ({"slots": {"x": {"kind": "integer", "low": 1, "high": 10**30}}}, "at most 32,767 choices"),
        ({"slots": {"x": AB, "y": {**AB, "when": {"z": ["a"]}}}}, "slot in the condition of slot 'y'"),
        ({"slots": {"x": AB, "y": {**AB, "when": {"x": ["c"]}}}}, "choice of slot 'x' in the condition"),
        ({"slots": {"x": AB, "y": {**AB, "when": {"x": []}}}}, "at least one choice of 'x'"),
        ({"slots": {"x": AB, "y": {**AB, "when": "x"}}}, "slot = choices in the condition of slot 'y'"),
        ({"slots": {"x": {**AB, "when": {"y": ["a"]}}, "y": {**AB, "when": {"x": ["a"]}}}}, "cycle"),
        ({"slots": {"x": {**AB, "when": {"x": ["a"]}}, "y": AB}}, "x needs x"),
        (
            {
                "slots": {
                    "x": AB,
                    "y": {**AB, "when": {"x": ["a"]}},
                    "z": {**AB, "when": {"x": ["b"], "y": ["a"]}},
                }
            },
            "slot 'z' in some architecture",
        ),
        (
            {"slots": {"x": AB, "y": AB}, "forbidden": [{"x": "a", "y": "b"}, {"x": "b", "y": "a"}]},
            "an edit that leads",
        ),
    ],
)
def test_contradictions_are_refused(values: Any, words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        DeclaredSpace(read_declaration(values))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.toml", b"[slots"),
        ("a.json", b"{"),
        ("a.toml", b"\xff\xfe"),
        ("a.json", b"[" * 100_000),
        ("b.toml", None),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SpaceError, match="a readable"):
        open_space(tmp_path / name)


def test_json_python_and_toml_say_the_same(mine: DeclaredSpace, tmp_path: Path) -> None:
    file = tmp_path / "my-space.json"  # the stem is the name
    file.write_text(json.dumps(mine.declaration.plain()))
    python = DeclaredSpace(
        {
            "depth": Slot([2, 3, 4], "ordinal"),
            "op1": ["conv", "attention", "skip"],
            "kernel1": {"choices": [3, 5, 7], "kind": "ordinal", "when": {"op1": "conv"}},
        },
        forbidden=[{"depth": 2, "op1": "skip"}],
        name="my-space",
    )
    assert open_space(file).describe() == python.describe() == mine.describe()


def test_typed_choices() -> None:
    space = DeclaredSpace(
        {"rate": [0.1, 1.0, 3], "bias": [True, False], "width": Slot(kind="integer", low=8, high=33, step=8)}
    )
    assert space.size == 3 * 2 * 4
    code = space.parse("rate=1.0,bias=true,width=24")
    values = space.values(code)
    assert values == {"rate": 1.0, "bias": True, "width": 24}
    assert [type(v) for v in values.values()] == [float, bool, int]
    assert space.encode({"rate": "1.0", "bias": "true", "width": "24"}) == code
    again = make_space(**json.loads(json.dumps(space.describe())))
    assert isinstance(again, DeclaredSpace)
    assert again.declaration.choices == space.declaration.choices


def test_any_size() -> None:
    choices = [str(i) for i in range(10)]
    slots: dict[str, Any] = {f"s{i}": choices for i in range(40)}
    assert DeclaredSpace(slots).size == 10**40
    children = {f"c{i}": Slot(choices, when={f"s{i}": ["0", "1"]}) for i in range(40)}
    assert DeclaredSpace(slots | children).size == 28**40  # 2 × 10 + 8
    assert DeclaredSpace(slots, forbidden=[{"s0": "1", "s1": ["1", "2"]}]).size == 10**40 - 2 * 10**38
    wide = DeclaredSpace({"n": Slot(kind="integer", low=0, high=32_766), "m": choices})
    code = wide.sample(3, np.random.default_rng(0))
    assert wide.neighbours(code).shape == (3, 11, 2)
    assert [wide.format(c) for c in code.tolist()] == [
        wide.format(wide.parse(wide.format(c))) for c in code.tolist()
    ]
    np.testing.assert_array_equal(wide.graphs(code).operations, SearchSpace.graphs(wide, code).operations)


def test_moves_with_many_completions_are_anchored() -> None:
    slots: dict[str, Any] = {"on": ["yes", "no"]}
    slots |= {f"c{i}": Slot([1, 2, 3], when={"on": "yes"}) for i in range(4)}  # 81 completions
    space = DeclaredSpace(slots)
    first, other = "on=yes,c0=1,c1=1,c2=1,c3=1", "on=yes,c0=1,c1=2,c2=1,c3=1"
    around = [
        [space.format(c) for c in row.tolist()]
        for row in space.neighbours(space.rows([first, other, "on=no"]))
    ]
    assert "on=no" in around[0]
    assert "on=no" not in around[1]
    assert [t for t in around[2] if t] == [first]


def as_mapping(row: dict[str, Any], space: DeclaredSpace) -> dict[str, Any]:
    """A row of a table with a column a slot; absent slots hold 0 there."""
    return {
        slot: row[slot]
        for slot in space.declaration.slots
        if row[slot] != 0 or 0 in space_choices(space, slot)
    }


def space_choices(space: DeclaredSpace, slot: str) -> tuple[Any, ...]:
    return space.declaration.choices[space.declaration.slots.index(slot)]


@pytest.mark.parametrize(
    ("name", "file", "size", "rows"),
    [
        ("mnasnet", "accel_nasbench/accel_nasbench.parquet", 104_485_552_128, 5_125),
        ("gpt-s", "hwgpt/gpt_s.parquet", 6 * 9**10 * (1 + 9 + 81), 10_000),
        ("gnn", "gnn/node_tasks.parquet", 2_800, 2_800),
        ("nasbench-macro", "nasbench_macro/nasbench_macro.parquet", 6_561, 6_561),
    ],
)
def test_measured_tables_are_of_their_space(
    real_data: Path, name: str, file: str, size: int, rows: int
) -> None:
    space = make_space(name)
    assert isinstance(space, DeclaredSpace)
    table = pl.read_parquet(real_data / file).select(space.declaration.slots).unique()
    codes = np.array([space.encode(as_mapping(row, space)) for row in table.to_dicts()], dtype=np.int16)
    assert len(codes) == rows
    assert len(np.unique(codes, axis=0)) == rows
    assert space.contains(codes).all()
    texts = [space.format(code) for code in codes.tolist()]
    np.testing.assert_array_equal(space.rows(texts), codes)
    for s in range(codes.shape[1]):  # and no choice is declared that nobody measured
        assert set(codes[:, s].tolist()) - {-1} == set(range(space.slot_sizes[s]))


@pytest.mark.parametrize(
    ("name", "size"), [("mnasnet", 104_485_552_128), ("gpt-s", 6 * 9**10 * (1 + 9 + 81))]
)
def test_shipped_declarations(name: str, size: int) -> None:
    assert make_space(name).size == size
