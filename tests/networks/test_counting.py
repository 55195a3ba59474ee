"""Counts against networks that were really built; the interval of a median; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binom

from archwalk.cli import main
from archwalk.config import LatencySettings, SkeletonSettings
from archwalk.errors import ArchwalkError
from archwalk.networks.build import build_network
from archwalk.networks.counting import cell_counts, count_network
from archwalk.networks.latency import measure_latency, median_interval
from archwalk.spaces.registry import make_space

SMALL = SkeletonSettings(channels=4, cells=1)


def test_published_counts() -> None:
    conv = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    found = count_network("nasbench201", conv, SkeletonSettings())
    assert found["params"] == 1_531_546  # NAS-Bench-201's own table
    assert found["macs"] * 2 == found["flops"]
    assert found["macs"] == pytest.approx(220.1e6, rel=1e-3)


def test_cells_add_up_to_what_their_networks_have() -> None:
    space = make_space("transnas-micro")
    counts = cell_counts(space, SMALL, 16)
    assert counts is not None
    codes = space.sample(4, np.random.default_rng(7))
    found = counts(codes)
    for i, code in enumerate(codes.tolist()):
        text = space.format(code)
        network = build_network(space, text, **SMALL.model_dump())
        assert found["params"][i] == sum(p.numel() for p in network.parameters())
        assert found["flops"][i] == count_network(space, text, SMALL, 16)["flops"]
    assert cell_counts(make_space("transnas-macro"), SMALL) is None
    assert cell_counts(space, SkeletonSettings(live_only=True)) is None


def test_the_interval_of_a_median() -> None:
    for n in range(6, 80):
        low, high = median_interval(np.arange(1.0, n + 1))
        outside = binom.cdf(low - 1, n, 0.5)  # fewer than `low` of the values below the median
        assert outside <= 0.025 < binom.cdf(low, n, 0.5)
        assert high == n + 1 - low
    assert median_interval(np.array([3.0, 1.0, 2.0])) == (1.0, 3.0)


def test_a_latency_says_what_it_depends_on(capsys: pytest.CaptureFixture, tmp_path) -> None:  # type: ignore[no-untyped-def]
    network = torch.nn.Conv2d(3, 4, 3)
    passes: list[tuple[int, ...]] = []
    network.register_forward_hook(lambda layer, given, out: passes.append(tuple(given[0].shape)))
    threads = torch.get_num_threads()
    found = measure_latency(network, 3, LatencySettings(batch=2, size=8, passes=5, warmup=3))
    assert passes == [(2, 3, 8, 8)] * 8
    assert 0 < found.low <= found.milliseconds <= found.high
    assert (found.passes, found.threads, torch.get_num_threads()) == (5, 1, threads)
    assert network.training
    with pytest.raises(ArchwalkError, match="a device that is there"):
        measure_latency(network, 3, LatencySettings(device="abacus"))
    given = ["latency", "--passes", "3", "--size", "8", "--skeleton.channels", "4", "--skeleton.cells", "1"]
    out = tmp_path / "latency.csv"
    main([*given, "--space", "nasbench201", "--sample", "2", "--out", str(out)])
    assert "median of 3 passes of 1 x 8 x 8" in capsys.readouterr().out
    assert out.read_text().splitlines()[0] == "architecture,latency_ms,latency_ms_low,latency_ms_high"
    for wrong in (["--sample", "2"], ["--sample", "2", "--space", "gnn"], []):
        with pytest.raises(SystemExit):
            main([*given, *wrong])
