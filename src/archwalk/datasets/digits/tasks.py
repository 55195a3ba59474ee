"""The seven tasks: what goes into a network, what should come out, and how both loss and score are taken.

In: ``Scenes`` of a split. Out: ``Data`` (inputs and targets as tensors) and, for predictions of many cells at
once, one loss and one score a cell. Next: ``network`` makes the predictions.

Names and scores are those of the tasks' counterparts in TransNAS-Bench-101 (Duan et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from archwalk.datasets.digits.scenes import (
    KINDS,
    LABELS,
    SEED,
    SIZE,
    SPLITS,
    Scenes,
    Split,
    make_scenes,
    surface_normals,
)
from archwalk.errors import BenchmarkError, unknown

PERMUTATIONS = tuple(permutations(range(4)))  # of the four 8×8 quarters, read row by row
# Mean and standard deviation of the layout parameters as `scenes` draws them, so that the loss of always
# answering the mean is 1.
LAYOUT_MEAN = (0.5, 0.525, 0.675, 0.675)
LAYOUT_SCALE = (0.1732, 0.1010, 0.1332, 0.1332)
SSIM_WINDOW = 7


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: as in TransNAS-Bench-101.
        metric: the score's name in ``archwalk.tasks.metrics``.
        outputs: numbers the head predicts, for a picture (``pooled``) or for each pixel (``pixels``).
        head: ``pooled`` reads the mean over positions behind a ReLU, ``pixels`` maps each position to its
            patch of the picture.
        loss: ``cross_entropy`` or ``mse``.
        code: channels of the bottleneck before the head; 0 for none.
    """

    name: str
    metric: str
    outputs: int
    head: Literal["pooled", "pixels"]
    loss: Literal["cross_entropy", "mse"]
    code: int = 0


TASKS = {
    task.name: task
    for task in (
        Task("autoencoder", "ssim", 1, "pixels", "mse", code=8),
        Task("class_object", "top1", 10, "pooled", "cross_entropy"),
        Task("class_scene", "top1", len(KINDS), "pooled", "cross_entropy"),
        Task("jigsaw", "top1", len(PERMUTATIONS), "pooled", "cross_entropy"),
        Task("normal", "ssim", 3, "pixels", "mse"),
        Task("room_layout", "neg_loss", 4, "pooled", "mse"),
        Task("segmentsemantic", "mIoU", len(LABELS), "pixels", "cross_entropy"),
    )
}


@dataclass(frozen=True)
class Data:
    """Inputs [n, 1, 16, 16], brightness centred and scaled; targets: class [n], layout [n, 4], picture
    [n, channels, 16, 16] or label a pixel [n, 16, 16]."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


def task_named(name: str) -> Task:
    """A task by name. Raises ``BenchmarkError``."""
    if name not in TASKS:
        raise BenchmarkError(*unknown("task of the digits benchmark", name, TASKS))
    return TASKS[name]


@lru_cache(maxsize=8)
def cached_scenes(split: Split, count: int) -> Scenes:
    """``make_scenes``, kept: the seven tasks see the same ones."""
    return make_scenes(split, count)


def make_data(task: Task, split: Split, count: int) -> Data:
    """Inputs and targets of a task on the first ``count`` scenes of a split."""
    scenes = cached_scenes(split, count)
    image = scenes.image
    if task.name == "jigsaw":
        generator = np.random.default_rng([SEED, SPLITS.index(split), 1])
        which = generator.integers(len(PERMUTATIONS), size=count)
        image = shuffle_tiles(image, np.array(PERMUTATIONS)[which])
    inputs = torch.from_numpy((image[:, None] - 0.5) / 0.25).float()
    if task.name == "autoencoder":
        targets = torch.from_numpy(image[:, None])
    elif task.name == "class_object":
        targets = torch.from_numpy(scenes.digit)
    elif task.name == "class_scene":
        targets = torch.from_numpy(scenes.kind)
    elif task.name == "jigsaw":
        targets = torch.from_numpy(which)
    elif task.name == "normal":
        targets = torch.from_numpy(surface_normals(scenes.height)).float()
    elif task.name == "room_layout":
        targets = torch.from_numpy((scenes.layout - LAYOUT_MEAN) / LAYOUT_SCALE).float()
    else:
        targets = torch.from_numpy(scenes.labels)
    return Data(inputs, targets)


def shuffle_tiles(image: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Quarter q of the result is quarter ``order[:, q]`` of the image, [n, 16, 16] → [n, 16, 16]."""
    half = SIZE // 2
    tiles = image.reshape(-1, 2, half, 2, half).transpose(0, 1, 3, 2, 4).reshape(-1, 4, half, half)
    # Each quarter at its own mean, as is usual, or its brightness alone would give its place away.
    tiles = tiles - tiles.mean((2, 3), keepdims=True) + 0.5
    moved = np.take_along_axis(tiles, order[:, :, None, None], 1)
    return np.ascontiguousarray(
        moved.reshape(-1, 2, 2, half, half).transpose(0, 1, 3, 2, 4).reshape(-1, SIZE, SIZE)
    )


def losses(task: Task, predicted: Tensor, targets: Tensor) -> Tensor:
    """What training minimises, one number a cell, [cells].

    Args:
        task: the task.
        predicted: [images, cells, outputs] or [images, cells, outputs, 16, 16].
        targets: as in ``Data``, [images, ...].
    """
    if task.loss == "mse":
        error = (predicted - targets.unsqueeze(1)).square()
        return error.flatten(2).mean((0, 2))
    images, cells = predicted.shape[:2]
    again = targets.unsqueeze(1).expand(-1, cells, *targets.shape[1:]).flatten(0, 1)
    each = F.cross_entropy(predicted.flatten(0, 1), again, reduction="none")
    return each.view(images, cells, -1).mean((0, 2))


def tallies(task: Task, predicted: Tensor, targets: Tensor) -> Tensor:
    """What ``scores`` needs to know of some scenes, to be summed over all of a split, [kept, cells].

    Shapes as for ``losses``. Few scenes at a time keep the pictures in the processor's cache.
    """
    if task.metric == "top1":
        return (predicted.argmax(2) == targets.unsqueeze(1)).double().sum(0, keepdim=True)
    if task.metric == "neg_loss":
        return (predicted - targets.unsqueeze(1)).double().square().mean(2).sum(0, keepdim=True)
    if task.metric == "mIoU":
        return _confusion(predicted.max(2).indices, targets)  # here six times as fast as argmax
    low = -1.0 if task.name == "normal" else 0.0
    span = 1 - low
    shown = ((predicted - low) / span).clamp(0, 1)
    return _ssim(shown, ((targets - low) / span).unsqueeze(1)).sum(0, keepdim=True)


def scores(task: Task, tally: Tensor, images: int) -> Tensor:
    """The task's metric over a whole split, one number a cell, [cells].

    top1 and mIoU in percent, the latter the mean over labels of intersection over union, each over all
    pixels of the split; ssim as a fraction, the mean over scenes; neg_loss is minus the mean squared error
    in units of the layout's variance.

    Args:
        task: the task.
        tally: the sum of ``tallies`` over the split's scenes.
        images: their number.
    """
    if task.metric == "mIoU":
        confusion = tally.view(len(LABELS), len(LABELS), -1)
        both = confusion.diagonal().T
        either = confusion.sum(0) + confusion.sum(1) - both
        return 100 * (both / either.clamp(min=1)).mean(0)
    factor = {"top1": 100.0, "neg_loss": -1.0, "ssim": 1.0}[task.metric]
    return factor * tally[0] / images


def _confusion(chosen: Tensor, targets: Tensor) -> Tensor:
    """How often label t was taken for label c, [t × c, cells], from [images, cells, ...], [images, ...]."""
    cells, labels = chosen.shape[1], len(LABELS)
    shape = (1, cells, *[1] * (targets.dim() - 1))
    offset = labels**2 * torch.arange(cells, device=chosen.device).view(shape)
    pairs = offset + labels * targets.unsqueeze(1) + chosen
    return pairs.flatten().bincount(minlength=cells * labels**2).view(cells, -1).T.double()


def _ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean structural similarity (Wang et al. 2004) of pictures in [0, 1], 7×7 uniform window.

    [images, cells, channels, 16, 16] against [images, 1, channels, 16, 16] → [images, cells].
    """
    window = torch.zeros(SIZE, SIZE - SSIM_WINDOW + 1, device=a.device)
    for at in range(window.shape[1]):
        window[at : at + SSIM_WINDOW, at] = 1 / SSIM_WINDOW

    def mean(x: Tensor) -> Tensor:  # as two matrix products, ten times as fast as average pooling
        return window.T @ (x @ window)

    c1, c2 = 0.01**2, 0.03**2
    ma, mb = mean(a), mean(b)
    va, vb, ab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    each = (2 * ma * mb + c1) * (2 * ab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    return each.double().mean((2, 3, 4))
