"""What is improved and reported: metrics of predictions.

In: scores or predictions, targets. Out: metrics by name. Next: ``training`` measures networks, ``schedule``
compares them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import SettingsError, unknown
from archwalk.fitting.data import Dataset
from archwalk.tasks.metrics import Metric

Floats = NDArray[np.float64]
UNBALANCED = 3.0  # times as many examples of the largest class as of the smallest

METRICS = {
    "classification": {
        m.name: m
        for m in (
            Metric("accuracy", "max", "percent", 0, 100),
            Metric("balanced_accuracy", "max", "percent", 0, 100),
            Metric("macro_f1", "max", "percent", 0, 100),
            Metric("log_loss", "min", "nats", 0),
        )
    },
    "regression": {
        m.name: m
        for m in (Metric("rmse", "min", "", 0), Metric("mae", "min", "", 0), Metric("r2", "max", "", high=1))
    },
}
TIE = {"classification": "log_loss", "regression": "rmse"}  # decides between equal values of the metric


def unbalanced(data: Dataset) -> bool:
    """Whether the largest class has more than ``UNBALANCED`` times the examples of the smallest."""
    counts = list(data.counts.values())
    return bool(counts) and max(counts) > UNBALANCED * min(counts)


def find_metric(name: str | None, data: Dataset) -> Metric:
    """The metric to improve: accuracy, balanced accuracy where classes are unbalanced, or the RMSE.

    Raises:
        SettingsError: an unknown name, or one of the other task.
    """
    known = METRICS[data.task]
    if name is None:
        default = "rmse" if data.task == "regression" else "accuracy"
        return known["balanced_accuracy" if unbalanced(data) else default]
    if name not in known:
        raise SettingsError(*unknown(f"metric of {data.task}", name, known))
    return known[name]


def measure_classes(scores: Floats, targets: NDArray[np.int64]) -> dict[str, float]:
    """Metrics of ``METRICS`` from scores before the softmax, [n, classes], and numbers of classes, [n].

    Recall and F1 of a class without examples or predictions count as 0 where they are not defined, and means
    are over the classes that have examples.
    """
    shifted = scores - scores.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    predicted = scores.argmax(1)
    recalls, f1 = [], []
    for k in np.unique(targets):
        hit = int(((predicted == k) & (targets == k)).sum())
        there, said = int((targets == k).sum()), int((predicted == k).sum())
        recalls.append(hit / there)
        f1.append(2 * hit / (there + said))
    return {
        "accuracy": 100.0 * float((predicted == targets).mean()),
        "balanced_accuracy": 100.0 * float(np.mean(recalls)),
        "macro_f1": 100.0 * float(np.mean(f1)),
        "log_loss": float(-log_p[np.arange(len(targets)), targets].mean()),
    }


def measure_quantities(predicted: Floats, targets: Floats) -> dict[str, float]:
    """Metrics of ``METRICS`` from predictions and targets, [n] each; r2 is 0 where all targets are equal."""
    error = predicted - targets
    spread = float(((targets - targets.mean()) ** 2).mean())
    squared = float((error**2).mean())
    return {
        "rmse": squared**0.5,
        "mae": float(np.abs(error).mean()),
        "r2": 1.0 - squared / spread if spread > 0 else 0.0,
    }


def measure_of(data: Dataset) -> Callable[[Floats, NDArray[np.int64] | Floats], dict[str, float]]:
    """The function that measures predictions of a data set's task."""
    if data.task == "classification":
        return lambda scores, targets: measure_classes(scores, targets.astype(np.int64))
    return lambda scores, targets: measure_quantities(scores.reshape(-1), targets.astype(np.float64))
