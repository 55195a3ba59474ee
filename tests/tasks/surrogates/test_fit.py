"""Fitted surrogates: how good they are, what their files hold, where they warn, and what is refused."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import kendalltau

from archwalk.cli import main
from archwalk.errors import ArchwalkError, BenchmarkError, SettingsError
from archwalk.spaces import make_space
from archwalk.tasks import load_benchmark
from archwalk.tasks.base import Predicted
from archwalk.tasks.registry import load_table
from archwalk.tasks.surrogates import fit, growing, training
from archwalk.tasks.surrogates.fit import fit_surrogate
from archwalk.tasks.surrogates.task import ExtrapolationWarning, SurrogateTask
from tests.tasks.surrogates.samples import SPACE, quality, table, write

UNSEEN = SPACE.sample(400, np.random.default_rng(9))


@pytest.fixture(scope="module", autouse=True)
def shorter() -> Iterator[None]:
    """Fits that stop early enough for a test, and still learn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing, "ROUNDS", 150)
        patch.setattr(training, "EPOCHS", 60)
        yield


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("fit") / "sample.parquet", table(240))


@pytest.fixture(scope="module")
def fitted(sample: Path) -> SurrogateTask:
    return fit_surrogate(
        sample,
        SPACE,
        "t",
        metrics=["acc", "latency_gpu"],
        minimise=["latency_gpu"],
        folds=3,
        source="made up",
    )


def test_it_predicts_what_it_was_not_fitted_on(fitted: SurrogateTask) -> None:
    values = fitted.values("t", UNSEEN)
    assert kendalltau(values, quality(UNSEEN)).statistic > 0.85
    latency = fitted.values("t", UNSEEN, "latency_gpu")
    assert kendalltau(latency, 5.0 + UNSEEN[:, 0] * (1 + UNSEEN[:, 4])).statistic > 0.85
    said = fitted.statistics("t")
    assert abs(said["families"][said["chosen"]]["tau"] - kendalltau(values, quality(UNSEEN)).statistic) < 0.1
    assert [m.direction for m in fitted.metrics("t")] == ["max", "min"]
    assert isinstance(fitted, Predicted)


def test_the_family_that_predicts_better_is_chosen(fitted: SurrogateTask) -> None:
    for metric in ("acc", "latency_gpu"):
        said = fitted.statistics("t", metric)
        taus = {family: score["tau"] for family, score in said["families"].items()}
        assert set(taus) == {"trees", "networks"}
        assert taus[said["chosen"]] == max(taus.values())
    kinds = [model.kind for model in fitted.models]
    assert kinds == [fitted.statistics("t", m)["chosen"] for m in ("acc", "latency_gpu")]


@pytest.mark.parametrize("family", ["trees", "networks"])
def test_a_value_has_the_same_bits_in_any_batch(sample: Path, family: str, tmp_path: Path) -> None:
    tasks = fit_surrogate(sample, SPACE, "t", metrics=["acc"], families=[family], folds=2)
    again = load_benchmark(tasks.save(tmp_path / "x.task"))
    values = tasks.values("t", UNSEEN)
    order = np.random.default_rng(0).permutation(len(UNSEEN))
    assert np.array_equal(again.values("t", UNSEEN[order]), values[order])
    for start, n in ((0, 1), (130, 3), (200, 150)):
        assert np.array_equal(again.values("t", UNSEEN[start : start + n]), values[start : start + n])
    assert again.values("t", UNSEEN[:0]).shape == (0,)
    assert again.checksum == tasks.checksum


def test_uncertainty_has_the_size_of_the_errors(fitted: SurrogateTask) -> None:
    tasks = fitted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)
        found = tasks.estimate("t", UNSEEN)
    assert np.array_equal(found.values, tasks.values("t", UNSEEN))
    error = np.abs(found.values - (70 + 3 * quality(UNSEEN)))
    assert (found.spread > 0).all()
    assert 0.4 < np.sqrt(np.mean(error**2)) / np.sqrt(np.mean(found.spread**2)) < 2.5
    assert np.mean(error < 2 * found.spread) > 0.85
    assert tasks.statistics("t")["within_two"] > 0.85


def test_it_warns_of_choices_never_seen_and_of_distance(tmp_path: Path) -> None:
    frame = table(400, seed=3).filter(
        (pl.col("op2") != "pool") & ~((pl.col("depth") > 3) & (pl.col("width") > 32))
    )
    tasks = fit_surrogate(
        write(tmp_path / "s.csv", frame), SPACE, "t", metrics=["acc"], families=["trees"], folds=2
    )
    codes = SPACE.rows(
        [
            "depth=2,op1=skip,op2=conv,width=16,norm=batch",
            "depth=2,op1=skip,op2=pool,width=16,norm=batch",
        ]
    )
    with pytest.warns(ExtrapolationWarning, match="extrapolates on 1 of 2"):
        assert tasks.estimate("t", codes).far.tolist() == [False, True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not tasks.estimate("t", codes[:1]).far.any()
        tasks.values("t", codes)  # the hot path does not look
    again = load_benchmark(tasks.save(tmp_path / "x.task"))
    with pytest.warns(ExtrapolationWarning):
        assert again.estimate("t", codes).far.tolist() == [False, True]


def test_the_command(sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    toml = tmp_path / "space.json"
    toml.write_text(json.dumps({"name": "made-up", **SPACE.declaration.plain()}))
    out = tmp_path / "x.task"
    given = [
        "--space",
        toml,
        "--task",
        "t",
        "--metric",
        "acc",
        "--metrics",
        "params",
        "--folds",
        "2",
        "--out",
        out,
    ]
    main(["data", "fit-surrogate", str(sample), *map(str, given)])
    said = capsys.readouterr()
    assert "t/acc/valid/final" in said.err
    assert "Kendall's tau in 2 folds: " in said.out
    assert "*" in said.out
    main(["data", "check", str(out)])
    assert "metric params/none/none" in capsys.readouterr().out
    tasks = load_benchmark(out)
    assert [m.name for m in tasks.metrics("t")] == ["acc", "params"]
    assert tasks.space.describe() == SPACE.describe()
    with pytest.raises(BenchmarkError, match="a table of measured architectures"):
        load_table(out)
    for arguments in (["--out", tmp_path / "x.parquet"], ["--models", "forest"], ["--folds", "1"]):
        with pytest.raises(SystemExit) as stop:
            main(["data", "fit-surrogate", str(sample), *map(str, given), *map(str, arguments)])
        assert stop.value.code == 2


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = write(tmp_path / "few.csv", table(60).head(45))
    constant = write(tmp_path / "c.csv", table(120).with_columns(pl.lit(50.0).alias("t/acc/valid/final")))
    full = write(tmp_path / "full.csv", table(120))

    def unwanted(*_: object) -> None:
        raise AssertionError("fitted before everything was checked")

    monkeypatch.setattr(fit, "FAMILIES", {"trees": unwanted, "networks": unwanted})
    for file, options, words in (
        (few, {}, r"at least 50 distinct.*\n.*Got 4\d"),
        (full, {"folds": 20}, "at least 200"),
        (constant, {}, r"different values of t/acc/valid/final.*\n.*50 everywhere"),
        (full, {"metrics": ["acc", "latency_gpu"]}, "--minimise latency_gpu"),
        (full, {"space": make_space("mnasnet")}, "block0_e"),
        (full, {"families": ["forest"]}, "among: trees, networks"),
    ):
        with pytest.raises(ArchwalkError, match=words):
            fit_surrogate(file, **{"space": SPACE, "task": "t", "metrics": ["acc"], **options})
    with pytest.raises(SettingsError, match="folds"):
        fit_surrogate(full, SPACE, "t", folds=1)
