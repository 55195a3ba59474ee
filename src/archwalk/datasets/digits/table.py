"""From results to the table that ships, and to the one that tells how much the seed matters.

In: results of jobs. Out: a ``Benchmark`` of every measured cell, and ``seeds.parquet`` with one row a
(cell, task, seed). Next: ``archwalk.tasks.registry`` opens the table by name; ``card`` reads both.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from archwalk.datasets.digits.network import count
from archwalk.datasets.digits.plan import Job, Result, representatives
from archwalk.datasets.digits.scenes import SPLITS
from archwalk.datasets.digits.tasks import TASKS
from archwalk.errors import RunError
from archwalk.files import write_atomically
from archwalk.spaces.registry import make_listed
from archwalk.tasks.metrics import METRICS, Column
from archwalk.tasks.table import Benchmark, make_benchmark

DIGITS = 5  # significant digits kept, far below the noise
SOURCE = (
    "Measured by archwalk.datasets.digits on scenes made of scikit-learn's bundled digits "
    "(UCI Optical Recognition of Handwritten Digits, Alpaydin and Kaynak 1998, CC BY 4.0)."
)
NOTES = (
    "Cells that compute the same function were trained once, as the first of them in the space's order, "
    "and share every number.",
    "neg_loss is minus the mean squared error in units of the layout's variance; time_elapsed is seconds of "
    "processor time on one core, the chunk's time shared out by FLOPs.",
)


def assemble(results: Mapping[Job, Result], epoch_names: Sequence[str]) -> Benchmark:
    """The table of all cells whose group was measured on every task that occurs, with seed 0.

    Args:
        results: of all jobs; those of other seeds are left aside.
        epoch_names: of the first axis of ``Result.scores``.

    Raises:
        RunError: a group was measured on one task and not on another.
    """
    space = make_listed("digits-micro")
    groups, firsts = space.canonical_groups(), representatives()
    columns: dict[Column, NDArray[np.float64]] = {}
    of_task: dict[str, list[tuple[Job, Result]]] = {}
    for job, result in results.items():
        if job.seed == 0:
            of_task.setdefault(job.task, []).append((job, result))
    rows: NDArray[np.int64] | None = None
    for name, done in sorted(of_task.items()):
        task = TASKS[name]
        cells = np.concatenate([job.cells for job, _ in done])
        scores = np.concatenate([result.scores for _, result in done], 2)
        seconds = np.concatenate([result.seconds for _, result in done])
        # Where each group stands in these results; groups that were not measured stay at -1.
        position = np.full(len(firsts), -1)
        position[groups[cells]] = np.arange(len(cells))
        measured = np.flatnonzero(position[groups] >= 0)
        if rows is not None and not np.array_equal(rows, measured):
            raise RunError("the same cells on every task", f"others on {name}", "build again")
        rows = measured
        at = position[groups[rows]]
        for e, epoch in enumerate(epoch_names):
            for s, split in enumerate(SPLITS):
                columns[Column(name, task.metric, split, epoch)] = _rounded(scores[e, s])[at]
        sizes = np.array([count(space.codes[cell].tolist(), task) for cell in cells], dtype=float)
        columns[Column(name, "params", "none", "none")] = sizes[at, 0]
        columns[Column(name, "flops", "none", "none")] = sizes[at, 1]
        columns[Column(name, "time_elapsed", "none", "none")] = _rounded(seconds)[at]
    if rows is None:
        raise RunError("results", "none", "build at least one task")
    used = {column.metric for column in columns}
    return make_benchmark(
        "digits",
        space,
        rows,
        columns,
        {name: METRICS[name] for name in used},
        {name: Column(name, TASKS[name].metric, "valid", "final") for name in of_task},
        SOURCE,
        NOTES,
    )


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([float(f"{value:.{DIGITS}g}") for value in values])


def save_seeds(path: Path, results: Mapping[Job, Result]) -> None:
    """Write the final scores of every group that was measured with more than one seed.

    Columns: ``arch``, ``task``, ``seed``, ``train``, ``valid``, ``test``, in the task's metric.
    """
    architectures = make_listed("digits-micro").architectures
    repeated = {job.chunk for job in results if job.seed > 0}
    rows = [
        (architectures[cell], job.task, job.seed, *_rounded(result.scores[-1, :, k]))
        for job, result in results.items()
        if job.chunk in repeated
        for k, cell in enumerate(job.cells)
    ]
    frame = pl.DataFrame(rows, schema=["arch", "task", "seed", *SPLITS], orient="row")
    buffer = io.BytesIO()
    frame.sort("task", "arch", "seed").write_parquet(buffer, compression="zstd", compression_level=19)
    write_atomically(path, buffer.getvalue())
