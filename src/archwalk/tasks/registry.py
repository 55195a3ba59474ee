"""Benchmarks by name or by path."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from archwalk.errors import BenchmarkError, unknown
from archwalk.tasks.surrogates.file import SUFFIX
from archwalk.tasks.surrogates.task import SurrogateTask, open_task
from archwalk.tasks.synthetic import make_synthetic
from archwalk.tasks.table import Benchmark, open_benchmark


def _open_digits() -> Benchmark:
    with as_file(files("archwalk") / "datasets" / "digits" / "digits.parquet") as path:
        return open_benchmark(path)


_BUILT_IN: dict[str, Callable[[], Benchmark]] = {"digits": _open_digits, "synthetic": make_synthetic}


def benchmark_names() -> tuple[str, ...]:
    """Names that ``load_benchmark`` knows without a file."""
    return tuple(_BUILT_IN)


@cache
def _built_in(name: str) -> Benchmark:
    return _BUILT_IN[name]()


def load_benchmark(name_or_path: str | Path) -> Any:
    """A benchmark by name (see ``archwalk data list``) or from a file in the package's format.

    A ``Benchmark``; or, from a file that ends in ``.task``, a ``SurrogateTask``, which is ``Predicted`` and
    no table. ``load_tasks`` is the same with both in its annotation, ``load_table`` refuses all but a table.

    Raises:
        BenchmarkError: neither a known name nor a readable, intact file.
    """
    return load_tasks(name_or_path)


def load_tasks(name_or_path: str | Path) -> Benchmark | SurrogateTask:
    """A table, by name or file, or a surrogate task from a file that ends in ``.task``.

    Raises:
        BenchmarkError: neither a known name nor a readable, intact file.
    """
    text = str(name_or_path)
    if text in _BUILT_IN:
        return _built_in(text)
    path = Path(text)
    if path.suffix == SUFFIX:
        return open_task(path)
    if path.suffix == "" and not path.exists():
        raise BenchmarkError(*unknown("benchmark file, or a name", text, benchmark_names()))
    return open_benchmark(path)


def load_table(name_or_path: str | Path) -> Benchmark:
    """A table, by name or file.

    Raises:
        BenchmarkError: also for a surrogate task.
    """
    found = load_tasks(name_or_path)
    if isinstance(found, SurrogateTask):
        raise BenchmarkError(
            "a table of measured architectures, which can be gone through as a whole",
            f"the surrogate task {found.name!r} over the space {found.space.name!r}",
            "use a benchmark file that 'archwalk data import table' wrote",
        )
    return found
