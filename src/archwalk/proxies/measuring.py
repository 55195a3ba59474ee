"""Training-free metrics of an architecture: its network, a batch for it, and the numbers.

In: a space, an architecture, a ``Batch``. Out: a number a metric. Next: ``archwalk.searching.methods.robot``
and the command line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from archwalk.errors import SettingsError, unknown
from archwalk.networks.build import build_network
from archwalk.proxies.measures import PROXIES
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.skeletons import MacroSpace

DIGITS = "digits"
CLASSES = ("class_object", "class_scene", "jigsaw")  # tasks of ``digits`` whose targets are classes
# Around a cell as in the networks of the benchmark ``digits``: 16 channels at 4×4 pixels, live edges alone.
DIGITS_SKELETON: Mapping[str, Any] = {
    "channels": 16,
    "modules": "1",
    "cells": 1,
    "stem_stride": 4,
    "live_only": True,
}


def small_skeleton(space: SearchSpace) -> Mapping[str, Any]:
    """Options of ``build_network`` for a network around an architecture that is cheap to read or to run once:
    that of ``digits`` around a cell, eight channels in a whole network."""
    if isinstance(space, MacroSpace):
        return {"channels": 8}
    if space.name in ("darts", "nasbench101"):
        return {"channels": 8, "cells": 3 if space.name == "darts" else 1}
    return DIGITS_SKELETON


@dataclass(frozen=True)
class Batch:
    """Images and labels that metrics are computed on.

    Attributes:
        name: what they are.
        images: [n, channels, h, w].
        labels: [n], below ``classes``.
        classes: that a network has scores for.
    """

    name: str
    images: Tensor
    labels: Tensor
    classes: int


def random_batch(size: int, seed: int, inputs: int = 3, side: int = 32, classes: int = 10) -> Batch:
    """Standard normal images with random labels.

    Raises:
        SettingsError: fewer than two images.
    """
    _check(size)
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(size, inputs, side, side, generator=generator)
    return Batch("random", images, torch.randint(classes, (size,), generator=generator), classes)


def digits_batch(size: int, task: str = CLASSES[0]) -> Batch:
    """The first training images of a task of the benchmark ``digits`` (scikit-learn), 1×16×16, with their
    classes.

    Raises:
        SettingsError: a task without classes, fewer than two images, or scikit-learn is not installed.
    """
    from archwalk.datasets.digits.tasks import make_data, task_named

    _check(size)
    if task not in CLASSES:
        raise SettingsError(*unknown("task of digits that has classes", task, CLASSES))
    data = make_data(task_named(task), "train", size)
    return Batch(f"{DIGITS}:{task}", data.inputs, data.targets.long(), task_named(task).outputs)


def named_batch(
    name: str, size: int, seed: int = 0, inputs: int = 3, side: int = 32, classes: int = 10
) -> Batch:
    """``random``, ``digits`` or ``digits:TASK``; other sizes are for ``random``. Raises ``SettingsError``."""
    if name == "random":
        return random_batch(size, seed, inputs, side, classes)
    first, _, task = name.partition(":")
    if first != DIGITS:
        raise SettingsError(*unknown("batch", name, ["random", DIGITS, *(f"{DIGITS}:{t}" for t in CLASSES)]))
    return digits_batch(size, task or CLASSES[0])


def _check(size: int) -> None:
    if size < 2:
        raise SettingsError("a batch of at least 2 images", str(size), "raise it")


def measure_proxies(
    space: SearchSpace | str | None,
    architecture: str,
    batch: Batch,
    names: Sequence[str] = tuple(PROXIES),
    *,
    seed: int = 0,
    **skeleton: Any,
) -> dict[str, float]:
    """Training-free metrics of an architecture's untrained network.

    Args:
        space: as for ``build_network``.
        architecture: its string.
        batch: what the network sees.
        names: metrics of ``PROXIES``.
        seed: of the first weights.
        **skeleton: as for ``build_network``; ``inputs`` and ``classes`` are the batch's.

    Returns:
        A number a metric, NaN where it is not defined for the network (no rectified unit, no path from the
        image to the scores).

    Raises:
        ArchwalkError: as ``build_network`` does, and an unknown metric.
    """
    for name in names:
        if name not in PROXIES:
            raise SettingsError(*unknown("training-free metric", name, PROXIES))
    options = {**skeleton, "inputs": batch.images.shape[1], "classes": batch.classes}
    network = build_network(space, architecture, seed=seed, **options)
    return {name: PROXIES[name](network, batch.images, batch.labels) for name in names}
