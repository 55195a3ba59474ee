"""The data card's figures.

In: the shipped table, the seed measurements and a few scenes. Out: PNG files, and the card's numbers as
text. Needs ``archwalk[digits]``.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from archwalk.datasets.digits.scenes import KINDS, LABELS, SIZE, Scenes, make_scenes, surface_normals
from archwalk.datasets.digits.statistics import (
    TaskSummary,
    Values,
    correlations,
    open_seeds,
    seed_matrix,
    summarise,
    text,
)
from archwalk.datasets.digits.tasks import PERMUTATIONS, TASKS, make_data
from archwalk.tasks.registry import load_table
from archwalk.tasks.table import Benchmark

INK, SOFT, ACCENT = "#222222", "#8fa8c8", "#c2452d"
UNITS = {"top1": "top-1, %", "mIoU": "mean IoU, %", "ssim": "SSIM", "neg_loss": "negative loss"}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.edgecolor": INK,
    "savefig.dpi": 130,
}


def make_card(folder: Path) -> str:
    """Draw ``digits-*.png`` into a folder; returns the card's tables.

    Raises:
        SettingsError: scikit-learn is missing.
    """
    benchmark, seeds = load_table("digits"), open_seeds()
    summaries, matrix = summarise(benchmark, seeds), correlations(benchmark)
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        figures = {
            "scenes": draw_scenes(make_scenes("test", 6)),
            "distributions": draw_distributions(benchmark, summaries),
            "correlations": draw_correlations(benchmark, matrix),
            "valid-test": draw_valid_test(benchmark, summaries),
            "seeds": draw_seeds(benchmark, {task: seed_matrix(seeds, task) for task in benchmark.tasks}),
        }
        for name, figure in figures.items():
            figure.savefig(folder / f"digits-{name}.png")
    return text(benchmark, summaries, matrix)


def _panels(figure: Figure, count: int) -> list[Axes]:
    """Two rows of four panels; the ones left over stay empty."""
    axes = list(np.asarray(figure.subplots(2, 4)).flat)
    for axis in axes[count:]:
        axis.set_axis_off()
    return axes[:count]


def draw_distributions(benchmark: Benchmark, summaries: list[TaskSummary]) -> Figure:
    """A histogram of the validation metric over the 4,096 cells a task."""
    figure = Figure((10, 4.6), layout="constrained")
    for axis, s in zip(_panels(figure, len(summaries)), summaries, strict=True):
        axis.hist(benchmark.values(s.task), bins=50, color=SOFT)
        axis.axvline(s.median, color=INK, lw=1, label="median")
        axis.axvspan(
            s.median - s.noise, s.median + s.noise, color=INK, alpha=0.12, lw=0, label="± seed noise"
        )
        axis.axvline(s.best, color=ACCENT, lw=1, label="best")
        axis.set(title=s.task, xlabel=UNITS[s.metric])
    figure.axes[0].set_ylabel("cells")
    figure.axes[4].set_ylabel("cells")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.axes[7].legend(handles, labels, frameon=False, loc="center left")
    return figure


def draw_correlations(benchmark: Benchmark, matrix: Values) -> Figure:
    """Kendall's tau between tasks."""
    figure = Figure((5.6, 4.8), layout="constrained")
    axis = figure.subplots()
    shown = axis.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    ticks = range(len(matrix))
    axis.set_xticks(ticks, benchmark.tasks, rotation=40, ha="right")
    axis.set_yticks(ticks, benchmark.tasks)
    axis.spines[:].set_visible(False)
    for (i, j), value in np.ndenumerate(matrix):
        colour = "white" if abs(value) > 0.65 else INK
        axis.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(shown, ax=axis, label="Kendall's tau, validation, all cells", shrink=0.85)
    return figure


def draw_valid_test(benchmark: Benchmark, summaries: list[TaskSummary]) -> Figure:
    """Test against validation metric, a dot a cell."""
    figure = Figure((10, 4.8), layout="constrained")
    for axis, s in zip(_panels(figure, len(summaries)), summaries, strict=True):
        axis.plot(benchmark.values(s.task), benchmark.values(s.task, "test"), ".", ms=2, color=SOFT)
        axis.axline((s.median, s.median), slope=1, color=INK, lw=0.7)
        axis.set(title=f"{s.task}  (tau {s.valid_test:.2f})", xlabel=f"validation {UNITS[s.metric]}")
    figure.axes[0].set_ylabel("test")
    figure.axes[4].set_ylabel("test")
    return figure


def draw_seeds(benchmark: Benchmark, repeated: dict[str, Values]) -> Figure:
    """Validation metric of two further seeds against the first one's, a dot a cell and seed."""
    figure = Figure((10, 4.8), layout="constrained")
    for axis, task in zip(_panels(figure, len(repeated)), benchmark.tasks, strict=True):
        values = repeated[task]
        for seed, colour in zip(range(1, len(values)), (SOFT, ACCENT), strict=False):
            axis.plot(values[0], values[seed], ".", ms=4, color=colour, label=f"seed {seed}")
        axis.axline((np.median(values[0]),) * 2, slope=1, color=INK, lw=0.7)
        axis.set(title=task, xlabel=f"seed 0, {UNITS[TASKS[task].metric]}")
    figure.axes[0].set_ylabel("another seed")
    figure.axes[4].set_ylabel("another seed")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.axes[7].legend(handles, labels, frameon=False, loc="center left")
    return figure


def draw_scenes(scenes: Scenes) -> Figure:
    """A row a scene: what the networks see, and what each task wants."""
    figure = Figure((10, 1.72 * len(scenes) + 0.4), layout="constrained")
    grid = np.asarray(figure.subplots(len(scenes), 6))
    shuffled = make_data(TASKS["jigsaw"], "test", len(scenes))
    normals = surface_normals(scenes.height)
    for row, axes in enumerate(grid):
        for axis in axes:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        _grey(axes[0], scenes.image[row])
        axes[1].text(
            0.02,
            0.5,
            f"class_object\n  digit {scenes.digit[row]}\n\nclass_scene\n  {KINDS[scenes.kind[row]]}",
            va="center",
            transform=axes[1].transAxes,
        )
        _grey(axes[2], shuffled.inputs[row, 0].numpy() * 0.25 + 0.5)
        order = PERMUTATIONS[int(shuffled.targets[row])]
        axes[2].set_xlabel("quarters " + " ".join(str(q + 1) for q in order), fontsize=8)
        axes[3].imshow((normals[row].transpose(1, 2, 0) + 1) / 2)
        _grey(axes[4], scenes.image[row])
        _edges(axes[4], scenes.layout[row])
        axes[5].imshow(scenes.labels[row], cmap="viridis", vmin=0, vmax=len(LABELS) - 1)
    titles = (
        "scene, and autoencoder",
        "classes",
        "jigsaw (input)",
        "normal",
        "room_layout",
        "segmentsemantic",
    )
    for axis, title in zip(grid[0], titles, strict=True):
        axis.set_title(title)
    return figure


def _grey(axis: Axes, image: np.ndarray) -> None:
    axis.imshow(image, cmap="gray", vmin=0, vmax=1)


def _edges(axis: Axes, layout: np.ndarray) -> None:
    """The three edges of the room over the picture."""
    column, row, left, right = layout * SIZE - 0.5
    points = [(-0.5, left), (column, row), (SIZE - 0.5, right)]
    for (u, v), (u2, v2) in [*pairwise(points), ((column, row), (column, -0.5))]:
        axis.plot([u, u2], [v, v2], color=ACCENT, lw=1.5)
    axis.set(xlim=(-0.5, SIZE - 0.5), ylim=(SIZE - 0.5, -0.5))
