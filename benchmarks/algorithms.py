"""Algorithms against each other: how good, and how soon; and the paper's three questions by algorithm.

    python benchmarks/algorithms.py --benchmark micro.parquet --pair room_layout,autoencoder \\
        --more class_object,segmentsemantic --out runs/algorithms

Two study folders below ``--out``: ``pair``, of two tasks, in which agents move both ways, and ``more``, of
whose tasks agents are trained from scratch alone. An agent after the other, seed by seed, in this process;
killed and called again it goes on with the agent that it was at. Beside each agent stands how many seconds of
the processor it had used at each row (``cpu``): wall time means little on a machine that does other things.

``results.csv`` has a row an agent from scratch, ``summary.md`` means with 95 % intervals over seeds, after
every agent; ``archwalk report OUT/pair`` answers the questions. ``--summary`` only writes them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from archwalk.analysis.statistics import mean_interval
from archwalk.files import write_atomically
from archwalk.studies.folder import StudyDir
from archwalk.studies.plan import Job, StudyPlan, make_plan
from archwalk.studies.worker import make_agent

LEVEL = 0.97

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--benchmark", default="micro.parquet")
parser.add_argument("--pair", default="room_layout,autoencoder", help="tasks that agents move between")
parser.add_argument("--more", default="class_object,segmentsemantic", help="tasks from scratch alone")
parser.add_argument("--algorithms", default="model-based,ape-x,ppo,distributional")
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--preset", default="laptop")
parser.add_argument("--out", type=Path, default=Path("runs/algorithms"))
parser.add_argument("--summary", action="store_true", help="train nothing")
args = parser.parse_args()


def plans() -> dict[str, StudyPlan]:
    """By folder."""
    names = args.algorithms.split(",")
    each = {"pair": args.pair.split(","), "more": args.more.split(",") if args.more else []}
    return {
        name: make_plan(args.benchmark, tasks, args.seeds, args.preset, algorithms=names)
        for name, tasks in each.items()
        if len(tasks) > 1
    }


def cpu_file(study: StudyDir, job: Job) -> Path:
    """Where the processor's seconds of an agent stand."""
    return study.run(job).path.with_name(f"on-{job.target_task}.cpu.jsonl")


def make(study: StudyDir, job: Job) -> None:
    """One agent, from its beginning: one that was killed is begun anew, for its seconds' sake."""
    run = study.run(job).path
    shutil.rmtree(run, ignore_errors=True)
    run.parent.mkdir(parents=True, exist_ok=True)
    began, lines = time.process_time(), []

    def say(value: Any, files: Any) -> None:
        if value is not None:
            lines.append({"trained_steps": value["trained_steps"], "cpu": time.process_time() - began})

    make_agent(study.path, say, list(job), "cpu")
    write_atomically(cpu_file(study, job), "".join(json.dumps(line) + "\n" for line in lines).encode())


def rows(name: str, study: StudyDir, plan: StudyPlan) -> Iterator[dict[str, Any]]:
    """One an agent from scratch: its score, and what it had taken when it first reached ``LEVEL``."""
    for job in plan.jobs():
        if not job.scratch or not study.done(job):
            continue
        cpu = {line["trained_steps"]: line["cpu"] for line in map(json.loads, cpu_file(study, job).open())}
        curve = [row for row in study.run(job).rows() if "greedy_validation_score" in row]
        hit = next((row for row in curve if row["greedy_validation_score"] >= LEVEL), None)
        at, costs = hit or curve[-1], study.run(job).costs()
        yield {
            "folder": name,
            "algorithm": job.algorithm,
            "task": job.target_task,
            "seed": job.seed,
            "score": curve[-1]["greedy_validation_score"],
            "reached": hit is not None,
            "trained_steps": at["trained_steps"],
            "evaluations": at["evaluations"],
            "cpu_seconds": round(cpu[at["trained_steps"]], 1),
            "all_evaluations": costs.evaluations,
            "all_cpu_seconds": round(max(cpu.values()), 1),
        }


def shown(values: pl.Series, digits: int) -> str:
    """Mean and interval over seeds."""
    found = values.cast(pl.Float64).to_numpy()
    low, high = mean_interval(found)
    text = f"{found.mean():,.{digits}f}"
    return text if np.isnan(low) else f"{text} [{low:,.{digits}f}, {high:,.{digits}f}]"


def summarise(studies: dict[str, tuple[StudyDir, StudyPlan]]) -> None:
    """Both files."""
    found = [row for name, (study, plan) in studies.items() for row in rows(name, study, plan)]
    if not found:
        return
    frame = pl.DataFrame(found)
    write_atomically(args.out / "results.csv", frame.write_csv().encode())
    lines = [
        f"To {LEVEL}: means over seeds, [95 % interval]; who never got there counts with all it took.",
        "",
        "| task | algorithm | seeds | score | never | trained steps | evaluations | CPU seconds | in all |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    order = args.algorithms.split(",")
    for task in frame["task"].unique(maintain_order=True):
        for algorithm in order:
            own = frame.filter(task=task, algorithm=algorithm)
            if own.is_empty():
                continue
            cells = [task, algorithm, str(len(own)), shown(own["score"], 3), str((~own["reached"]).sum())]
            cells += [shown(own[column], 0) for column in ("trained_steps", "evaluations", "cpu_seconds")]
            lines.append("| " + " | ".join([*cells, shown(own["all_cpu_seconds"], 0)]) + " |")
    write_atomically(args.out / "summary.md", ("\n".join(lines) + "\n").encode())


def main() -> None:
    """Everything that is missing."""
    torch.set_num_threads(1)
    studies = {name: (StudyDir(args.out / name), plan) for name, plan in plans().items()}
    for study, plan in studies.values():
        study.check(plan)
        study.begin(plan)
    todo = [
        (job.seed, not job.scratch, order, study, job)
        for name, (study, plan) in studies.items()
        for order, job in enumerate(plan.jobs())
        if (job.scratch or name == "pair") and not study.done(job)
    ]
    for _, _, _, study, job in [] if args.summary else sorted(todo, key=lambda one: one[:3]):
        make(study, job)
        summarise(studies)
        print(f"{study.path.name}: {job}, {time.strftime('%H:%M:%S')}", flush=True)
    summarise(studies)
    for study, _ in studies.values():
        study.collect()


main()
