"""Studies with several algorithms, or several transfer methods: what they say against each other.

In: ``StudyData``. Out: tables ``algorithms`` and ``transfers``, and ``Dimension``s with the paper's questions
by algorithm; nothing for a study of one each. Next: ``dimension_figures`` draws them, ``html`` shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from archwalk.analysis.curves import Curve, reach
from archwalk.analysis.statistics import Interval, mean_interval
from archwalk.reporting.data import TRANSFERRED, UNITS, StudyData, Values, format_interval, format_number
from archwalk.reporting.summary import Answer, answers
from archwalk.reporting.tables import Table, make_regimes, make_results
from archwalk.studies.folder import make_frame
from archwalk.transferring.registry import INITIALISE

LEVEL = 0.97  # the validation score that costs are counted to
REGIMES = ("scratch", *reversed(TRANSFERRED))
TRAINED = ("scratch", "retrain")  # regimes that have a curve
ALGORITHMS, TRANSFERS = "22_algorithms", "23_transfers"
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Dimension:
    """A part of the report.

    Attributes:
        title: as a heading.
        figure: name of its figure.
        table: name of its table.
        sentences: what the table says.
        answers: the paper's questions, by algorithm; empty where they are not asked again.
    """

    title: str
    figure: str
    table: str
    sentences: tuple[str, ...]
    answers: dict[str, list[Answer]]


@dataclass(frozen=True)
class Cost:
    """What runs took to a validation score of ``LEVEL``.

    Attributes:
        spent: by seed and agent; of a run that never got there all that it took, [seeds, agents].
        reached: whether it got there, same shape.
    """

    spent: Values
    reached: np.ndarray[Any, np.dtype[np.bool_]]


def agents_of(data: StudyData, regime: str) -> Pairs:
    """The (source, target) of a regime: tasks themselves from scratch, else all pairs."""
    return [(task, task) for task in data.tasks] if regime == "scratch" else data.pairs


def cost_to_level(data: StudyData, pairs: Pairs, unit: str) -> Cost:
    """What the agents of some pairs took, of the seeds that have all of them; in one of ``UNITS``."""
    column, factor, _ = UNITS[unit]
    found: dict[int, list[tuple[float, bool]]] = {}
    for source, target in pairs:
        of_pair = data.curves.filter(source_task=source, target_task=target).sort("seed", "trained_steps")
        for (seed,), run in of_pair.partition_by("seed", as_dict=True).items():
            cost = run[column].cast(pl.Float64).to_numpy() * factor
            found.setdefault(seed, []).append(reach(Curve(run["validation_score"].to_numpy(), cost), LEVEL))
    whole = [each for _, each in sorted(found.items()) if len(each) == len(pairs)]
    made = np.array(whole, dtype=np.float64).reshape(len(whole), len(pairs), 2)
    return Cost(made[..., 0], made[..., 1] > 0)


def seed_scores(data: StudyData, pairs: Pairs, regime: str) -> dict[int, float]:
    """Mean validation score over pairs by seed, of the seeds that have all of them."""
    found: dict[int, list[float]] = {}
    for source, target in pairs:
        scores = data.values(source, target, regime, "validation_score")
        for seed, score in zip(data.seeds(source, target, regime), scores.tolist(), strict=True):
            found.setdefault(seed, []).append(score)
    return {seed: float(np.mean(each)) for seed, each in sorted(found.items()) if len(each) == len(pairs)}


def _row(data: StudyData, pairs: Pairs, regime: str, **named: str) -> dict[str, Any] | None:
    """Score and costs of some agents, over seeds; None where no seed has them all."""
    scores = np.array(list(seed_scores(data, pairs, regime).values()))
    if not len(scores):
        return None
    low, high = mean_interval(scores)
    row: dict[str, Any] = named | {"regime": regime, "seeds": len(scores), "agents_a_seed": len(pairs)}
    row |= {"score": float(scores.mean()), "low": low, "high": high}
    for unit in UNITS:
        each = cost_to_level(data, pairs, unit) if regime in TRAINED else None
        if each is None or not len(each.spent):
            row |= dict.fromkeys((unit, f"{unit}_low", f"{unit}_high", "never"))
            continue
        by_seed = each.spent.mean(1)
        row |= {unit: float(by_seed.mean())}
        row[f"{unit}_low"], row[f"{unit}_high"] = mean_interval(by_seed)
        row["never"] = int((~each.reached).sum())
    return row


def dimension_tables(data: StudyData) -> dict[str, Table]:
    """The tables of a study that has several algorithms, or several transfer methods."""
    tables = []
    if len(data.plan.algorithms) > 1:
        rows = [
            _row(view, agents_of(data, regime), regime, algorithm=name)
            for name, view in _algorithms(data).items()
            for regime in REGIMES
        ]
        tables.append(Table("algorithms", "Algorithms", _CAPTION, make_frame([row for row in rows if row])))
    if len(data.plan.transfers) > 1:
        tables.append(_transfers(data))
    return {table.name: table for table in tables}


_COSTS = (
    f"minutes, trained_steps, evaluations: to a first greedy evaluation with a score of {LEVEL} or more, not "
    "smoothed; never: agents that did not get there, which count with their whole training, so that the mean "
    "is a lower bound. low and high: 95 % intervals over seeds, of means over the agents of a seed."
)
_CAPTION = f"score: validation score, 0 a random architecture, 1 the best. {_COSTS}"


def _transfers(data: StudyData) -> Table:
    """One row an algorithm, transfer method, pair (or all of them) and regime."""
    rows = []
    for algorithm in data.plan.algorithms:
        plain = data.of(algorithm)
        for name in data.plan.transfers:
            view = data.of(algorithm, name)
            for pair in (None, *data.pairs):
                pairs = data.pairs if pair is None else [pair]
                source, target = pair or ("all", "all")
                for regime in REGIMES[1:]:
                    named = {"algorithm": algorithm, "transfer": name, "source": source, "target": target}
                    row = _row(view, pairs, regime, **named)
                    if row:
                        rows.append(row | _difference(view, plain, pairs, regime))
    caption = (
        f"{_CAPTION} difference: of the score from that of the paper's way, {INITIALISE}, seed by seed, with "
        "its 95 % interval."
    )
    return Table("transfers", "Transfer methods", caption, make_frame(rows))


def _difference(view: StudyData, plain: StudyData, pairs: Pairs, regime: str) -> dict[str, float | None]:
    ours, theirs = (seed_scores(data, pairs, regime) for data in (view, plain))
    paired = np.array([ours[seed] - theirs[seed] for seed in ours if seed in theirs])
    names = ("difference", "difference_low", "difference_high")
    if view.transfer == INITIALISE or not len(paired):
        return dict.fromkeys(names)
    return dict(zip(names, (float(paired.mean()), *mean_interval(paired)), strict=True))


def _algorithms(data: StudyData) -> dict[str, StudyData]:
    """Views by algorithm, of those that have any result, moved in the way of the report."""
    views = {name: data.of(name, data.transfer) for name in data.plan.algorithms}
    return {name: view for name, view in views.items() if not view.results.is_empty()}


def dimensions(data: StudyData, tables: dict[str, Table]) -> list[Dimension]:
    """What a report says of them, in order."""
    found = []
    if "algorithms" in tables:
        asked = {
            name: answers(view, {"results": make_results(view), "regimes": make_regimes(view)})
            for name, view in _algorithms(data).items()
        }
        told = tuple(_told(tables["algorithms"].frame, "algorithm", TRAINED))
        found.append(Dimension("Algorithms", ALGORITHMS, "algorithms", told, asked))
    if "transfers" in tables:
        together = tables["transfers"].frame.filter(source="all")
        several = [name for name in data.plan.algorithms if name in together["algorithm"]]
        sentences: list[str] = []
        for name in several:
            prefix = f"{name}: " if len(several) > 1 else ""
            own = together.filter(algorithm=name)
            sentences += [prefix + text for text in _told(own, "transfer", REGIMES[1:])]
        found.append(Dimension("Transfer methods", TRANSFERS, "transfers", tuple(sentences), {}))
    return found


def _told(frame: pl.DataFrame, by: str, regimes: Sequence[str]) -> list[str]:
    """A sentence a regime: scores, best first, and what it took to ``LEVEL``."""
    sentences = []
    for regime in regimes:
        rows = frame.filter(regime=regime).sort("score", descending=True).to_dicts()
        if not rows:
            continue
        scores = ", ".join(
            f"{row[by]} {format_number(row['score'])} {format_interval(Interval(row['low'], row['high']))}"
            for row in rows
        )
        text = f"{regime}, validation score: {scores}."
        if regime in TRAINED:
            rows = [row for row in rows if row["minutes"] is not None]
            rows.sort(key=lambda row: row["minutes"])
            parts = [
                f"{row[by]} {'at least ' if row['never'] else ''}{format_number(row['minutes'])} minutes, "
                f"{format_number(row['trained_steps'])} trained steps and "
                f"{format_number(row['evaluations'])} evaluations"
                + (
                    f" ({row['never']} of {row['seeds'] * row['agents_a_seed']} never)"
                    if row["never"]
                    else ""
                )
                for row in rows
            ]
            text += f" To {LEVEL}: {'; '.join(parts)}."
        sentences.append(text)
    return sentences
