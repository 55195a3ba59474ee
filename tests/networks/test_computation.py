"""Computational graphs: by hand for a small network, and for every space that has networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwalk.networks.build import build_network
from archwalk.networks.computation import KINDS, Operation, computation_of


def test_a_cell_by_hand() -> None:
    """0→1 skip, 0→3 conv3x3, 1→3 conv1x1 on four channels; nothing else."""
    network = build_network(
        "transnas-micro", "64-41414-1_00_320", channels=4, modules="1", cells=1, stem_stride=1
    )
    found = computation_of(network, torch.zeros(2, 3, 8, 8))
    kinds = [operation.kind for operation in found.operations]
    stem, one, three = ["input", "conv", "norm"], ["relu", "conv", "norm"], ["relu", "conv", "norm"]
    assert kinds == [*stem, *three, *one, "add", "pool", "linear", "output"]
    assert found.operations[4] == Operation("conv", 3, 1, 4, 4)
    assert found.operations[7] == Operation("conv", 1, 1, 4, 4)
    assert found.operations[10] == Operation("pool", 0)
    assert found.operations[11] == Operation("linear", 1, 1, 4, 10)
    chain = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (2, 6), (6, 7), (7, 8)]
    assert set(found.edges) == {*chain, (5, 9), (8, 9), (9, 10), (10, 11), (11, 12)}


def test_a_network_that_does_not_see_its_input() -> None:
    network = build_network("transnas-micro", "64-41414-0_00_000", channels=4, modules="1", cells=1)
    found = computation_of(network, torch.zeros(2, 3, 8, 8))
    assert [operation.kind for operation in found.operations] == ["input", "linear", "output"]
    assert found.edges == ((1, 2),)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("64-1234-basic", {"channels": 4}),
        (
            "|nor_conv_3x3~0|+|avg_pool_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|",
            {"cells": 1, "live_only": True},
        ),
        (
            "normal:sep_conv_3x3~0+skip_connect~1,sep_conv_5x5~0+max_pool_3x3~1,dil_conv_3x3~0+skip_connect~1,"
            "avg_pool_3x3~0+skip_connect~1:reduce:sep_conv_3x3~0+skip_connect~1,sep_conv_5x5~0+max_pool_3x3~1,"
            "dil_conv_3x3~0+skip_connect~1,avg_pool_3x3~0+skip_connect~1",
            {"channels": 4, "cells": 3},
        ),
    ],
)
def test_every_layer_and_edge(architecture: str, options: dict[str, object]) -> None:
    network = build_network(None, architecture, **options)
    found = computation_of(network, torch.zeros(2, 3, 8, 8))
    for kind, layer in (("conv", nn.Conv2d), ("norm", nn.BatchNorm2d), ("linear", nn.Linear)):
        there = [operation.kind for operation in found.operations].count(kind)
        assert there == sum(isinstance(m, layer) for m in network.modules())
    assert {operation.kind for operation in found.operations} <= set(KINDS)
    assert all(a < b for a, b in found.edges)
    reached = {0}
    for a, b in sorted(found.edges):
        reached |= {b} if a in reached else set()
    assert len(found.operations) - 1 in reached
