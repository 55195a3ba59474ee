"""Samples of measured architectures: what is read, and what is refused and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from archwalk.errors import ArchitectureError, ArchwalkError, BenchmarkError
from archwalk.spaces import make_space
from archwalk.tasks.metrics import Column
from archwalk.tasks.surrogates.sample import ordered_slots, read_sample
from tests.tasks.surrogates.samples import SLOTS, SPACE, table, write


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_slots_as_columns_in_any_order(tmp_path: Path, ending: str) -> None:
    frame = table(60)
    sample = read_sample(write(tmp_path / f"s.{ending}", frame), SPACE, "t", ["acc"])
    rows = {SPACE.format(c): v for c, v in zip(sample.codes.tolist(), sample.values[:, 0], strict=True)}
    for row in frame.iter_rows(named=True):
        text = ",".join(f"{slot}={row[slot]}" for slot in SLOTS if row[slot] is not None)
        assert rows[text] == pytest.approx(row["t/acc/valid/final"], abs=0.3)  # repeats are averaged
    assert sample.columns == (Column("t", "acc", "valid", "final"),)
    assert sample.metrics[0].unit == "percent"


def test_architectures_as_strings_and_several_metrics(tmp_path: Path) -> None:
    wide = table(60)
    texts = [
        ",".join(f"{slot}={row[slot]}" for slot in SLOTS if row[slot] is not None)
        for row in wide.iter_rows(named=True)
    ]
    frame = wide.drop(SLOTS).with_columns(arch=pl.Series(texts))
    names = ["params", "acc", "latency_gpu"]
    sample = read_sample(write(tmp_path / "a.csv", frame), SPACE, "t", names, minimise=["latency_gpu"])
    other = read_sample(write(tmp_path / "b.csv", wide), SPACE, "t", names, minimise=["latency_gpu"])
    assert np.array_equal(sample.codes, other.codes)
    assert np.array_equal(sample.values, other.values)
    assert [m.direction for m in sample.metrics] == ["min", "max", "min"]
    assert [c.metric for c in sample.columns] == names
    assert sample.checksum != other.checksum


def test_an_architecture_measured_twice_counts_once_with_its_mean(tmp_path: Path) -> None:
    frame = table(40, noise=0.0)
    twice = pl.concat([frame, frame.with_columns(pl.col("t/acc/valid/final") + 2)])
    one = read_sample(write(tmp_path / "one.csv", frame), SPACE, "t")
    two = read_sample(write(tmp_path / "two.csv", twice), SPACE, "t")
    assert np.array_equal(one.codes, two.codes)
    assert np.allclose(two.values, one.values + 1)
    assert (one.rows, two.rows) == (40, 80)


def test_whole_floats_and_missing_values(tmp_path: Path) -> None:
    frame = table(60, seed=1)
    loose = frame.with_columns(pl.col("kernel1").cast(pl.Float64), pl.col("depth").cast(pl.Float64))
    gone = loose.with_columns(
        pl.when(pl.int_range(60) < 5)
        .then(None)
        .otherwise(pl.col("t/acc/valid/final"))
        .alias("t/acc/valid/final")
    )
    strict = read_sample(write(tmp_path / "a.parquet", frame), SPACE, "t")
    again = read_sample(write(tmp_path / "b.parquet", gone), SPACE, "t")
    assert np.array_equal(strict.codes, again.codes)
    assert 1 <= np.isnan(again.values).sum() <= 5


def test_the_last_epoch_of_validation_unless_another_is_named(tmp_path: Path) -> None:
    frame = table(30).rename({"t/acc/valid/final": "t/acc/valid/12"})
    frame = frame.with_columns((pl.col("t/acc/valid/12") + 1).alias("t/acc/test/final"))
    path = write(tmp_path / "s.csv", frame)
    assert read_sample(path, SPACE, "t").columns[0] == Column("t", "acc", "valid", "12")
    assert read_sample(path, SPACE, "t", ["acc/test"]).columns[0] == Column("t", "acc", "test", "final")
    both = frame.with_columns((pl.col("t/acc/valid/12") + 1).alias("t/acc/valid/200"))
    with pytest.raises(BenchmarkError, match="acc/valid/12, acc/valid/200"):
        read_sample(write(tmp_path / "b.csv", both), SPACE, "t")


def test_plain_names_belong_to_the_task(tmp_path: Path) -> None:
    frame = table(30).rename({"t/acc/valid/final": "acc", "t/params/none/none": "params"})
    sample = read_sample(write(tmp_path / "s.csv", frame), SPACE, "vision", ["acc", "params"])
    assert sample.columns == (
        Column("vision", "acc", "valid", "final"),
        Column("vision", "params", "none", "none"),
    )


def test_slots_of_numbers_have_an_order() -> None:
    assert ordered_slots(SPACE) == (True, False, True, False, True, False)
    assert ordered_slots(make_space("slots", {"a": ["1", "2", "10"], "b": ["2", "1"], "c": ["x", "y"]})) == (
        True,
        False,
        False,
    )
    assert ordered_slots(make_space("darts")) == (False,) * 28


ACC = pl.col("t/acc/valid/final")


def test_fractions_are_said_to_be_fractions(tmp_path: Path) -> None:
    for factor, unit in ((1.0, "percent"), (0.01, "fraction")):
        path = write(tmp_path / "s.parquet", table(30).with_columns(ACC * factor))
        assert read_sample(path, SPACE, "t", ["acc"]).metrics[0].unit == unit


WRONG = {
    "a slot is missing": (lambda f: f.drop("op2"), {}, r"none for op2"),
    "a choice is unknown": (lambda f: f.with_columns(op1=pl.lit("convv")), {}, r"slot 'op1'.*\n.*'convv'"),
    "a condition is violated": (
        lambda f: f.with_columns(kernel1=pl.lit(3), op1=pl.lit("skip")),
        {},
        "kernel1",
    ),
    "a slot is empty that must not be": (
        lambda f: f.with_columns(depth=pl.lit(None, dtype=pl.Int64)),
        {},
        "choice of slot 'depth'",
    ),
    "a column of text that is no slot": (lambda f: f.with_columns(act=pl.lit("relu")), {}, "'act'"),
    "another task": (lambda f: f, {"task": "u"}, "task with measurements among: t"),
    "no such metric": (lambda f: f, {"metrics": ["accc"]}, "acc/valid/final"),
    "no obvious metric": (lambda f: f.rename({ACC.meta.output_name(): "t/a/valid/final"}).with_columns(
        pl.lit(1.0).alias("t/b/valid/final")), {}, "--metric"),
    "text for numbers": (lambda f: f.with_columns(ACC.cast(pl.String) + "x"), {}, "numbers in the column"),
    "out of range": (lambda f: f.with_columns(ACC * 100), {}, "percent"),
    "infinite": (lambda f: f.with_columns(ACC / 0), {}, "finite"),
    "a cost without direction": (lambda f: f, {"metrics": ["acc", "latency_gpu"]}, "--minimise latency_gpu"),
    "a known direction contradicted": (lambda f: f, {"minimise": ["acc"]}, "when larger, as a metric"),
    "both directions": (
        lambda f: f,
        {"metrics": ["latency_gpu"], "minimise": ["latency_gpu"], "maximise": ["latency_gpu"]},
        "both",
    ),
    "a direction for nothing": (lambda f: f, {"minimise": ["latency"]}, "to be fitted"),
    "no rows": (lambda f: f.clear(), {}, "none in"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused(tmp_path: Path, case: str) -> None:
    change, options, words = WRONG[case]
    path = write(tmp_path / "s.parquet", change(table(30)))
    with pytest.raises(ArchwalkError, match=words):
        read_sample(path, SPACE, **{"task": "t", "metrics": [], **options})


@pytest.mark.parametrize(
    "name",
    ["mean_loss", "gpulat_a100", "perplexity", "energy_j", "wall_time", "params_M", "inference_ms2", "ppl"],
)
def test_a_name_that_speaks_of_a_cost_is_asked_for(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "s.csv", table(30).rename({"t/acc/valid/final": name}))
    with pytest.raises(ArchwalkError, match=f"--minimise {name}"):
        read_sample(path, SPACE, "t", [name])
    metric = read_sample(path, SPACE, "t", [name], minimise=[name]).metrics[0]
    assert (metric.name, metric.direction) == (name, "min")


def test_another_spaces_sample_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", pl.DataFrame({"arch": ["64-41414-1_23_012"], "acc": [3.0]}))
    with pytest.raises(ArchwalkError, match="made-up"):
        read_sample(path, SPACE, "t")
    with pytest.raises(BenchmarkError, match="column 'arch'"):
        read_sample(write(tmp_path / "w.csv", table(30)), make_space("darts"), "t")
    assert read_sample(path, make_space("transnas-micro"), "t").codes.tolist() == [[1, 2, 3, 0, 1, 2]]
    assert issubclass(ArchitectureError, ArchwalkError)
