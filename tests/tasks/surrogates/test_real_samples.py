"""Surrogates fitted to published samples, where ``ARCHWALK_DATA`` names their folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from archwalk.tasks.surrogates.fit import fit_surrogate


@pytest.mark.slow
def test_accel_nasbench(real_data: Path) -> None:
    tasks = fit_surrogate(
        real_data / "accel_nasbench" / "accel_nasbench.parquet",
        "mnasnet",
        "imagenet",
        metrics=["top1"],
        folds=3,
    )
    scores = tasks.statistics("imagenet")["families"]
    assert scores["trees"]["tau"] > 0.90
    assert scores["networks"]["tau"] > 0.90
