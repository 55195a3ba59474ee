"""Slots are matched by name and choices by value, in whatever order a table has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archwalk
from archwalk.errors import ArchwalkError, RunError
from archwalk.spaces.cells import CellSpace
from archwalk.spaces.correspondence import carry
from archwalk.spaces.matching import identical, same_space, what_differs
from archwalk.spaces.registry import make_listed, register_space
from archwalk.tasks import Benchmark, Column
from archwalk.tasks.arranging import arranged
from archwalk.tasks.metrics import METRICS
from archwalk.tasks.table import make_benchmark
from tests.conftest import small_settings

SLOTS = {"s0": ["a", "b", "c"], "s1": ["p", "q"], "s2": ["1", "2", "10"]}
Value = dict[str, str]


def value_of(written: Value) -> float:
    """A value that knows slots by name: no two architectures share it."""
    return 10 + sum(3.0**i * SLOTS[slot].index(written[slot]) for i, slot in enumerate(sorted(SLOTS)))


def table(
    slots: dict[str, list[str]], kept: int | None = None, seed: int = 0, kind: str = "slots"
) -> Benchmark:
    """Everything, or some, of a space, in the order of its slots; the same numbers by name in every order."""
    space = make_listed("slots", slots)
    if kind == "declared":
        declared = {
            "slots": {s: {"kind": "categorical", "choices": c} for s, c in slots.items()},
            "forbidden": [],
        }
        space = make_listed("mine", declaration=declared)
    names = [dict(zip(slots, (slots[s][v] for s, v in zip(slots, code, strict=True)), strict=True))
             for code in space.codes.tolist()]  # fmt: skip
    chosen = [i for i, name in enumerate(names) if hash_of(name, seed) % len(names) < (kept or len(names))]
    values = np.array([value_of(names[i]) for i in chosen])
    columns = {
        Column("main", "acc", split, "final"): values + (split == "test") for split in ("valid", "test")
    }
    reward = {"main": Column("main", "acc", "valid", "final")}
    return make_benchmark("t", space, np.array(chosen), columns, {"acc": METRICS["acc"]}, reward)


def hash_of(name: Value, seed: int) -> int:
    return int(value_of(name) * 7919 + seed * 104729) % 1009


@st.composite
def orders(draw: st.DrawFn) -> dict[str, list[str]]:
    names = draw(st.permutations(sorted(SLOTS)))
    return {name: draw(st.permutations(SLOTS[name])) for name in names}


@settings(max_examples=25, deadline=None)
@given(orders(), orders(), st.sampled_from([None, 9]), st.sampled_from(["slots", "declared"]))
def test_the_same_table_in_any_order_reads_alike(one: dict, other: dict, kept: int | None, kind: str) -> None:
    mine, theirs = table(one, kept, kind=kind), table(other, kept, kind=kind)
    moved = arranged(theirs, mine.space.describe(), "an agent")
    assert isinstance(moved, Benchmark)
    assert identical(moved.space.describe(), mine.space.describe())
    assert moved.architectures == mine.architectures
    assert moved.values("main").tolist() == mine.values("main").tolist()
    assert np.array_equal(moved.neighbours, mine.neighbours)
    assert moved.checksum == theirs.checksum
    codes = mine.space.codes.astype(np.int16)
    back = carry(carry(codes, mine.space, theirs.space), theirs.space, mine.space)
    assert np.array_equal(back, codes)


CHANGES = {
    "another choice": ({**SLOTS, "s1": ["p", "r"]}, "slot s1 with the choices p, q"),
    "one more choice": ({**SLOTS, "s0": ["a", "b", "c", "d"]}, "slot s0"),
    "a slot renamed": ({"s0": SLOTS["s0"], "s1": SLOTS["s1"], "s3": SLOTS["s2"]}, "the slots s0, s1, s2"),
    "a slot more": ({**SLOTS, "s4": ["x", "y"]}, "the slots s0, s1, s2"),
    "choices of another slot": ({"s0": SLOTS["s1"], "s1": SLOTS["s0"], "s2": SLOTS["s2"]}, "slot s0"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_space_is_refused_with_what_differs(change: str) -> None:
    other, says = CHANGES[change]
    one, two = (make_listed("slots", s).describe() for s in (SLOTS, other))
    assert not same_space(one, two)
    assert says in " ".join(what_differs(one, two))
    with pytest.raises(RunError, match="the run r"):
        arranged(table(SLOTS), two, "the run r")


def test_an_agent_scores_the_same_on_a_table_in_another_order(tmp_path: Path) -> None:
    turned = {name: SLOTS[name][::-1] for name in reversed(SLOTS)}
    for name, slots in (("A", SLOTS), ("B", turned)):
        table(slots).save(tmp_path / f"{name}.parquet")
    archwalk.train(tmp_path / "A.parquet", "main", tmp_path / "a", preset=small_settings())
    here = archwalk.evaluate(tmp_path / "a")
    there = archwalk.evaluate(tmp_path / "a", benchmark=tmp_path / "B.parquet")
    assert there == here
    run = tmp_path / "z"
    archwalk.transfer(tmp_path / "a", "main", "zero-shot", run, benchmark=tmp_path / "B.parquet")
    assert archwalk.evaluate(run)["validation_score"] == here["validation_score"]
    mine, theirs = (
        archwalk.load_agent(tmp_path / "a", benchmark=tmp_path / f"{name}.parquet").improve(start)
        for name, start in (("A", "b,p,10"), ("B", "10,p,b"))
    )
    assert [step.valid for step in mine] == [step.valid for step in theirs]
    assert [step.architecture.split(",") for step in mine] == [
        step.architecture.split(",")[::-1] for step in theirs
    ]
    out = tmp_path / "s"
    found = archwalk.search(value, out, agent=tmp_path / "a", space=tmp_path / "B.parquet", budget=4)
    assert {look["acc"] for look in found["looks"]} == {
        value(look["architecture"]) for look in found["looks"]
    }


def turned_cells() -> CellSpace:
    return CellSpace("turned-cells", ("none", "skip", "conv3x3", "conv1x1"), "transnas", "turned")


@pytest.mark.parametrize("tokens", ["slots", "graph"])
def test_cells_of_another_skeleton_are_the_same_cells(tmp_path: Path, tokens: str) -> None:
    digits = archwalk.load_benchmark("digits")
    task, generator = "jigsaw", np.random.default_rng(0)
    register_space("turned-cells", turned_cells)
    for name in ("transnas-micro", "turned-cells"):
        space = make_listed(name)
        moved = carry(digits.space.codes.astype(np.int16), digits.space, space)
        order = generator.permutation(len(digits))  # of the rows of a file: it means nothing
        columns = {c: v[order] for c, v in digits.columns.items() if c.task == task}
        rows = space.positions(moved)[order]
        named = make_benchmark(name, space, rows, columns, digits.metrics, {task: digits.rewards[task]})
        named.save(tmp_path / f"{name}.parquet")
    options = small_settings(observation={"tokens": tokens}, training={"trained_steps": 512})
    archwalk.train("digits", task, tmp_path / "a", preset=options)
    here = archwalk.evaluate(tmp_path / "a")
    mine = archwalk.load_agent(tmp_path / "a").improve("digits16-0_00_123")
    for name, start in (("transnas-micro", "64-41414-0_00_123"), ("turned-cells", "turned-0_00_132")):
        file = tmp_path / f"{name}.parquet"
        there = archwalk.evaluate(tmp_path / "a", benchmark=file)
        assert (there["benchmark"], there["regime"], there["evaluations"]) == (name, "zero-shot", 0)
        assert here["regime"] == "scratch"
        if tokens == "slots":  # a graph's tokens are drawn, in the order of the architectures
            assert there["validation_score"] == here["validation_score"]
            walked = archwalk.load_agent(tmp_path / "a", benchmark=file).improve(start)
            assert [step.valid for step in walked] == [step.valid for step in mine]
            assert walked[0].architecture == start
        run = archwalk.transfer(tmp_path / "a", task, "zero-shot", tmp_path / name, benchmark=file)
        assert archwalk.evaluate(run.path)["test_mean"] == there["test_mean"]
        tuned = archwalk.transfer(tmp_path / "a", task, "fine-tune", tmp_path / f"{name}-f", benchmark=file)
        found = archwalk.evaluate(tuned.path)
        assert (found["benchmark"], found["regime"], found["evaluations"] > 0) == (name, "fine-tune", True)
    with pytest.raises(RunError, match="'nasbench201'"):
        arranged(digits, {"name": "nasbench201"}, "the run r")
    with pytest.raises(RunError, match="'nowhere'"):
        arranged(digits, {"name": "nowhere"}, "the run r")


def value(architecture: str) -> float:
    """Of an architecture as the table B writes it."""
    return value_of(dict(zip(reversed(SLOTS), architecture.split(","), strict=True)))


@settings(max_examples=10, deadline=None)
@given(orders(), orders(), st.sampled_from(["slots", "declared"]))
def test_what_is_known_in_one_order_is_carried_to_another_by_name(one: dict, other: dict, kind: str) -> None:
    mine, theirs = table(one, kind=kind), table(other, kind=kind)
    codes = mine.space.codes.astype(np.int16)
    carried = carry(codes, mine.space, theirs.space)
    values = theirs.values("main")[theirs.space.positions(carried)]
    assert np.array_equal(values, mine.values("main"))


def test_an_agent_finds_its_table_where_it_is_now(tmp_path: Path) -> None:
    table(SLOTS).save(tmp_path / "A.parquet")
    archwalk.train(tmp_path / "A.parquet", "main", tmp_path / "a", preset=small_settings())
    (tmp_path / "A.parquet").rename(tmp_path / "moved.parquet")
    with pytest.raises(ArchwalkError, match="--benchmark"):
        archwalk.search(lambda a: 1.0, tmp_path / "s", agent=tmp_path / "a", budget=2)
    for where in ({"benchmark": tmp_path / "moved.parquet"}, {"space": tmp_path / "moved.parquet"}):
        out = tmp_path / "-".join(where)
        found = archwalk.search(lambda a: 1.0, out, agent=tmp_path / "a", budget=2, **where)
        assert found["ok"] == 2
    table(SLOTS, kept=9, seed=1).save(tmp_path / "A.parquet")  # another one in its place
    with pytest.raises(ArchwalkError, match="checksum"):
        archwalk.search(lambda a: 1.0, tmp_path / "s", agent=tmp_path / "a", budget=2)
