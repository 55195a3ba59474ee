"""``FitResult``: what a fit found, beside plain baselines.

In: test metrics of three seeds. Out: means with intervals, differences, verdicts. Next: ``card`` and the
    command
line show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from archwalk.analysis.statistics import Values, crossed_interval, mean_interval
from archwalk.tasks.ledger import Evaluation
from archwalk.tasks.metrics import Metric

BETTER, WORSE, ALIKE, EQUAL = "better", "worse", "no difference shown", "equal"


@dataclass(frozen=True)
class Tested:
    """A network on the test split, a training a seed.

    Attributes:
        mean: of the metric over the seeds.
        ci95: 95 % interval of that mean over seeds (``analysis.statistics.mean_interval``); it says nothing
            of other test examples.
        values: one a seed.
        metrics: means of all metrics.
        seconds: of all trainings together.
        failed: trainings that gave no number.
    """

    mean: float
    ci95: tuple[float, float]
    values: tuple[float, ...]
    metrics: dict[str, float]
    seconds: float
    failed: int = 0


@dataclass(frozen=True)
class Baseline:
    """A plain network beside the winner.

    Attributes:
        name: of it.
        test: its metric.
        steps: that it was trained for, chosen on the validation split as the winner's were; of gradient
            boosting, trees.
        difference: mean over seeds of the winner's metric minus its own.
        difference_ci95: 95 % interval of that, over seeds and over test examples, paired by both
            (``analysis.statistics.crossed_interval``); of the macro F1 over seeds alone.
        verdict: of the winner: ``better`` or ``worse`` where the interval leaves zero out, ``equal`` where
            all differences are zero, else ``no difference shown``.
    """

    name: str
    test: Tested
    steps: int
    difference: float
    difference_ci95: tuple[float, float]
    verdict: str


@dataclass(frozen=True)
class FitResult:
    """What ``fit`` found.

    Attributes:
        architecture: the winner.
        space: of it.
        skeleton: what stands around it.
        parameters: of its network.
        task: classification or regression.
        metric: that was improved.
        direction: ``max`` or ``min``.
        unit: of the metric.
        validation: of the winner, when it was chosen; optimistic, since it was chosen by it.
        test: of the winner, trained again on training and validation split.
        baselines: beside it.
        steps: that the winner was trained for, chosen on the validation split.
        schedule: steps over which its learning rate would have fallen to zero.
        trainings: of the search, by steps.
        failed: of these.
        budget_seconds: given.
        search_seconds: charged to the search.
        final_seconds: charged to the trainings of the end.
        seconds: charged in all.
        folder: of the files.
        files: in it.
    """

    architecture: str
    space: str
    skeleton: dict[str, Any]
    parameters: int
    task: str
    metric: str
    direction: str
    unit: str
    validation: float
    test: Tested
    baselines: tuple[Baseline, ...]
    steps: int
    schedule: int
    trainings: dict[str, int]
    failed: int
    budget_seconds: float
    search_seconds: float
    final_seconds: float
    seconds: float
    folder: str
    files: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"verdict": self.verdict}

    @property
    def verdict(self) -> str:
        """Whether the winner beats the baselines, in a sentence."""
        if not self.baselines:
            return "There is no baseline."
        worse = [b.name for b in self.baselines if b.verdict != BETTER]
        if not worse:
            return "The winner beats every baseline."
        said = "; ".join(f"{b.name}: {b.verdict}" for b in self.baselines)
        return f"The winner does not beat every baseline ({said})."


def tested(evaluations: Sequence[Evaluation], metric: Metric) -> Tested:
    """The final trainings of one network, one a seed."""
    good = [e for e in evaluations if e.status == "ok"]
    values = np.array([e.metrics[metric.name] for e in good])
    interval = mean_interval(values)
    names = [name for name in (good[0].metrics if good else ()) if not name.endswith("seconds")]
    return Tested(
        float(values.mean()) if len(values) else float("nan"),
        (max(float(interval.low), metric.low), min(float(interval.high), metric.high)),
        tuple(values.tolist()),
        {name: float(np.mean([e.metrics[name] for e in good])) for name in names},
        sum(e.metrics.get("seconds", e.seconds) for e in evaluations),
        len(evaluations) - len(good),
    )


def compared(
    name: str, theirs: Tested, ours: Tested, metric: Metric, steps: int, differences: Values | None = None
) -> Baseline:
    """A baseline beside the winner.

    Args:
        name: of the baseline.
        theirs: its test.
        ours: the winner's.
        metric: that is compared.
        steps: that the baseline was trained for.
        differences: what each example adds to the winner's metric minus the baseline's, a row a seed, [seeds,
            n]; None: the seeds alone are compared.
    """
    if theirs.failed or ours.failed:
        unknown = float("nan")
        return Baseline(name, theirs, steps, unknown, (unknown, unknown), ALIKE)
    by_seed = np.array(ours.values) - np.array(theirs.values)
    interval = mean_interval(by_seed) if differences is None else crossed_interval(differences)
    low, high = (float(b) for b in interval)
    sign = 1.0 if metric.direction == "max" else -1.0
    bounds = sorted((sign * low, sign * high))
    verdict = ALIKE
    if not (by_seed if differences is None else differences).any():
        verdict = EQUAL
    elif bounds[0] > 0:
        verdict = BETTER
    elif bounds[1] < 0:
        verdict = WORSE
    return Baseline(name, theirs, steps, float(by_seed.mean()), (low, high), verdict)
