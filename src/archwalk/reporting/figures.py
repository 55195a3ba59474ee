"""Every figure of the report: its file, its title, and what it shows.

In: ``StudyData``. Out: ``figures/*.svg`` and ``*.png``. Next: ``html`` puts them into the report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from archwalk.reporting import cost_figures, dimension_figures, result_figures, search_figures, task_figures
from archwalk.reporting.data import StudyData
from archwalk.reporting.dimensions import ALGORITHMS, LEVEL, TRANSFERS
from archwalk.reporting.style import looks, save

SEEDS = "Intervals are 95 % over seeds; a point is a seed."


@dataclass(frozen=True)
class FigureSpec:
    """A figure of the report.

    Attributes:
        name: of its files.
        title: as a heading.
        caption: what it shows and how to read it; ``{split}`` stands for that of the study's results.
        draw: makes it; None where the study has nothing to draw.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[StudyData], Figure | None]

    def of(self, data: StudyData) -> FigureSpec:
        """The same with the caption of a study."""
        return replace(self, caption=self.caption.replace("{split}", data.split))


def _matrix(name: str, title: str, regime: str, more: str = "") -> FigureSpec:
    caption = (
        "Metric of the architecture that greedy walks end on, {split}: mean ± standard deviation over "
        "seeds, [95 % interval over seeds], and the published mean where the task is the paper's. Brighter "
        f"is a higher validation score. The diagonal is trained from scratch.{more}"
    )
    return FigureSpec(name, title, caption, partial(result_figures.performance, regime=regime))


def _to_match(name: str, title: str, unit: str) -> FigureSpec:
    caption = (
        "Cost at which the smoothed curve of a transferred run first reaches the final level of a run from "
        "scratch on the same task, mean over all pairs. Hatched: the runs from scratch themselves. ▲ k/n: k "
        "of n pairs never got there; they count with their whole length, so that the bar is a lower bound. "
        f"{SEEDS}"
    )
    return FigureSpec(name, title, caption, partial(cost_figures.to_match, unit=unit))


def _curves(name: str, title: str, unit: str, part: float = 1.0) -> FigureSpec:
    caption = (
        "Validation score of greedy walks during training (0 a random architecture, 1 the best), moving "
        "average over the last 16 evaluations; mean and 95 % interval over seeds. Black: from scratch."
    )
    return FigureSpec(name, title, caption, partial(cost_figures.curves, unit=unit, part=part))


def _anytime(name: str, title: str, column: str, what: str) -> FigureSpec:
    caption = (
        f"{what} of the best architecture evaluated so far, by the reward's column, and its 95 % interval "
        "over seeds; a panel a target. Black: methods that know the other tasks; the clairvoyant line knows "
        "every other architecture of the target; all others start from nothing."
    )
    return FigureSpec(
        name, title, caption, lambda data: search_figures.anytime(data.comparisons, column=column)
    )


FIGURES = (
    FigureSpec(
        "01_task_correlation",
        "Figure 1. How much the tasks agree",
        "Kendall's tau between the tasks' reward columns over the whole space; the published value beneath.",
        task_figures.correlation,
    ),
    FigureSpec(
        "02_reward_distribution",
        "Figure 2. Rewards before and after the gamma transform",
        "Rewards of every architecture as measured, and raised to γ.",
        task_figures.reward_distribution,
    ),
    FigureSpec(
        "03_gamma_transform",
        "Figure 3. The gamma transform",
        "R' = R^γ: a small γ spreads small rewards, a large one large rewards.",
        task_figures.gamma_transform,
    ),
    FigureSpec(
        "04_gamma_sweep",
        "Figure 4. Spread of the rewards against γ",
        "Under two definitions of spread, since the paper names none; vertical lines mark the optima.",
        task_figures.spread,
    ),
    _matrix("05_retrain", "Figure 5. Performance after retraining", "retrain"),
    _matrix("06_fine_tune", "Figure 6. Performance after fine-tuning", "fine-tune"),
    _matrix("07_zero_shot", "Figure 7. Performance of zero-shot transfer", "zero-shot"),
    _curves("08_curves", "Figure 8. Training curves", "trained_steps"),
    _curves(
        "09_curves_first_part",
        "Figure 9. Training curves, the first fifth",
        "trained_steps",
        cost_figures.FIRST_PART,
    ),
    _to_match("10_minutes_to_match", "Figure 10. Minutes to match an agent from scratch", "minutes"),
    _to_match(
        "11_steps_to_match", "Figure 11. Trained steps to match an agent from scratch", "trained_steps"
    ),
    _to_match("14_evaluations_to_match", "Evaluations to match an agent from scratch", "evaluations"),
    _curves("15_curves_evaluations", "Training curves against evaluations", "evaluations"),
    FigureSpec(
        "16_regret",
        "Regret to the oracle",
        "How much worse the final architectures are, on the {split}, than the one that is best by "
        f"validation; negative is better than it. {SEEDS}",
        result_figures.regret,
    ),
    FigureSpec(
        "17_rank_percentile",
        "Rank in the space",
        f"Mean share of the space that ranks below the final architecture, by the reward's column. {SEEDS}",
        result_figures.rank_percentile,
    ),
    FigureSpec(
        "18_walks",
        "Where walks go",
        "The space as a map, coloured by rank: the first half of an architecture's slots is the column, the "
        "second half the row, both sorted by mean reward. Greedy walks of the agent from scratch, seed 0, "
        "from twelve random starts (circles) to where they end (stars). One edit is one straight step.",
        task_figures.walk_map,
    ),
    _anytime("19_search_rank", "Few evaluations: rank", "best_rank", "Geometric mean of the rank"),
    _anytime("20_search_regret", "Few evaluations: regret", "regret", "Mean regret"),
    FigureSpec(
        "21_search_over_targets",
        "Few evaluations: all targets together",
        "Mean rank of each method among the methods, over the targets, 1 is best. A bar joins methods of "
        "which no two differ at the 5 % level (signed-rank tests over targets, Holm's correction). Thick: "
        "methods that know other tasks.",
        lambda data: search_figures.critical_difference(data.comparisons),
    ),
    FigureSpec(
        ALGORITHMS,
        "Algorithms against each other",
        f"Validation score by regime, and what it took to a first greedy evaluation of {LEVEL} or more; "
        f"agents that never got there count with their whole training. {SEEDS}",
        dimension_figures.algorithms,
    ),
    FigureSpec(
        TRANSFERS,
        "Transfer methods, pair by pair",
        f"Validation score by regime; zero-shot is the source's agent as it is. {SEEDS}",
        dimension_figures.transfers,
    ),
)


def draw_figures(data: StudyData, folder: Path) -> list[FigureSpec]:
    """Draw and save every figure that the study has something for. Returns those, in order."""
    drawn = []
    with looks():
        for spec in FIGURES:
            figure = spec.draw(data)
            if figure is not None:
                save(figure, folder, spec.name)
                drawn.append(spec.of(data))
    return drawn
