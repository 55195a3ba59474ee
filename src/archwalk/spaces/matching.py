"""Two descriptions of a space laid side by side: slots by name and choices by value, never by their order.

In: what ``describe`` gives of two spaces. Out: whether they are one, what differs, and the codes of one in
the order of the other. Next: ``tasks.arranging`` lays out a table as an agent knows its space.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from archwalk.errors import enumerated
from archwalk.spaces.base import PAD, Codes, SearchSpace
from archwalk.spaces.declared import DeclaredSpace, ListedDeclaredSpace
from archwalk.spaces.product import SlotSpace
from archwalk.spaces.subset import MeasuredSubset


def identical(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two descriptions agree to the order of slots and choices, so that codes mean the same."""
    return json.dumps(_ordered(one)) == json.dumps(_ordered(other))


def same_space(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two descriptions have the same slots by name with the same choices by value."""
    return _unordered(one) == _unordered(other)


def _ordered(value: Any) -> Any:
    """With everything sorted but slots and choices; a file may have written the rest in another order."""
    if isinstance(value, Mapping):
        ordered = {str(key): _ordered(value[key]) for key in sorted(value) if key != "slots"}
        slots = value.get("slots")
        if isinstance(slots, Mapping):
            ordered["slots"] = {str(slot): _ordered(slots[slot]) for slot in slots}
        return ordered
    return [_ordered(v) for v in value] if isinstance(value, list | tuple) else value


def _unordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _unordered(value[key]) for key in value}
    if isinstance(value, list | tuple):
        return sorted((_unordered(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    return value


def what_differs(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, str]:
    """Where two descriptions part, in words: what the first has there, and what the second has."""
    if one.get("name") != other.get("name"):
        return f"the space {one.get('name')!r}", f"the space {other.get('name')!r}"
    mine, theirs = (_slots(description) for description in (one, other))
    for slot in [*mine, *theirs]:
        if slot not in mine or slot not in theirs:
            return f"the slots {enumerated(mine, 12)}", f"the slots {enumerated(theirs, 12)}"
    for slot, choices in mine.items():
        if sorted(choices) != sorted(theirs[slot]):
            mine_there, theirs_there = enumerated(choices, 12), enumerated(theirs[slot], 12)
            return f"slot {slot} with the choices {mine_there}", f"slot {slot} with {theirs_there}"
    order = ["the slots in the order " + enumerated(s, 12) for s in (mine, theirs)]
    if order[0] != order[1]:
        return order[0], order[1]
    return f"the space {one.get('name')!r} as declared there", "another declaration of the same slots"


def _slots(description: Mapping[str, Any]) -> dict[str, list[str]]:
    inner = description.get("declaration", description)
    slots = inner.get("slots", {}) if isinstance(inner, Mapping) else {}
    return {
        str(slot): [str(c) for c in (given.get("choices", [given]) if isinstance(given, Mapping) else given)]
        for slot, given in slots.items()
    }


def named_slots(space: SearchSpace) -> dict[str, tuple[str, ...]] | None:
    """Slot → its choices as text, in the order of the codes; None for a space without named slots."""
    if isinstance(space, MeasuredSubset):
        space = space.whole
    if isinstance(space, ListedDeclaredSpace):
        space = space.space
    if isinstance(space, DeclaredSpace):
        return dict(zip(space.declaration.slots, space.declaration.texts, strict=True))
    return dict(space.slots) if isinstance(space, SlotSpace) else None


def translated(codes: Codes, mine: SearchSpace, theirs: SearchSpace) -> Codes:
    """Codes of one space as those of another with the same slots, [n, slots] → [n, slots]."""
    here, there = named_slots(mine), named_slots(theirs)
    if here is None or there is None:
        return codes
    places = list(here)
    columns = []
    for slot, choices in there.items():
        value = {choice: v for v, choice in enumerate(choices)}
        table = np.array([*(value[choice] for choice in here[slot]), PAD], dtype=np.int16)
        columns.append(table[codes[:, places.index(slot)]])  # PAD = -1 reads the last entry, which is PAD
    return np.stack(columns, axis=1)


def rewritten(text: str, mine: SearchSpace, theirs: SearchSpace) -> str:
    """An architecture's string in another space with the same slots."""
    row = translated(mine.rows([text]), mine, theirs)[0].tolist()
    return theirs.format(row)
