"""``archwalk spaces``: the spaces known by name, and a check of a declaration.

In: arguments. Out: tables or JSON on standard output. ``commands`` hangs it into the command line.
"""

from __future__ import annotations

from typing import Any

import tyro

from archwalk.cli.console import print_json
from archwalk.cli.verbs import Verbs
from archwalk.errors import ArchwalkError


def spaces_app() -> Verbs:
    """The verbs below ``archwalk spaces``."""
    app = Verbs("Search spaces: list, check a declaration.")
    app.add("list", spaces_list)
    app.add("check", spaces_check)
    return app


def spaces_list(json: tyro.conf.FlagCreatePairsOff[bool] = False) -> None:
    """The search spaces that are known by name.

    Args:
        json: Print one JSON list, an object a space.
    """
    from archwalk.spaces.declared import DeclaredSpace
    from archwalk.spaces.registry import make_space, space_names

    rows: list[dict[str, Any]] = []
    for name, source in space_names().items():
        try:
            space = make_space(name)
        except Exception as error:  # another package's space must not hide the others
            said = error.got if isinstance(error, ArchwalkError) else f"{type(error).__name__}: {error}"
            rows.append({"name": name, "source": source, "error": said})
            continue
        rows.append(
            {
                "name": name,
                "size": space.size,
                "slots": len(space.slot_sizes),
                "neighbours": space.max_neighbours,
                "listed": space.listing() is not None,
                "source": space.declaration.source if isinstance(space, DeclaredSpace) else source,
            }
        )
    if json:
        print_json(rows)
        return
    print(f"{'name':16} {'size':>8} {'slots':>6} {'neighbours':>11}  {'listed':6}  source")
    for row in rows:
        if "error" in row:
            print(f"{row['name']:16} cannot be opened: {row['error']}  {row['source']}")
            continue
        listed = "yes" if row["listed"] else "no"
        counts = f"{size_text(row['size']):>8} {row['slots']:>6} {row['neighbours']:>11}"
        print(f"{row['name']:16} {counts}  {listed:6}  {row['source']}")


def spaces_check(space: tyro.conf.Positional[str]) -> None:
    """Read a space, refuse it if it contradicts itself, and say what is in it.

    Args:
        space: A .toml or .json file that declares one, or a name.
    """
    import numpy as np

    from archwalk.spaces.declared import DeclaredSpace
    from archwalk.spaces.registry import open_space

    found = open_space(space)
    example = found.sample(1, np.random.default_rng(0))
    around = found.neighbours(example)[0]
    around = around[(around >= 0).any(1)]
    print(f"space         {found.name}")
    if isinstance(found, DeclaredSpace) and found.size is None:
        print(
            f"architectures at most {found.most:,}; forbidden combinations tie too many slots to count them"
        )
    else:
        print(f"architectures {'unknown' if found.size is None else f'{found.size:,}'}")
    print(f"slots         {len(found.slot_sizes)}")
    print(f"neighbours    at most {found.max_neighbours:,}; {len(around):,} of the example below")
    listed = found.listing()
    print(
        f"listed        {'yes: a table of measurements can be a benchmark' if listed is not None else 'no'}"
    )
    print(f"example       {found.format(example[0].tolist())}")
    for row in around[:3].tolist():
        print(f"  neighbour   {found.format(row)}")


def size_text(size: int | None) -> str:
    """A number of architectures in eight characters: exact up to six digits, then as a power of ten."""
    if size is None:
        return "unknown"
    if size < 10**6:
        return f"{size:,}"
    digits = str(size)
    return f"{digits[0]}.{digits[1]}e{len(digits) - 1}"
