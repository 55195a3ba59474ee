"""The study at the preset ``paper``, run as published but shorter, in stages and over many sittings.

    python benchmarks/published.py run --benchmark micro.parquet --out runs/published --seed 0
    python benchmarks/published.py collect --out runs/published --to docs/results/published-settings

``run`` trains an agent a task from scratch to 2 x 10^6 trained steps, and moves each to every other task: all
twelve to the first stage, then all to the next, the last at 10^6, so that every stage is a study by itself.
It goes on where it was stopped; several at once share the work. A run is evaluated at each of its stages, by
greedy walks from every start. One thread each: equal seeds give equal bits.

``collect`` writes what is there as ``rows.csv`` (an evaluated agent a row, with the digest of its weights)
and ``curves.csv`` (an evaluation during training a row). Next: ``benchmarks/overlay.py``.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from archwalk import api
from archwalk.config import Settings, load_preset
from archwalk.errors import InUseError
from archwalk.files import json_text, write_atomically
from archwalk.training.ordering import order_training, order_transfer
from archwalk.training.rundir import CUT, TIMING, RunDir, read_lines
from archwalk.training.runner import Runner

TASKS = ("autoencoder", "class_object", "room_layout", "segmentsemantic")
SCRATCH = 2_000_000
MOVED = (200_000, 500_000, 1_000_000)  # and 100,000, where the run is cut off as fine-tuned
RHYTHM = {"fine_tune_steps": 100_000, "evaluate_every": 20_480, "checkpoint_every": 51_200, "threads": 1}
KEPT = ("validation_score", "valid_mean", "test_mean", "test_std", "test_best_on_walk_mean", "oracle_test",
        "regret_mean", "rank_mean", "starts", "walk_length_mean")  # fmt: skip
COSTS = ("trained_steps", "sampled_steps", "evaluations", "seconds")

Job = tuple[str, str, int]  # source and target, the same from scratch; trained steps


def folder(out: Path, seed: int, source: str, target: str) -> Path:
    return out / f"seed-{seed}" / f"from-{source}" / f"on-{target}"


def evaluated(out: Path, seed: int, job: Job) -> Path:
    source, target, steps = job
    return folder(out, seed, source, target).with_name(f"on-{target}.{steps}.json")


def jobs() -> list[Job]:
    scratch = [(task, task, SCRATCH) for task in TASKS]
    return scratch + [(a, b, steps) for steps in MOVED for a in TASKS for b in TASKS if a != b]


def begun(run: Path, settings: Settings) -> Settings:
    """With the rhythm that a run began with: how often it reports decides nothing else."""
    if not (run / "settings.toml").exists():
        return settings
    there = RunDir(run).spec().settings.training
    return settings.replace(training={n: getattr(there, n) for n in ("evaluate_every", "checkpoint_every")})


def order(benchmark: str, out: Path, seed: int, job: Job) -> Runner:
    source, target, steps = job
    run = folder(out, seed, source, target)
    if source == target:
        settings = load_preset("paper").replace(training=RHYTHM | {"trained_steps": steps})
        return order_training(benchmark, target, run, begun(run, settings), seed)
    runner = order_transfer(
        folder(out, seed, source, source), target, "retrain", run, benchmark=benchmark, steps=steps
    )
    settings = begun(run, runner.spec.settings.replace(training=RHYTHM | {"trained_steps": steps}))
    return replace(runner, spec=replace(runner.spec, settings=settings))


def evaluate(run: Path, benchmark: str, task: str, regime: str) -> dict[str, Any]:
    found = api.evaluate(run, task=task, benchmark=benchmark)
    costs = RunDir(run).costs()
    spent = {name: 0 if regime == "zero-shot" else getattr(costs, name) for name in COSTS}
    kept = {name: found.get(name) for name in KEPT}
    return {"regime": regime, "target": task, "weights": RunDir(run).weights_digest()} | spent | kept


def finish(benchmark: str, out: Path, seed: int, job: Job) -> None:
    """Evaluate a run that has come to a stage."""
    source, target, steps = job
    run = folder(out, seed, source, target)
    if source != target:
        rows = [evaluate(run, benchmark, target, "retrain")]
        if steps == MOVED[0]:
            rows.append(evaluate(run / CUT, benchmark, target, "fine-tune"))
    else:
        rows = [evaluate(run, benchmark, target, "scratch")]
        rows += [evaluate(run, benchmark, other, "zero-shot") for other in TASKS if other != target]
    rows = [{"seed": seed, "source": source} | row for row in rows]
    write_atomically(evaluated(out, seed, job), json_text(rows).encode())


def there(out: Path, seed: int, job: Job) -> bool:
    return evaluated(out, seed, job).exists()


def ready(out: Path, seed: int, job: Job) -> bool:
    source, target, _ = job
    return source == target or there(out, seed, (source, source, SCRATCH))


def make(benchmark: str, out: Path, seed: int, only: list[str]) -> None:
    while left := [job for job in jobs() if job[1] in only and not there(out, seed, job)]:
        for job in left:
            if not ready(out, seed, job):
                continue
            try:
                began = time.monotonic()
                run = RunDir(folder(out, seed, *job[:2]))
                if not (run.finished and run.costs().trained_steps >= job[2]):
                    order(benchmark, out, seed, job).make()
                finish(benchmark, out, seed, job)
            except InUseError:
                continue  # another process makes it
            print(*job, f"{time.monotonic() - began:.0f} s", flush=True)
            break
        else:
            time.sleep(20)


def collect(out: Path, to: Path) -> None:
    rows, curves = [], []
    for file in sorted(out.glob("seed-*/from-*/on-*.json")):
        rows += json.loads(file.read_text("utf-8"))
    for run in sorted(out.glob("seed-*/from-*/on-*/")):
        whose = {"seed": int(run.parts[-3][5:]), "source": run.parts[-2][5:], "target": run.parts[-1][3:]}
        lines = RunDir(run).rows()
        for row, spent in zip(lines, read_lines(run / TIMING), strict=False):
            if "greedy_validation_score" in row:
                shown = ("validation_score", "valid_mean", "test_mean", "rank_mean", "walk_length_mean")
                costs = {name: row[name] for name in COSTS[:3]} | {"seconds": spent["seconds"]}
                curves.append(whose | costs | {name: row[f"greedy_{name}"] for name in shown})
    to.mkdir(parents=True, exist_ok=True)
    for name, what in (("rows.csv", rows), ("curves.csv", curves)):
        table = pl.DataFrame(what, infer_schema_length=None).sort("seed", "source", "target", "trained_steps")
        write_atomically(to / name, table.write_csv(float_precision=6).encode())
    print(f"{len(rows)} evaluated agents and {len(curves)} points of curves in {to}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=("run", "collect"))
    parser.add_argument("--benchmark", default="micro.parquet")
    parser.add_argument("--out", type=Path, default=Path("runs/published"))
    parser.add_argument("--to", type=Path, default=Path("docs/results/published-settings"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", default=",".join(TASKS), help="only runs on these tasks")
    given = parser.parse_args()
    if given.verb == "run":
        make(given.benchmark, given.out, given.seed, given.targets.split(","))
    else:
        collect(given.out, given.to)


if __name__ == "__main__":
    main()
