"""Labelled data as they come: what is read, what is asked for, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from archwalk.errors import DataError
from archwalk.fitting.data import Dataset, load_data
from tests.fitting.data import blobs, pictures, write_npz

X, Y = blobs(60)
IMAGES, LABELS = pictures(40)


def folder_of(path: Path, n: int = 20, splits: tuple[str, ...] = ("",)) -> Path:
    """Images by class, perhaps by split."""
    images, labels = pictures(n * len(splits))
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = path / splits[i // n] / ("row", "column")[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}.png")
    return path


def test_a_folder_is_images_by_class(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "bars")
    (path / "row" / ".hidden").write_text("not an image")
    (path / "row" / "Thumbs.db").write_text("not an image")
    data = load_data(path)
    assert (data.kind, data.task, data.name) == ("images", "classification", "bars")
    assert data.shape == (1, 8, 8)
    assert data.inputs.dtype == np.uint8
    assert data.counts == {"column": 10, "row": 10}
    images, _ = pictures(20)
    for name, image in zip(data.names, data.inputs, strict=True):
        np.testing.assert_array_equal(image[0], images[int(Path(name).stem)])


def test_images_are_scaled_to_one_size_and_colour_is_kept(tmp_path: Path) -> None:
    for i in range(40):
        place = tmp_path / str(i % 2)
        place.mkdir(exist_ok=True)
        colour = (255, 0, 0) if i % 2 else (0, 0, 255)
        Image.new("RGB", (20 + i % 3, 40), colour).save(place / f"{i}.jpg")
    data = load_data(tmp_path, image_size=16)
    assert data.shape == (3, 16, 16)
    red = data.inputs[data.targets == 1].mean((0, 2, 3))
    assert red[0] > 240
    assert red[2] < 15
    assert data.notes[0] == "images were scaled from 3 sizes to 16 × 16 pixels"


def test_splits_of_a_folder(tmp_path: Path) -> None:
    data = load_data(folder_of(tmp_path, splits=("train", "test")))
    assert data.given is not None
    assert [n.startswith("test/") for n in data.names] == (data.given == 2).tolist()
    (tmp_path / "rows").mkdir()
    with pytest.raises(DataError, match="all classes, or all splits"):
        load_data(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "options", "kind", "shape", "task"),
    [
        ({"vectors": X, "labels": Y}, {}, "vectors", (5,), "classification"),
        ({"x": X, "y": Y.astype(str)}, {}, "vectors", (5,), "classification"),
        ({"x": X, "y": X[:, 0]}, {}, "vectors", (5,), "regression"),
        ({"x": X, "other": Y}, {"target": "other"}, "vectors", (5,), "classification"),
        ({"x": X, "y": Y}, {"kind": "series"}, "series", (1, 5), "classification"),
        ({"x": X, "y": Y}, {"task": "regression"}, "vectors", (5,), "regression"),
        ({"images": IMAGES, "labels": LABELS}, {}, "images", (1, 8, 8), "classification"),
        ({"series": IMAGES, "labels": LABELS}, {}, "series", (8, 8), "classification"),
        ({"x": IMAGES[..., None].repeat(3, 3), "labels": LABELS}, {}, "images", (3, 8, 8), "classification"),
        ({"x": IMAGES[:, None].repeat(3, 1), "labels": LABELS}, {}, "images", (3, 8, 8), "classification"),
    ],
)
def test_arrays(
    tmp_path: Path, arrays: dict[str, Any], options: dict[str, Any], kind: str, shape: Any, task: str
) -> None:
    data = load_data(write_npz(tmp_path / "d.npz", **arrays), **options)
    assert (data.kind, data.shape, data.task) == (kind, shape, task)
    assert load_data(tmp_path / "d.npz", **options).digest == data.digest


def test_a_table_is_vectors_or_series(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": X[:, 0], "b": X[:, 1] > 0, "target": Y.astype(str)})
    frame.write_parquet(tmp_path / "t.parquet")
    data = load_data(tmp_path / "t.parquet")
    assert (data.kind, data.shape, data.features, data.classes) == (
        "vectors",
        (2,),
        ("a", "b"),
        ("0", "1", "2"),
    )
    pl.DataFrame({"u": X.tolist(), "v": (2 * X).tolist(), "y": X[:, 0]}).write_parquet(tmp_path / "s.parquet")
    series = load_data(tmp_path / "s.parquet")
    assert (series.kind, series.shape, series.task) == ("series", (2, 5), "regression")
    np.testing.assert_array_equal(series.inputs[:, 1], 2 * series.inputs[:, 0])


def test_the_digest_knows_every_number_and_label() -> None:
    def digest(x: Any, y: Any) -> str:
        return load_data((x, y)).digest

    changed, other = X.copy(), Y.copy()
    changed[3, 2] += 1
    other[[0, 1]] = other[[1, 0]] if other[0] != other[1] else (other[0] + 1) % 3
    assert digest(X, Y) == digest(X.copy(), Y.copy())
    assert len({digest(X, Y), digest(changed, Y), digest(X, other), digest(X, Y.astype(str))}) >= 3


def broken(change: Callable[[Any], object]) -> Any:
    x = X.copy()
    change(x)
    return x


OBJECTS = np.array([{}, "a"] * 30, dtype=object)


@pytest.mark.parametrize(
    ("arrays", "options", "said"),
    [
        ({"x": X, "y": np.zeros(60, int)}, {}, "at least two classes"),
        ({"x": X, "y": Y[:-1]}, {}, "one label or target for each example"),
        ({"x": X[:2], "y": Y[:2]}, {}, "at least 20 examples"),
        ({"x": X, "y": np.where(np.arange(60) < 3, 7, 1)}, {}, r"fewer of '7' \(3\)"),
        (
            {"x": broken(lambda x: x.__setitem__((4, 2), np.nan)), "y": Y},
            {},
            "column 2: 1 examples, the first is 4",
        ),
        ({"x": X, "y": broken(lambda x: x.__setitem__((4, 0), np.inf))[:, 0]}, {}, "in the targets"),
        ({"x": X, "y": np.arange(60)}, {}, "--task classification or --task regression"),
        ({"x": X, "y": (np.arange(60) % 3).astype(float)}, {}, "--task classification or --task regression"),
        ({"x": X, "y": np.ones(60)}, {"task": "regression"}, "targets that differ"),
        ({"x": X, "y": X[:, 0]}, {"task": "classification"}, "numbers with fractions"),
        ({"x": IMAGES, "y": LABELS}, {}, "--kind images"),
        ({"x": X, "y": Y}, {"kind": "images"}, "images of 3 or 4"),
        ({"x": IMAGES[..., None].repeat(2, 3), "y": LABELS}, {}, "1 or 3 channels"),
        ({"x": X.astype(str), "y": Y}, {}, "numbers as inputs"),
        ({"x": np.ones_like(X), "y": Y}, {}, "inputs that differ"),
        ({"x": X, "data": X, "y": Y}, {}, "leave the others out"),
        ({"x": X, "z": Y}, {}, "--target"),
        ({"x": X, "y": Y}, {"target": "z"}, "array or column"),
        ({"x": X, "y": OBJECTS}, {}, "without Python objects"),
        ({"x": X, "y": Y, "split": np.array(["train"] * 60)}, {}, "a split 'test'"),
        ({"x": X, "y": Y, "split": np.array(["train", "rest"] * 30)}, {}, "split among"),
        ({"x": X, "y": Y, "split": np.array(["train", "test"] * 20)}, {}, "a split for each of 60"),
        (
            {"x": X, "y": np.sort(Y), "split": np.array(["train"] * 40 + ["test"] * 20)},
            {},
            "every class in the split",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(
    tmp_path: Path, arrays: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=said):
        load_data(path, **options)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": ["x"] * 60, "y": Y}, "a column of 0 and 1"),
        ({"a": [1.0, None] * 30, "y": Y}, "missing, NaN or infinite ones in a"),
        ({"a": [[1.0, 2.0], [1.0]] * 30, "y": Y}, "all of one length"),
        ({"a": [[1.0, 2.0]] * 60, "b": [1.0] * 60, "y": Y}, "not both"),
        ({"y": Y}, "columns beside the target"),
        ({"a": X[:, 0]}, "for the labels or targets"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    pl.DataFrame(columns).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=said):
        load_data(tmp_path / "t.parquet")


def spoil(path: Path) -> Path:
    file = path / "row" / "000.png"
    file.write_bytes(file.read_bytes()[:60])
    return path


def cut(path: Path) -> Path:
    """An image whose header can be read, and whose pixels cannot."""
    file = path / "row" / "000.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[:2_000])
    return path


def one_class(path: Path) -> Path:
    for file in (path / "row").iterdir():
        file.unlink()
    return path


def strange(path: Path) -> Path:
    (path / "row" / "notes.txt").write_text("notes")
    return path


def deep(path: Path) -> Path:
    Image.new("I;16", (8, 8)).save(path / "row" / "deep.png")
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (spoil, r"1 that cannot: .*row/000\.png"),
        (cut, r"1 that cannot: .*row/000\.png"),
        (one_class, "at least two classes, a folder each"),
        (strange, r"notes\.txt"),
        (deep, "8 bits a channel"),
        (lambda path: path / "row", "files, but no folders"),
        (lambda path: path / "nothing", "check the path"),
    ],
)
def test_folders_that_cannot_be_used_are_refused(
    tmp_path: Path, change: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        load_data(change(folder_of(tmp_path)))


def test_files_that_are_no_data_are_refused(tmp_path: Path) -> None:
    for name in ("d.npz", "d.parquet"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 nothing of the kind")
        with pytest.raises(DataError, match="intact"):
            load_data(tmp_path / name)
    with pytest.raises(DataError, match="write it as one of these"):
        load_data(write_npz(tmp_path / "x.npz", x=X).rename(tmp_path / "x.bin"))


def test_inputs_that_occur_twice_are_noted() -> None:
    data: Dataset = load_data((np.concatenate([X, X[:4]]), np.concatenate([Y, Y[:4]])))
    assert data.notes == ("4 examples have inputs that occur more than once",)
