"""Fitting surrogates to a sample, and saying how good they are.

In: a ``Sample``. Out: a ``SurrogateTask``: for every metric the family of models that predicts better what it
was not fitted on. Next: ``task`` saves it; ``archwalk data fit-surrogate`` is this on the command line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from archwalk.errors import BenchmarkError, SettingsError, unknown
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.spaces.registry import open_space
from archwalk.tasks.surrogates.growing import grow_trees
from archwalk.tasks.surrogates.models import Floats
from archwalk.tasks.surrogates.networks import Networks
from archwalk.tasks.surrogates.reach import reach_of
from archwalk.tasks.surrogates.sample import Sample, ordered_slots, read_sample
from archwalk.tasks.surrogates.task import Output, SurrogateTask
from archwalk.tasks.surrogates.training import train_networks
from archwalk.tasks.surrogates.trees import BoostedTrees

Fit = Callable[[SearchSpace, Codes, Floats, Sequence[bool], int], BoostedTrees | Networks]
FAMILIES: dict[str, Fit] = {"trees": grow_trees, "networks": train_networks}
FEWEST = 50


def fit_surrogate(
    sample: str | Path,
    space: str | Path | SearchSpace,
    task: str,
    *,
    metrics: Sequence[str] = (),
    minimise: Sequence[str] = (),
    maximise: Sequence[str] = (),
    families: Sequence[str] = tuple(FAMILIES),
    folds: int = 5,
    seed: int = 0,
    name: str | None = None,
    source: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> SurrogateTask:
    """A task whose values are predicted from a sample of measured architectures.

    Args:
        sample: CSV or Parquet; see ``sample.read_sample``.
        space: its name, a file that declares it, or the space.
        task: the task's name.
        metrics: to be predicted, the reward first; by default the one obvious metric.
        minimise: metrics that are better when smaller.
        maximise: metrics that are better when larger, though their names speak of a cost.
        families: of models that compete: ``trees``, ``networks``.
        folds: of the cross-validation.
        seed: of the folds and the fits.
        name: of the task file; the sample's stem by default.
        source: where the numbers come from, and how to cite them.
        say: called with a line for every metric fitted.

    Raises:
        BenchmarkError: a sample that cannot be used, or is too small.
        ArchitectureError: a row that is no architecture of the space.
        SettingsError: an unknown family, fewer than 2 folds, or LightGBM missing.
    """
    for family in families:
        if family not in FAMILIES:
            raise SettingsError(*unknown("family of models", family, FAMILIES))
    if folds < 2 or not families:
        raise SettingsError("at least 2 folds and a family of models", f"{folds} folds", "correct them")
    the_space = open_space(space)
    read = read_sample(sample, the_space, task, metrics, minimise=minimise, maximise=maximise)
    _check(read, the_space, folds)
    generator = np.random.default_rng(seed)
    fold = _folds(the_space, read.codes, folds, generator)
    models, outputs = [], []
    for i, (column, metric) in enumerate(zip(read.columns, read.metrics, strict=True)):
        began = time.perf_counter()
        known = np.isfinite(read.values[:, i])
        fit = (the_space, read.codes[known], read.values[known, i], fold[known])
        model, statistics = _fit_best(*fit, families, folds, seed)
        statistics |= {"rows": read.rows, "sample": Path(sample).name, "checksum": read.checksum}
        models.append(model)
        outputs.append(Output(column, metric, i, 0, statistics))
        say(f"{column}, {time.perf_counter() - began:.0f} s: {outputs[-1].summary}")
    return SurrogateTask(
        name or Path(sample).stem,
        the_space,
        tuple(models),
        tuple(outputs),
        {task: read.metrics[0]},
        reach_of(the_space, read.codes, generator),
        source=source,
    )


def _check(read: Sample, space: SearchSpace, folds: int) -> None:
    fewest = max(FEWEST, 10 * folds, 2 * len(space.slot_sizes))
    for column, values in zip(read.columns, read.values.T, strict=True):
        known = values[np.isfinite(values)]
        if len(known) < fewest:
            raise BenchmarkError(
                f"at least {fewest} distinct architectures with {column} (ten a fold, two a slot, {FEWEST})",
                f"{len(known):,}",
                "measure more, or ask for fewer --folds",
            )
        if np.ptp(known) == 0:
            raise BenchmarkError(f"different values of {column}", f"{known[0]:g} everywhere", "leave it out")


def _folds(space: SearchSpace, codes: Codes, folds: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """A fold for each architecture, [n]; those that compute the same function are in the same one."""
    seen: dict[Any, int] = {}
    groups = np.array([seen.setdefault(space.canonical(code), len(seen)) for code in codes.tolist()])
    return (generator.permutation(len(seen)) % folds)[groups]


def _fit_best(
    space: SearchSpace,
    codes: Codes,
    target: Floats,
    fold: NDArray[np.int64],
    families: Sequence[str],
    folds: int,
    seed: int,
) -> tuple[BoostedTrees | Networks, dict[str, Any]]:
    """The family with the higher rank correlation in cross-validation, fitted to everything."""
    ordered = ordered_slots(space)
    scores: dict[str, dict[str, float]] = {}
    errors: dict[str, tuple[Floats, Floats]] = {}
    for family in families:
        predicted, spread = np.empty_like(target), np.empty_like(target)
        for k in range(folds):
            out = fold == k
            model = FAMILIES[family](space, codes[~out], target[~out], ordered, seed)
            predicted[out], spread[out] = model.predict(codes[out])
        error = predicted - target
        taus = [kendalltau(predicted[fold == k], target[fold == k]).statistic for k in range(folds)]
        rmses = [np.sqrt(np.mean(error[fold == k] ** 2)) for k in range(folds)]
        scores[family] = {
            "tau": float(np.nan_to_num(np.mean(taus))),  # constant predictions have no rank correlation
            "tau_sd": float(np.nan_to_num(np.std(taus, ddof=1))),
            "rmse": float(np.mean(rmses)),
            "rmse_sd": float(np.std(rmses, ddof=1)),
        }
        errors[family] = error, spread
    chosen = max(scores, key=lambda family: scores[family]["tau"])
    error, spread = errors[chosen]
    scale = float(np.sqrt(np.mean(error**2) / max(np.mean(spread**2), np.finfo(np.float64).tiny)))
    model = FAMILIES[chosen](space, codes, target, ordered, seed)
    model.spread_scale = scale
    return model, {
        "samples": len(target),
        "low": float(target.min()),
        "high": float(target.max()),
        "mean": float(target.mean()),
        "sd": float(target.std()),
        "folds": folds,
        "seed": seed,
        "chosen": chosen,
        "families": scores,
        # Of the errors in cross-validation, which share lies within one and two of the spreads given out.
        "within_one": float(np.mean(np.abs(error) <= scale * spread)),
        "within_two": float(np.mean(np.abs(error) <= 2 * scale * spread)),
    }
