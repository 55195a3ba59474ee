"""The verb ``draw``: the picture of an architecture's string.

In: a string, and perhaps a space however a user has it. Out: a ``Drawing``, and a file. Nothing comes after
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archwalk.drawing.drawing import Drawing, check_form, drawing_of
from archwalk.searching.inputs import open_named
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.registry import find_space, open_space


def draw(
    architecture: str,
    space: SearchSpace | str | Path | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
) -> Drawing:
    """Draw an architecture: its graph with the operations in colour, or a table of its choices.

    Args:
        architecture: its string.
        space: a space, its name, a declaration, or a table or task whose space is meant; found by the string
            by default, where it is of one of the package's named spaces.
        out: file to write, .svg or .png.

    Returns:
        The drawing; in a notebook it is shown.

    Raises:
        ArchitectureError: no architecture of that space, or of any named one.
        SettingsError: an unknown space, or a file of another kind.
        RunError: the file cannot be written.
    """
    if out is not None:
        check_form(out)
    drawing = drawing_of(*_found(architecture, space))
    if out is not None:
        drawing.save(out)
    return drawing


def _found(architecture: str, space: Any) -> tuple[SearchSpace, tuple[int, ...]]:
    if space is None:
        where = find_space(architecture)
    else:
        named = open_named(space) if isinstance(space, str | Path) else space
        where = open_space(getattr(named, "space", named) if not isinstance(named, SearchSpace) else named)
    return where, where.parse(architecture)
