"""A benchmark laid out as an agent knows its space: the same table, its slots and choices in another order.

In: a benchmark, and the description of the space that an agent was trained on. Out: the benchmark over that
space, matched by the names of slots and the values of choices. Next: ``archwalk.api`` and
``training.rundir`` put the agent into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from archwalk.errors import RunError
from archwalk.spaces.base import listed
from archwalk.spaces.correspondence import carry
from archwalk.spaces.matching import identical, same_space, what_differs
from archwalk.spaces.registry import make_space
from archwalk.spaces.subset import MeasuredSubset
from archwalk.tasks.base import Predicted
from archwalk.tasks.table import Benchmark


def arranged(
    benchmark: Benchmark | Predicted, description: Mapping[str, Any], whose: str
) -> Benchmark | Predicted:
    """The benchmark over a space as it was described to somebody.

    Args:
        benchmark: any; returned as it is where the order of slots and choices is the same.
        description: ``SearchSpace.describe()`` of the space to lay it out for.
        whose: who knows the space, for the message.

    Raises:
        RunError: another space, or a predicting task whose slots stand in another order.
    """
    there = benchmark.space.describe()
    if identical(there, description):
        return benchmark
    if not same_space(there, description) or not isinstance(benchmark, Benchmark):
        expected, got = what_differs(there, description)
        raise RunError(
            f"a run made for the space of {benchmark.name!r}: {expected}",
            f"{whose}, made for {got}",
            "use a run and a benchmark of the same space",
        )
    space = make_space(**description)
    codes = carry(benchmark.space.codes[benchmark.rows].astype(np.int16), benchmark.space, space)
    if isinstance(benchmark.space, MeasuredSubset):
        target = MeasuredSubset(space, codes)
        rows = target.positions(codes)
    else:
        target = listed(space)  # type: ignore[assignment]
        rows = target.positions(codes)
    order = np.argsort(rows, kind="stable")
    columns = {column: values[order] for column, values in benchmark.columns.items()}
    for array in columns.values():
        array.flags.writeable = False
    moved = replace(benchmark, space=target, rows=rows[order], columns=columns)
    moved.__dict__["checksum"] = benchmark.checksum  # the same table: whoever looks for it finds the file
    return moved
