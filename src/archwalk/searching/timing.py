"""Latency of many architectures, as a column that limits can use.

In: architectures, or how many random ones of a space. Out: measurements one by one, and a CSV. Next:
``archwalk search --known FILE``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from archwalk.config import LatencySettings, SkeletonSettings
from archwalk.errors import SearchError
from archwalk.files import write_atomically
from archwalk.networks.latency import Latency, latency_of
from archwalk.searching.limiting import LATENCY, builds_networks
from archwalk.spaces.registry import make_space


def measure(
    architectures: Sequence[str],
    space: str | None,
    sample: int,
    seed: int,
    skeleton: SkeletonSettings,
    settings: LatencySettings,
) -> Iterator[tuple[str, Latency]]:
    """Measure one after the other.

    Args:
        architectures: strings; none with a sample.
        space: its name; None finds it by each string.
        sample: random architectures of the space, drawn as it samples; 0: those named.
        seed: of the sample.
        skeleton: what stands around the cells.
        settings: how it is measured.

    Raises:
        SearchError: both, neither, or a sample of no space of networks.
    """
    if (sample > 0) == bool(architectures) or sample < 0:
        got = "both" if architectures else "neither"
        raise SearchError("architectures, or --sample N with --space NAME", got, "give one of them")
    if sample:
        if space is None or not builds_networks(make_space(space)):
            raise SearchError(
                "a space whose architectures are networks, for --sample",
                repr(space),
                "name it with --space: nasbench201, transnas-micro, transnas-macro, darts or nasbench101",
            )
        opened = make_space(space)
        codes = np.unique(opened.sample(sample, np.random.default_rng(seed)), axis=0)
        architectures = [opened.format(code) for code in codes.tolist()]
    for text in architectures:
        yield text, latency_of(space, text, skeleton, settings)


def write_latencies(rows: Sequence[tuple[str, Latency]], out: Path) -> None:
    """A CSV: architecture, the median, and the ends of its 95 % interval, in milliseconds."""
    frame = pl.DataFrame(
        {
            "architecture": [text for text, _ in rows],
            LATENCY: [one.milliseconds for _, one in rows],
            f"{LATENCY}_low": [one.low for _, one in rows],
            f"{LATENCY}_high": [one.high for _, one in rows],
        }
    )
    write_atomically(out, frame.write_csv().encode())
