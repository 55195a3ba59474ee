"""Figures of the tasks themselves: agreement, rewards, the gamma transform, the space as a map.

In: ``StudyData``. Out: figures 1 to 4 of the paper, and where walks go. Next: ``figures`` names and saves
them.
"""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from archwalk import api
from archwalk.analysis.correlation import gamma_sweep, kendall_matrix
from archwalk.reporting.data import StudyData, Values
from archwalk.reporting.published import published_correlation
from archwalk.reporting.style import LINES, SEQUENTIAL, colour, matrix
from archwalk.seeding import make_generator
from archwalk.studies.plan import Job
from archwalk.training.evaluation import greedy_walks, ranks

PUBLISHED_GAMMA = 0.478  # paper, section 3.2
GAMMAS_SHOWN = (0.25, PUBLISHED_GAMMA, 1.0, 2.0)
WALKS_SHOWN = 12


def correlation(data: StudyData) -> Figure:
    """Kendall's tau between the reward columns of the tasks, the published value beneath ours."""
    tasks = list(data.tasks)
    tau = kendall_matrix([data.benchmark.reward(task) for task in tasks])
    published = published_correlation() if data.published_space else {}
    texts = [
        [
            f"{tau[i, j]:.2f}" + (f"\npaper {published[a, b]:.2f}" if (a, b) in published else "")
            for j, b in enumerate(tasks)
        ]
        for i, a in enumerate(tasks)
    ]
    figure = Figure(figsize=(1.4 + 1.25 * len(tasks), 0.8 + 0.65 * len(tasks)))
    matrix(figure.subplots(), tau.clip(0, 1), texts, tasks, tasks)
    return figure


def shaped_task(data: StudyData) -> tuple[str, float] | None:
    """The task whose rewards figures 2 and 4 show, and its γ: one that the settings transform if there is
    one, else the first without negative rewards, at the best γ by standard deviation."""
    gamma = data.plan.settings.reward.gamma
    for task in data.tasks:
        if task in gamma:
            return task, gamma[task]
    for task in data.tasks:
        if data.benchmark.reward(task).min() >= 0:
            return task, gamma_sweep(data.benchmark.reward(task)).best_deviation
    return None


def reward_distribution(data: StudyData) -> Figure | None:
    """Histogram of the rewards of a task, as they are and transformed."""
    shaped = shaped_task(data)
    if shaped is None:
        return None
    task, gamma = shaped
    rewards = data.benchmark.reward(task)
    figure = Figure(figsize=(6.4, 3.2))
    axes = figure.subplots()
    top = max(1.0, float(rewards.max()))
    bins = np.linspace(0, top, 81).tolist()
    axes.hist(rewards, bins, color=colour(0), alpha=0.75, label="original R")
    axes.hist(
        rewards**gamma,
        bins,
        histtype="step",
        color="black",
        linewidth=1.4,
        label=f"transformed R^{gamma:.3g}",
    )
    axes.set_xlabel(f"reward of {task}")
    axes.set_ylabel("architectures")
    axes.legend()
    return figure


def gamma_transform(data: StudyData) -> Figure:
    """R^γ for several γ; the same for every study."""
    del data
    figure = Figure(figsize=(5.0, 3.4))
    axes = figure.subplots()
    reward = np.linspace(0, 1, 201)
    for i, gamma in enumerate(GAMMAS_SHOWN):
        axes.plot(reward, reward**gamma, color=colour(i), linestyle=LINES[i], label=f"γ = {gamma:g}")
    axes.set_xlabel("reward R")
    axes.set_ylabel("transformed reward R^γ")
    axes.legend()
    return figure


def spread(data: StudyData) -> Figure | None:
    """Spread of R^γ against γ under two definitions, each relative to its largest, optima marked."""
    shaped = shaped_task(data)
    if shaped is None:
        return None
    sweep = gamma_sweep(data.benchmark.reward(shaped[0]))
    figure = Figure(figsize=(6.4, 3.4))
    axes = figure.subplots()
    parts = (
        ("standard deviation", sweep.deviation, sweep.best_deviation),
        ("largest − smallest", sweep.extent, sweep.best_extent),
    )
    for i, (name, values, best) in enumerate(parts):
        label = f"{name}, largest at γ = {best:.3f}"
        axes.plot(sweep.gammas, values / values.max(), color=colour(i), linestyle=LINES[i], label=label)
        axes.axvline(best, color=colour(i), linestyle=LINES[i], linewidth=1)
    axes.axvline(PUBLISHED_GAMMA, color="black", linewidth=1, label=f"paper: γ = {PUBLISHED_GAMMA}")
    axes.set_xlabel(f"γ ({shaped[0]})")
    axes.set_ylabel("spread, relative to the largest")
    axes.set_ylim(0, 1.05)
    axes.legend(loc="lower right")
    return figure


def walk_map(data: StudyData) -> Figure | None:
    """The space as a map by rank, with greedy walks of one agent from scratch a task.

    The first half of the slots is the column and the second half the row, both sorted by mean reward, so
    that one edit is one horizontal or vertical step and better architectures lie to the upper right.
    """
    done = [task for task in data.tasks if data.folder.run(Job(task, task, 0, data.algorithm)).finished]
    if not done:
        return None
    wide = min(len(done), 2)
    tall = -(-len(done) // wide)
    figure = Figure(figsize=(3.9 * wide + 0.6, 3.6 * tall))
    panels = figure.subplots(tall, wide, squeeze=False).ravel()
    for axes in panels[len(done) :]:
        axes.set_visible(False)
    shown = None
    for axes, task in zip(panels, done, strict=False):
        reward = data.benchmark.reward(task)
        percentile = 100 * (1 - (ranks(reward) - 1) / len(reward))
        codes = data.benchmark.space.codes[data.benchmark.rows]
        half = codes.shape[1] // 2
        x, y = _place(codes[:, :half], reward), _place(codes[:, half:], reward)
        image = np.full((int(y.max()) + 1, int(x.max()) + 1), np.nan)
        image[y, x] = percentile
        colours = mpl.colormaps[SEQUENTIAL].with_extremes(bad="#eeeeee")
        shown = axes.imshow(image, cmap=colours, origin="lower", vmin=0, vmax=100, aspect="auto")
        path = _walks(data, task)
        for walk in path.T:
            axes.plot(x[walk], y[walk], color="black", linewidth=2.0)
            axes.plot(x[walk], y[walk], color="white", linewidth=0.9)
        ends = {"o": path[0], "*": path[-1]}
        for marker, at in ends.items():
            size = 22 if marker == "o" else 90
            axes.scatter(
                x[at], y[at], size, "white", marker=marker, edgecolors="black", linewidths=0.7, zorder=3
            )
        axes.set_title(task)
        axes.set_xticks([])
        axes.set_yticks([])
    if shown is not None:
        figure.colorbar(
            shown, ax=panels.tolist(), label="better than … % of the space (validation)", shrink=0.7
        )
    return figure


def _place(codes: NDArray[Any], reward: Values) -> NDArray[Any]:
    """Position of each architecture along an axis: its group of equal codes, sorted by mean reward."""
    _, group = np.unique(codes, axis=0, return_inverse=True)
    group = group.ravel()
    mean = np.bincount(group, reward) / np.bincount(group)
    return np.argsort(np.argsort(mean, kind="stable"), kind="stable")[group]


def _walks(data: StudyData, task: str) -> NDArray[Any]:
    """Greedy walks from a few random starts, [steps, walks]."""
    walking = api.load_agent(
        data.folder.run(Job(task, task, 0, data.algorithm)).path, benchmark=data.benchmark_path, task=task
    )
    generator = make_generator(0, "walks of the report")
    starts = torch.randint(len(data.benchmark), (WALKS_SHOWN,), generator=generator)
    return greedy_walks(walking.values, starts, generator).numpy()
