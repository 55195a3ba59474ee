"""Ranks, ties sharing theirs: what ``scipy.stats`` has too, at a third of a second of every command.

In: values. Out: ranks, 1 is the smallest. Next: ``archwalk.searching``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray


def ranks(values: NDArray[np.float64], ties: Literal["mean", "least"] = "mean") -> NDArray[np.float64]:
    """The rank of each value among all, [n].

    Args:
        values: no NaN among them, [n].
        ties: what equal values share: the ``mean`` of their places, or the ``least`` of them.
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    first = last - counts + 1
    return np.asarray((first if ties == "least" else (first + last) / 2)[place], dtype=np.float64)
