"""Studies: the plan, the fine-tuned cut, resuming after kills, sharing the work, refusals."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import archwalk
from archwalk.errors import ArchwalkError, RunError, SettingsError
from archwalk.studies.folder import CURVES, RESULTS, STUDY, StudyDir
from archwalk.studies.plan import Job, make_plan, read_plan
from archwalk.studies.study import forecast, run_study
from archwalk.training.rundir import CUT, METRICS, WEIGHTS, RunDir
from tests.conftest import small_settings, two_tasks

TASKS = ("one", "two")
# fine-tuning ends between two rows of metrics, where an inexact cut would show
SETTINGS = small_settings(training={"trained_steps": 1_024, "fine_tune_steps": 300, "checkpoint_every": 256})


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_tasks().save(tmp_path_factory.mktemp("table") / "two.parquet")


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("settings") / "small.toml"
    file.write_text(SETTINGS.to_toml())
    return file


@pytest.fixture(scope="module")
def whole(table: Path, toml: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """A study that nothing interrupted."""
    return archwalk.study(table, TASKS, tmp_path_factory.mktemp("whole") / "s", seeds=2, preset=toml)


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen]]:
    """Studies under way, which no failing test may leave behind."""
    begun: list[subprocess.Popen] = []
    yield begun
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


def begin(table: Path, toml: Path, folder: Path, jobs: int = 1) -> subprocess.Popen:
    code = "import sys; from archwalk.cli import main; main(sys.argv[1:])"
    arguments = ["study", "--benchmark", table, "--tasks", "one,two", "--preset", toml, "--seeds", 2]
    arguments += ["--run-dir", folder, "--jobs", jobs]
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def numbers(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both tables without wall time."""
    tables = (pl.read_parquet(folder / name).drop("seconds") for name in (RESULTS, CURVES))
    first, second = tables
    return first, second


def test_four_tasks_make_16_agents_a_seed_in_an_order_that_works() -> None:
    plan = make_plan("synthetic", ("alpha", "beta", "gamma", "delta"), 3, SETTINGS)
    jobs = plan.jobs()
    assert len(jobs) == len(set(jobs)) == 3 * 16
    for i, job in enumerate(jobs):
        assert job.scratch or job.source in jobs[:i]
    results = plan.all_results()
    assert len(results) == len(set(results)) == 3 * (4 + 3 * 12)
    assert plan.settings.training.threads == 1


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = make_plan("synthetic", ("alpha", "delta"), 2, "quick")
    (tmp_path / STUDY).write_text(plan.to_toml())
    assert read_plan(tmp_path / STUDY) == plan


def test_one_row_an_evaluated_agent(whole: StudyDir) -> None:
    results, curves = pl.read_parquet(whole.path / RESULTS), pl.read_parquet(whole.path / CURVES)
    named = ["source_task", "target_task", "regime", "seed"]
    expected = [tuple(result[:4]) for result in whole.plan().all_results()]
    assert results.select(named).rows() == expected
    assert set(archwalk.evaluate(whole.run(Job("one", "one", 0)).path)) <= set(results.columns)
    by_regime = {row["regime"]: row for row in results.iter_rows(named=True)}
    assert by_regime["zero-shot"]["trained_steps"] == by_regime["zero-shot"]["evaluations"] == 0
    assert by_regime["zero-shot"]["source_trained_steps"] == 1_024
    assert by_regime["fine-tune"]["trained_steps"] == 320  # the first whole batch at or after 300
    assert by_regime["retrain"]["trained_steps"] == by_regime["scratch"]["trained_steps"] == 1_024
    assert set(curves["regime"]) == {"scratch", "retrain"}
    first = curves.filter((pl.col("regime") == "retrain") & (pl.col("seed") == 0))[0]
    zero = results.filter((pl.col("regime") == "zero-shot") & (pl.col("seed") == 0))[0]
    assert first["trained_steps"].item() == 0
    assert first["validation_score"].item() == zero["validation_score"].item()


def test_the_fine_tuned_agent_is_the_retraining_run_cut_off(whole: StudyDir, tmp_path: Path) -> None:
    source = whole.run(Job("one", "one", 0)).path
    alone = archwalk.transfer(source, "two", "fine-tune", tmp_path / "alone")
    retrained = whole.run(Job("one", "two", 0))
    cut = RunDir(retrained.path / CUT)
    assert (cut.path / WEIGHTS).read_bytes() == (alone.path / WEIGHTS).read_bytes()
    assert [row for row in retrained.rows() if row["trained_steps"] <= 320] == alone.rows()
    assert cut.spec() == alone.spec()
    ignored = {"seconds"}
    ours, theirs = (archwalk.evaluate(run.path) for run in (cut, alone))
    assert {k: v for k, v in ours.items() if k not in ignored} == {
        k: v for k, v in theirs.items() if k not in ignored
    }


def test_killed_and_shared_it_ends_with_the_same_numbers(
    whole: StudyDir, table: Path, toml: Path, tmp_path: Path, processes: list[subprocess.Popen]
) -> None:
    """A few kills at random moments, then two processes at once on the rest."""
    folder, waits = tmp_path / "s", random.Random(0)
    for kill in range(3):
        process = begin(table, toml, folder)
        processes.append(process)
        deadline = time.monotonic() + 60
        while not list(folder.glob(f"runs/**/{METRICS}")) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(waits.uniform(0, 1.0) + kill)
        os.kill(process.pid, signal.SIGKILL)
    pair = [begin(table, toml, folder) for _ in range(2)]
    processes += pair
    for process in pair:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    for one, two in zip(numbers(whole.path), numbers(folder), strict=True):
        assert one.equals(two)
    made = [list(folder.rglob(name)) for name in (WEIGHTS, METRICS)]
    assert [len(files) for files in made] == [8 + 4, 8]  # with the cuts; nothing beside the plan


def test_a_finished_study_is_not_run_again_and_more_seeds_are_added(
    whole: StudyDir, table: Path, toml: Path, tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "s"
    shutil.copytree(whole.path, folder)
    before = {file: file.stat().st_mtime_ns for file in folder.rglob(WEIGHTS)}
    events: list = []
    archwalk.study(table, TASKS, folder, seeds=2, preset=toml, on_event=events.append)
    assert not events
    with pytest.raises(RunError, match=r"study.seeds: 2 there, 1 asked"):
        archwalk.study(table, TASKS, folder, seeds=1, preset=toml)
    plan = make_plan(table, TASKS, 3, toml)
    assert forecast(plan, folder, 2)["done"] == 8
    assert {file: file.stat().st_mtime_ns for file in folder.rglob(WEIGHTS)} == before


def test_half_written_things_are_mended_or_refused(
    whole: StudyDir, table: Path, toml: Path, tmp_path: Path
) -> None:
    import shutil

    folder = StudyDir(tmp_path / "s")
    shutil.copytree(whole.path, folder.path)
    job = Job("one", "two", 1)
    file = folder.run(job).path.with_name("on-two.json")
    file.write_text(file.read_text()[:40])  # as no writer here would leave it
    assert folder.missing() == [job]
    run_study(folder.plan(), folder.path)
    for one, two in zip(numbers(whole.path), numbers(folder.path), strict=True):
        assert one.equals(two)
    metrics = folder.run(job).path / METRICS
    metrics.write_text(metrics.read_text().splitlines(keepends=True)[0])
    with pytest.raises(RunError, match="complete metrics"):
        folder.collect()


def test_what_is_refused_before_any_work(whole: StudyDir, table: Path, toml: Path, tmp_path: Path) -> None:
    def study(tasks: tuple[str, ...] = TASKS, folder: Path = tmp_path / "s", **options: object) -> StudyDir:
        return archwalk.study(table, tasks, folder, **{"preset": toml, "seeds": 2} | options)  # type: ignore

    with pytest.raises(SettingsError, match="at least one seed"):
        study(seeds=0)
    with pytest.raises(SettingsError, match="two different tasks"):
        study(("one",))
    with pytest.raises(SettingsError, match="two different tasks"):
        study(("one", "one"))
    with pytest.raises(ArchwalkError, match="did you mean 'two'"):
        study(("one", "twoo"))
    with pytest.raises(SettingsError, match="at least one worker"):
        study(jobs=0)
    with pytest.raises(SettingsError, match="device 'tpu'"):
        study(device="tpu")
    longer = SETTINGS.replace(training={"fine_tune_steps": 9_999})
    with pytest.raises(SettingsError, match="fine_tune_steps of at most"):
        study(preset=longer)
    assert not (tmp_path / "s").exists()
    other = SETTINGS.replace(learner={"discount": 0.5})
    with pytest.raises(RunError, match=r"learner.discount: 0.9\d? there, 0.5 asked"):
        study(folder=whole.path, preset=other)
    with pytest.raises(RunError, match=r"study.tasks"):
        study(("two", "one"), folder=whole.path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="other files"):
        study(folder=tmp_path / "full")
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="which is a file"):
        study(folder=tmp_path / "file")
    with pytest.raises(RunError, match="study folder"):
        StudyDir(tmp_path / "nowhere").plan()


def test_a_dry_run_prints_the_plan_and_does_nothing(
    table: Path, toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from archwalk.cli import main

    arguments = ["study", "--benchmark", table, "--tasks", "one,two", "--preset", toml, "--seeds", 2]
    main([*map(str, arguments), "--run-dir", str(tmp_path / "s"), "--jobs", "2", "--dry-run"])
    output = capsys.readouterr().out
    assert output.count("one → two") == 2
    assert "8 agents, 0 done; 16 results; 8,192 trained steps left" in " ".join(output.split())
    assert not (tmp_path / "s").exists()
