"""Architectures of one space as those of another: by name and value, never by position."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.errors import ArchitectureError
from archwalk.spaces import make_space
from archwalk.spaces.base import PAD
from archwalk.spaces.correspondence import carry, slots_of
from archwalk.spaces.product import SlotSpace
from archwalk.spaces.registry import open_space
from archwalk.spaces.subset import MeasuredSubset

SLOTS = {"a": ["x", "y", "z"], "b": ["p", "q"], "c": ["1", "2", "3"]}


def choices(space: SlotSpace, code: list[int]) -> dict[str, str]:
    return {slot: some[v] for (slot, some), v in zip(space.slots.items(), code, strict=True)}


@given(st.permutations(list(SLOTS)), st.data())
@settings(max_examples=40, deadline=None)
def test_order_of_slots_and_choices_does_not_matter(order: list[str], data: st.DataObject) -> None:
    one = SlotSpace(SLOTS)
    kept = {slot: data.draw(st.permutations(SLOTS[slot])) for slot in order}
    kept["a"] = kept["a"][: data.draw(st.integers(1, 3))]  # some choices may be unknown there
    other = SlotSpace(kept, name="other")
    found = carry(one.codes.astype(np.int16), one, other)
    for before, after in zip(one.codes.tolist(), found.tolist(), strict=True):
        wanted = choices(one, before)
        if wanted["a"] in kept["a"]:
            assert choices(other, after) == wanted
        else:
            assert after == [PAD] * 3


def test_conditions_and_subsets() -> None:
    """Absent slots stay absent; what the other space's conditions or forbidden rows exclude is not in it."""
    slots = {"op": {"choices": ["conv", "skip"]}, "kernel": {"choices": [3, 5], "when": {"op": ["conv"]}}}
    one = open_space({"name": "one", "slots": slots})
    turned = {"kernel": {"choices": [5, 3], "when": {"op": ["conv"]}}, "op": {"choices": ["skip", "conv"]}}
    forbidden = [{"op": "conv", "kernel": 5}]
    other = open_space({"name": "other", "slots": turned, "forbidden": forbidden})
    codes = one.rows(["op=conv,kernel=3", "op=conv,kernel=5", "op=skip"])
    assert carry(codes, one, other).tolist() == [[1, 1], [PAD, PAD], [PAD, 0]]
    listed = one.listing()
    assert listed is not None
    assert slots_of(listed) == {"op": ("conv", "skip"), "kernel": ("3", "5")}
    subset = MeasuredSubset(one, codes[:1])
    assert carry(codes, listed, subset).tolist() == codes.tolist()  # a subset is its space
    plain = SlotSpace({"op": ["conv", "skip"], "kernel": ["3", "5"]})
    assert carry(codes, one, plain).tolist() == [[0, 0], [0, 1], [PAD, PAD]]  # it has no absent slots


def test_named_spaces() -> None:
    micro, digits = make_space("transnas-micro"), make_space("digits-micro")
    codes = micro.sample(20, np.random.default_rng(0))
    np.testing.assert_array_equal(carry(codes, micro, digits), codes)
    macro = make_space("transnas-macro")
    walk = macro.sample(5, np.random.default_rng(0))
    np.testing.assert_array_equal(carry(walk, macro, macro), walk)
    for source, target in ((micro, macro), (macro, micro), (micro, SlotSpace(SLOTS))):
        with pytest.raises(ArchitectureError, match="slots"):
            carry(source.sample(1, np.random.default_rng(0)), source, target)
