"""What is improved and reported: metrics of predictions.

In: scores or predictions, targets. Out: metrics by name. Next: ``training`` measures networks, ``schedule``
compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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


def order_of(metrics: Mapping[str, float], metric: Metric, task: str) -> tuple[float, float]:
    """What decides between two measurements: the metric, then between equal values ``TIE``; larger is
    better."""
    return metric.scale * metrics[metric.name], -metrics[TIE[task]]


def best_point(orders: Sequence[tuple[float, float]]) -> int:
    """Which of several lengths of training to choose, by ``order_of`` each, from the shortest to the longest.

    The longest, unless shorter ones are better in the metric and no worse in what decides between equals:
    then the best of these, the first of equals. A few examples more on the right side alone are luck: which
    point of a training has them differs from seed to seed.
    """
    metric, tie = orders[-1]
    better = [at for at, (one, other) in enumerate(orders) if one > metric and other >= tie]
    return max(better, key=lambda at: orders[at], default=len(orders) - 1)


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


def differences(metric: str, ours: Floats, theirs: Floats, targets: NDArray[Any]) -> Floats | None:
    """What each example adds to the difference between two predictions' metrics, [n].

    The mean over the examples is the difference: of the accuracies of single examples, weighted by class
    for the balanced accuracy; of losses and errors; of squared errors, divided by the sum of both RMSE or by
    the variance of the targets. None for the macro F1, which is no mean over examples.

    Args:
        metric: its name.
        ours: scores, [n, classes], or predictions, [n, 1] or [n].
        theirs: the same of the other.
        targets: numbers of classes or quantities, [n].
    """
    if metric == "macro_f1":
        return None
    if metric in METRICS["regression"]:
        a, b = (p.reshape(-1) - targets for p in (ours, theirs))
        if metric == "mae":
            return np.abs(a) - np.abs(b)
        squared = a**2 - b**2
        if metric == "r2":
            return -squared / targets.var()
        return squared / max(float((a**2).mean() ** 0.5 + (b**2).mean() ** 0.5), 1e-300)
    rows = np.arange(len(targets))
    if metric == "log_loss":
        shifted = [s - s.max(1, keepdims=True) for s in (ours, theirs)]
        one, two = (s[rows, targets] - np.log(np.exp(s).sum(1)) for s in shifted)
        return two - one
    hits = 100.0 * ((ours.argmax(1) == targets) * 1.0 - (theirs.argmax(1) == targets))
    if metric == "accuracy":
        return hits
    classes, at, counts = np.unique(targets, return_inverse=True, return_counts=True)
    return hits * (len(targets) / (len(classes) * counts))[at]


def measure_of(data: Dataset) -> Callable[[Floats, NDArray[np.int64] | Floats], dict[str, float]]:
    """The function that measures predictions of a data set's task."""
    if data.task == "classification":
        return lambda scores, targets: measure_classes(scores, targets.astype(np.int64))
    return lambda scores, targets: measure_quantities(scores.reshape(-1), targets.astype(np.float64))
