"""Tables with named columns as experience: whose rewards, or which columns, are taken.

In: a ``Benchmark``, or a tidy table. Out: ``Known`` sources. Next: ``past`` opens what a user names.

What is measured without training has the split ``none``. Whether more or less of it is better is not known;
it keeps its sign, which a method has to learn, and is taken only if it is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.errors import ArchwalkError, SearchError, unknown
from archwalk.searching.experience.fitting import Known, Measured, Target, fitted, searched_itself
from archwalk.spaces.base import Codes
from archwalk.spaces.correspondence import carry
from archwalk.tasks.metrics import Column, Metric, declared_here, metric_for
from archwalk.tasks.protocols import protocols_of
from archwalk.tasks.rewards import choose_rewards
from archwalk.tasks.table import Benchmark


@dataclass
class Table:
    """Named measurements: a benchmark's, or a tidy table's.

    Attributes:
        name: of the table, with its protocol.
        codes: its architectures as the searched space writes them, [n, S]; padding for those not in it.
        columns: by address, NaN where missing, [n] each.
        rewards: task → the column that says how good an architecture is, where that is known.
        metrics: declared by the table itself.
    """

    name: str
    codes: Codes
    columns: dict[Column, Any]
    rewards: dict[str, Column]
    metrics: dict[str, Metric] = field(default_factory=dict)


def of_benchmark(benchmark: Benchmark, what: Sequence[str], target: Target) -> Known:
    """Tasks of a benchmark, or columns of it, as sources.

    Args:
        benchmark: the table, under the protocol that says what its rewards are.
        what: tasks, ``task/metric[/split[/epoch]]`` or metrics without a split; none: all tasks.
        target: what they are for.

    Raises:
        ArchwalkError: no such task or column, a task that is searched, or architectures of another space.
    """
    codes = carry(benchmark.space.codes[benchmark.rows].astype(np.int16), benchmark.space, target.space)
    under = f"@{benchmark.protocol}" if benchmark.protocol else ""
    table = Table(
        benchmark.name + under,
        codes,
        dict(benchmark.columns),
        dict(benchmark.rewards),
        dict(benchmark.metrics),
    )
    mine = [task for task in benchmark.tasks if target.is_task(benchmark, task)]
    return _measured(table, what, mine, target)


def of_tidy(
    path: Path, codes: Codes, columns: dict[Column, Any], what: Sequence[str], protocol: str, target: Target
) -> Known:
    """Tasks or columns of a tidy table, as ``trials.read_tidy`` gives it.

    Args:
        path: its file.
        codes: its architectures, [n, S].
        columns: its measurements, [n] each.
        what: as for ``of_benchmark``.
        protocol: that says what the rewards are; empty: the preferred validation metrics are.
        target: what they are for.

    Raises:
        ArchwalkError: as ``of_benchmark`` does, and a protocol that does not fit.
    """
    rewards: dict[str, Column] = {}
    if protocol:
        known = protocols_of(target.space.name, columns)
        if protocol not in known:
            raise SearchError(*unknown(f"protocol of {path}", protocol, known))
        rewards = known[protocol]
    else:
        for task in sorted({c.task for c in columns}):
            of_task = {c: v for c, v in columns.items() if c.task == task}
            try:
                rewards |= choose_rewards(of_task, {})
            except ArchwalkError:
                continue  # it has none that is obvious: one of its columns can still be named
    under = f"@{protocol}" if protocol else ""
    mine = [task for task in rewards if task in target.tasks]
    return _measured(Table(path.stem + under, codes, columns, rewards), what, mine, target)


def _measured(table: Table, what: Sequence[str], mine: Sequence[str], target: Target) -> Known:
    """The columns that are meant: the rewards of all tasks or of some, or columns by their address.

    Args:
        table: where they are.
        what: tasks; ``task/metric[/split[/epoch]]``; or a metric without a split, of all tasks.
        mine: tasks of the table that are searched.
        target: what they are for.
    """
    if not what and not table.rewards:
        some = sorted({f"{c.task}/{c.metric}" for c in table.columns})
        raise SearchError(
            f"a column of {table.name} to take, since no validation metric says how good an architecture is",
            f"none named, of {', '.join(some[:8])}{', …' if len(some) > 8 else ''}",
            f"name one or more: --experience FILE:{some[0]},…",
        )
    chosen: dict[str, Column] = {}
    for name in what or sorted(table.rewards):
        if name in table.rewards:
            chosen[name] = table.rewards[name]
        elif "/" in name:
            column = _address(table, name)
            chosen["/".join(name.split("/")[:2])] = column
        else:
            bare = [c for c in table.columns if c.metric == name and c.split == "none"]
            if not bare:
                known = [*table.rewards, *sorted({c.metric for c in table.columns if c.split == "none"})]
                raise SearchError(*unknown(f"task of {table.name}, or a metric without a split", name, known))
            chosen |= {f"{c.task}/{c.metric}": c for c in sorted(bare)}
    hit = [c.task for c in chosen.values() if c.task in mine and c.split != "none"]
    if hit:
        others = [task for task in sorted(table.rewards) if task not in mine]
        raise searched_itself(
            f"{table.name} with the task {hit[0]!r}, which is searched",
            f"name the others: --experience FILE:{','.join(others)}" if others else "leave it out",
        )
    measured = [
        Measured(
            f"{table.name}/{name}",
            table.codes,
            table.columns[c] * _scale(table, c, target),
            c.metric if c.split == "none" else "",
        )
        for name, c in chosen.items()
    ]
    return fitted(table.name, measured, target.problem)


def _address(table: Table, name: str) -> Column:
    """``task/metric[/split[/epoch]]``: what is left out is the only one there, or ``valid`` and ``final``."""
    parts = name.split("/")
    found = [c for c in table.columns if list(c)[: len(parts)] == parts]
    if len(found) > 1:
        found = [c for c in found if c.split == "valid"] if len(parts) < 3 else found
        found = [c for c in found if c.epoch == "final"] if len(found) > 1 else found
    if len(found) != 1:
        known = sorted(str(c) for c in table.columns if c.task == parts[0]) or sorted(map(str, table.columns))
        raise SearchError(*unknown(f"column of {table.name}, as task/metric/split/epoch", name, known))
    return found[0]


def _scale(table: Table, column: Column, target: Target) -> float:
    """From the number as it stands to larger is better. What is measured without training has no direction
    that could be known, and keeps its sign: the method learns it."""
    name = column.metric
    declared = table.metrics.get(name) or declared_here(name)
    if column.split == "none":
        return metric_for(name).scale
    metric = target.directed(name) if declared is None else declared
    return target.check_direction(metric, table.name).scale
