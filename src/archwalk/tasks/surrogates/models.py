"""What a model of a surrogate task answers, and the kinds there are.

In: a kind's name, its settings and its arrays, as they stand in a file. Out: a ``Model``, which predicts from
batches of codes. Next: ``task`` asks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import BenchmarkError, unknown
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.tasks.surrogates.file import Arrays

Floats = NDArray[np.float64]


class Prediction(NamedTuple):
    """What a model says of some architectures.

    Attributes:
        values: in the metric's unit, [n].
        spread: standard deviation of its error as it estimates it, [n]; NaN where it has no opinion.
    """

    values: Floats
    spread: Floats


@runtime_checkable
class Model(Protocol):
    """Predicts one or more numbers of an architecture.

    What it says of an architecture has the same bits whatever else is in the batch: a run that resumes asks
    in other batches than one that was not interrupted.
    """

    kind: str

    def predict(self, codes: Codes, output: int = 0) -> Prediction:
        """Of codes [n, slots], the number called ``output``."""
        ...

    def settings(self) -> dict[str, Any]:
        """All that is not an array, as plain JSON values."""
        ...

    def arrays(self) -> Arrays:
        """The weights."""
        ...


def make_model(space: SearchSpace, kind: str, settings: Mapping[str, Any], arrays: Arrays) -> Model:
    """The model that a file describes; the inverse of ``settings`` and ``arrays``.

    Raises:
        BenchmarkError: an unknown kind, or arrays that do not belong to it.
    """
    if kind == "nasbench301":
        from archwalk.tasks.surrogates.nasbench301 import NasBench301

        return NasBench301(space, arrays, **settings)
    if kind == "networks":
        from archwalk.tasks.surrogates.networks import make_networks

        return make_networks(space, arrays, **settings)
    if kind == "trees":
        from archwalk.tasks.surrogates.trees import make_trees

        return make_trees(space, arrays, **settings)
    raise BenchmarkError(*unknown("kind of surrogate", kind, ("nasbench301", "networks", "trees")))
