"""The model card of a fit, and its trainings as a table.

In: a ``FitResult`` and how it came about. Out: ``card.md`` and ``trials.csv``. Next: people; ``trials.csv``
is experience for a later search.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib import import_module, resources
from math import isfinite
from pathlib import Path
from typing import Any

import jinja2
import polars as pl

from archwalk.errors import enumerated
from archwalk.files import write_atomically
from archwalk.fitting.data import Dataset
from archwalk.fitting.plan import SEEDS, Plan
from archwalk.fitting.result import FitResult, Tested
from archwalk.fitting.schedule import Trial, extrapolated, longest, reached
from archwalk.fitting.splits import TEST
from archwalk.fitting.units import BOOSTING, Trainer
from archwalk.tasks.metrics import Metric

CARD, TRIALS = "card.md", "trials.csv"
_PERCENT = ("accuracy", "balanced_accuracy", "macro_f1")


def write_trials(folder: Path, trials: Sequence[Trial], metric: Metric, rungs: Sequence[int]) -> None:
    """A row an architecture: the metric expected after the longest trainings, and what was measured.

    The column of the metric's name is ``schedule.extrapolated``, on one scale for all rows; ``measured`` is
    the best validation value that was, reached after ``steps`` steps.
    """
    expected = extrapolated(trials, rungs)
    last, best = longest(trials), reached(trials)
    good = {a for a in last if isfinite(expected[a])}
    columns: dict[str, list[Any]] = {
        "architecture": list(last),
        metric.name: [expected[a] / metric.scale if a in good else None for a in last],
        "steps": [best[a].best_after for a in last],
        "measured": [best[a].reward / metric.scale if a in good else None for a in last],
        "status": ["ok" if a in good else "failed" for a in last],
        "seconds": [sum(t.seconds for t in trials if t.architecture == a) for a in last],
    }
    text = io.StringIO()
    pl.DataFrame(columns, strict=False).write_csv(text)
    write_atomically(folder / TRIALS, text.getvalue().encode())


def number(value: float, unit: str = "") -> str:
    """A metric for people."""
    return f"{value:.2f} %" if unit == "percent" else f"{value:.4g}"


def _with_interval(tested: Tested, unit: str) -> str:
    low, high = (number(v, unit) for v in tested.ci95)
    return f"{number(tested.mean, unit)} [{low}, {high}]"


def _rows(result: FitResult) -> list[tuple[str, ...]]:
    """The winner and the baselines, a row each."""
    rows: list[tuple[str, ...]] = [
        (
            "the winner",
            _with_interval(result.test, result.unit),
            f"{result.steps:,} steps of a schedule of {result.schedule:,}",
            "",
        )
    ]
    for b in result.baselines:
        low, high = map(number, b.difference_ci95)
        length = f"{b.steps:,} {'trees' if b.name == BOOSTING else 'steps'}"
        said = f"{b.difference:+.4g} [{low}, {high}]: {b.verdict}"
        rows.append((b.name, _with_interval(b.test, result.unit), length, said))
    return rows


def _limits(result: FitResult, data: Dataset, test: int) -> list[str]:
    one = f": one example is {100 / test:.2g} points of accuracy" if data.classes else ""
    return [
        f"The intervals of means are over {SEEDS} seeds (first weights, order of examples) and say nothing "
        f"of other examples; there are {test:,} in the test split{one}. Those of differences are over both.",
        f"The validation value, {number(result.validation, result.unit)}, chose the winner in "
        f"{sum(result.trainings.values()):,} trainings; it is too good. The test value was looked at once.",
        *(
            []
            if data.given is not None
            else [
                "Splits are random. If examples belong together (patients, places, days), new ones will fare "
                "worse; then give a split of your own."
            ]
        ),
        "Nothing was tested on data from elsewhere, on inputs that belong to no class, or for fairness.",
        *(f"{note[0].upper()}{note[1:]}." for note in data.notes),
    ]


def write_card(
    folder: Path, result: FitResult, trainer: Trainer, plan: Plan, options: dict[str, Any]
) -> None:
    """Everything that somebody should know before using the network."""
    data, blocks = trainer.data, trainer.blocks
    test, single = int((blocks == TEST).sum()), int((blocks == 0).sum())
    skeleton = ", ".join(f"{k} {v}" for k, v in result.skeleton.items())
    named = options["experience"]
    text = (resources.files("archwalk.fitting") / "card.md.j2").read_text(encoding="utf-8")
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True).from_string(
        text
    )
    content = template.render(
        version=import_module("archwalk").__version__,
        data=data,
        r=result,
        rows=_rows(result),
        seeds=SEEDS,
        others=", ".join(
            f"{k} {number(v, 'percent' if k in _PERCENT else '')}" for k, v in result.test.metrics.items()
        ),
        skeleton=f" ({skeleton})" if skeleton else "",
        classes=enumerated([f"{name} ({n:,})" for name, n in data.counts.items()], 50),
        low=number(float(data.targets.min())),
        high=number(float(data.targets.max())),
        mean=number(float(data.targets.mean())),
        test=test,
        rest=len(data) - test,
        validation="four parts took turns as validation split"
        if len(plan.turns) > 1
        else f"{single:,} were the validation split",
        splits="those of the data"
        if data.given is not None
        else f"made with seed {options['seed']}, by {'class' if data.classes else 'rank of the target'}",
        recipe=trainer.recipe,
        device=trainer.device.type,
        options=options,
        experience="what comes with the package, if anything"
        if named is None
        else ", ".join(named) or "none",
        limits=_limits(result, data, test),
    )
    write_atomically(folder / CARD, content.encode())
