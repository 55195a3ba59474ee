"""``Source``: what is known of another task before the target's first evaluation.

In: tables, ledgers, trials, agents, of which other modules make sources. Out: architectures and their values,
for a ``Problem`` to hold. Next: the methods that know sources model them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Source:
    """What is known of one other task: all architectures of a table, or the few that a search evaluated.

    Attributes:
        name: as results print it.
        codes: architectures, each once, int16 as their space writes codes, [n, S].
        values: larger is better, finite, in the source's own unit, [n].
    """

    name: str
    codes: NDArray[np.int16]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)
