"""Agents of several tasks against agents of one: on their own tasks, and on a task left out.

    python benchmarks/multitask.py --benchmark micro.parquet --seeds 5

Trains, for each seed, an agent on all tasks and one on all but each; the latter are evaluated on the task
left out as they are and after fine-tuning. Agents of one task, and their transfers, come from a study of the
same table, preset and seeds. Resumable. Prints, with 95 % intervals over seeds:

1. validation score a task: the agent of all tasks, the study's agents from scratch, and the difference;
2. on each task left out, as they are: the agent of the others, the study's best source, and the
   mean of its sources;
3. the same after fine-tuning, with the interquartile mean over tasks and seeds.

``--set multitask.form=none`` changes a setting of every agent of several tasks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl

import archwalk
from archwalk.analysis.statistics import interquartile_mean, jackknife_interval, mean_interval
from archwalk.config import load_preset

parser = argparse.ArgumentParser()
parser.add_argument("--benchmark", default="micro.parquet")
parser.add_argument("--study", type=Path, default=Path("docs/results/transnas-micro/results.parquet"))
parser.add_argument("--preset", default="laptop")
parser.add_argument("--steps", type=int, default=50_000, help="trained steps, times the number of tasks")
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--set", action="append", default=[], metavar="GROUP.FIELD=VALUE")
parser.add_argument("--run-dir", type=Path, default=Path("runs/multitask"))
args = parser.parse_args()

rhythm = {"evaluate_every": 25_600, "checkpoint_every": 25_600, "threads": 1}
settings = load_preset(args.preset).replace(training=rhythm)
for change in args.set:
    name, _, value = change.partition("=")
    group, field = name.split(".")
    settings = settings.replace(**{group: {field: value}})

study = pl.read_parquet(args.study)
tasks = sorted(study["task"].unique())
seeds = range(args.seeds)
folder = args.run_dir / "-".join([str(args.steps), *(c.rpartition("=")[2] for c in args.set)])


def singles(regime: str, task: str) -> np.ndarray:
    """Scores of the study's agents on a task, [sources, seeds]."""
    found = study.filter((pl.col("regime") == regime) & (pl.col("task") == task))
    by_source = found.sort("source_task", "seed").partition_by("source_task")
    return np.array([part["validation_score"].to_numpy()[: args.seeds] for part in by_source])


def trained(on: list[str], seed: int) -> Path:
    run = folder / str(seed) / "+".join(on)
    steps = args.steps * len(on)
    return archwalk.train(args.benchmark, ",".join(on), run, preset=settings, seed=seed, steps=steps).path


def show(values: np.ndarray) -> str:
    low, high = mean_interval(values)
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


scores = {kind: np.zeros((len(tasks), args.seeds)) for kind in ("all", "zero-shot", "fine-tune")}
for seed in seeds:
    of_all = archwalk.evaluate(trained(tasks, seed))
    for t, task in enumerate(tasks):
        scores["all"][t, seed] = of_all[task]["validation_score"]
        source = trained([other for other in tasks if other != task], seed)
        scores["zero-shot"][t, seed] = archwalk.evaluate(source, task=task)["validation_score"]
        tuned = archwalk.transfer(source, task, "fine-tune", source.with_name(f"fine-tune-{task}"))
        scores["fine-tune"][t, seed] = archwalk.evaluate(tuned.path)["validation_score"]
        print(seed, task, {kind: round(float(scores[kind][t, seed]), 3) for kind in scores}, flush=True)

print("\n| task | agent of all | agents of one | difference |\n|---|---|---|---|")
for t, task in enumerate(tasks):
    alone = singles("scratch", task)[0]
    print(f"| {task} | {show(scores['all'][t])} | {show(alone)} | {show(scores['all'][t] - alone)} |")
for regime in ("zero-shot", "fine-tune"):
    print(f"\n| left out, {regime} | agent of the others | best source | mean of the sources |")
    print("|---|---|---|---|")
    sources = np.array([singles(regime, task) for task in tasks])  # [tasks, sources, seeds]
    for t, task in enumerate(tasks):
        best = sources[t][sources[t].mean(1).argmax()]
        print(f"| {task} | {show(scores[regime][t])} | {show(best)} | {show(sources[t].mean(0))} |")
    pooled = sources.reshape(-1, args.seeds)
    for name, values in (("agents of the others", scores[regime]), ("agents of one", pooled)):
        low, high = jackknife_interval(values.T, interquartile_mean)
        print(f"interquartile mean, {name}: {interquartile_mean(values):.3f} [{low:.3f}, {high:.3f}]")
