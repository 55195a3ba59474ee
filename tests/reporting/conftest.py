"""One small study for every test of reports and pages."""

from __future__ import annotations

from pathlib import Path

import pytest

import archwalk
from archwalk.studies.folder import StudyDir
from tests.conftest import small_settings, two_tasks


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_tasks().save(tmp_path_factory.mktemp("table") / "two.parquet")


@pytest.fixture(scope="session")
def study(table: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    settings = small_settings(training={"trained_steps": 1_024, "fine_tune_steps": 256})
    folder = tmp_path_factory.mktemp("study") / "s"
    made = archwalk.study(table, ("one", "two"), folder, seeds=2, preset=settings)
    searched = {"sources": ("one",), "methods": ("random", "agent"), "budgets": (0, 3, 6), "seeds": 2}
    archwalk.compare(table, "two", folder / "comparisons" / "two", **searched)
    plain = searched | {"sources": (), "methods": ("random", "gp")}
    archwalk.compare(table, ["one"], folder / "comparisons" / "more", **plain)
    return made
