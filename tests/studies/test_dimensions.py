"""Studies of several algorithms and transfer methods: the plan, old folders, tables, the report, refusals."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import archwalk
from archwalk.agents import registry
from archwalk.agents.dqn.agent import DQNAgent
from archwalk.analysis.curves import Curve, reach
from archwalk.errors import RunError, SettingsError
from archwalk.execution.inline import Inline
from archwalk.reporting.data import read_study
from archwalk.reporting.dimension_figures import transfers
from archwalk.reporting.dimensions import LEVEL, cost_to_level, dimension_tables, dimensions
from archwalk.studies.folder import CURVES, RESULTS, StudyDir
from archwalk.studies.plan import INITIALISE, Job, make_plan, read_plan
from archwalk.studies.study import run_study
from archwalk.transferring import registry as ways
from archwalk.transferring.initialise import Initialise
from tests.conftest import small_settings, two_tasks

TASKS = ("one", "two")
SETTINGS = small_settings(training={"trained_steps": 256, "fine_tune_steps": 128, "evaluate_every": 64})


class Other(DQNAgent):
    """Another algorithm by name."""


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MAKERS", registry._MAKERS | {"other": Other})


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_tasks().save(tmp_path_factory.mktemp("table") / "two.parquet")


@pytest.fixture(scope="module")
def ordinary(table: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    return archwalk.study(table, TASKS, tmp_path_factory.mktemp("s") / "s", seeds=1, preset=SETTINGS)


def test_the_plan_shares_agents_from_scratch(
    other: None, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "_METHODS", ways._METHODS | {"shaping": Initialise})  # serves every algorithm
    plan = make_plan(table, TASKS, 2, SETTINGS, False, ("ape-x", "other"), (INITIALISE, "shaping"))
    jobs = plan.jobs()
    assert len(jobs) == len(set(jobs)) == 2 * 2 * (2 + 2 * 2)
    assert all(job.source in jobs[: jobs.index(job) + 1] for job in jobs)
    assert {job.transfer for job in jobs if job.scratch} == {INITIALISE}
    assert Job("one", "two", 1, "other", "shaping").source == Job("one", "one", 1, "other")
    (tmp_path / "study.toml").write_text(plan.to_toml())
    assert read_plan(tmp_path / "study.toml") == plan
    runs = [str(StudyDir("s").run(job).path) for job in jobs]
    assert len(set(runs)) == len(runs)
    assert str(StudyDir("s").run(Job("one", "two", 1)).path) == "s/runs/seed-1/from-one/on-two"
    path = StudyDir("s").run(Job("one", "two", 1, "other", "shaping")).path
    assert str(path) == "s/runs/other/shaping/seed-1/from-one/on-two"
    plain = make_plan(table, TASKS, 2, SETTINGS).to_toml()
    assert "algorithms" not in plain
    assert "transfers" not in plain


def test_what_is_refused_before_any_work(other: None, table: Path) -> None:
    for algorithms in (("ape-x", "ape-x"), ()):
        with pytest.raises(SettingsError, match="each algorithm once"):
            make_plan(table, TASKS, 1, SETTINGS, False, algorithms)
    with pytest.raises(SettingsError, match="did you mean 'other'"):
        make_plan(table, TASKS, 1, SETTINGS, False, ("ape-x", "othr"))
    with pytest.raises(SettingsError, match="each transfer method once"):
        make_plan(table, TASKS, 1, SETTINGS, False, ("ape-x",), (INITIALISE, INITIALISE))
    with pytest.raises(SettingsError, match="among: initialise"):
        make_plan(table, TASKS, 1, SETTINGS, False, ("ape-x",), ("beaming",))
    with pytest.raises(SettingsError, match="algorithms that shaping can serve: ape-x"):
        make_plan(table, TASKS, 1, SETTINGS, False, ("ape-x", "other"), (INITIALISE, "shaping"))


def test_an_algorithm_is_added_to_a_study_that_is_there(
    other: None, ordinary: StudyDir, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"
    shutil.copytree(ordinary.path, folder)
    plain = archwalk.report(folder).read_bytes()
    before = {file: file.stat().st_mtime_ns for file in (folder / "runs").rglob("weights.safetensors")}
    plan = make_plan(table, TASKS, 1, SETTINGS, False, ("ape-x", "other"))
    # in this process, where the other algorithm is known
    monkeypatch.setattr("archwalk.studies.study.Processes", lambda path, jobs: Inline(path))
    run_study(plan, folder)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    results = pl.read_parquet(folder / RESULTS)
    assert results.group_by("algorithm").len().sort("algorithm")["len"].to_list() == [8, 8]
    assert set(results["transfer"]) == {INITIALISE}
    curves = pl.read_parquet(folder / CURVES)
    for frame in (results, curves):  # the other one is the same algorithm by another name
        one, two = (frame.filter(algorithm=name).drop("algorithm", "seconds") for name in ("ape-x", "other"))
        assert one.equals(two)
    data = read_study(folder)
    assert data.algorithm == "ape-x"
    assert len(data.results) == len(data.of("other").results) == 8
    tables = dimension_tables(data)
    assert list(tables) == ["algorithms"]
    shown = tables["algorithms"].frame
    assert shown.select("algorithm", "regime").rows() == [
        (name, regime)
        for name in ("ape-x", "other")
        for regime in ("scratch", "zero-shot", "fine-tune", "retrain")
    ]
    scratch = results.filter(algorithm="other", regime="scratch")
    assert shown.filter(algorithm="other", regime="scratch")["score"].item() == pytest.approx(
        scratch["validation_score"].mean()
    )
    part = dimensions(data, tables)[0]
    assert list(part.answers) == ["ape-x", "other"]
    html = archwalk.report(folder).read_bytes()
    assert html != plain
    assert b"The three questions, other" in html
    assert (folder / "figures" / "22_algorithms.svg").exists()
    with pytest.raises(RunError, match=r"study.algorithms: \['ape-x', 'other'\] there, \['ape-x'\] asked"):
        archwalk.study(table, TASKS, folder, seeds=1, preset=SETTINGS)


def test_what_a_level_costs() -> None:
    curve = Curve(np.array([0.0, 0.98, 0.5, 1.0]), np.array([0.0, 3.0, 7.0, 9.0]))
    assert reach(curve, LEVEL) == (3.0, True)
    assert reach(curve, 0.99) == (9.0, True)
    assert reach(curve, 1.5) == (9.0, False)


def test_ways_of_moving_stand_beside_each_other_pair_by_pair(ordinary: StudyDir, tmp_path: Path) -> None:
    """As if there were another way: its retrained agents end 0.1 higher."""
    shutil.copytree(ordinary.path, tmp_path / "s")
    data = read_study(tmp_path / "s")
    assert data.whole is not None
    made = []
    for frame in data.whole:
        moved = frame.filter(pl.col("regime").is_in(["fine-tune", "retrain"]))
        moved = moved.with_columns(
            transfer=pl.lit("shaping"), validation_score=pl.col("validation_score") + 0.1
        )
        made.append(pl.concat([frame, moved]))
    plan = replace(data.plan, transfers=(INITIALISE, "shaping"))
    both = replace(data, plan=plan, whole=(made[0], made[1])).of("ape-x")
    assert both.results.equals(data.results)
    other = both.of("ape-x", "shaping")
    assert set(other.results["regime"]) == {"scratch", "zero-shot", "fine-tune", "retrain"}
    tables = dimension_tables(both)
    frame = tables["transfers"].frame
    assert len(frame) == 2 * (1 + 2) * 3
    moved = frame.filter(transfer="shaping")
    assert moved.filter(regime="zero-shot")["difference"].to_list() == [0.0] * 3
    assert moved.filter(regime="retrain")["difference"].to_numpy() == pytest.approx(0.1)
    assert "initialise" in dimensions(both, tables)[0].sentences[0]
    assert cost_to_level(both, both.pairs, "evaluations").spent.shape == (1, 2)
    assert transfers(both) is not None
    assert transfers(data) is None
