"""Benchmarks by name or by path."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import as_file, files
from pathlib import Path

from archwalk.errors import BenchmarkError, unknown
from archwalk.tasks.base import Predicted
from archwalk.tasks.surrogates.file import SUFFIX
from archwalk.tasks.surrogates.task import open_task
from archwalk.tasks.synthetic import make_synthetic
from archwalk.tasks.table import Benchmark, open_benchmark

__all__ = [
    "benchmark_names",
    "load_benchmark",
    "register_benchmark",
]


def _open_digits() -> Benchmark:
    with as_file(files("archwalk") / "datasets" / "digits" / "digits.parquet") as path:
        return open_benchmark(path)


AnyBenchmark = Benchmark | Predicted
GROUP = "archwalk.benchmarks"  # of entry points
_BUILT_IN: dict[str, Callable[[], AnyBenchmark]] = {"digits": _open_digits, "synthetic": make_synthetic}


def register_benchmark(name: str, open_it: Callable[[], AnyBenchmark]) -> None:
    """Make a benchmark known by name in this process; an entry point of the group ``archwalk.benchmarks``
    does so in every process, which worker processes and resumed runs need.

    Args:
        name: without a slash, a dot or an at sign, and not taken.
        open_it: called once, when the benchmark is first asked for.

    Raises:
        BenchmarkError: such a name.
    """
    if name in benchmark_names() or not name or set(name) & set("/.@"):
        raise BenchmarkError(
            "a name that is free, without '/', '.' and '@'", repr(name), "choose another name"
        )
    _BUILT_IN[name] = open_it


def benchmark_names() -> tuple[str, ...]:
    """Names that ``load_benchmark`` knows without a file."""
    return (*_BUILT_IN, *(p.name for p in entry_points(group=GROUP) if p.name not in _BUILT_IN))


@cache
def _built_in(name: str) -> AnyBenchmark:
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    opened: AnyBenchmark = next(p for p in entry_points(group=GROUP) if p.name == name).load()()
    return opened


def load_benchmark(given: str | Path | AnyBenchmark) -> AnyBenchmark:
    """A benchmark by name (see ``archwalk data list``), from a file in the package's format, or as it is.

    A name or file may be followed by ``@`` and a published protocol (``tasks.protocols``), which says what
    the reward is.

    A file that ends in ``.task`` gives a ``SurrogateTask``, any other a ``Benchmark``.

    Raises:
        BenchmarkError: neither a known name nor a readable, intact file.
    """
    if not isinstance(given, str | Path):
        return given
    text = str(given)
    if text in benchmark_names():
        return _built_in(text)
    where, protocol = split_protocol(text)
    if protocol:
        return load_table(where).under(protocol)
    path = Path(text)
    if path.suffix == "" and not path.exists():
        raise BenchmarkError(*unknown("benchmark file, or a name", text, benchmark_names()))
    return open_task(path) if path.suffix == SUFFIX else open_benchmark(path)


def split_protocol(text: str) -> tuple[str, str]:
    """``FILE@PROTOCOL`` or ``NAME@PROTOCOL`` as two; the protocol is empty where none is named."""
    where, at, protocol = text.rpartition("@")
    return (
        (where, protocol) if at and where and "/" not in protocol and not Path(text).exists() else (text, "")
    )


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
