"""Which architectures of one space are architectures of another, whatever the two are called.

In: codes of one space, and another space. Out: the same architectures as codes of the other one. Slots are
matched by name and choices by value, never by position. Next: ``archwalk.searching.experience`` takes what is
known in one space into another, ``tasks.arranging`` lays out a table as an agent knows its space.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import ArchitectureError
from archwalk.spaces.base import PAD, Codes, SearchSpace
from archwalk.spaces.declared import DeclaredSpace, ListedDeclaredSpace
from archwalk.spaces.matching import identical
from archwalk.spaces.product import SlotSpace
from archwalk.spaces.subset import MeasuredSubset


def whole_of(space: SearchSpace) -> SearchSpace:
    """The space that a measured subset, or the listing of a declared space, is of; else the space itself."""
    if isinstance(space, MeasuredSubset):
        return whole_of(space.whole)
    return space.space if isinstance(space, ListedDeclaredSpace) else space


def slots_of(space: SearchSpace) -> dict[str, tuple[str, ...]] | None:
    """Slot → its choices as text, in the order of the codes; None where slots have no names."""
    whole = whole_of(space)
    if isinstance(whole, DeclaredSpace):
        return dict(zip(whole.declaration.slots, whole.declaration.texts, strict=True))
    slots = getattr(whole, "slots", None)
    return {k: tuple(map(str, v)) for k, v in slots.items()} if isinstance(slots, Mapping) else None


def contains(space: SearchSpace, codes: Codes) -> NDArray[np.bool_]:
    """Whether codes are architectures of a space whose slots have names, [n].

    Args:
        space: a measured subset counts as the whole that it is of.
        codes: [n, S], choices within their slots, -1 where a slot is absent.
    """
    whole = whole_of(space)
    if isinstance(whole, DeclaredSpace):
        return whole.contains(codes)
    if isinstance(whole, SlotSpace):
        return np.asarray((codes >= 0).all(1))
    return np.array([_is_one(whole, code) for code in codes.tolist()], dtype=np.bool_)


def _is_one(space: SearchSpace, code: list[int]) -> bool:
    try:
        return tuple(space.parse(space.format(code))) == tuple(code)
    except (ArchitectureError, IndexError, KeyError, ValueError):
        return False


def carry(codes: Codes, source: SearchSpace, target: SearchSpace) -> Codes:
    """Architectures of one space as codes of another, [n, target's slots].

    Args:
        codes: architectures of ``source``, [n, its slots].
        source: where they come from.
        target: where they are wanted. A measured subset counts as the whole that it is of.

    Returns:
        A row of padding for an architecture that ``target`` does not have.

    Raises:
        ArchitectureError: the spaces differ and their slots have other names, or none.
    """
    if identical(whole_of(source).describe(), whole_of(target).describe()):
        return codes.astype(np.int16)
    from_slots, to_slots = slots_of(source), slots_of(target)
    if from_slots is None or to_slots is None or set(from_slots) != set(to_slots):
        raise ArchitectureError(
            f"architectures of the space {target.name!r}, whose slots are {_names(to_slots)}",
            f"some of the space {source.name!r}, whose slots are {_names(from_slots)}",
            "name what is known of this space, or of one with the same slots",
        )
    order = list(from_slots)
    found = np.full((len(codes), len(to_slots)), PAD, dtype=np.int16)
    known = np.ones(len(codes), dtype=np.bool_)
    for column, (slot, choices) in enumerate(to_slots.items()):
        place = {choice: v for v, choice in enumerate(choices)}
        table = np.array([*(place.get(c, PAD - 1) for c in from_slots[slot]), PAD], dtype=np.int16)
        found[:, column] = table[codes[:, order.index(slot)]]  # an absent slot reads the last entry
        known &= found[:, column] >= PAD
    found[~known] = PAD
    found[~contains(target, found)] = PAD
    return found


def rewritten(text: str, source: SearchSpace, target: SearchSpace) -> str:
    """An architecture's string as another space with the same slots writes it.

    Raises:
        ArchitectureError: it is none of the source's, or the target does not have it.
    """
    return target.format(carry(source.rows([text]), source, target)[0].tolist())


def _names(slots: Mapping[str, object] | None) -> str:
    return "without names" if slots is None else ", ".join(slots)
