"""Protocols choose the reward, are part of what a run is, and are named in what is said about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import archwalk
from archwalk.cli import main
from archwalk.errors import BenchmarkError, RunError
from archwalk.spaces import make_listed
from archwalk.tasks import Benchmark, load_benchmark
from archwalk.tasks import registry as registering
from archwalk.tasks.importers import import_table
from archwalk.tasks.metrics import METRICS, Column
from archwalk.tasks.registry import benchmark_names, load_table, register_benchmark, split_protocol
from archwalk.tasks.table import make_benchmark
from archwalk.training.rundir import RunDir
from tests.conftest import small_settings, tiny_benchmark

Captured = pytest.CaptureFixture[str]
SEGMENTS = "segmentsemantic"
NAMES = ["transnas-best", "transnas-final", "cassimon"]


@pytest.fixture(scope="module")
def table() -> Benchmark:
    """All skeletons, with the columns of the published release, each of another scale."""
    space, g = make_listed("transnas-macro"), np.random.default_rng(0)
    addresses = [("class_object", "top1"), ("room_layout", "neg_loss"), ("autoencoder", "ssim")]
    columns = [Column(t, m, s, e) for t, m in addresses for s in ("valid",) for e in ("final", "best")]
    columns += [
        Column(SEGMENTS, "acc", "valid", "final"),
        Column(SEGMENTS, "mIoU", "valid", "best"),
    ]
    low = {"top1": 40, "acc": 90, "mIoU": 20, "ssim": 0.5, "neg_loss": -0.6}
    values = {c: low[c.metric] + g.uniform(0, 0.1, len(space)) for c in columns}
    metrics = {m: METRICS[m] for m in low}
    rewards = {t: Column(t, m, "valid", "final") for t, m in addresses}
    rewards[SEGMENTS] = Column(SEGMENTS, "mIoU", "valid", "best")
    return make_benchmark("macro", space, np.arange(len(space)), values, metrics, rewards)


def test_which_column_is_the_reward(table: Benchmark) -> None:
    assert list(table.protocols) == NAMES
    expected = {
        "transnas-best": [("ssim", "best"), ("top1", "best"), ("neg_loss", "best"), ("mIoU", "best")],
        "transnas-final": [("ssim", "final"), ("top1", "final"), ("neg_loss", "final"), ("acc", "final")],
        "cassimon": [("ssim", "final"), ("top1", "final"), ("neg_loss", "final"), ("mIoU", "best")],
    }
    for name, pairs in expected.items():
        under = table.under(name)
        assert under.protocol == name
        assert [(under.rewards[t].metric, under.rewards[t].epoch) for t in under.tasks] == pairs
        assert {c.split for c in under.rewards.values()} == {"valid"}
    assert table.protocol == ""
    assert len({table.under(name).checksum for name in NAMES}) == 3
    assert table.under("cassimon").checksum == table.checksum  # the file's own reward is that


def test_a_benchmark_is_named_with_its_protocol(table: Benchmark, tmp_path: Path) -> None:
    file = table.save(tmp_path / "m.parquet")
    assert load_table(f"{file}@transnas-final").rewards[SEGMENTS].metric == "acc"
    assert load_table(file).rewards[SEGMENTS].metric == "mIoU"
    with pytest.raises(BenchmarkError, match="did you mean 'transnas-final'"):
        load_benchmark(f"{file}@transnas-finale")
    with pytest.raises(BenchmarkError, match="no known protocol fits"):
        load_benchmark("digits@cassimon")
    odd = table.save(tmp_path / "a@b.parquet")
    assert split_protocol(str(odd)) == (str(odd), "")
    assert load_table(odd).protocol == ""


def test_a_run_is_of_its_protocol(
    table: Benchmark, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, toml = table.save(tmp_path / "m.parquet"), tmp_path / "s.toml"
    toml.write_text(small_settings(training={"trained_steps": 256}).to_toml())
    words = [
        "train",
        "--benchmark",
        file,
        "--task",
        SEGMENTS,
        "--preset",
        toml,
        "--run-dir",
        tmp_path / "r",
    ]
    main([*map(str, words), "--protocol", "transnas-final"])
    assert RunDir(tmp_path / "r").spec().benchmark == f"{file}@transnas-final"
    result = archwalk.evaluate(tmp_path / "r", split="valid")
    assert (result["protocol"], result["metric"]) == ("transnas-final", "acc")
    assert 90 <= result["valid_mean"] <= 90.1
    capsys.readouterr()
    main(["evaluate", str(tmp_path / "r"), "--split", "valid"])
    assert "transnas-final" in capsys.readouterr().out
    with pytest.raises((RunError, BenchmarkError)):  # another reward is another run
        archwalk.train(file, SEGMENTS, tmp_path / "r", preset=toml)


def test_comparisons_and_studies_take_it(
    table: Benchmark, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = table.save(tmp_path / "m.parquet")
    words = [
        "compare",
        "--benchmark",
        file,
        "--target",
        SEGMENTS,
        "--methods",
        "random",
        "--budgets",
        "20",
    ]
    main(
        [
            *map(str, words),
            "--seeds",
            "2",
            "--out",
            str(tmp_path / "c"),
            "--protocol",
            "transnas-final",
            "--json",
        ]
    )
    rows = json.loads(capsys.readouterr().out)
    assert {(row["target"], row["protocol"]) for row in rows} == {(SEGMENTS, "transnas-final")}
    assert rows[0]["regret_mean"] < 0.1
    settings = small_settings(training={"trained_steps": 128, "fine_tune_steps": 64})
    study = archwalk.study(
        f"{file}@transnas-final",
        (SEGMENTS, "class_object"),
        tmp_path / "s",
        seeds=1,
        preset=settings,
    )
    results = pl.read_parquet(study.path / "results.parquet")
    assert set(results["protocol"]) == {"transnas-final"}
    assert set(results["metric"]) == {"acc", "top1"}


def test_benchmarks_are_registered_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registering, "_BUILT_IN", dict(registering._BUILT_IN))
    register_benchmark("mine", tiny_benchmark)
    assert "mine" in benchmark_names()
    assert load_table("mine").checksum == tiny_benchmark().checksum
    for bad in ("mine", "digits", "a/b", "a@b", "a.parquet", ""):
        with pytest.raises(BenchmarkError, match="a name that is free"):
            register_benchmark(bad, tiny_benchmark)
    registering._built_in.cache_clear()


def test_the_published_optima(real_data: Path) -> None:
    """Of P1 on the micro cells, as the published comparisons state them."""
    best = import_table(real_data / "transnas" / "micro.parquet", "transnas-micro").under("transnas-best")
    published = {
        "class_object": 46.32,
        "room_layout": -0.5938,
        "autoencoder": 0.5772,
        SEGMENTS: 26.27,
    }
    for task, value in published.items():
        assert best.columns[best.rewards[task]].max() == pytest.approx(value, rel=2e-4)
    optima = {"cifar10_valid": 91.61, "cifar100": 73.49, "imagenet16_120": 46.73}
    table = import_table(real_data / "nasbench201" / "valid200.parquet", "nasbench201").under(
        "nasbench201-200"
    )
    for task, value in optima.items():
        assert table.columns[table.rewards[task]].max() == pytest.approx(value, abs=0.01)
