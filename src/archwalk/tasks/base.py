"""``Predicted``: tasks of a space that nobody lists, whose values come from a formula or a fitted model.

In: a space. Out: the reward's metric of any architecture, at once. A table (``table.Benchmark``) knows the
architectures that were measured; this can say something of any. Next: ``registry`` opens both by name or
file; ``archwalk.envs`` makes either a decision process.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import BenchmarkError, unknown
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.tasks.metrics import Metric


@runtime_checkable
class Predicted(Protocol):
    """Tasks over a space of any size.

    Attributes:
        name: how results refer to it.
        space: the search space.
        checksum: SHA-256 of everything that decides a value: its identity.
        tasks: names of the tasks, sorted.
        rewards: task → the metric whose values agents are rewarded with.
        split: what the values stand for, as ``valid``.
        epoch: likewise, as ``final``.
        source: where the numbers come from, and how to cite them.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def space(self) -> SearchSpace: ...  # noqa: D102

    @property
    def checksum(self) -> str: ...  # noqa: D102

    @property
    def tasks(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def rewards(self) -> Mapping[str, Metric]: ...  # noqa: D102

    @property
    def split(self) -> str: ...  # noqa: D102

    @property
    def epoch(self) -> str: ...  # noqa: D102

    @property
    def source(self) -> str: ...  # noqa: D102

    def values(self, task: str, codes: Codes, metric: str | None = None) -> NDArray[np.float64]:
        """A metric of architectures, in its own unit, [n].

        Args:
            task: one of ``tasks``.
            codes: [n, slots].
            metric: one that the task has; the reward's by default.

        Raises:
            BenchmarkError: no such task or metric.
        """
        ...


def split_tasks(text: str, tasks: Collection[str]) -> tuple[str, ...]:
    """``a,b,c`` as the tasks that it names; a benchmark's task whose name has a comma is one task.

    Raises:
        BenchmarkError: a name that is none of the benchmark's tasks, or one that stands there twice.
    """
    if text in tasks or "," not in text:
        check_task(text, tasks)
        return (text,)
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in tasks:
            expected, got, remedy = unknown("task", name, tasks)
            several = "tasks of several tables are named --benchmark a,b --task A:x,B:y (docs/multitask.md)"
            raise BenchmarkError(expected, got, f"{remedy}; {several}")
        if names.count(name) > 1:
            raise BenchmarkError("each task once", f"{name!r} twice in {text!r}", "leave one of them out")
    return names


def check_task(task: str, tasks: Collection[str]) -> None:
    """Raises ``BenchmarkError`` if a task is none of a benchmark's."""
    if task not in tasks:
        raise BenchmarkError(*unknown("task", task, tasks))
