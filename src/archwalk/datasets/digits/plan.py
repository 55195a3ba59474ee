"""What has to be measured, cut into jobs, and where a job's result lies.

In: tasks, number of seeds. Out: ``plan``, a list of ``Job`` in the order in which they are done, and their
``Result`` files. Next: ``build`` does the jobs; ``table`` puts the results together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import RunError
from archwalk.files import write_atomically
from archwalk.spaces.registry import make_listed

CHUNK = 26  # 1,011 groups in 39 chunks
SEED_CHUNKS = 4  # chunks measured with every seed: 104 groups


@dataclass(frozen=True)
class Job:
    """One unit of work.

    Attributes:
        task: the task's name.
        seed: of weights and batches.
        chunk: number of the chunk.
        cells: representatives of the chunk's groups, indices into the space.
    """

    task: str
    seed: int
    chunk: int
    cells: tuple[int, ...]

    @property
    def name(self) -> str:
        """Of its result file, without suffix."""
        return f"{self.task}-{self.seed}-{self.chunk:03d}"


def representatives() -> NDArray[np.int64]:
    """The first cell of each group that computes one function, [groups]; group numbers are positions."""
    groups = make_listed("digits-micro").canonical_groups()
    return np.unique(groups, return_index=True)[1].astype(np.int64)


def plan(tasks: Sequence[str], seeds: int, limit: int | None = None, chunk: int = CHUNK) -> list[Job]:
    """All jobs, in the order in which they are done: tasks side by side, further seeds last.

    Chunks take the groups in a random order, so that the first ones are a sample of the space already.
    """
    cells = np.random.default_rng(0).permutation(representatives())[:limit]
    chunks = [tuple(int(c) for c in np.sort(cells[i : i + chunk])) for i in range(0, len(cells), chunk)]
    jobs = [Job(task, 0, i, members) for i, members in enumerate(chunks) for task in tasks]
    for i, members in enumerate(chunks[:SEED_CHUNKS]):
        jobs += [Job(task, seed, i, members) for seed in range(1, seeds) for task in tasks]
    return jobs


def result_file(work_dir: Path, job: Job) -> Path:
    """Where a job's result lies."""
    return work_dir / "results" / f"{job.name}.json"


@dataclass(frozen=True)
class Result:
    """What a job measured: scores [epochs, splits, cells] and seconds [cells]."""

    scores: NDArray[np.float64]
    seconds: NDArray[np.float64]


def write_result(work_dir: Path, job: Job, result: Result) -> None:
    """Write a finished job's result, whole or not at all. Raises ``RunError`` if the disk is full."""
    content = {"cells": job.cells, "scores": result.scores.tolist(), "seconds": result.seconds.tolist()}
    write_atomically(result_file(work_dir, job), json.dumps(content).encode())


def read_result(work_dir: Path, job: Job) -> Result:
    """A finished job's result. Raises ``RunError`` if the file does not fit the job."""
    path = result_file(work_dir, job)
    try:
        content = json.loads(path.read_text("utf-8"))
        if tuple(content["cells"]) != job.cells:
            raise ValueError("it measured other cells")
        return Result(np.array(content["scores"]), np.array(content["seconds"]))
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"a result of {job.name}", f"{path}: {error}", "delete that file and build again"
        ) from error
