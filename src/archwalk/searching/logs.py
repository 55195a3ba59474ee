"""Where people follow a search: TensorBoard's event files.

In: evaluations as they come. Out: files below the search's folder. Next: ``tensorboard --logdir OUT``.
"""

from __future__ import annotations

import uuid
from importlib.util import find_spec
from pathlib import Path

from archwalk.errors import SearchError, unknown
from archwalk.searching.limits import Limits
from archwalk.tasks.ledger import Evaluation
from archwalk.tasks.metrics import Metric

LOGS = ("tensorboard",)


class TensorBoardLog:
    """Every metric, the best value and the seconds by number of evaluations; architectures as texts.

    Args:
        folder: of the event files.
        metric: that is improved.
        before: evaluations that are there already, and were written when they came.
        limits: what the best one must keep to.
    """

    def __init__(
        self, folder: Path, metric: Metric, before: list[Evaluation], limits: Limits | None = None
    ) -> None:
        from tensorboardX import SummaryWriter

        apart = (
            f".{uuid.uuid4().hex[:8]}"  # or a search that goes on within a second would write over the first
        )
        self._writer = SummaryWriter(str(folder), flush_secs=10, filename_suffix=apart)
        self._metric, self._limits, self._best = metric, limits, float("-inf")
        for evaluation in before:
            self._improved(evaluation)

    def _improved(self, evaluation: Evaluation) -> bool:
        if evaluation.status != "ok" or (self._limits and self._limits.violation(evaluation.metrics)):
            return False
        reward = self._metric.scale * evaluation.metrics[self._metric.name]
        better = reward > self._best
        self._best = max(self._best, reward)
        return better

    def __call__(self, evaluation: Evaluation, count: int) -> None:
        """One more evaluation."""
        writer, name = self._writer, self._metric.name
        if self._improved(evaluation):
            writer.add_text("best architecture", evaluation.architecture, count)
        for metric, value in evaluation.metrics.items():
            writer.add_scalar(f"metrics/{metric}", value, count)
        if self._best > float("-inf"):
            writer.add_scalar(f"best/{name}", self._best / self._metric.scale, count)
        writer.add_scalar("evaluation/seconds", evaluation.seconds, count)
        writer.add_scalar("evaluation/failed", float(evaluation.status != "ok"), count)
        said = f"{evaluation.architecture}  \n{evaluation.status} {evaluation.message}"
        writer.add_text("evaluation", said, count)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def check_log(name: str | None) -> None:
    """Raises ``SearchError`` for an unknown kind of log, or one whose library is not there."""
    if name is None:
        return
    if name not in LOGS:
        raise SearchError(*unknown("log", name, LOGS))
    if find_spec("tensorboardX") is None:
        raise SearchError(
            "tensorboardX, for --log tensorboard", "none", "pip install 'archwalk[tensorboard]'"
        )
