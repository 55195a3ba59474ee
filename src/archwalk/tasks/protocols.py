"""Protocols: which measurement of a published table is the reward, by name.

In: the columns of a table. Out: the reward column of each task under a protocol. Rewards of different
protocols are not comparable, so every result names the one that it was made under. Next:
``table.Benchmark.under``; a benchmark is named with its protocol as ``FILE@PROTOCOL``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from archwalk.tasks.metrics import METRICS, Column


@dataclass(frozen=True)
class Protocol:
    """How a published comparison rewards.

    Attributes:
        name: as users write it.
        spaces: names of the spaces it is about.
        epoch: of the validation metric that is the reward; the metric is the first of ``METRICS`` there.
        source: who compares so.
        exceptions: task → metric and epoch, where they are others.
    """

    name: str
    spaces: tuple[str, ...]
    epoch: str
    source: str
    exceptions: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def rewards(self, columns: Collection[Column]) -> dict[str, Column]:
        """Task → reward column, of those tasks that have it."""
        found = {}
        for task in sorted({column.task for column in columns}):
            metric, epoch = self.exceptions.get(task, ("", self.epoch))
            names = [metric] if metric else list(METRICS)
            wanted = (Column(task, name, "valid", epoch) for name in names)
            column = next((c for c in wanted if c in columns), None)
            if column is not None:
                found[task] = column
        return found


_TRANSNAS = ("transnas-micro", "transnas-macro")
PROTOCOLS = (
    Protocol(
        "transnas-best",
        _TRANSNAS,
        "best",
        "MT-NAS (Zhou et al. 2024), KTNAS: validation at each metric's best epoch, segmentation by mean IoU",
        {"segmentsemantic": ("mIoU", "best")},
    ),
    Protocol(
        "transnas-final",
        _TRANSNAS,
        "final",
        "RoBoT (He et al. 2024) and HNAS: validation at the last epoch, segmentation by pixel accuracy",
        {"segmentsemantic": ("acc", "final")},
    ),
    Protocol(
        "cassimon",
        _TRANSNAS,
        "final",
        "Cassimon et al.: validation at the last epoch, segmentation by mean IoU at its best epoch",
        {"segmentsemantic": ("mIoU", "best")},
    ),
    Protocol("nasbench201-200", ("nasbench201",), "200", "NAS-Bench-201 (Dong and Yang 2020): 200 epochs"),
)


def protocols_of(space: str, columns: Collection[Column]) -> dict[str, dict[str, Column]]:
    """The protocols that a table can be used under: name → task → reward column.

    Args:
        space: name of its space.
        columns: what was measured.
    """
    found = {p.name: p.rewards(columns) for p in PROTOCOLS if space in p.spaces}
    return {name: rewards for name, rewards in found.items() if rewards}
