"""Studies with agents of several tasks: which there are, what comes of them, and the report."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import archwalk
from archwalk.errors import RunError, SettingsError
from archwalk.reporting.data import read_study
from archwalk.reporting.tables import make_tables
from archwalk.studies.folder import CURVES, RESULTS
from archwalk.studies.plan import Job, make_plan, read_plan
from tests.conftest import small_settings, three_tasks

TASKS = ("one", "two", "three")
ALL = "one,two,three"
SETTINGS = small_settings(
    learner={"planning": True, "n_step": 1, "double": False},
    training={"trained_steps": 256, "fine_tune_steps": 128, "evaluate_every": 128, "checkpoint_every": 256},
)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_tasks().save(tmp_path_factory.mktemp("table") / "three.parquet")


def test_the_plan_has_sources_before_what_is_made_of_them(table: Path, tmp_path: Path) -> None:
    plan = make_plan(table, TASKS, 2, SETTINGS, multi_task=True)
    assert list(plan.mixtures) == [ALL, "two,three", "one,three", "one,two"]
    jobs = plan.jobs()
    assert len(jobs) == len(set(jobs)) == 2 * (9 + 4 + 3)
    assert all(jobs.index(job.source) <= jobs.index(job) for job in jobs)
    assert Job("one,two", "three", 1) in jobs
    assert plan.jobs()[:9] == make_plan(table, TASKS, 2, SETTINGS).jobs()[:9]
    (tmp_path / "study.toml").write_text(plan.to_toml())
    assert read_plan(tmp_path / "study.toml") == plan
    assert "multi_task" not in make_plan(table, TASKS, 2, SETTINGS).to_toml()
    assert list(make_plan(table, TASKS[:2], 1, SETTINGS, multi_task=True).mixtures) == ["one,two"]
    unscaled = SETTINGS.replace(reward={"standardise": False})
    with pytest.raises(SettingsError, match="made comparable"):
        make_plan(table, TASKS, 1, unscaled, multi_task=True)


def test_what_comes_of_them_stands_beside_the_pairs(table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    archwalk.study(table, TASKS, folder, seeds=1, preset=SETTINGS)
    pairs = pl.read_parquet(folder / RESULTS), pl.read_parquet(folder / CURVES)
    study = archwalk.study(table, TASKS, folder, seeds=1, preset=SETTINGS, multi_task=True)
    results, curves = pl.read_parquet(folder / RESULTS), pl.read_parquet(folder / CURVES)
    assert not study.missing()
    one = pl.col("source_task").is_in(TASKS)
    assert results.filter(one).equals(pairs[0])
    assert curves.filter(one).equals(pairs[1])
    several = results.filter(~one)
    found = {tuple(row) for row in several.select("source_task", "target_task", "regime").iter_rows()}
    left = {"one": "two,three", "two": "one,three", "three": "one,two"}
    expected = {(ALL, task, "multi-task") for task in TASKS}
    for task, source in left.items():
        expected |= {(source, task, regime) for regime in ("zero-shot", "fine-tune", "retrain")}
        expected |= {(source, part, "multi-task") for part in source.split(",")}
    assert found == expected
    assert several.filter(regime="multi-task")["evaluations"].min() > 0  # type: ignore[operator]
    run = folder / "runs" / "seed-0" / f"from-{ALL}" / f"on-{ALL}"
    for task, told in archwalk.evaluate(run).items():
        row = results.filter(source_task=ALL, target_task=task).row(0, named=True)
        assert row["validation_score"] == told["validation_score"]
        last = curves.filter(source_task=ALL, target_task=task)[-1]
        assert last["validation_score"][0] == pytest.approx(told["validation_score"], abs=1e-6)
    data = read_study(folder)
    tables = make_tables(data)
    shown = tables["multitask"].frame
    assert len(shown) == 3 + 3 * 3
    zero = shown.filter(target="one", regime="zero-shot").row(0, named=True)
    single = [data.values(s, "one", "zero-shot", "validation_score")[0] for s in ("two", "three")]
    assert (zero["best_of_one_task"], zero["source"]) == (max(single), "two,three")
    assert zero["mean_of_one_task"] == pytest.approx(sum(single) / 2)
    assert tables["costs"].frame["agents"].sum() == 3 + 6 * 3
    with pytest.raises(RunError, match="multi_task: True there, False asked"):
        archwalk.study(table, TASKS, folder, seeds=1, preset=SETTINGS)
    assert "Agents of several tasks" in archwalk.report(folder).read_text()
