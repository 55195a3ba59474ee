"""Small data sets for the tests of fitting, made in no time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from archwalk.fitting import training


def blobs(n: int = 120, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Vectors of five numbers in three classes that a network tells apart, not a linear one."""
    g = np.random.default_rng(seed)
    x = g.standard_normal((n, 5)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64) + 2 * (x[:, 2] > 1)
    return x, np.minimum(y, 2)


def pictures(n: int = 100, side: int = 8, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Grey images, [n, side, side], of a horizontal or a vertical bar."""
    g = np.random.default_rng(seed)
    images = g.integers(0, 60, (n, side, side)).astype(np.uint8)
    labels = np.arange(n) % 2
    for image, label, at in zip(images, labels, g.integers(1, side - 1, n), strict=True):
        if label:
            image[:, at] = 220
        else:
            image[at] = 220
    return images, labels


class Stepping:
    """A clock that goes on by a fixed time with every step of any training, and never else.

    Args:
        patch: sets attributes; undoes it afterwards.
        seconds: a step; a power of two, so that sums are exact.
    """

    def __init__(self, patch: pytest.MonkeyPatch, seconds: float = 0.125) -> None:
        self.steps, self.now, self.seconds = 0, 0.0, seconds

        def stepped(step: int, steps: int, highest: float) -> float:
            self.steps += 1
            self.now += self.seconds
            return rate(step, steps, highest)

        rate = training.learning_rate
        patch.setattr(training, "learning_rate", stepped)

    def __call__(self) -> float:
        return self.now


def write_npz(path: Path, **arrays: NDArray[np.generic]) -> Path:
    np.savez(path, **arrays)
    return path
