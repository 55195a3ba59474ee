"""Cards of what was trained, as the verbs ``agents`` and ``encoder`` print and fill them.

In: a card, plain values. Out: lines or JSON on standard output. Next: people and programs.
"""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from archwalk.cli.console import print_json

WIDTH = 100


def typed() -> str:
    """The command as it was typed, for the card of what it makes."""
    return shlex.join(["archwalk", *sys.argv[1:]])


def print_card(card: Mapping[str, Any], names: Sequence[str], json: bool) -> None:
    """A card as one JSON object; or some of its fields, those that are not empty, a line each.

    Args:
        card: plain values; ``spaces`` are descriptions, of which the names are shown.
        names: of the fields.
        json: whether all of it is printed as JSON.
    """
    if json:
        print_json(card)
        return
    for name in names:
        value = card[name]
        if name == "spaces":
            value = ", ".join(str(space.get("name")) for space in value)
        if value not in ("", None):
            print(textwrap.fill(f"{name}: {value}", WIDTH, subsequent_indent="  ", break_on_hyphens=False))
