"""Building the table: every group of cells on every task, resumable, on several processes.

In: settings and a working folder. Out: ``digits.parquet`` and, for the cells measured with several seeds,
``seeds.parquet`` beside it. Next: ``verify`` trains rows of the finished table again.

The work is cut into jobs (a chunk of groups, a task, a seed) of some twenty seconds. A job's result is one
file, written whole or not at all, and a process holds the job's lock while it works on it. The operating
system frees the lock of a process that died, so stopping a build at any moment costs the running jobs and
nothing else.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context, parent_process
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from archwalk.datasets.digits.network import count
from archwalk.datasets.digits.plan import CHUNK, Job, Result, plan, read_result, result_file, write_result
from archwalk.datasets.digits.table import assemble, save_seeds
from archwalk.datasets.digits.tasks import TASKS, task_named
from archwalk.datasets.digits.training import Settings, train_cells
from archwalk.errors import RunError, SettingsError
from archwalk.files import write_atomically
from archwalk.spaces.registry import make_listed
from archwalk.tasks.table import Benchmark

SEEDS_FILE = "seeds.parquet"
VERSION = 1  # raise it when scenes, tasks or networks change: old working folders are then refused
_MALLOC = {  # Keep freed memory: activations of a few MB are otherwise mapped and cleared at every step.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(128 * 2**20),
    "OMP_NUM_THREADS": "1",
}
_stop: Event  # set in a worker when the build should end


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
    _run(work, work_dir, jobs, settings, device, progress)
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


def _run(
    work: list[Job], work_dir: Path, processes: int, settings: Settings, device: str, progress: bool
) -> None:
    todo = [job for job in work if not result_file(work_dir, job).exists()]
    if not todo:
        return
    context = get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(processes, context, initializer=_start, initargs=(stop,))
    with _environment(_MALLOC), pool:
        workers = [pool.submit(_work, work_dir, todo, settings, device) for _ in range(processes)]
        try:
            _watch(workers, work_dir, todo, len(work), progress)
        finally:
            stop.set()  # after an error or Ctrl-C the others end with the job they are at


def _start(stop: Event) -> None:
    global _stop
    _stop = stop
    torch.set_num_threads(1)


def _work(work_dir: Path, todo: list[Job], settings: Settings, device: str) -> None:
    """One process: take whatever nobody has done and nobody is doing, until everything is done."""
    while todo:
        for job in todo:
            parent = parent_process()
            if parent is not None and not parent.is_alive():
                os._exit(1)  # nobody is left to tell, and the pool's own loop would wait for ever
            if _stop.is_set():
                return
            if result_file(work_dir, job).exists():
                continue
            with locked(work_dir / "locks" / job.name) as mine:
                # Somebody may have finished it between the first look and the lock.
                if mine and not result_file(work_dir, job).exists():
                    do(job, work_dir, settings, device)
        todo = [job for job in todo if not result_file(work_dir, job).exists()]
        time.sleep(1 if todo else 0)  # somebody else is at the rest, and may yet be killed


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a file's lock, or find it held: yields which. A process that dies lets go of it."""
    import fcntl  # not on Windows, where only building is impossible

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _claim_folder(work_dir: Path, settings: Settings) -> None:
    """Results of different settings never mix in one folder."""
    mine = json.dumps({"version": VERSION, "chunk": CHUNK} | asdict(settings), indent=1)
    path = work_dir / "settings.json"
    if not path.exists():
        write_atomically(path, mine.encode())
    elif path.read_text() != mine:
        raise RunError(
            f"a working folder of these settings: {' '.join(mine.split())}",
            f"{path} with {' '.join(path.read_text().split())}",
            "choose another folder, or delete that one",
        )


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for processes started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _watch(workers: list[Future[None]], work_dir: Path, todo: list[Job], total: int, show: bool) -> None:
    """Draw the bar until every worker is done; the first error ends the build."""
    columns = (
        TextColumn("digits"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    waiting = list(todo)
    with Progress(*columns, disable=not show) as bar:
        row = bar.add_task("", total=total, completed=total - len(todo))
        while True:
            ended = [worker for worker in workers if worker.done()]
            for worker in ended:
                worker.result()  # raises what the worker raised
            waiting = [job for job in waiting if not result_file(work_dir, job).exists()]
            bar.update(row, completed=total - len(waiting))
            if len(ended) == len(workers):
                return
            time.sleep(0.5)
