"""Declared spaces by trying everything: which architectures exist, and which are one edit apart."""

from __future__ import annotations

import itertools
from math import prod
from typing import Any

Architecture = dict[str, Any]  # slot → choice, absent slots left out


def exists(slot: str, values: Architecture, slots: dict[str, Any]) -> bool:
    return all(values.get(parent) in some for parent, some in slots[slot].get("when", {}).items())


def architectures(declared: dict[str, Any]) -> list[Architecture]:
    """Every one, by trying every choice and absence of every slot."""
    slots = declared["slots"]
    found = []
    for combination in itertools.product(*([None, *slot["choices"]] for slot in slots.values())):
        values = {slot: v for slot, v in zip(slots, combination, strict=True) if v is not None}
        fits = all((slot in values) == exists(slot, values, slots) for slot in slots)
        banned = any(all(values.get(s) in some for s, some in row.items()) for row in declared["forbidden"])
        if fits and not banned:
            found.append(values)
    return found


def depends(slot: str, edited: str, pair: tuple[Any, Any], slots: dict[str, Any]) -> bool:
    """Whether a slot may appear or vanish when another goes from one choice to the other."""
    when = slots[slot].get("when", {})
    under = [edited not in when or v in when[edited] for v in pair]
    return any(under) and (under[0] != under[1] or any(depends(p, edited, pair, slots) for p in when))


def may_exist(slot: str, edited: str, pair: tuple[Any, Any], side: int, slots: dict[str, Any]) -> bool:
    """Whether one that depends on the edit can exist on that side of it."""
    when = slots[slot].get("when", {})
    return (edited not in when or pair[side] in when[edited]) and all(
        may_exist(p, edited, pair, side, slots) for p in when if depends(p, edited, pair, slots)
    )


def one_edit(a: Architecture, b: Architecture, declared: dict[str, Any], most: int) -> bool:
    """Whether two different architectures are neighbours, by the rule as documented.

    Args:
        most: completions up to which all choices of appearing slots are neighbours.
    """
    slots = declared["slots"]
    differing = [slot for slot in a if slot in b and a[slot] != b[slot]]
    if len(differing) != 1:
        return False
    edited = differing[0]
    choices = slots[edited]["choices"]
    if (
        slots[edited]["kind"] != "categorical"
        and abs(choices.index(a[edited]) - choices.index(b[edited])) != 1
    ):
        return False
    pair = (a[edited], b[edited])
    touched = [slot for slot in slots if slot != edited and depends(slot, edited, pair, slots)]
    completions = [
        prod(len(slots[s]["choices"]) for s in touched if may_exist(s, edited, pair, side, slots))
        for side in (0, 1)
    ]
    if max(completions) <= most:
        return True
    return all(
        v == slots[s]["choices"][0]
        for one, other in ((a, b), (b, a))
        for s, v in one.items()
        if s not in other
    )
