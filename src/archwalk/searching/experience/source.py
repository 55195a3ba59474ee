"""``Source``: what is known of another task before the target's first evaluation.

In: tables, ledgers, trials, agents, of which other modules make sources (``past`` of what a user names). Out:
architectures and their values, for a ``Problem`` to hold. Next: the methods that know sources model them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Source",
    "make_source",
]

LEAST = 2  # architectures of a source: one alone says nothing of any other


@dataclass(frozen=True)
class Source:
    """What is known of one other task: all architectures of a table, or the few that a search evaluated.

    Attributes:
        name: as results print it.
        codes: architectures, each once, int16 as their space writes codes, [n, S].
        values: larger is better, finite, in the source's own unit, [n].
        column: the metric, where it is one without a split (measured without training, or a cost) and not
            what a task rewards; where less of it is known to be better, the values have changed their sign.
    """

    name: str
    codes: NDArray[np.int16]
    values: NDArray[np.float64]
    column: str = ""

    def __len__(self) -> int:
        return len(self.values)


def make_source(name: str, codes: NDArray[np.int16], values: NDArray[np.float64], column: str = "") -> Source:
    """A source of measurements in any order: sorted by code, repeated ones averaged.

    Args:
        name: of the source.
        codes: [n, S].
        values: larger is better, finite, [n].
        column: see ``Source``.
    """
    order = np.lexsort((values, *codes.T[::-1]))  # values too, so that sums do not depend on the order given
    codes, values = codes[order], values[order]
    first = np.flatnonzero(np.append(True, (codes[1:] != codes[:-1]).any(1))) if len(codes) else np.arange(0)
    counts = np.diff(np.append(first, len(codes)))
    sums = np.add.reduceat(values, first) if len(first) else values
    means = np.asarray(sums / counts, dtype=np.float64)
    return Source(name, codes[first].astype(np.int16), means, column)
