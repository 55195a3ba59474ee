"""The named spaces, each built once a process, and the way from a benchmark file's words to a space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache

from archwalk.errors import ArchitectureError, SettingsError, unknown
from archwalk.spaces.base import ListedSpace, SearchSpace, listed
from archwalk.spaces.cells import MICRO_OPERATIONS, NB201_OPERATIONS, CellSpace
from archwalk.spaces.darts import DartsSpace
from archwalk.spaces.graphs import NasBench101Space
from archwalk.spaces.product import SlotSpace
from archwalk.spaces.skeletons import MacroSpace

_NAMED: dict[str, Callable[[], SearchSpace]] = {
    "transnas-micro": lambda: CellSpace("transnas-micro", MICRO_OPERATIONS, "transnas", "64-41414"),
    "transnas-macro": MacroSpace,
    "nasbench201": lambda: CellSpace("nasbench201", NB201_OPERATIONS, "nasbench201"),
    # The embedded benchmark's skeleton: 16 channels at 4×4 (`benchmark.digits.network`).
    "digits-micro": lambda: CellSpace("digits-micro", MICRO_OPERATIONS, "transnas", "digits16"),
    # The same cells in a skeleton of this project's own; no measurement of it is anybody else's.
    "synthetic-cells": lambda: CellSpace("synthetic-cells", MICRO_OPERATIONS, "transnas", "synthetic"),
    "darts": DartsSpace,
    "nasbench101": NasBench101Space,
}
SPACE_NAMES = (*_NAMED, "slots")


@cache
def _named(name: str) -> SearchSpace:
    return _NAMED[name]()


def make_space(name: str, slots: Mapping[str, Sequence[str]] | None = None) -> SearchSpace:
    """A search space by name.

    Args:
        name: one of ``SPACE_NAMES``.
        slots: for ``slots`` only: slot name → its choices.

    Raises:
        SettingsError: an unknown name, or slots given where the space has none of its own (or missing).
        ArchitectureError: slots that make no space.
    """
    if name not in SPACE_NAMES:
        raise SettingsError(*unknown("space", name, SPACE_NAMES))
    if (name == "slots") != (slots is not None):
        raise SettingsError(
            "slots for the space 'slots', and for no other",
            f"space {name!r} with slots {list(slots or [])}",
            "give --slots op0,op1,... together with --space slots",
        )
    return SlotSpace(slots) if slots is not None else _named(name)


def make_listed(name: str, slots: Mapping[str, Sequence[str]] | None = None) -> ListedSpace:
    """``make_space``, of a space that can be listed. Raises ``ArchitectureError`` for one that cannot."""
    return listed(make_space(name, slots))


def find_space(architecture: str) -> SearchSpace:
    """The named space that a string is an architecture of; no string is one of two.

    Raises:
        ArchitectureError: it is of none.
    """
    for name in _NAMED:
        with suppress(ArchitectureError):
            _named(name).parse(architecture)
            return _named(name)
    raise ArchitectureError(
        f"an architecture of one of the spaces {', '.join(_NAMED)}",
        repr(architecture),
        "check the string, and put it in quotes on a command line",
    )
