"""The three research questions of the paper, answered in sentences computed from the data.

In: ``StudyData`` and its tables. Out: ``Answer``, each with its figures; what is missing. Next: ``html``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from archwalk.analysis.curves import KERNEL
from archwalk.reporting.data import TRANSFERRED, UNITS, StudyData, format_number
from archwalk.reporting.published import published_results
from archwalk.reporting.tables import Table

ALPHA = 0.05
FEW_SEEDS = 3  # below, intervals exist but decide nothing


@dataclass(frozen=True)
class Answer:
    """One research question.

    Attributes:
        question: as the paper asks it.
        sentences: the answer, first what we found, then what the paper found.
        figures: names of the figures that show it.
    """

    question: str
    sentences: tuple[str, ...]
    figures: tuple[str, ...]


def what_is_missing(data: StudyData) -> str:
    """The first line of a report on an unfinished study; empty if nothing is missing."""
    if not data.missing:
        return ""
    total = len(data.plan.jobs())
    named = "; ".join(str(job) for job in data.missing[:6])
    more = f"; and {len(data.missing) - 6} more" if len(data.missing) > 6 else ""
    return (
        f"Unfinished: {len(data.missing)} of {total} agents are missing ({named}{more}). Everything below is "
        "computed from what is there."
    )


def cautions(data: StudyData) -> list[str]:
    """What a reader should know before believing the numbers."""
    found = []
    if data.plan.seeds < FEW_SEEDS:
        found.append(
            f"{data.plan.seeds} seed{'s' if data.plan.seeds > 1 else ''}: too few to tell an effect from "
            "chance; intervals are missing or very wide."
        )
    points = data.plan.settings.training.trained_steps // data.plan.settings.training.evaluate_every
    if points < 2 * KERNEL:
        found.append(
            f"About {points} evaluations a training run: the moving average over {KERNEL} covers most of a "
            "run, so that its last value lies below the final performance and is matched early."
        )
    return found


def answers(data: StudyData, tables: dict[str, Table]) -> list[Answer]:
    """The answers, as far as the study has got."""
    return [
        Answer(
            "Does pretraining an agent on one task benefit its training for another task?",
            (*_benefit(data, tables), *_benefit_published(data)),
            ("05_retrain", "17_rank_percentile"),
        ),
        Answer(
            "How well do zero-shot transfer, fine-tuning and retraining perform on the target task?",
            (*_regimes(data, tables), *_regimes_published(data)),
            ("06_fine_tune", "07_zero_shot", "16_regret"),
        ),
        Answer(
            "How much additional training does a transferred agent need, against training from scratch?",
            (*_needed(data), *_needed_published(data)),
            ("11_steps_to_match", "10_minutes_to_match", "14_evaluations_to_match", "08_curves"),
        ),
    ]


NOTHING_YET = "No agent is done that could answer this."


def _benefit(data: StudyData, tables: dict[str, Table]) -> list[str]:
    found = tables["results"].frame.filter(
        (pl.col("regime") == "retrain") & pl.col("improvement").is_not_null()
    )
    if found.is_empty():
        return [NOTHING_YET]
    above: list[str] = []
    better: list[str] = []
    worse: list[str] = []
    for row in found.iter_rows(named=True):
        pair = f"{row['source']} → {row['target']}"
        scratch = data.values(row["target"], row["target"], "scratch", "mean").mean()
        gain = data.sign(row["target"]) * (row["mean"] - scratch)
        above += [pair] if gain > 0 else []
        if row["p_holm"] is not None and row["p_holm"] < ALPHA:
            (better if gain > 0 else worse).append(pair)
    sentences = [
        f"In {len(above)} of {len(found)} pairs of tasks the retrained agents end on better architectures, "
        f"on average, than agents from scratch; after Holm's correction the difference is significant for "
        f"{_counted(better)} in favour of pretraining and for {_counted(worse)} against it.",
        f"A retrained agent beats one from scratch with probability "
        f"{found['improvement'].to_numpy().mean():.2f} on average over pairs (0.5: no benefit).",
    ]
    by_regime = {row["regime"]: row for row in tables["regimes"].frame.iter_rows(named=True)}
    if {"scratch", "retrain"} <= by_regime.keys():
        sentences.append(
            "Validation score, interquartile mean: "
            f"{_score(by_regime['retrain'])} retrained, {_score(by_regime['scratch'])} from scratch."
        )
    return sentences


def _counted(pairs: list[str]) -> str:
    return f"{len(pairs)} ({', '.join(pairs)})" if pairs else "none"


def _score(row: dict[str, Any]) -> str:
    interval = "" if np.isnan(row["iqm_low"]) else f" [{row['iqm_low']:.3f}, {row['iqm_high']:.3f}]"
    return f"{row['iqm']:.3f}{interval}"


def _benefit_published(data: StudyData) -> list[str]:
    pairs = _published_pairs(data)
    if not pairs:
        return []
    table = published_results()
    above = sum(table["retrain", a, b].mean > table["scratch", b, b].mean for a, b in pairs)
    return [
        f"The paper: better in {above} of the {len(pairs)} pairs, by means rounded to three digits; it calls "
        "all but those to class_object significant, with intervals over starts."
    ]


def _published_pairs(data: StudyData) -> list[tuple[str, str]]:
    if not data.published_space:
        return []
    return [pair for pair in data.pairs if ("retrain", *pair) in published_results()]


def _regimes(data: StudyData, tables: dict[str, Table]) -> list[str]:
    rows = [row for row in tables["regimes"].frame.iter_rows(named=True) if row["regime"] in TRANSFERRED]
    if not rows:
        return [NOTHING_YET]
    rows.sort(key=lambda row: -row["iqm"])
    listed = ", ".join(f"{row['regime']} {_score(row)}" for row in rows)
    sentences = [f"Validation score, interquartile mean over all pairs, best first: {listed}."]
    for target in data.tasks:
        best = _best_source(data, target)
        if best:
            sentences.append(f"To {target}: {best}.")
    return sentences


def _best_source(data: StudyData, target: str) -> str:
    parts = []
    for regime in reversed(TRANSFERRED):
        means = {
            source: data.values(source, target, regime, "validation_score").mean()
            for source in data.tasks
            if source != target and len(data.values(source, target, regime, "validation_score"))
        }
        if means:
            best = max(means, key=lambda source: means[source])
            parts.append(
                f"{regime} {np.mean(list(means.values())):.3f} (best from {best}, {means[best]:.3f})"
            )
    scratch = data.values(target, target, "scratch", "validation_score")
    if len(scratch) and parts:
        parts.append(f"from scratch {scratch.mean():.3f}")
    return ", ".join(parts)


def _regimes_published(data: StudyData) -> list[str]:
    pairs = _published_pairs(data)
    if not pairs:
        return []
    table = published_results()
    above = sum(table["fine-tune", a, b].mean > table["zero-shot", a, b].mean for a, b in pairs)
    again = sum(table["retrain", a, b].mean > table["fine-tune", a, b].mean for a, b in pairs)
    return [
        f"The paper: fine-tuning above zero-shot in {above} and retraining above fine-tuning in {again} of "
        f"{len(pairs)} pairs; zero-shot is weakest, most of all from autoencoder."
    ]


def _needed(data: StudyData) -> list[str]:
    sentences = []
    for target in data.tasks:
        reference = data.match("trained_steps", target, target)
        found = {a: data.match("trained_steps", a, target) for a in data.tasks if a != target}
        moved = {a: m for a, m in found.items() if m is not None}
        if reference is None or not moved:
            continue
        size, censored = sum(m.cost.size for m in moved.values()), sum(m.censored for m in moved.values())
        costs = []
        for unit, (_, _, label) in UNITS.items():
            mean = float(np.mean([m.mean for a in moved if (m := data.match(unit, a, target))]))
            of_scratch = data.match(unit, target, target) or reference
            costs.append(f"{format_number(mean)} against {format_number(of_scratch.mean)} {label}")
        fastest = min(moved, key=lambda source: moved[source].mean)
        sentences.append(
            f"To {target}: {'at least ' if censored else ''}{'; '.join(costs)} (transferred against from "
            f"scratch); fastest from {fastest}; {censored} of {size} pairs of runs never matched."
        )
    return sentences or [NOTHING_YET]


def _needed_published(data: StudyData) -> list[str]:
    pairs = _published_pairs(data)
    if not pairs:
        return []
    table = published_results()
    less = sum(table["trained_steps", a, b].mean < table["trained_steps", b, b].mean for a, b in pairs)
    return [
        f"The paper: fewer trained steps than from scratch in {less} of {len(pairs)} pairs, from 1,800 steps "
        "(to room_layout) to 6.4 million (room_layout to segmentsemantic)."
    ]
