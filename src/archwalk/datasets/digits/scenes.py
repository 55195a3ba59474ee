"""Scenes: small grey rooms with one handwritten digit in each, and everything that is known about them.

In: scikit-learn's bundled digits (1,797 images of 8×8). Out: ``Scenes``, arrays over the scenes of a split.
Next: ``tasks`` makes an input, a target and a score for each of the seven tasks out of them.

A scene is the corner of a room: left wall, right wall and floor meet at a point. Either the
walls or the floor carry a pattern, in relief and in paint; all lie under one lamp, behind strokes of clutter
and a digit. The height field behind the picture is what the surface normals are taken from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import SettingsError

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
SIZE = 16  # pixels a side
SEED = 1797
PATTERNS = ("rows", "columns", "diagonal", "checks")
PLACES = ("walls", "floor")
KINDS = tuple(f"{pattern} on {place}" for place in PLACES for pattern in PATTERNS)
LABELS = ("left wall", "right wall", "floor", "clutter", "digit")
FLOOR, CLUTTER, DIGIT = 2, 3, 4
DIGIT_SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}

Array = NDArray[np.float32]
_V, _U = (np.indices((SIZE, SIZE)) + 0.5) / SIZE  # v downwards, u to the right, pixel centres in (0, 1)


@dataclass(frozen=True)
class Scenes:
    """Scenes of one split; every array has one row a scene.

    Attributes:
        image: brightness in [0, 1], [n, 16, 16].
        digit: which digit, 0-9, [n].
        kind: which pattern on which surface, an index into ``KINDS``, [n].
        layout: where the room's edges are, in image sides: column and row of the corner, row at which the
            floor's edge meets the left and the right border, [n, 4].
        height: towards the viewer, in image sides, [n, 16, 16].
        labels: an index into ``LABELS`` a pixel, [n, 16, 16].
        source: the row of the digit in scikit-learn's set, [n].
    """

    image: Array
    digit: NDArray[np.int64]
    kind: NDArray[np.int64]
    layout: Array
    height: Array
    labels: NDArray[np.int64]
    source: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.image)


def split_digits(split: Split) -> NDArray[np.int64]:
    """Rows of scikit-learn's digits that a split may use; the three splits share none, [rows]."""
    order = np.random.default_rng(SEED).permutation(1797)
    ends = np.round(np.cumsum([0.0, *DIGIT_SHARES.values()]) * len(order)).astype(int)
    at = SPLITS.index(split)
    return np.sort(order[ends[at] : ends[at + 1]]).astype(np.int64)


def make_scenes(split: Split, count: int) -> Scenes:
    """The first ``count`` scenes of a split: always the same ones.

    Raises:
        SettingsError: scikit-learn is not installed, or ``count`` is not positive.
    """
    if count < 1:
        raise SettingsError("at least one scene", str(count), "ask for more")
    images, digits = _load_digits()
    pool = split_digits(split)
    generator = np.random.default_rng([SEED, SPLITS.index(split)])
    scenes = [_compose(images, pool, generator) for _ in range(count)]
    image, kind, layout, height, labels, source = (np.stack(part) for part in zip(*scenes, strict=True))
    return Scenes(
        image.astype(np.float32),
        digits[source],
        kind.astype(np.int64),
        layout.astype(np.float32),
        height.astype(np.float32),
        labels.astype(np.int64),
        source.astype(np.int64),
    )


def _load_digits() -> tuple[Array, NDArray[np.int64]]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise SettingsError(
            "scikit-learn, whose digits the scenes are made of",
            "an environment without it",
            "install 'archwalk[digits]'; opening the finished benchmark needs neither",
        ) from error
    bunch = load_digits()
    return (bunch.images / 16).astype(np.float32), bunch.target.astype(np.int64)


def _compose(images: Array, pool: NDArray[np.int64], g: np.random.Generator) -> tuple[np.ndarray, ...]:
    """One scene: image, kind, layout, height, labels, source."""
    layout, labels, height = _room(g)
    kind = int(g.integers(len(KINDS)))
    on_floor = kind >= len(PATTERNS)
    pattern = np.where((labels == FLOOR) == on_floor, _pattern(PATTERNS[kind % len(PATTERNS)], g), 0.5)
    paint = g.uniform(0.3, 0.6, 3)[labels] + g.uniform(0.15, 0.3) * g.choice([-1, 1]) * (pattern - 0.5)
    height = height + g.uniform(0.005, 0.02) * pattern
    for _ in range(g.integers(1, 3)):
        stroke = _stroke(g)
        paint = paint * (1 - stroke) + g.uniform(0.1, 0.8) * stroke
        height = height + 0.05 * stroke
        labels = np.where(stroke > 0.5, CLUTTER, labels)
    source = int(g.choice(pool))
    ink = _place(images[source], g)
    # Ink is lighter than what is behind it by a drawn amount: never one fixed grey.
    tone = float((paint * ink).sum() / ink.sum()) + g.uniform(0.4, 0.7)
    paint = paint * (1 - ink) + tone * ink
    height = height + g.uniform(0.04, 0.1) * ink
    labels = np.where(ink > 0.4, DIGIT, labels)
    lamp = np.array([g.uniform(-0.7, -0.3), g.uniform(-0.7, -0.3), 0.8])
    shade = surface_normals(height[None])[0].transpose(1, 2, 0) @ (lamp / np.linalg.norm(lamp))
    image = paint * (0.2 + 0.8 * np.clip(shade, 0, 1)) * g.uniform(0.9, 1.15)
    image = image + g.uniform(0.02, 0.04) * g.standard_normal(image.shape)
    return np.clip(image, 0, 1), np.array(kind), layout, height, labels, np.array(source)


def _room(g: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The empty room: layout [4], labels [16, 16], height [16, 16]."""
    column, row = g.uniform(0.2, 0.8), g.uniform(0.35, 0.7)
    left, right = row + g.uniform(0, 0.3), row + g.uniform(0, 0.3)
    edge = np.where(
        column > _U,
        left + (row - left) * _U / column,
        row + (right - row) * (_U - column) / (1 - column),
    )
    labels = np.where(edge < _V, 2, np.where(column > _U, 0, 1))
    slopes = g.uniform(0.2, 0.9, 3)
    wall = np.where(column > _U, slopes[0] * (column - _U), slopes[1] * (_U - column))
    height = wall + slopes[2] * np.clip(_V - edge, 0, None)
    return np.array([column, row, left, right]), labels, height


def _pattern(name: str, g: np.random.Generator) -> np.ndarray:
    """One of ``PATTERNS`` in [0, 1], [16, 16], with phase, spacing and slant drawn."""
    turn = 2 * np.pi
    phase, other = g.uniform(0, turn, 2)
    cycles = g.uniform(2.0, 3.6)
    if name != "checks":
        base = {"rows": 90, "columns": 0, "diagonal": 45 * g.choice([-1, 1])}[name]
        angle = np.deg2rad(base + g.uniform(-10, 10))
        along = np.cos(angle) * _U + np.sin(angle) * _V
        return np.asarray(0.5 + 0.5 * np.cos(turn * cycles * along + phase))
    across, down = np.cos(turn * cycles * _U + phase), np.cos(turn * cycles * _V + other)
    return np.asarray(0.5 + 0.5 * np.tanh(4 * across * down))


def _stroke(g: np.random.Generator) -> np.ndarray:
    """A short straight stroke with soft edges, in [0, 1], [16, 16]."""
    u, v, angle = g.uniform(0.05, 0.95), g.uniform(0.05, 0.95), g.uniform(0, np.pi)
    half, width = g.uniform(0.08, 0.2), g.uniform(0.03, 0.06)
    along = (_U - u) * np.cos(angle) + (_V - v) * np.sin(angle)
    across = (_V - v) * np.cos(angle) - (_U - u) * np.sin(angle)
    distance = np.hypot(np.clip(np.abs(along) - half, 0, None), across)
    return np.asarray(np.clip((width - distance) * SIZE + 0.5, 0, 1))


def _place(digit: Array, g: np.random.Generator) -> np.ndarray:
    """A digit turned, scaled and moved into the picture, ink in [0, 1], [16, 16]."""
    side = g.uniform(8.5, 12) / SIZE
    u, v = g.uniform(side / 2, 1 - side / 2, 2)
    angle = np.deg2rad(g.uniform(-15, 15))
    du, dv = _U - u, _V - v
    x = (np.cos(angle) * du + np.sin(angle) * dv) / side * 8 + 3.5
    y = (np.cos(angle) * dv - np.sin(angle) * du) / side * 8 + 3.5
    padded = np.pad(digit, 1)
    x, y = np.clip(x + 1, 0, 8.999), np.clip(y + 1, 0, 8.999)
    i, j = y.astype(int), x.astype(int)
    a, b = y - i, x - j
    top = padded[i, j] * (1 - b) + padded[i, j + 1] * b
    bottom = padded[i + 1, j] * (1 - b) + padded[i + 1, j + 1] * b
    return np.asarray(top * (1 - a) + bottom * a)


def surface_normals(height: NDArray[np.floating]) -> NDArray[np.float64]:
    """Unit normals (right, down, towards the viewer) of height fields, [n, 16, 16] → [n, 3, 16, 16]."""
    down, right = np.gradient(height.astype(np.float64), 1 / SIZE, axis=(1, 2))
    normal = np.stack([-right, -down, np.ones_like(right)], 1)
    return np.asarray(normal / np.linalg.norm(normal, axis=1, keepdims=True))
