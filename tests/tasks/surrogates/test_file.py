"""The file of surrogate tasks: what comes back, and that damaged and foreign files do not."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from archwalk.errors import BenchmarkError
from archwalk.tasks import load_benchmark
from archwalk.tasks.surrogates.file import pack, unpack
from tests.conftest import tiny_benchmark

ARRAYS = {"a/b": np.arange(12, dtype=np.float32).reshape(3, 4), "c": np.array([], dtype=np.int16)}
CONTENT = pack({"name": 'x "y"', "list": [1, None, "é"]}, ARRAYS)


def test_it_comes_back(tmp_path: Path) -> None:
    (tmp_path / "x.task").write_bytes(CONTENT)
    header, arrays = unpack(tmp_path / "x.task")
    assert header == {"name": 'x "y"', "list": [1, None, "é"]}
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert np.array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    assert pack(header, arrays) == CONTENT


@settings(deadline=None)
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_no_changed_byte_passes(tmp_path_factory: pytest.TempPathFactory, at: int, by: int) -> None:
    changed = bytearray(CONTENT)
    changed[at] ^= by
    path = tmp_path_factory.mktemp("f") / "x.task"
    path.write_bytes(changed)
    with pytest.raises(BenchmarkError):
        load_benchmark(path)


@pytest.mark.parametrize("length", [0, 7, 8, 9, 100, len(CONTENT) - 1])
def test_no_cut_file_passes(tmp_path: Path, length: int) -> None:
    (tmp_path / "x.task").write_bytes(CONTENT[:length])
    with pytest.raises(BenchmarkError, match="surrogate task's file"):
        load_benchmark(tmp_path / "x.task")


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.task"
    with pytest.raises(BenchmarkError, match="No such file"):
        load_benchmark(path)
    save_file(ARRAYS, path)
    with pytest.raises(BenchmarkError, match="another origin"):
        load_benchmark(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(BenchmarkError, match="another kind"):
        load_benchmark(path)
    path.write_bytes(tiny_benchmark().save(tmp_path / "t.parquet").read_bytes())
    with pytest.raises(BenchmarkError, match="another kind"):
        load_benchmark(path)
    path.write_bytes(pack({"name": "half a description"}, ARRAYS))
    with pytest.raises(BenchmarkError, match="KeyError"):
        load_benchmark(path)
    for strange in (np.array(["text"]), np.array([{}], dtype=object)):
        with pytest.raises(ValueError, match="another type"):
            pack({}, {"a": strange})
