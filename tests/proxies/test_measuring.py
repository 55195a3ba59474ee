"""Training-free metrics of architectures: every space that has networks, batches, and what is refused."""

from __future__ import annotations

import math

import pytest

from archwalk.errors import ArchwalkError, SettingsError
from archwalk.networks.build import build_network
from archwalk.proxies import PROXIES, measure_proxies
from archwalk.proxies.measuring import DIGITS_SKELETON, digits_batch, named_batch, random_batch

CASES = {
    "transnas-micro": ("64-41414-1_23_301", {"modules": "14", "cells": 1}),
    "transnas-macro": ("64-1234-basic", {}),
    "nasbench201": (
        "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|",
        {"modules": "14", "cells": 1},
    ),
}


@pytest.mark.parametrize("space", CASES)
def test_every_space_of_networks(space: str) -> None:
    architecture, skeleton = CASES[space]
    batch = random_batch(3, 0, side=8)
    names = [name for name in PROXIES if name != "zen"]
    found = measure_proxies(space, architecture, batch, names, channels=4, stem_stride=1, **skeleton)
    assert list(found) == names
    assert all(math.isfinite(value) for value in found.values())
    network = build_network(space, architecture, channels=4, stem_stride=1, **skeleton)
    assert found["params"] == sum(p.numel() for p in network.parameters())
    again = measure_proxies(space, architecture, batch, names, channels=4, stem_stride=1, **skeleton)
    assert found == again


def test_flops_are_those_of_the_digits_networks() -> None:
    """The benchmark's own count, which has a bias and no second normalisation either."""
    from archwalk.datasets.digits.network import count
    from archwalk.datasets.digits.tasks import task_named

    batch = digits_batch(2, "jigsaw")
    found = measure_proxies(
        "transnas-micro", "64-41414-1_23_301", batch, ("flops", "params"), **DIGITS_SKELETON
    )
    stem = 2 * (8 * 9 * 64 + 16 * 8 * 9 * 16) - 2 * 16 * 16 * 16  # two convolutions of stride 2, not a patch
    assert found["flops"] == count((1, 2, 3, 3, 0, 1), task_named("jigsaw"))[1] + stem


def test_batches() -> None:
    batch = digits_batch(5)
    assert (batch.images.shape, batch.labels.shape, batch.classes) == ((5, 1, 16, 16), (5,), 10)
    assert named_batch("digits:class_scene", 4).classes == 8
    assert named_batch("random", 4, inputs=1, side=5, classes=3).images.shape == (4, 1, 5, 5)
    with pytest.raises(SettingsError, match="class_object"):
        named_batch("digits:normal", 4)
    with pytest.raises(SettingsError, match="random, digits"):
        named_batch("cifar", 4)
    with pytest.raises(SettingsError, match="at least 2"):
        named_batch("random", 1)
    with pytest.raises(ArchwalkError, match="grad_norm"):
        measure_proxies(None, "64-41414-1_23_301", batch, ("gradnorm",))
