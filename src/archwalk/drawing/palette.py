"""Colours of operations: one family of colours a family of operations, the same in every picture of a space.

In: names of operations. Out: ``#rrggbb``, and what can be read on it. Next: ``picture`` and ``scene``;
``archwalk.reporting.style`` draws figures in the first eight.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Okabe and Ito (2008), ordered so that neighbours differ in lightness too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
NONE = "#B4BAC1"
# What a name must contain → colours of the family, in the order of the space's operations.
_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"^(none|zero(ize)?)$", (NONE,)),
    (r"skip|identity|^id$", ("#009E73", "#7FC97F")),
    (r"pool", ("#D55E00", "#E69F00", "#F0E442")),
    (r"conv|conv\dx\d", ("#56B4E9", "#0072B2", "#CC79A7", "#6A3D9A", "#1B3A6B", "#A6CEE3")),
)
_OTHERS = ("#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#D55E00", "#009E73", "#6A3D9A", "#F0E442", "#8C6D31")


def colours_of(operations: Sequence[str]) -> dict[str, str]:
    """A colour an operation; where a family has more than colours, they repeat (names stand beside them)."""
    found: dict[str, str] = {}
    used = dict.fromkeys(range(len(_FAMILIES) + 1), 0)
    for operation in operations:
        family = next((i for i, (p, _) in enumerate(_FAMILIES) if re.search(p, operation.lower())), -1)
        colours = _OTHERS if family < 0 else _FAMILIES[family][1]
        key = len(_FAMILIES) if family < 0 else family
        found[operation] = colours[used[key] % len(colours)]
        used[key] += 1
    return found


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb``, 0 to 1 (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink_on(colour: str) -> str:
    """Black or white, whichever can be read better on a colour."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, colour))
