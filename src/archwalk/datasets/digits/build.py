"""Building the table: every group of cells on every task, resumable, on several processes.

In: settings and a working folder. Out: ``digits.parquet`` and, for the cells measured with several seeds,
``seeds.parquet`` beside it. Next: ``verify`` trains rows of the finished table again.

The work is cut into jobs (a chunk of groups, a task, a seed) of some twenty seconds. A job's result is one
file, written whole or not at all, and a process holds the lock of the job that it is at. Stopping a build at
any moment costs the running jobs and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from archwalk.datasets.digits.network import count
from archwalk.datasets.digits.plan import CHUNK, Job, Result, plan, read_result, result_file, write_result
from archwalk.datasets.digits.table import assemble, save_seeds
from archwalk.datasets.digits.tasks import TASKS, task_named
from archwalk.datasets.digits.training import Settings, train_cells
from archwalk.errors import RunError, SettingsError
from archwalk.execution.executor import Executor, Say, Work, run
from archwalk.execution.processes import Processes
from archwalk.files import write_atomically
from archwalk.spaces.registry import make_listed
from archwalk.tasks.table import Benchmark

SEEDS_FILE = "seeds.parquet"
VERSION = 1  # raise it when scenes, tasks or networks change: old working folders are then refused
_MALLOC = {  # Keep freed memory: activations of a few MB are otherwise mapped and cleared at every step.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(128 * 2**20),
}


def build(
    out: Path,
    *,
    work_dir: Path,
    tasks: Sequence[str] | None = None,
    jobs: int = 1,
    device: str | None = None,
    seeds: int = 1,
    progress: bool = True,
    limit: int | None = None,
    settings: Settings | None = None,
) -> Benchmark:
    """Train and score the cells, then write the table; what ``work_dir`` holds already is not done again.

    Args:
        out: the table's file. With more than one seed, ``seeds.parquet`` is written beside it.
        work_dir: results as they come; any number of processes and builds may share it.
        tasks: names; all seven by default.
        jobs: processes, one thread each.
        device: as PyTorch names it; ``cuda`` where there is one, else ``cpu``.
        seeds: how many seeds the first 104 groups are measured with.
        progress: show a bar with an estimate of the time left.
        limit: measure this many groups only; the table then holds their cells only.
        settings: of the training; those of the shipped table by default.

    Raises:
        SettingsError: scikit-learn is missing, or a number is not positive.
        BenchmarkError: an unknown task.
        RunError: the disk is full, or ``work_dir`` belongs to a build with other settings.
    """
    settings = settings or Settings()
    if min(jobs, seeds, 1 if limit is None else limit) < 1:
        raise SettingsError(
            "positive jobs, seeds and limit", f"{jobs}, {seeds} and {limit}", "give at least 1 of each"
        )
    names = [task_named(name).name for name in tasks or TASKS]
    work = plan(names, seeds, limit)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    _claim_folder(work_dir, settings)
    _run(Processes(work_dir, jobs, environment=_MALLOC), work, settings, device, progress)
    results = {job: read_result(work_dir, job) for job in work}
    benchmark = assemble(results, settings.epoch_names)
    benchmark.save(out)
    if seeds > 1:
        save_seeds(out.with_name(SEEDS_FILE), results)
    return benchmark


def do(job: Job, work_dir: Path, settings: Settings, device: str) -> None:
    """Do one job and write its result."""
    task = TASKS[job.task]
    codes = make_listed("digits-micro").codes[list(job.cells)].tolist()
    measured = train_cells(codes, task, job.seed, settings, torch.device(device))
    flops = np.array([count(code, task)[1] for code in codes], dtype=float)
    # The chunk ran as one program; a cell's part of the time is its part of the arithmetic.
    seconds = measured.seconds * flops / flops.sum()
    write_result(work_dir, job, Result(measured.scores, seconds))


def work_of(job: Job, work_dir: Path, settings: Settings, device: str) -> Work:
    """A job for an executor whose root is ``work_dir``."""
    arguments = (asdict(job), asdict(settings), device)
    return Work(f"{__name__}:do_once", arguments, work_dir / "locks" / job.name)


def do_once(root: Path, say: Say, job: dict[str, Any], settings: dict[str, Any], device: str) -> None:
    """Do one job, unless somebody has done it before this process had the lock."""
    torch.set_num_threads(1)
    mine = Job(**job | {"cells": tuple(job["cells"])})
    if not result_file(root, mine).exists():
        do(mine, root, Settings(**settings), device)


def _run(executor: Executor[Job], work: list[Job], settings: Settings, device: str, progress: bool) -> None:
    """Do what nobody has done, and draw the bar."""
    root = executor.root
    works = {job: work_of(job, root, settings, device) for job in work if not result_file(root, job).exists()}
    columns = (
        TextColumn("digits"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with executor, Progress(*columns, disable=not progress) as bar:
        row = bar.add_task("", total=len(work), completed=len(work) - len(works))
        for event in run(executor, works):
            bar.update(row, advance=event.kind == "done")


def _claim_folder(work_dir: Path, settings: Settings) -> None:
    """Results of different settings never mix in one folder."""
    mine = json.dumps({"version": VERSION, "chunk": CHUNK} | asdict(settings), indent=1)
    path = work_dir / "settings.json"
    if not path.exists():
        write_atomically(path, mine.encode())
    elif path.read_text("utf-8") != mine:
        raise RunError(
            f"a working folder of these settings: {' '.join(mine.split())}",
            f"{path} with {' '.join(path.read_text('utf-8').split())}",
            "choose another folder, or delete that one",
        )
