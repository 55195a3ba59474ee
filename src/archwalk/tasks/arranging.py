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

from archwalk.errors import ArchwalkError, RunError
from archwalk.spaces.base import SearchSpace, listed
from archwalk.spaces.correspondence import carry, slots_of, whole_of
from archwalk.spaces.matching import identical, same_space, what_differs
from archwalk.spaces.product import SlotSpace
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

    Spaces that differ in their name alone, such as the cells of two skeletons, are one to an agent: it sees
    slots and choices. The benchmark then keeps its own space, and so its own way to write architectures.

    Raises:
        RunError: another space, or a predicting task whose slots stand in another order.
    """
    there = benchmark.space.describe()
    if identical(there, description):
        return benchmark
    renamed = renamed_from(benchmark.space, description)
    if renamed and _in_order(benchmark.space, renamed):
        return benchmark
    if not (renamed or same_space(there, description)) or not isinstance(benchmark, Benchmark):
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


def renamed_from(space: SearchSpace, description: Mapping[str, Any]) -> SearchSpace | None:
    """The described space, if it is the given one but for its name and the order of slots and choices.

    That is certain of products of slots alone, of one class: there every combination is an architecture, and
    the class says how an architecture becomes a token.
    """
    whole = whole_of(space)
    try:
        described = whole_of(make_space(**description))
    except (ArchwalkError, TypeError):  # not known here
        return None
    if type(whole) is not type(described) or not isinstance(whole, SlotSpace):
        return None
    mine, theirs = slots_of(whole) or {}, slots_of(described) or {}
    alike = {s: sorted(c) for s, c in mine.items()} == {s: sorted(c) for s, c in theirs.items()}
    return described if alike and len(mine) > 0 else None


def _in_order(one: SearchSpace, other: SearchSpace) -> bool:
    """Whether codes of two spaces with the same slots mean the same."""
    return list((slots_of(one) or {}).items()) == list((slots_of(other) or {}).items())
