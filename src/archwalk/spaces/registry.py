"""Spaces by name, by file and by description; anybody may add names.

In: a name, a declaration's file, a mapping, a ConfigSpace object, or what ``describe`` gave. Out: the space.
Next: ``archwalk.tasks`` attaches measurements to it. Three ways lead a space of one's own here:
``register_space``, an entry point of the group ``archwalk.spaces`` (name = module:factory), or a declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from archwalk.errors import ArchitectureError, SettingsError, unknown
from archwalk.spaces.base import ListedSpace, SearchSpace, listed
from archwalk.spaces.cells import MICRO_OPERATIONS, NB201_OPERATIONS, CellSpace
from archwalk.spaces.configspace import is_config_space, read_config_space
from archwalk.spaces.darts import DartsSpace
from archwalk.spaces.declaration import load_declaration, read_declaration
from archwalk.spaces.declared import DeclaredSpace
from archwalk.spaces.graphs import NasBench101Space
from archwalk.spaces.product import SlotSpace
from archwalk.spaces.skeletons import MacroSpace

Factory = Callable[..., SearchSpace]
GROUP = "archwalk.spaces"  # of entry points


@dataclass(frozen=True)
class _Entry:
    factory: Factory
    source: str


def _declared(file: str) -> _Entry:
    path = resources.files("archwalk.spaces") / "declarations" / f"{file}.toml"

    def make() -> SearchSpace:
        with resources.as_file(path) as there:
            return DeclaredSpace(load_declaration(there))

    return _Entry(make, f"declared in the package: {file}.toml")


# The spaces of the package; a line a space.
_NAMED: dict[str, _Entry] = {
    "transnas-micro": _Entry(
        lambda: CellSpace("transnas-micro", MICRO_OPERATIONS, "transnas", "64-41414"),
        "TransNAS-Bench-101 (Duan et al. 2021), cells",
    ),
    "transnas-macro": _Entry(MacroSpace, "TransNAS-Bench-101 (Duan et al. 2021), skeletons"),
    "nasbench201": _Entry(
        lambda: CellSpace("nasbench201", NB201_OPERATIONS, "nasbench201"),
        "NAS-Bench-201 (Dong and Yang 2020)",
    ),
    # The embedded benchmark's skeleton: 16 channels at 4×4 (`datasets.digits.network`).
    "digits-micro": _Entry(
        lambda: CellSpace("digits-micro", MICRO_OPERATIONS, "transnas", "digits16"),
        "the embedded benchmark's cells",
    ),
    # The same cells in a skeleton of this project's own; no measurement of it is anybody else's.
    "synthetic-cells": _Entry(
        lambda: CellSpace("synthetic-cells", MICRO_OPERATIONS, "transnas", "synthetic"),
        "cells of the formula benchmark",
    ),
    "mnasnet": _declared("mnasnet"),
    "gpt-s": _declared("gpt-s"),
    "gnn": _declared("gnn"),
    "nasbench-macro": _declared("nasbench-macro"),
    "residual-mlp": _declared("residual-mlp"),
    "residual-conv1d": _declared("residual-conv1d"),
    "darts": _Entry(DartsSpace, "DARTS (Liu et al. 2019), the space of NAS-Bench-301 (Zela et al. 2022)"),
    "nasbench101": _Entry(NasBench101Space, "NAS-Bench-101 (Ying et al. 2019), classes of graphs"),
}
_added: dict[str, _Entry] = {}


def register_space(name: str, factory: Factory, *, source: str = "registered") -> None:
    """Make a space known by name in this process; an entry point does so in every process.

    Args:
        name: of the space; also what its ``describe()["name"]`` must say, so that files lead back to it.
        factory: called without arguments, or with what ``describe`` gives besides the name.
        source: where the space comes from, for people.

    Raises:
        SettingsError: the name stands for another space already.
    """
    taken = _entries().get(name)
    if name == "slots" or (taken is not None and taken.factory is not factory):
        raise SettingsError("a name that no other space has", repr(name), "choose another one")
    _added[name] = _Entry(factory, source)
    _named.cache_clear()


@cache
def _installed() -> dict[str, _Entry]:
    """Spaces of other packages; their modules are imported when one is asked for."""

    def loading(point: Any) -> Factory:
        return lambda **details: point.load()(**details)

    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return {p.name: _Entry(loading(p), f"entry point {p.value}") for p in points}


def _entries() -> dict[str, _Entry]:
    return {**_installed(), **_added, **_NAMED}  # the package's own names cannot be taken away


def space_names() -> dict[str, str]:
    """Every name that ``make_space`` knows without details, and where that space comes from."""
    return {name: entry.source for name, entry in {**_NAMED, **_installed(), **_added}.items()}


@cache
def _named(name: str) -> SearchSpace:
    return _entries()[name].factory()


def make_space(
    name: str,
    slots: Mapping[str, Sequence[str]] | None = None,
    declaration: Mapping[str, Any] | None = None,
    **details: Any,
) -> SearchSpace:
    """A search space by name, or from its description: ``make_space(**space.describe())``.

    Args:
        name: one of ``space_names()``, ``slots``, or with a declaration any.
        slots: for ``slots`` only: slot name → its choices.
        declaration: of a declared space: ``slots`` and perhaps ``forbidden``; see docs/spaces.md.
        details: for a registered space whose factory asks for them.

    Raises:
        SettingsError: an unknown name, or slots given where the space has none of its own (or missing).
        ArchitectureError: slots that make no space.
        SpaceError: a declaration that makes none.
    """
    if declaration is not None:
        return DeclaredSpace(read_declaration({**declaration, "name": name}, origin=f"the space {name!r}"))
    entries = _entries()
    if name != "slots" and name not in entries:
        raise SettingsError(*unknown("space", name, (*entries, "slots")))
    if (name == "slots") != (slots is not None):
        raise SettingsError(
            "slots for the space 'slots', and for no other",
            f"space {name!r} with slots {list(slots or [])}",
            "give --slots op0,op1,... together with --space slots",
        )
    if slots is not None:
        return SlotSpace(slots)
    return entries[name].factory(**details) if details else _named(name)


def make_listed(
    name: str,
    slots: Mapping[str, Sequence[str]] | None = None,
    declaration: Mapping[str, Any] | None = None,
    **details: Any,
) -> ListedSpace:
    """``make_space``, of a space that can be listed. Raises ``ArchitectureError`` for one that cannot."""
    return listed(make_space(name, slots, declaration, **details))


def open_space(space: object) -> SearchSpace:
    """A space, however it is given.

    Args:
        space: a space (returned as it is); a name; a .toml or .json file that declares one; a mapping, either
            what ``describe`` gave or a declaration; or a ConfigSpace ``ConfigurationSpace``.

    Raises:
        SettingsError: an unknown name, or something else.
        SpaceError: a declaration that cannot be read, or makes no space.
    """
    if isinstance(space, SearchSpace):
        return space
    if isinstance(space, str | Path):
        if Path(space).suffix in (".toml", ".json"):
            return DeclaredSpace(load_declaration(space))
        if str(space) not in (*_entries(), "slots"):
            raise SettingsError(*unknown("space, or a .toml or .json file", str(space), _entries()))
        return make_space(str(space))
    if is_config_space(space):
        return DeclaredSpace(read_config_space(space))
    if isinstance(space, Mapping):
        described = "declaration" in space or "slots" not in space or space.get("name") == "slots"
        if described and isinstance(space.get("name"), str):
            return make_space(**space)
        return DeclaredSpace(read_declaration(space))
    raise SettingsError(
        "a space: its name, a .toml or .json file, a mapping, a ConfigurationSpace or a SearchSpace",
        f"an object of type {type(space).__name__}",
        "'archwalk spaces list' shows the names; docs/spaces.md the format of a declaration",
    )


def find_space(architecture: str) -> SearchSpace:
    """The named space of this package that a string is an architecture of; no string is one of two.

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
