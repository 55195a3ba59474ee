"""Two descriptions of a space laid side by side: slots by name and choices by value, never by their order.

In: what ``describe`` gives of two spaces. Out: whether they are one, and what differs. Next:
``correspondence`` writes the codes of one as those of the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from archwalk.errors import enumerated


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
