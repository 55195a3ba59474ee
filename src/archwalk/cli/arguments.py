"""What several commands read in the same way: lists, pairs, a benchmark under a protocol."""

from __future__ import annotations

from archwalk.errors import SettingsError


def listed(names: str | None) -> list[str]:
    """Names written as a,b,c."""
    return [name for name in (names or "").split(",") if name]


def pair(text: str) -> tuple[str, str]:
    """NAME=VALUE in two.

    Raises:
        SettingsError: without an equals sign.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError("an option as NAME=VALUE", repr(text), "correct --option")
    return name, value


def under(benchmark: str, protocol: str | None) -> str:
    """Every one of the benchmarks with the protocol by which its rewards are read."""
    if protocol is None:
        return benchmark
    from archwalk.tasks.several import split_benchmarks

    return ",".join(f"{one}@{protocol}" for one in split_benchmarks(benchmark))
