"""Importers: the official release, tidy tables, wide tables."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import archwalk
from archwalk.errors import ArchwalkError, BenchmarkError
from archwalk.tasks.importers import import_table, import_transnas_bench


def official_release(architectures: dict[str, list[str]]) -> dict:
    """A release as the official file has it: nested dictionaries, one value an epoch."""
    g = np.random.default_rng(0)
    keys = ["train_top1", "valid_top1", "test_top1", "valid_loss", "time_elapsed"]

    def record() -> dict:
        curves = {k: [float(v) for v in g.uniform(1, 90, 5)] for k in keys}
        curves["time_elapsed"] = [10.0, 20.0, 30.0, 40.0, 50.0]
        info = {"model_FLOPs": np.float64(g.uniform(1, 9)), "inference_time": float(g.uniform(0, 1))}
        return {"total_epochs": 5, "model_info": info, "metrics": curves}

    return {
        "metrics_dict": {"class_object": keys},
        "info_names": ["inference_time"],
        "task_list": ["class_object", "jigsaw"],
        "data": {
            kind: {a: {t: record() for t in ("class_object", "jigsaw")} for a in archs}
            for kind, archs in architectures.items()
        },
    }


def test_the_official_release(tmp_path: Path) -> None:
    micro = ["64-41414-3_33_333", "64-41414-0_00_001", "64-41414-1_23_012"]
    release = official_release({"micro": micro, "macro": ["64-1124-basic", "64-112414-basic"]})
    file = tmp_path / "transnas-bench_v10141024.pth"
    torch.save(release, file)
    b = import_transnas_bench(file)
    assert b.architectures == tuple(sorted(micro))
    assert b.tasks == ("class_object", "jigsaw")
    for i, arch in enumerate(b.architectures):
        curves = release["data"]["micro"][arch]["jigsaw"]["metrics"]
        assert b.values("jigsaw")[i] == curves["valid_top1"][-1]
        assert b.values("jigsaw", epoch="best")[i] == max(curves["valid_top1"])
        assert b.values("jigsaw", metric="loss", epoch="best")[i] == min(curves["valid_loss"])
        assert b.values("jigsaw", "none", "time_elapsed")[i] == 50.0
        flops = release["data"]["micro"][arch]["jigsaw"]["model_info"]["model_FLOPs"]
        assert b.values("jigsaw", "none", "model_FLOPs")[i] == flops
    assert len(import_transnas_bench(file, "transnas-macro")) == 2
    assert archwalk.load_benchmark(b.save(tmp_path / "b.parquet")).checksum == b.checksum


class Bomb:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self):
        return Path.touch, (self.flag,)


def test_a_release_that_would_execute_code_is_refused(tmp_path: Path) -> None:
    flag = tmp_path / "executed"
    release = official_release({"micro": ["64-41414-3_33_333"]})
    release["data"]["micro"]["64-41414-3_33_333"]["jigsaw"]["metrics"]["valid_top1"] = Bomb(flag)
    zipped, plain = tmp_path / "zip.pth", tmp_path / "plain.pth"
    torch.save(release, zipped)
    plain.write_bytes(pickle.dumps(release))
    for file in (zipped, plain):
        with pytest.raises(BenchmarkError, match="nothing in the file was executed"):
            import_transnas_bench(file)
    assert not flag.exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04nonsense"])
def test_a_damaged_release(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "release.pth"
    file.write_bytes(content)
    with pytest.raises(BenchmarkError):
        import_transnas_bench(file)


def test_a_release_of_another_structure(tmp_path: Path) -> None:
    file = tmp_path / "release.pth"
    torch.save({"data": {"micro": [1, 2, 3]}}, file)
    with pytest.raises(BenchmarkError, match="structure of the release"):
        import_transnas_bench(file)


def tidy(rows: list[tuple]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["arch", "task", "metric", "split", "epoch", "value"], orient="row")


A, B = "64-41414-0_00_001", "64-41414-0_00_002"
GOOD = [
    (B, "seg", "acc", "valid", "final", 90.0),
    (A, "seg", "acc", "valid", "final", 80.0),
    (A, "seg", "mIoU", "valid", "best", 20.0),
    (B, "seg", "mIoU", "valid", "best", 21.0),
    (A, "seg", "mIoU", "test", "best", 22.0),
    (A, "seg", "time_elapsed", None, None, 5.0),
]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_tidy_table(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"t.{ending}"
    frame = tidy(GOOD)
    frame.write_csv(file) if ending == "csv" else frame.write_parquet(file)
    b = import_table(file, "transnas-micro")
    assert b.name == "t"
    assert b.architectures == (A, B)
    assert b.reward_column("seg")[1:] == ("mIoU", "valid", "best")
    assert b.values("seg").tolist() == [20.0, 21.0]
    assert np.isnan(b.values("seg", "test")[1])
    assert sum(b.missing.values()) == 2
    named = import_table(file, "transnas-micro", rewards={"seg": "acc"})
    assert named.values("seg").tolist() == [80.0, 90.0]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([*GOOD, GOOD[0]], "twice"),
        ([("nowhere", "seg", "acc", "valid", "final", 1.0)], "transnas-micro"),
        ([(A, "seg", "acc", "validatoin", "final", 1.0)], "did you mean 'valid'"),
        ([(A, "seg", "acc", "test", "final", 1.0)], "--reward seg"),
        ([(A, "seg", "x", "valid", "final", 1.0), (A, "seg", "y", "valid", "final", 1.0)], "--reward seg"),
        ([(A, "seg", "acc", "valid", "final", 180.0)], "another unit"),
        ([(A, "a/b", "acc", "valid", "final", 18.0)], "slash"),
    ],
)
def test_bad_tidy_tables(tmp_path: Path, rows: list[tuple], says: str) -> None:
    file = tmp_path / "t.parquet"
    tidy(rows).write_parquet(file)
    with pytest.raises(ArchwalkError, match=says):
        import_table(file, "transnas-micro")


def test_a_wide_table_of_ones_own_slots(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "depth,op,norm,acc,test_acc,params,lm/perplexity/valid/final\n"
        "2,conv,bn,71.5,70.0,100,9.5\n"
        "10,conv,bn,81.5,80.0,300,8.5\n"
        "2,attn,bn,75.5,73.0,150,7.5\n"
        "10,attn,none,61.5,60.0,250,6.5\n"
    )
    b = import_table(file, "slots", slots=["depth", "op", "norm"], minimise=["perplexity"], source="me")
    assert b.space.describe()["slots"] == {
        "depth": ["2", "10"],
        "op": ["attn", "conv"],
        "norm": ["bn", "none"],
    }
    assert len(b) == 4
    assert len(b.space) == 8
    assert b.tasks == ("lm", "main")
    at = b.index("10,conv,bn")
    assert b.values("main")[at] == 81.5
    assert b.values("main", "test")[at] == 80.0
    assert b.values("main", "none", "params")[at] == 300
    assert b.reward("lm")[at] == -8.5
    neighbours = {b.architectures[j] for j in b.neighbours[at] if j >= 0}
    assert neighbours == {"2,conv,bn"}  # the others of its neighbours were not measured
    assert archwalk.load_benchmark(b.save(tmp_path / "b.parquet")).checksum == b.checksum


@pytest.mark.parametrize(
    ("text", "slots", "says"),
    [
        ("a,acc\nx,1\n", ["b"], "column among: a, acc"),
        ("a,acc\nx,1\nx,2\n", ["a"], "twice"),
        ("a,acc\nx,word\n", ["a"], "numbers in the column 'acc'"),
        ("a,acc\n,1\n", ["a"], "a value of 'a' in every row"),
        ("a,t/acc/nowhere\nx,1\n", ["a"], "task/metric"),
        ("a,acc,valid_acc\nx,1,2\n", ["a"], "a second one"),
        ("a,acc\nx;y,1\n", [], "column among"),
        ("", ["a"], "readable"),
    ],
)
def test_bad_wide_tables(tmp_path: Path, text: str, slots: list[str], says: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text(text)
    with pytest.raises(ArchwalkError, match=says):
        import_table(file, "slots" if slots else "transnas-micro", slots=slots)


def test_a_table_over_a_declared_space(tmp_path: Path) -> None:
    declared = tmp_path / "mine.toml"
    declared.write_text(
        'slots.op.choices = ["conv", "skip"]\nslots.k = { choices = [3, 5], when = { op = "conv" } }\n'
    )
    wide = tmp_path / "wide.csv"
    wide.write_text("acc,k,op,test_acc\n70,3,conv,69\n60,,skip,59\n80,5,conv,78\n")
    benchmark = import_table(wide, str(declared))
    assert benchmark.architectures == ("op=conv,k=3", "op=conv,k=5", "op=skip")
    assert benchmark.values("main", "test").tolist() == [69, 78, 59]
    again = archwalk.load_benchmark(benchmark.save(tmp_path / "saved.parquet"))
    assert again.space.describe() == benchmark.space.describe()
    assert again.checksum == benchmark.checksum
    tidy = tmp_path / "tidy.csv"
    lines = [
        f'"{arch}",main,acc,valid,final,{v}'
        for arch, v in (("op=conv,k=3", 70), ("op=skip", 60), ("op=conv,k=5", 80))
    ]
    tidy.write_text("\n".join(["arch,task,metric,split,epoch,value", *lines]))
    assert import_table(tidy, str(declared)).values("main", "valid").tolist() == [70, 80, 60]
    wide.write_text("acc,k,op\n70,,conv\n")
    with pytest.raises(ArchwalkError, match="a choice of slot 'k'"):
        import_table(wide, str(declared))
    wide.write_text("acc,op\n70,conv\n")
    with pytest.raises(BenchmarkError, match="column among: acc, op"):
        import_table(wide, str(declared))
    wide.write_text("acc,op\n70,conv\n")
    with pytest.raises(ArchwalkError, match="can be listed"):
        import_table(wide, "mnasnet")


def test_a_pickle_is_no_table(tmp_path: Path) -> None:
    flag = tmp_path / "executed"
    file = tmp_path / "t.pkl"
    file.write_bytes(pickle.dumps(Bomb(flag)))
    with pytest.raises(BenchmarkError, match="pickle"):
        import_table(file, "transnas-micro")
    assert not flag.exists()


def test_the_real_tables(real_data: Path) -> None:
    micro = import_table(real_data / "transnas" / "micro.parquet", "transnas-micro")
    assert len(micro) == 4096
    assert not micro.missing
    assert {t: micro.rewards[t][1:] for t in micro.tasks} == {
        "autoencoder": ("ssim", "valid", "final"),
        "class_object": ("top1", "valid", "final"),
        "room_layout": ("neg_loss", "valid", "final"),
        "segmentsemantic": ("mIoU", "valid", "best"),
    }
    nb201 = import_table(real_data / "nasbench201" / "topology.parquet", "nasbench201")
    assert len(nb201) == 15625
    assert nb201.reward_column("cifar10")[1:] == ("top1", "valid", "12")
    assert nb201.values("cifar10", "test", epoch="200").max() == pytest.approx(94.37, abs=0.01)


def test_graph_networks_over_their_declared_space(tmp_path: Path, real_data: Path) -> None:
    rows = pl.read_parquet(real_data / "gnn" / "node_tasks.parquet")
    slots = ["neigh", "norm", "agg", "comb", "l_mp", "stage"]
    wide = rows.with_columns(column="" + pl.col("task") + "/accuracy").pivot(
        on="column", index=slots, values="accuracy"
    )
    wide.write_parquet(tmp_path / "gnn.parquet")
    benchmark = import_table(tmp_path / "gnn.parquet", "gnn")
    assert (len(benchmark), len(benchmark.tasks), benchmark.neighbours.shape) == (2_800, 11, (2_800, 19))
