"""The published surrogate of NAS-Bench-301: its formula, its import, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from archwalk.cli import main
from archwalk.errors import ArchitectureError, BenchmarkError
from archwalk.spaces import make_space
from archwalk.tasks import load_benchmark
from archwalk.tasks.base import Predicted
from archwalk.tasks.surrogates.nasbench301 import import_nasbench301, weight_shapes
from archwalk.tasks.surrogates.task import ExtrapolationWarning
from tests.oracles import nasbench301 as oracle

SPACE = make_space("darts")


def made_up_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of the published shapes, scaled so that the activations stay in range."""
    g = np.random.default_rng(seed)
    scale = {name: 1 / np.sqrt(shape[-1]) for name, shape in weight_shapes().items()}
    return {n: (scale[n] * g.standard_normal(s)).astype(np.float32) for n, s in weight_shapes().items()}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nb301") / "surrogate_weights.npz"
    np.savez(path, **made_up_weights())
    return path


@pytest.mark.parametrize("epoch", [1, 98])
def test_predictions_are_the_formulas(weights: Path, epoch: int) -> None:
    tasks = import_nasbench301(weights, epoch=epoch)
    codes = SPACE.sample(60, np.random.default_rng(1))
    wanted = [oracle.predict(made_up_weights(), SPACE.format(c), epoch) for c in codes.tolist()]
    accuracy, seconds = np.array(wanted).T
    assert np.abs(tasks.values("cifar10", codes) - accuracy).max() < 1e-4
    assert np.abs(tasks.values("cifar10", codes, "runtime") - seconds).max() < 0.02
    assert np.std(accuracy) > 0.1
    assert (tasks.split, tasks.epoch, tasks.tasks) == ("valid", str(epoch), ("cifar10",))
    assert [m.name for m in tasks.metrics("cifar10")] == ["top1", "runtime"]
    assert tasks.rewards["cifar10"].unit == "percent"


def test_a_value_has_the_same_bits_in_any_batch(weights: Path) -> None:
    tasks = import_nasbench301(weights)
    codes = SPACE.sample(700, np.random.default_rng(2))
    values = tasks.values("cifar10", codes)
    order = np.random.default_rng(3).permutation(700)
    assert np.array_equal(tasks.values("cifar10", codes[order]), values[order])
    for start, n in ((0, 1), (130, 3), (500, 150)):
        assert np.array_equal(tasks.values("cifar10", codes[start : start + n]), values[start : start + n])
    assert tasks.values("cifar10", codes[:0]).shape == (0,)


def test_import_and_open_again(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "nb301.task"
    main(["data", "import", "nasbench301", str(weights), "--out", str(out)])
    said = capsys.readouterr().out
    assert "reward top1/valid/98" in said
    assert "larger is better" in said
    main(["data", "check", str(out)])
    assert "checksum intact" in capsys.readouterr().out
    tasks, again = import_nasbench301(weights), load_benchmark(out)
    assert isinstance(again, Predicted)
    assert again.checksum == tasks.checksum != import_nasbench301(weights, epoch=50).checksum
    codes = SPACE.sample(50, np.random.default_rng(4))
    assert np.array_equal(again.values("cifar10", codes), tasks.values("cifar10", codes))
    assert np.isnan(again.estimate("cifar10", codes).spread).all()
    assert out.read_bytes() == tasks.save(tmp_path / "twice.task").read_bytes()


def test_it_warns_of_cells_of_skips(weights: Path) -> None:
    tasks = import_nasbench301(weights)
    codes = SPACE.sample(3, np.random.default_rng(5))
    reduction = np.flatnonzero(codes[1, 14:]) + 14
    codes[1, reduction[:6]], codes[2, np.flatnonzero(codes[2, :14])[:5]] = 3, 3
    codes[1, reduction[6:]] = codes[2, :14][codes[2, :14] != 3].max(initial=1)
    with pytest.warns(ExtrapolationWarning, match=r"1 of 3 architectures: more than 5"):
        found = tasks.estimate("cifar10", codes)
    assert found.far.tolist() == [False, True, False]


def test_what_is_refused(weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.task"
    wrong = made_up_weights()
    del wrong["wide.0.bias"]
    np.savez(tmp_path / "less.npz", **wrong)
    np.savez(tmp_path / "more.npz", **made_up_weights(), other=np.zeros(3))
    np.savez(tmp_path / "nan.npz", **(made_up_weights() | {"wide.0.bias": np.array([np.nan, 0])}))
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "pickle.npz", **(made_up_weights() | {"wide.0.bias": np.array([{}], dtype=object)}))
    (tmp_path / "cut.npz").write_bytes(weights.read_bytes()[:-5000])
    for file, words in {
        "less.npz": "'wide.0.bias'",
        "more.npz": "other",
        "nan.npz": "finite",
        "one.npy": "npz",
        "pickle.npz": "plain arrays",
        "cut.npz": "intact",
        "none.npz": "No such file",
    }.items():
        with pytest.raises(BenchmarkError, match=words):
            import_nasbench301(tmp_path / file)
    with pytest.raises(BenchmarkError, match="epoch from 1 to 98"):
        import_nasbench301(weights, epoch=99)
    with pytest.raises(BenchmarkError, match="'darts'"):
        import_nasbench301(weights, space=make_space("nasbench201"))
    with pytest.raises(BenchmarkError, match=r"ends in \.task"):
        import_nasbench301(weights).save(tmp_path / "x.parquet")
    with pytest.raises(BenchmarkError, match="top1"):
        import_nasbench301(weights).values("cifar10", SPACE.sample(1, np.random.default_rng(0)), "topl")
    with pytest.raises(ArchitectureError, match="two inputs"):
        import_nasbench301(weights).values("cifar10", np.full((1, 28), -1, dtype=np.int16))
    assert not out.exists()


@pytest.mark.skipif("ARCHWALK_DATA" not in os.environ, reason="needs the published weights")
def test_the_published_predictions(real_data: Path) -> None:
    folder = real_data / "nasbench301"
    frame = pl.read_parquet(folder / "random50k.parquet")
    texts = []
    for row in frame[:2_000].iter_rows(named=True):
        cells = [
            ",".join(
                f"{row[f'{c}{n}_op0']}~{row[f'{c}{n}_in0']}+{row[f'{c}{n}_op1']}~{row[f'{c}{n}_in1']}"
                for n in range(2, 6)
            )
            for c in "nr"
        ]
        texts.append(f"normal:{cells[0]}:reduce:{cells[1]}")
    codes = SPACE.rows(texts)
    for epoch in (1, 50, 98):
        tasks = import_nasbench301(folder / "surrogate_weights.npz", epoch=epoch)
        given = frame[f"cifar10/top1/valid/{epoch}"].to_numpy()[:2_000]
        assert np.abs(tasks.values("cifar10", codes) - given).max() < 1e-4
    seconds = tasks.values("cifar10", codes, "runtime")
    assert np.abs(seconds - frame["cifar10/runtime_s/none/98"].to_numpy()[:2_000]).max() < 0.05
