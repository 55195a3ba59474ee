"""Transfer methods beside each other: every pair of tasks, every method, paired against initialising.

    python benchmarks/transfers.py --benchmark micro.parquet@transnas-best --seeds 5 --out runs/transfers
    python benchmarks/transfers.py --out runs/transfers --figure docs/images/transfer-methods.svg

Each source is trained from scratch with ``--preset`` once a task and seed; each transfer is a retraining run
of ``--steps`` trained steps. A row a run is kept in OUT/rows; the same command again goes on, and more seeds,
pairs or methods may be asked for later. Without ``--benchmark`` the rows there are summed up: the final
validation score; trained steps and evaluations until the greedy policy first scores 0.97 (a run that never
does counts as its whole length, and how many did is said); the score and the evaluations before any training
of the agent's own (zero-shot). Differences to ``initialise`` are paired by pair and seed, and their interval
is over pairs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import archwalk
from archwalk.analysis.statistics import mean_interval
from archwalk.files import json_text, write_atomically
from archwalk.tasks import load_benchmark
from archwalk.training.ordering import order_transfer

METHODS = (
    *("initialise", "frozen-body", "shaping", "demonstrations"),
    *("policy-reuse", "mapping", "successor-features"),
)
GOAL = 0.97
PREPARED = ("successor-features",)  # zero-shot is what preparation made, from the first rows of the run


def source_of(out: Path, benchmark: str, task: str, seed: int, preset: str) -> Path:
    """The agent from scratch, trained if it is not there."""
    folder = out / "sources" / f"{task}-{seed}"
    archwalk.train(benchmark, task, folder, preset=preset, seed=seed, device="cpu")
    return folder


def curve_of(folder: Path) -> list[list[float]]:
    """Trained steps, evaluations and validation score of every greedy evaluation of a run."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    named = ("trained_steps", "evaluations", "greedy_validation_score")
    return [[row[name] for name in named] for row in rows if named[2] in row]


def measure(
    args: argparse.Namespace, source: Path, target: str, method: str, options: dict[str, str]
) -> dict[str, Any]:
    """One transfer, and what came of it; its folder is not kept."""
    folder = args.out / "under-way" / f"{args.process}"
    shutil.rmtree(folder, ignore_errors=True)
    began = time.process_time()
    order_transfer(
        source, target, "retrain", folder, args.benchmark, steps=args.steps, transfer=method, options=options
    ).make()
    seconds = time.process_time() - began
    done = archwalk.evaluate(folder, benchmark=args.benchmark)
    if method in PREPARED:
        as_it_is = args.out / "under-way" / f"{args.process}-zero-shot"
        shutil.rmtree(as_it_is, ignore_errors=True)
        archwalk.transfer(
            source, target, "zero-shot", as_it_is, benchmark=args.benchmark, transfer=method, options=options
        )
        at_once = archwalk.evaluate(as_it_is, benchmark=args.benchmark)
    else:
        at_once = archwalk.evaluate(source, task=target, benchmark=args.benchmark)
    names = ("validation_score", "evaluations", "regret_mean")
    zero = {name: at_once[name] for name in names}
    if method not in PREPARED:
        zero["evaluations"] = 0
    return {
        "final": {name: done[name] for name in names},
        "zero_shot": zero,
        "curve": curve_of(folder),
        "seconds": round(seconds, 1),
    }


def work(args: argparse.Namespace) -> None:
    """Every run that is not there yet, seed by seed."""
    tasks = args.tasks.split(",") if args.tasks else load_benchmark(args.benchmark).tasks
    pairs = [(a, b) for b in tasks for a in tasks if a != b]
    if args.pairs:
        pairs = [tuple(pair.split(":")) for pair in args.pairs.split(",")]
    options: dict[str, dict[str, str]] = {}
    for text in args.option:
        where, value = text.split("=")
        options.setdefault(where.split(".")[0], {})[where.split(".")[1]] = value
    for seed in range(args.first_seed, args.seeds):
        for a, b in pairs:
            for method in args.methods.split(","):
                file = args.out / "rows" / f"{a}-{b}-{method}{args.label}-{seed}.json"
                if file.exists():
                    continue
                source = source_of(args.out, args.benchmark, a, seed, args.preset)
                row = measure(args, source, b, method, options.get(method, {}))
                whose = {"source": a, "target": b, "method": method + args.label, "seed": seed}
                file.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(file, json_text(whose | {"steps": args.steps} | row).encode())
                print(file.stem, round(row["final"]["validation_score"], 4), row["seconds"], flush=True)


def reached(curve: list[list[float]], column: int) -> tuple[float, bool]:
    """Trained steps (column 0) or evaluations (1) when the score first is ``GOAL``; else those of the whole
    run; and whether it was."""
    for row in curve:
        if row[2] >= GOAL:
            return row[column], True
    return curve[-1][column], False


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """What is compared of a run."""
    return {
        "zero_shot": row["zero_shot"]["validation_score"],
        "zero_shot_evaluations": row["zero_shot"]["evaluations"],
        "final": row["final"]["validation_score"],
        "evaluations": row["final"]["evaluations"],
        "steps_to": reached(row["curve"], 0)[0],
        "evaluations_to": reached(row["curve"], 1)[0],
        "reached": float(reached(row["curve"], 0)[1]),
        "mean_score": float(np.mean([score for _, _, score in row["curve"]])),
        "seconds": row["seconds"],
    }


def rows_of(out: Path) -> dict[str, dict[tuple[str, str, int], dict[str, float]]]:
    """Method → (source, target, seed) → numbers."""
    found: dict[str, dict[tuple[str, str, int], dict[str, float]]] = {}
    for file in sorted((out / "rows").glob("*.json")):
        row = json.loads(file.read_text())
        found.setdefault(row["method"], {})[row["source"], row["target"], row["seed"]] = numbers(row)
    return found


def from_scratch(out: Path) -> dict[tuple[str, str, int], dict[str, float]]:
    """The same of the targets' own agents, the sources of other pairs, cut at the transfers' length."""
    found = {}
    for file in sorted((out / "rows").glob("*-initialise-*.json")):
        row = json.loads(file.read_text())
        source = out / "sources" / f"{row['target']}-{row['seed']}"
        if source.exists():
            curve = [point for point in curve_of(source) if point[0] <= row["steps"]]
            last = {"validation_score": curve[-1][2], "evaluations": curve[-1][1]}
            nothing = {"validation_score": np.nan, "evaluations": np.nan}
            row = {"zero_shot": nothing, "final": last, "curve": curve, "seconds": np.nan} | {
                name: row[name] for name in ("source", "target", "seed")
            }
            found[row["source"], row["target"], row["seed"]] = numbers(row)
    return found


def by_pair(
    mine: dict[tuple[str, str, int], dict[str, float]],
    base: dict[tuple[str, str, int], dict[str, float]],
    name: str,
) -> Iterator[float]:
    """Mean difference of each pair of tasks over the seeds that both have."""
    for pair in sorted({key[:2] for key in mine if key in base}):
        keys = [key for key in mine if key[:2] == pair and key in base]
        yield float(np.mean([mine[key][name] - base[key][name] for key in keys]))


def difference(mine: Any, base: Any, name: str, digits: int) -> str:
    """The mean over pairs, with its 95 % interval over pairs."""
    values = np.array(list(by_pair(mine, base, name)))
    if len(values) < 2:
        return "–"
    low, high = mean_interval(values)
    return f"{values.mean():+,.{digits}f} [{low:+,.{digits}f}, {high:+,.{digits}f}]"


def summary(out: Path) -> None:
    """The table."""
    found = rows_of(out)
    base = found.get("initialise", {})
    if scratch := from_scratch(out):
        found["(from scratch)"] = scratch
    print(
        "| method | runs | zero-shot | its evaluations | final | against initialise | reached 0.97 "
        "| steps to it | against initialise | evaluations to it | against initialise | CPU s |\n"
        + "|---" * 12
        + "|"
    )
    for method in sorted(found, key=lambda m: METHODS.index(m) if m in METHODS else 99):
        of = found[method]
        mean = {name: float(np.mean([row[name] for row in of.values()])) for name in next(iter(of.values()))}
        print(
            f"| {method} | {len(of)} | {mean['zero_shot']:.3f} | {mean['zero_shot_evaluations']:.0f} "
            f"| {mean['final']:.4f} | {difference(of, base, 'final', 4)} | {mean['reached']:.0%} "
            f"| {mean['steps_to']:,.0f} | {difference(of, base, 'steps_to', 0)} "
            f"| {mean['evaluations_to']:,.0f} | {difference(of, base, 'evaluations_to', 0)} "
            f"| {mean['seconds']:.0f} |"
        )


def figure(out: Path, file: Path) -> None:
    """Evaluations and score: the mean curve of each method over all pairs and seeds that every method has."""
    from matplotlib import pyplot as plt

    curves: dict[str, dict[tuple[str, str, int], np.ndarray]] = {}
    for path in sorted((out / "rows").glob("*.json")):
        row = json.loads(path.read_text())
        curves.setdefault(row["method"], {})[row["source"], row["target"], row["seed"]] = np.array(
            row["curve"]
        )
    common = set.intersection(*(set(of) for of in curves.values()))
    grids = np.arange(0, 100_001, 2_500), np.arange(0, 3_501, 50)
    shown, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for method in [m for m in METHODS if m in curves]:
        for column, (axis, grid) in enumerate(zip(axes, grids, strict=True)):
            each = []
            for key in sorted(common):
                curve = curves[method][key]
                at = np.searchsorted(curve[:, column], grid, side="right") - 1
                each.append(np.where(at >= 0, curve[at.clip(0), 2], np.nan))
            most = np.isnan(each).mean(0) <= 0.5  # runs have begun, and the first evaluation is there
            mean = np.full(len(grid), np.nan)
            mean[most] = np.nanmean(np.array(each)[:, most], 0)
            axis.plot(grid, mean, label=method, linewidth=2.2 if method == "initialise" else 1.4)
    for axis, label in zip(axes, ("trained steps", "evaluations on the target"), strict=True):
        axis.set_xlabel(label)
        axis.axhline(GOAL, color="0.7", linewidth=0.8, linestyle=":")
        axis.grid(alpha=0.2)
    axes[0].set_ylabel(f"validation score, mean of {len(common)} runs a method")
    axes[0].set_ylim(0, 1.02)
    axes[1].legend(fontsize=8)
    shown.tight_layout()
    shown.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--benchmark", default="")
    parser.add_argument("--tasks", default="")
    parser.add_argument("--pairs", default="", help="SOURCE:TARGET,...; every pair by default")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--option", action="append", default=[], help="METHOD.NAME=VALUE")
    parser.add_argument("--label", default="", help="behind the method's name, for other options")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--process", default="a", help="another letter for a second process on other pairs")
    args = parser.parse_args()
    if args.benchmark:
        work(args)
    elif args.figure:
        figure(args.out, args.figure)
    else:
        summary(args.out)


if __name__ == "__main__":
    sys.exit(main())
