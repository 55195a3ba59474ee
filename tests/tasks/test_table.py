"""The benchmark object and its file."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archwalk
from archwalk.errors import ArchitectureError, ArchwalkError, BenchmarkError
from archwalk.spaces import make_space
from archwalk.spaces.registry import make_listed
from archwalk.tasks import Benchmark, Column, open_benchmark
from archwalk.tasks.metrics import METRICS, Metric
from archwalk.tasks.table import make_benchmark, seal
from tests.conftest import tiny_benchmark


def same(a: Benchmark, b: Benchmark) -> bool:
    return (
        a.checksum == b.checksum
        and a.architectures == b.architectures
        and all(np.array_equal(a.columns[c], b.columns[c], equal_nan=True) for c in a.columns)
        and dict(a.metrics) == dict(b.metrics)
        and dict(a.rewards) == dict(b.rewards)
    )


@pytest.mark.parametrize("keep", [None, 17])
def test_file_round_trips(tmp_path: Path, keep: int | None) -> None:
    benchmark = tiny_benchmark(keep)
    again = archwalk.load_benchmark(benchmark.save(tmp_path / "b.parquet"))
    assert same(benchmark, again)
    assert np.array_equal(again.neighbours, benchmark.neighbours)


def test_values_are_read_only_and_default_to_the_reward(synthetic: Benchmark) -> None:
    values = synthetic.values("gamma")
    assert values.dtype == np.float64
    assert len(values) == len(synthetic.architectures) == 4096
    assert np.array_equal(values, synthetic.columns[synthetic.rewards["gamma"]])
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1.0


def test_test_split_falls_back_to_the_best_epoch() -> None:
    space = make_space("slots", {"a": ["x", "y"]})
    columns = {
        Column("t", "mIoU", "valid", "final"): np.array([1.0, 2.0]),
        Column("t", "mIoU", "test", "best"): np.array([3.0, 4.0]),
        Column("t", "mIoU", "test", "12"): np.array([5.0, 6.0]),
    }
    b = make_benchmark(
        "b", space, np.arange(2), columns, METRICS, {"t": Column("t", "mIoU", "valid", "final")}
    )
    assert b.values("t", "test").tolist() == [3.0, 4.0]
    assert b.values("t", "test", epoch="12").tolist() == [5.0, 6.0]
    with pytest.raises(BenchmarkError, match="epoch among: 12, best"):
        b.values("t", "test", epoch="final")


def test_rewards_are_fractions_and_larger_is_better() -> None:
    space = make_space("slots", {"a": ["x", "y"]})
    columns = {
        Column("p", "top1", "valid", "final"): np.array([50.0, 25.0]),
        Column("q", "loss", "valid", "final"): np.array([0.5, 2.0]),
    }
    b = make_benchmark("b", space, np.arange(2), columns, METRICS, {c.task: c for c in columns})
    assert b.reward("p").tolist() == [0.5, 0.25]
    assert b.reward("q").tolist() == [-0.5, -2.0]
    assert b.values("p").tolist() == [50.0, 25.0]


def test_missing_values_stay_missing_and_are_named(tmp_path: Path) -> None:
    space = make_space("slots", {"a": ["x", "y", "z"]})
    reward = Column("t", "acc", "valid", "final")
    other = Column("t", "acc", "test", "final")
    columns = {reward: np.array([1.0, np.nan, 3.0]), other: np.array([1.0, 2.0, 3.0])}
    b = make_benchmark("b", space, np.arange(3), columns, METRICS, {"t": reward})
    b = open_benchmark(b.save(tmp_path / "b.parquet"))
    assert np.isnan(b.values("t")[1])
    assert b.missing == {reward: 1}
    with pytest.raises(BenchmarkError, match=r"1 missing, among them y[\s\S]*nothing is filled in"):
        b.reward("t")


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (("alfa",), "did you mean 'alpha'"),
        (("alpha", "valid", "ssim"), "metric among: top1"),
        (("alpha", "train"), "split among: test, valid"),
        (("alpha", "valid", None, "best"), "epoch among: final"),
    ],
)
def test_unknown_names(synthetic: Benchmark, ask: tuple, says: str) -> None:
    with pytest.raises(BenchmarkError, match=says):
        synthetic.values(*ask)


def test_strangers_and_unmeasured_architectures() -> None:
    b = tiny_benchmark(keep=20)
    with pytest.raises(ArchitectureError):
        b.index("x,p,1,nothing")
    unmeasured = set(b.space.architectures) - set(b.architectures)
    with pytest.raises(BenchmarkError, match="measured"):
        b.index(min(unmeasured))
    assert [b.index(a) for a in b.architectures] == list(range(20))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rows": np.array([0, 0])}, "twice"),
        ({"rows": np.array([], dtype=np.int64)}, "at least one architecture"),
        ({"values": np.array([1.0, 101.0])}, r"\[0"),
        ({"values": np.array([1.0, np.inf])}, "finite"),
        ({"rewards": {}}, "at least one task"),
        ({"rewards": {"t": Column("t", "acc", "test", "final")}}, "reward column"),
    ],
)
def test_impossible_tables_are_refused(change: dict, says: str) -> None:
    column = Column("t", "acc", "valid", "final")
    rows = change.get("rows", np.arange(2))
    values = change.get("values", np.arange(1.0, 1.0 + len(rows)))
    space = make_space("slots", {"a": ["x", "y"]})
    with pytest.raises(BenchmarkError, match=says):
        make_benchmark("b", space, rows, {column: values}, METRICS, change.get("rewards", {"t": column}))


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return tiny_benchmark().save(tmp_path_factory.mktemp("b") / "b.parquet").read_bytes()


def write(folder: Path, content: bytes) -> Path:
    path = folder / "damaged.parquet"
    path.write_bytes(content)
    return path


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused(
    data: st.DataObject, intact: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    at = data.draw(st.integers(0, len(intact) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    damaged = intact[:at] + bytes([intact[at] ^ bit]) + intact[at + 1 :]
    path = write(tmp_path_factory.mktemp("d"), damaged)
    with pytest.raises(BenchmarkError):  # before a parser sees it, which might abort the process
        open_benchmark(path)
    assert path.read_bytes() == damaged  # left as it was


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_truncated_file_is_refused(
    data: st.DataObject, intact: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    length = data.draw(st.integers(0, len(intact) - 1))
    with pytest.raises(ArchwalkError):
        open_benchmark(write(tmp_path_factory.mktemp("d"), intact[:length]))


class Bomb:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self):
        return Path.touch, (self.flag,)


def test_a_hostile_pickle_is_not_executed(tmp_path: Path) -> None:
    flag = tmp_path / "executed"
    bomb = pickle.dumps(Bomb(flag))
    for content in (bomb, b"PAR1" + bomb, b"PAR1" + bomb + b"PAR1"):
        with pytest.raises(BenchmarkError):
            open_benchmark(write(tmp_path, content))
    assert not flag.exists()


def relabel(intact: bytes, tmp_path: Path, **changes: object) -> Path:
    source = write(tmp_path, intact)
    header = json.loads(pl.read_parquet_metadata(source)["archwalk"]) | changes
    path = tmp_path / "relabelled.parquet"
    metadata = {"archwalk": json.dumps(header), "archwalk-sha256": "0" * 64}
    pl.read_parquet(source).write_parquet(path, metadata=metadata)
    path.write_bytes(seal(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, None),
        ({"name": "other"}, "checksum"),
        ({"rewards": {"main": ["main", "acc", "test", "final"]}}, "checksum"),
        ({"space": {"name": "nasbench201"}}, "nasbench201"),
        ({"space": {"name": "nowhere"}}, "space among"),
        ({"space": 7}, "intact"),
        ({"format": 99}, "format 99"),
        ({"metrics": []}, "intact"),
        ({"rewards": {"main": ["main", "acc"]}}, "intact"),
        ({"source": {"a": 1}}, "checksum"),
    ],
)
def test_a_mislabelled_file_is_refused(
    intact: bytes, tmp_path: Path, changes: dict, says: str | None
) -> None:
    path = relabel(intact, tmp_path, **changes)
    if says is None:
        assert same(open_benchmark(path), tiny_benchmark())
    else:
        with pytest.raises(ArchwalkError, match=says):
            open_benchmark(path)


def test_files_of_another_kind(tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pl.DataFrame({"arch": ["a"]}).write_parquet(other)
    with pytest.raises(BenchmarkError, match="another kind"):
        open_benchmark(other)
    with pytest.raises(BenchmarkError, match="not Parquet"):
        open_benchmark(write(tmp_path, b"arch,value\n"))
    with pytest.raises(BenchmarkError, match="No such file"):
        open_benchmark(tmp_path / "none.parquet")
    with pytest.raises(BenchmarkError, match="synthetic"):
        archwalk.load_benchmark("synthetik")


def test_saving_to_a_folder_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchwalkError, match="rerun"):
        tiny_benchmark().save(tmp_path / "file" / "b.parquet")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_metrics_survive_json() -> None:
    for metric in (*METRICS.values(), Metric("odd", "min", "")):
        assert Metric.from_json(json.loads(json.dumps(metric.to_json()))) == metric


def test_synthetic_is_the_same_everywhere(synthetic: Benchmark) -> None:
    groups = synthetic.space.canonical_groups()
    for task in synthetic.tasks:
        values = synthetic.values(task)
        assert all(len(set(values[groups == g])) == 1 for g in range(0, groups.max(), 50))
    assert "nothing was measured" in synthetic.source


def test_the_order_of_slots_is_part_of_the_identity(tmp_path: Path) -> None:
    values = {Column("main", "acc", "valid", "final"): np.array([1.0, 2.0, 2.0, 3.0])}
    reward = {"main": Column("main", "acc", "valid", "final")}
    one, other = (
        make_benchmark(
            "t",
            make_listed("slots", {slot: ["x", "y"] for slot in slots}),
            np.arange(4),
            values,
            {"acc": METRICS["acc"]},
            reward,
        )
        for slots in ("ab", "ba")
    )
    assert one.checksum != other.checksum
    assert open_benchmark(other.save(tmp_path / "o.parquet")).checksum == other.checksum
    old = replace(other)
    old.__dict__["checksum"] = old._digest("")  # as 0.1 wrote it
    assert open_benchmark(old.save(tmp_path / "old.parquet")).checksum == old.checksum != other.checksum


def test_a_split_as_people_write_it(tiny: Benchmark) -> None:
    for spelling in ("val", "validation", "Valid"):
        assert np.array_equal(tiny.values("main", spelling), tiny.values("main", "valid"))
    assert np.array_equal(tiny.values("main", "testing", "Acc"), tiny.values("main", "test"))
