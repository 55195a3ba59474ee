"""What several commands read in the same way: lists, a benchmark under a protocol."""

from __future__ import annotations


def listed(names: str | None) -> list[str]:
    """Names written as a,b,c; empty ones, as behind a last comma, are left out."""
    return [name for name in (names or "").split(",") if name]


def under(benchmark: str, protocol: str | None) -> str:
    """Every one of the benchmarks with the protocol by which its rewards are read."""
    if protocol is None:
        return benchmark
    from archwalk.tasks.several import split_benchmarks

    return ",".join(f"{one}@{protocol}" for one in split_benchmarks(benchmark))
