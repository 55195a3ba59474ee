"""The one place where metrics are declared with direction, unit and range.

In: nothing. Out: ``Metric`` by name. A table may carry metrics that are not declared here; their importer
declares them, and the file keeps the declaration.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from math import inf
from typing import Any, Literal, NamedTuple

from archwalk.errors import SettingsError


@dataclass(frozen=True)
class Metric:
    """What a number in the table means.

    Attributes:
        name: as it stands in the table.
        direction: whether larger (``max``) or smaller (``min``) values are better.
        unit: of the stored number; ``percent`` is divided by 100 when it becomes a reward.
        low: smallest possible value.
        high: largest possible value.
    """

    name: str
    direction: Literal["max", "min"]
    unit: str
    low: float = -inf
    high: float = inf

    @property
    def scale(self) -> float:
        """Factor from the stored number to a reward: percent to fraction, and better is larger."""
        return (0.01 if self.unit == "percent" else 1.0) * (1.0 if self.direction == "max" else -1.0)

    def to_json(self) -> dict[str, Any]:
        """Plain values; an infinite bound is None, since JSON has no infinity."""
        bounds = {"low": self.low, "high": self.high}
        return asdict(self) | {k: None if abs(v) == inf else float(v) for k, v in bounds.items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Metric:
        """The inverse of ``to_json``."""
        low, high = values.get("low"), values.get("high")
        return cls(
            values["name"],
            values["direction"],
            values["unit"],
            -inf if low is None else float(low),
            inf if high is None else float(high),
        )


class Column(NamedTuple):
    """The address of one column; in the file it is written ``task/metric/split/epoch``."""

    task: str
    metric: str
    split: str
    epoch: str

    def __str__(self) -> str:
        return "/".join(self)


# In order of preference: the first that a task has on the validation split becomes its default reward.
METRICS = {
    m.name: m
    for m in (
        Metric("top1", "max", "percent", 0, 100),
        Metric("mIoU", "max", "percent", 0, 100),
        Metric("ssim", "max", "fraction", -1, 1),
        Metric("neg_loss", "max", "nats", high=0),
        Metric("acc", "max", "percent", 0, 100),
        Metric("top5", "max", "percent", 0, 100),
        Metric("loss", "min", "nats", low=0),
        Metric("params", "min", "count", 0),
        Metric("flops", "min", "count", 0),
        Metric("time_elapsed", "min", "seconds", 0),
        Metric("inference_ms", "min", "milliseconds", 0),
    )
}


_SMALLER = re.compile(
    r"loss|error|latency|time|perplexity|energy|memory|params|flops|macs"
    r"|(?:^|[^a-z])(?:err|ppl|mse|rmse|mae|cost|ms|seconds|size)(?:$|[^a-z])"
)


def metric_for(name: str, direction: Literal["max", "min"] = "max") -> Metric:
    """The declared metric of that name, or a new one with no unit and no bounds."""
    return METRICS.get(name) or Metric(name, direction, "")


def metric_to_search(name: str, direction: Literal["max", "min"] | None = None) -> Metric:
    """A metric that a user names: declared ones know their direction, all others are better when larger.

    Args:
        name: of the metric.
        direction: what the user says of it.

    Raises:
        SettingsError: a direction that is not the declared one, or none for a name that speaks of something
            of which less is better.
    """
    known = METRICS.get(name)
    if known and direction and direction != known.direction:
        raise SettingsError(
            f"{name} to be better when {'larger' if known.direction == 'max' else 'smaller'}, as declared",
            f"{'--minimise' if direction == 'min' else '--maximise'} {name}",
            "leave it out, or give your metric a name of its own",
        )
    if known is None and direction is None and _SMALLER.search(name.lower()):
        raise SettingsError(
            f"the direction of {name!r}, whose name speaks of something of which less may be better",
            "none",
            f"give --minimise {name} or --maximise {name}",
        )
    return metric_for(name, direction or "max")
