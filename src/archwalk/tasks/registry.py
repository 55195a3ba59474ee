"""Benchmarks by name or by path."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

from archwalk.errors import BenchmarkError, unknown
from archwalk.tasks.base import Predicted
from archwalk.tasks.synthetic import make_synthetic
from archwalk.tasks.table import Benchmark, open_benchmark


def _open_digits() -> Benchmark:
    with as_file(files("archwalk") / "datasets" / "digits" / "digits.parquet") as path:
        return open_benchmark(path)


AnyBenchmark = Benchmark | Predicted
_BUILT_IN: dict[str, Callable[[], Benchmark]] = {"digits": _open_digits, "synthetic": make_synthetic}


def benchmark_names() -> tuple[str, ...]:
    """Names that ``load_benchmark`` knows without a file."""
    return tuple(_BUILT_IN)


@cache
def _built_in(name: str) -> Benchmark:
    return _BUILT_IN[name]()


def load_benchmark(given: str | Path | AnyBenchmark) -> AnyBenchmark:
    """A benchmark by name (see ``archwalk data list``), from a file in the package's format, or as it is.

    Raises:
        BenchmarkError: neither a known name nor a readable, intact file.
    """
    if not isinstance(given, str | Path):
        return given
    text = str(given)
    if text in _BUILT_IN:
        return _built_in(text)
    path = Path(text)
    if path.suffix == "" and not path.exists():
        raise BenchmarkError(*unknown("benchmark file, or a name", text, benchmark_names()))
    return open_benchmark(path)


def load_table(given: str | Path | AnyBenchmark) -> Benchmark:
    """``load_benchmark``, of a table of measurements.

    Raises:
        BenchmarkError: also if it is none.
    """
    benchmark = load_benchmark(given)
    if not isinstance(benchmark, Benchmark):
        raise BenchmarkError(
            "a table of measured architectures, since every one of them is needed here",
            f"{benchmark.name}, which predicts the architectures of {benchmark.space.name!r}",
            "name a benchmark file, or an embedded one: 'archwalk data list'",
        )
    return benchmark
