"""What the report says of better and worse, from results made by hand: nothing is trained here."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from archwalk.reporting.data import StudyData
from archwalk.reporting.summary import answers
from archwalk.reporting.tables import make_tables
from archwalk.spaces import make_space
from archwalk.studies.folder import StudyDir
from archwalk.studies.plan import StudyPlan
from archwalk.tasks import Benchmark, Column
from archwalk.tasks.metrics import METRICS
from archwalk.tasks.table import make_benchmark
from tests.conftest import small_settings

TASKS = ("one", "two", "three")  # accuracy, loss, accuracy
PAIRS = list(permutations(TASKS, 2))
SEEDS = 6
BASE = {"one": 70.0, "two": 1.0, "three": 40.0}  # mean metric of agents from scratch
UNIT = {"one": 1.0, "two": -0.01, "three": 1.0}  # what one standard deviation over seeds is, better positive
REGIMES = {"fine-tune": 0.7, "zero-shot": 0.5, "retrain": 0.9}  # validation scores

Gains = dict[tuple[str, str], float]


def benchmark() -> Benchmark:
    space = make_space("slots", {"a": ["x", "y", "z"], "b": ["p", "q"]})
    g = np.random.default_rng(0)
    values, rewards = {}, {}
    for task in TASKS:
        metric = "loss" if task == "two" else "acc"
        rewards[task] = Column(task, metric, "valid", "final")
        values[rewards[task]] = g.uniform(1, 9, len(space))
    metrics = {name: METRICS[name] for name in ("acc", "loss")}
    return make_benchmark("hand", space, np.arange(len(space)), values, metrics, rewards)


def study(gains: Gains, tmp_path: Path) -> StudyData:
    """A finished study in which retraining gains so many standard deviations; other regimes a quarter of it.

    Sources differ in their validation scores, by 0.01 from one to the next, and in how soon they match.
    """
    g = np.random.default_rng(1)
    noise = {key: g.permutation(np.linspace(-1.5, 1.5, SEEDS)) for key in [(t, t) for t in TASKS] + PAIRS}
    results, curves = [], []
    for source, target in [(t, t) for t in TASKS] + PAIRS:
        for regime in ("scratch",) if source == target else REGIMES:
            gain = 0.0 if source == target else gains[source, target]
            gain *= 1.0 if regime in ("scratch", "retrain") else 0.25
            for seed in range(SEEDS):
                score = REGIMES.get(regime, 0.8) + 0.01 * TASKS.index(source) + 0.001 * seed
                results.append(
                    {
                        "source_task": source,
                        "target_task": target,
                        "regime": regime,
                        "seed": seed,
                        "mean": BASE[target] + UNIT[target] * (gain + noise[source, target][seed]),
                        "split": "test",
                        "std": 1.0,
                        "starts": 6,
                        "validation_score": score,
                        "regret_mean": 1.0,
                        "rank_percentile_mean": 50.0,
                        "evaluations": 10,
                        "trained_steps": 100,
                        "sampled_steps": 100,
                        "evaluation_hours": None,
                        "seconds": 60.0,
                        "source_trained_steps": 0,
                    }
                )
        for seed in range(SEEDS):
            for point in range(60):  # a level is reached sooner from tasks that come later
                pace = 1.0 if source == target else 2.0 + TASKS.index(source)
                curves.append(
                    {
                        "source_task": source,
                        "target_task": target,
                        "seed": seed,
                        "trained_steps": 10 * point,
                        "evaluations": point,
                        "seconds": 6.0 * point,
                        "validation_score": min(pace * point / 59, 1.0),
                    }
                )
    table = benchmark()
    plan = StudyPlan("hand", table.checksum, TASKS, SEEDS, "quick", small_settings())
    frames = (pl.DataFrame(rows, infer_schema_length=None) for rows in (results, curves))
    frame, curve = frames
    frame = frame.with_columns(pl.col("evaluation_hours").cast(pl.Float64))
    return StudyData(StudyDir(tmp_path), plan, table, frame, curve, [], "hand", ())


def named(pairs: list[tuple[str, str]]) -> str:
    return f"{len(pairs)} ({', '.join(f'{a} → {b}' for a, b in pairs)})" if pairs else "none"


BY_TARGET = [(a, b) for b in TASKS for a in TASKS if a != b]
CASES: dict[str, Gains] = {
    "all better": dict.fromkeys(PAIRS, 6.0),
    "all worse": dict.fromkeys(PAIRS, -6.0),
    "to the loss better": {pair: 6.0 if pair[1] == "two" else -6.0 for pair in PAIRS},
    "to the loss worse": {pair: -6.0 if pair[1] == "two" else 6.0 for pair in PAIRS},
    "significant before the correction": dict.fromkeys(PAIRS, 1.7),
    "chance": dict.fromkeys(PAIRS, 0.2),
    "bad luck": dict.fromkeys(PAIRS, -0.2),
    "two of six": {pair: 6.0 if pair in PAIRS[:2] else -0.1 for pair in PAIRS},
}


@pytest.mark.parametrize("case", CASES)
def test_the_first_answer_counts_gains_and_losses(case: str, tmp_path: Path) -> None:
    gains = CASES[case]
    data = study(gains, tmp_path)
    first, second, *_ = answers(data, make_tables(data))[0].sentences
    above = [pair for pair in BY_TARGET if gains[pair] > 0]
    better = [pair for pair in BY_TARGET if gains[pair] > 3]
    worse = [pair for pair in BY_TARGET if gains[pair] < -3]
    assert first == (
        f"In {len(above)} of 6 pairs of tasks the retrained agents end on better architectures, on average, "
        "than agents from scratch; after Holm's correction the difference is significant for "
        f"{named(better)} in favour of pretraining and for {named(worse)} against it."
    )
    stated = float(re.findall(r"probability (\d\.\d\d) on average", second)[0])
    shares = [wins(data, a, b, "retrain") for a, b in PAIRS]
    assert stated == pytest.approx(np.mean(shares), abs=0.0051)
    if case in ("all better", "all worse"):
        assert stated == (case == "all better")


def wins(data: StudyData, source: str, target: str, regime: str) -> float:
    """Share of pairs of seeds in which the transferred one is better, ties by half."""
    count = 0.0
    for ours in means(data, source, target, regime):
        for theirs in means(data, target, target, "scratch"):
            better = ours < theirs if target == "two" else ours > theirs
            count += 0.5 if ours == theirs else float(better)
    return count / SEEDS**2


def means(data: StudyData, source: str, target: str, regime: str) -> list[float]:
    rows = data.results.filter(
        (pl.col("source_task") == source) & (pl.col("target_task") == target) & (pl.col("regime") == regime)
    )
    return rows.sort("seed")["mean"].to_list()


@pytest.mark.parametrize("case", ["all better", "to the loss better", "two of six"])
def test_improvements_and_p_values_of_the_table(case: str, tmp_path: Path) -> None:
    data = study(CASES[case], tmp_path)
    frame = make_tables(data)["results"].frame
    tested = frame.filter(pl.col("regime") != "scratch")
    assert len(tested) == 18
    p = []
    for row in tested.iter_rows(named=True):
        key = row["source"], row["target"], row["regime"]
        share = wins(data, *key)
        assert row["mean"] == pytest.approx(np.mean(means(data, *key)))
        assert row["improvement"] == pytest.approx(share)
        assert row["improvement_low"] <= share <= row["improvement_high"]
        if share in (0.0, 1.0):
            assert (row["improvement_low"] > 0.5) == (share == 1)
            assert (row["improvement_high"] < 0.5) == (share == 0)
        scratch = means(data, row["target"], row["target"], "scratch")
        p.append(stats.ttest_ind(means(data, *key), scratch, equal_var=False).pvalue)
        assert row["p"] == pytest.approx(p[-1], rel=1e-4)
    corrected = []
    for value in p:  # the largest that any smaller one becomes, times how many are no smaller than it
        steps = [q * sum(r >= q for r in p) for q in p if q <= value]
        corrected.append(min(max(steps), 1.0))
    assert tested["p_holm"].to_list() == pytest.approx(corrected, rel=1e-3)
    assert min(corrected) < 0.05
    none = frame.filter(pl.col("regime") == "scratch")
    assert none.select("improvement", "p", "p_holm").null_count().row(0) == (3, 3, 3)


def test_regimes_come_best_first_and_sources_too(tmp_path: Path) -> None:
    data = study(CASES["all better"], tmp_path)
    tables = make_tables(data)
    first, *by_target = answers(data, tables)[1].sentences
    order = re.findall(r"(retrain|fine-tune|zero-shot) (\d\.\d+)", first)
    assert [name for name, _ in order] == ["retrain", "fine-tune", "zero-shot"]
    assert [float(score) for _, score in order] == pytest.approx([0.9125, 0.7125, 0.5125], abs=2e-3)
    best = {"one": "three", "two": "three", "three": "two"}
    for target, sentence in zip(TASKS, by_target, strict=False):
        assert sentence.startswith(f"To {target}: ")
        assert re.findall(r"best from (\w+)", sentence) == [best[target]] * 3
        scratch = float(re.findall(r"from scratch (\d\.\d+)", sentence)[0])
        assert scratch == pytest.approx(0.8025 + 0.01 * TASKS.index(target), abs=6e-4)
    last = answers(data, tables)[0].sentences[2]
    assert re.search(r"0\.91\d.* retrained, 0\.81\d.* from scratch", last)


def test_what_matches_sooner_costs_less(tmp_path: Path) -> None:
    data = study(CASES["all better"], tmp_path)
    tables = make_tables(data)
    needed = answers(data, tables)[2].sentences
    for target, sentence in zip(TASKS, needed, strict=False):
        assert f"fastest from {'two' if target == 'three' else 'three'}; 0 of 72 pairs" in sentence
        ours, theirs = re.findall(r"([\d.,]+) against ([\d.,]+) trained steps", sentence)[0]
        assert float(ours) < float(theirs) == 590
    rows = tables["to_match"].frame.filter(pl.col("unit") == "trained_steps")
    for row in rows.iter_rows(named=True):
        smooth, reached = level_of(59, 1.0), 59
        if row["source"] != row["target"]:
            pace = 2.0 + TASKS.index(row["source"])
            reached = next(i for i in range(60) if level_of(i, pace) >= smooth)
        assert row["mean"] == pytest.approx(10 * reached)
        assert row["censored"] == 0


def level_of(point: int, pace: float) -> float:
    """A curve's mean over its last 16 points."""
    return float(np.mean([min(pace * i / 59, 1.0) for i in range(max(0, point - 15), point + 1)]))
