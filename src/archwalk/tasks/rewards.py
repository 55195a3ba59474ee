"""Which column of somebody's table is the reward of a task: the one named, or one that is certainly meant.

In: the columns of a table, and what was said of them. Out: the reward of each task, and the declaration of
every metric. What is not certain is asked for, with what was seen. Next: ``importers`` makes the benchmark.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import BenchmarkError, enumerated, unknown
from archwalk.tasks.metrics import (
    COSTS,
    METRICS,
    Column,
    Direction,
    Metric,
    declared_here,
    find_meant,
    is_aside,
    metric_for,
    metric_to_search,
    said_of,
    speaks_of_merit,
    split_name,
    split_of,
)
from archwalk.tasks.table import epoch_order

Columns = Mapping[Column, NDArray[np.float64]]


def choose_rewards(
    columns: Columns,
    named: Mapping[str, str],
    said: Mapping[str, Direction] | None = None,
    plain: Collection[Column] = (),
) -> dict[str, Column]:
    """A reward column for each task: the one named, else the preferred validation metric at its final epoch.

    Preferred is the first of ``METRICS`` that the task has on the validation split, or its only metric there.
    Numbers of rows and runs, deviations, counts, costs and constants are never taken unless they are named.
    The epoch is ``final``, else ``best``, else the last one.

    Args:
        columns: address → values, [architectures].
        named: task → ``metric[/split[/epoch]]``.
        said: metric → direction, as the command says it; such a metric is meant to be used.
        plain: columns whose split nobody wrote, so that it is taken for validation.

    Raises:
        BenchmarkError: a task whose reward is not certain, or a named column that does not exist.
    """
    tasks = sorted({c.task for c in columns})
    for task in named:
        if task not in tasks:
            raise BenchmarkError(*unknown("task", task, tasks))
    rewards = {}
    for task in tasks:
        known = [c for c in columns if c.task == task]
        if task in named:
            rewards[task] = named_column(known, task, named[task])
            if np.isnan(columns[rewards[task]]).all():
                raise BenchmarkError(
                    f"values in the reward column {rewards[task]}", "none", "name another one with --reward"
                )
        else:
            found = _obvious(columns, known, said or {}, plain)
            rewards[task] = max(
                found, key=lambda c: (c.epoch == "final", c.epoch == "best", epoch_order(c.epoch))
            )
    return rewards


def named_column(known: Collection[Column], task: str, address: str) -> Column:
    """The column that a user means with ``metric[/split[/epoch]]``, the metric also as ``val_acc``.

    Raises:
        BenchmarkError: there is none.
    """
    parts = address.split("/")
    metric, split = (parts[0], None) if len(parts) > 1 else split_name(parts[0])
    split = (split_of(parts[1]) or parts[1]) if len(parts) > 1 else split or "valid"
    epochs = parts[2:] or ["final"]
    for name in (parts[0], metric):
        meant = find_meant(name, sorted({c.metric for c in known if c.split == split}))
        here = [c for c in known if c.metric == meant and c.split == split]
        if not parts[2:] and here and not any(c.epoch == "final" for c in here) and len(here) == 1:
            return here[0]
        for column in here:
            if [column.epoch] == epochs:
                return column
    shown = sorted("/".join(c[1:]) for c in known)
    raise BenchmarkError(*unknown(f"reward column of {task}", "/".join([metric, split, *epochs]), shown))


def _obvious(
    columns: Columns, known: Collection[Column], said: Mapping[str, Direction], plain: Collection[Column]
) -> list[Column]:
    """The columns, one an epoch, of what is certainly the task's validation metric."""
    task = next(iter(known)).task
    doubts = {c: _doubt(c, columns, known, said, plain) for c in known if c.split == "valid"}
    certain = sorted({c.metric for c, doubt in doubts.items() if not doubt})
    ranked = [[m for m in certain if _is(m, name)] for name in METRICS]
    chosen = next((alike for alike in ranked if alike), certain)
    unclear = {c.metric for c, doubt in doubts.items() if doubt == CONSTANT and declared_here(c.metric)}
    if chosen and _is(chosen[0], "loss"):
        chosen = certain  # a loss beside something else that may be meant
    if len(chosen) == 1 and not unclear - set(certain):
        return [c for c, doubt in doubts.items() if c.metric == chosen[0] and not doubt]
    seen = [f"{'/'.join(c[1:])}" + (f" ({doubts[c]})" if doubts.get(c) else "") for c in sorted(known)]
    raise BenchmarkError(
        f"one obvious validation metric to reward on task {task!r}",
        f"{', '.join(certain) or 'none'} on the split valid; the columns are {enumerated(seen, 12)}",
        f"name it: --reward {task}=metric/split/epoch, with the split that the values are of",
    )


def _is(metric: str, name: str) -> bool:
    """Whether a metric's name, however written, means that of ``METRICS``."""
    return find_meant(metric, [name]) is not None


CONSTANT = "the same everywhere"


def _doubt(
    column: Column,
    columns: Columns,
    known: Collection[Column],
    said: Mapping[str, Direction],
    plain: Collection[Column],
) -> str:
    """Why a column may not be what agents are to improve; empty if it certainly is a validation metric."""
    name, values = column.metric, columns[column]
    there = values[np.isfinite(values)]
    if len(there) == 0:
        return "no value"
    if len(values) > 1 and len(np.unique(there)) == 1:
        return CONSTANT
    if said_of(name, said):
        return ""
    if declared_here(name) is not None:
        return "a cost" if any(_is(name, cost) for cost in COSTS) else ""
    if is_aside(name):
        return "an id, a count or a deviation"
    if column not in plain:
        return ""  # somebody wrote that this is validation
    if _counts_rows(there) and not speaks_of_merit(name):
        return "whole numbers, each once"
    if any(c.metric == name and c.split == "test" for c in known):
        return ""
    alone = all(c is column or c == column or c.split == "none" or is_aside(c.metric) for c in known)
    if alone or (speaks_of_merit(name) and not any(c.split == "test" for c in known)):
        return ""
    return "a split that nobody wrote"


def _counts_rows(values: NDArray[np.float64]) -> bool:
    """Whether values are whole numbers that follow each other, as those of rows or runs do."""
    order = np.sort(values)
    return len(order) > 1 and bool((order == np.round(order)).all()) and bool((np.diff(order) == 1).all())


def declare(
    columns: Columns, rewards: Mapping[str, Column], said: Mapping[str, Direction]
) -> dict[str, Metric]:
    """Every metric that occurs, with direction, unit and range.

    The directions of rewards must be certain; others are asked for when they are used (``metric_to_search``).
    Percentages whose values all lie between 0 and 1 are taken for fractions.

    Raises:
        SettingsError: a direction that is not known, or at odds with the declared one.
        BenchmarkError: a metric that is a fraction in one column and a percentage in another; a direction
            said of a metric that does not occur.
    """
    names = sorted({c.metric for c in columns})
    for name in said:
        if find_meant(name, names) is None:
            raise BenchmarkError(*unknown("metric to minimise or maximise", name, names))
    rewarded = {column.metric for column in rewards.values()}
    declared = {}
    for name in names:
        about = said_of(name, said)
        metric = metric_to_search(name, about) if name in rewarded or about else metric_for(name)
        if metric.unit == "percent" and _fractions(name, columns):
            metric = metric.as_fraction()
        declared[name] = metric
    return declared


def _fractions(name: str, columns: Columns) -> bool:
    """Whether a percentage is written as a fraction, in all of its columns."""
    most = {c: float(np.nanmax(v)) for c, v in columns.items() if c.metric == name and not np.isnan(v).all()}
    small = [c for c, value in most.items() if value <= 1]
    last = {c for c in most if not any(_later(d, c) for d in most)}  # early a percentage may be as small
    written, large = [c for c in small if c in last], [c for c in last if c not in small]
    if written and large:
        raise BenchmarkError(
            f"one unit of {name!r}",
            f"fractions in {written[0]} (up to {most[written[0]]:.4g}) and percentages in {large[0]} (up to "
            f"{most[large[0]]:.4g})",
            "write all as percentages or all as fractions",
        )
    return bool(small) and len(small) == len(most)


def _later(one: Column, other: Column) -> bool:
    return one[:3] == other[:3] and epoch_order(one.epoch) > epoch_order(other.epoch)
