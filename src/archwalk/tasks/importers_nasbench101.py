"""The official release of NAS-Bench-101, ``nasbench_only108.tfrecord`` or ``nasbench_full.tfrecord``.

In: the file. Out: a checked ``Benchmark`` over the classes of graphs that occur in it, to be saved in the
package's format. Nothing in the file is executed, and TensorFlow is not needed.

A record is a JSON list [hash, epochs, adjacency row by row as 0 and 1, operations, ModelMetrics in base64];
the message holds the evaluations at the start, half-way and at the end, and the number of parameters
(Ying et al. 2019, section 2.4, and ``model_metrics.proto`` of the authors' code).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import BenchmarkError
from archwalk.spaces.graphs import (
    MAX_EDGES,
    MAX_VERTICES,
    NB101_OPERATIONS,
    Cell,
    NasBench101Space,
    canonical_codes,
    make_batch,
    official_hash,
    prune,
)
from archwalk.spaces.subset import MeasuredSubset
from archwalk.tasks.metrics import Column, metric_for
from archwalk.tasks.rewards import choose_rewards
from archwalk.tasks.table import Benchmark, make_benchmark
from archwalk.tasks.tfrecord import Field, read_message, read_records

TASK = "cifar10"
REPEATS = 3
RUNS = (4, 12, 36, 108)  # epochs; the smaller release has the last alone
SOURCE = (
    "NAS-Bench-101 (Ying et al., ICML 2019), https://github.com/google-research/nasbench, Apache-2.0 licence"
)
NOTES = (
    f"Every top1 and time_elapsed is the mean over the {REPEATS} repeats of a network and number of epochs.",
    "Runs of 4, 12, 36 and 108 epochs have learning rates of their own; the columns of epochs 2, 6, 18 and "
    "54 are these runs half-way, not shorter runs.",
    "time_elapsed is the training time in seconds up to that epoch, without evaluation.",
)
_SPLITS = {3: "train", 4: "valid", 5: "test"}  # field of EvaluationData → split


@dataclass
class _Class:
    """What is known of one class so far.

    Attributes:
        spellings: adjacency and operations as they stand in the file → the cell.
        parameters: of its network.
        sums: epochs of the run → sums over its repeats, [half-way and end, train, valid, test, seconds].
        repeats: epochs of the run → how many.
    """

    spellings: dict[tuple[str, str], Cell] = field(default_factory=dict)
    parameters: int = 0
    sums: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    repeats: dict[int, int] = field(default_factory=dict)


def import_nasbench101(file: str | Path, *, name: str | None = None) -> Benchmark:
    """The official table as a benchmark with one task, ``cifar10``.

    Columns, all means over the three repeats: ``top1`` (percent) on train, valid and test and
    ``time_elapsed`` (seconds), each at the end of the run (epoch 108, in the full release also 4, 12 and 36)
    and half-way (54; 2, 6 and 18); and ``params``. The reward is validation accuracy after the longest run.

    Args:
        file: the release.
        name: of the benchmark; ``nasbench101`` by default.

    Raises:
        BenchmarkError: no such file, one that is cut off or damaged, a record of another structure, a cell
            that is not of the space or not the one that its hash names, or not three repeats of each run.
    """
    path = Path(file)
    classes: dict[str, _Class] = {}
    for number, record in enumerate(read_records(path)):
        try:
            _add(classes, record)
        except (ValueError, RecursionError) as error:
            raise BenchmarkError(
                "records [hash, epochs, adjacency, operations, metrics] of NAS-Bench-101's release",
                f"record {number:,} of {path}: {error}",
                "use the official nasbench_only108.tfrecord or nasbench_full.tfrecord; nothing was written",
            ) from error
    runs = sorted({epochs for known in classes.values() for epochs in known.repeats})
    for hash_, known in classes.items():
        for epochs in runs:
            if known.repeats.get(epochs, 0) != REPEATS:
                raise BenchmarkError(
                    f"{REPEATS} repeats of {epochs} epochs of every cell",
                    f"{known.repeats.get(epochs, 0)} of {hash_} in {path}",
                    "use the official file, whole and once; nothing was written",
                )
    codes = _codes(path, classes)
    space = MeasuredSubset(NasBench101Space(), codes)
    columns = dict(_columns(list(classes.values()), runs))
    metrics = {m: metric_for(m) for m in ("params", "time_elapsed", "top1")}
    rewards = choose_rewards(columns, {})
    rows = space.positions(codes)
    return make_benchmark(name or "nasbench101", space, rows, columns, metrics, rewards, SOURCE, NOTES)


def _add(classes: dict[str, _Class], record: bytes) -> None:
    """Read one record into the class that it names. Raises ``ValueError``."""
    row = json.loads(record.decode())
    kinds = (str, int, str, str, str)
    if not isinstance(row, list) or [type(value) for value in row] != list(kinds):
        raise ValueError("another structure")
    hash_, epochs, adjacency, operations, metrics = row
    if epochs not in RUNS:
        raise ValueError(f"a run of {epochs} epochs, where runs of {RUNS} were made")
    known = classes.setdefault(hash_, _Class())
    if (adjacency, operations) not in known.spellings:
        cell = _cell(adjacency, operations.split(","))
        if official_hash(cell) != hash_:
            raise ValueError(f"the hash {hash_!r} of a cell whose hash is {official_hash(cell)!r}")
        known.spellings[adjacency, operations] = cell
    parameters, values = _metrics(base64.b64decode(metrics, validate=True), epochs)
    if known.repeats and parameters != known.parameters:
        raise ValueError(f"{parameters} parameters of {hash_}, which had {known.parameters} before")
    known.parameters = parameters
    known.sums[epochs] = known.sums.get(epochs, 0) + values
    known.repeats[epochs] = known.repeats.get(epochs, 0) + 1


def _cell(adjacency: str, operations: list[str]) -> Cell:
    vertices = isqrt(len(adjacency))
    matrix = [
        [int(bit == "1") for bit in adjacency[v * vertices : (v + 1) * vertices]] for v in range(vertices)
    ]
    fits = (
        2 <= vertices <= MAX_VERTICES
        and len(adjacency) == vertices**2
        and set(adjacency) <= {"0", "1"}
        and not any(any(row[: v + 1]) for v, row in enumerate(matrix))
        and len(operations) == vertices
        and (operations[0], operations[-1]) == ("input", "output")
        and set(operations[1:-1]) <= set(NB101_OPERATIONS)
    )
    cell = prune(Cell(matrix, operations[1:-1])) if fits else None
    if cell is None or sum(map(sum, cell.matrix)) > MAX_EDGES:
        raise ValueError(f"no cell of the space: {adjacency!r} with {','.join(operations)!r}")
    return cell


def _metrics(message: bytes, epochs: int) -> tuple[int, NDArray[np.float64]]:
    """Parameters, and [half-way and end, train, valid, test, seconds] of one run; accuracies as fractions."""
    fields = read_message(message)
    evaluations = fields.get(1, [])
    if len(evaluations) != 3:
        raise ValueError(f"{len(evaluations)} evaluations instead of those at the start, half-way and end")
    values = np.empty((2, 4))
    for i, (evaluation, due) in enumerate(zip(evaluations[1:], (epochs / 2, epochs), strict=True)):
        if not isinstance(evaluation, bytes):
            raise ValueError("an evaluation that is no message")
        parts = read_message(evaluation)
        if abs(_number(parts, 1) - due) > max(0.05 * epochs, 0.5):
            raise ValueError(f"an evaluation at epoch {_number(parts, 1)} where {due} was due")
        values[i] = [*(_number(parts, f) for f in _SPLITS), _number(parts, 2)]
    if not (np.isfinite(values).all() and (values >= 0).all() and (values[:, :3] <= 1).all()):
        raise ValueError(f"accuracies outside of 0 to 1 or a negative time: {values.tolist()}")
    parameters = fields.get(2, [])
    if len(parameters) != 1 or not isinstance(parameters[0], int) or not 0 < parameters[0] < 1 << 31:
        raise ValueError(f"no number of parameters: {parameters}")
    return parameters[0], values


def _number(parts: dict[int, list[Field]], number: int) -> float:
    values = parts.get(number, [])
    if len(values) != 1 or not isinstance(values[0], float):
        raise ValueError(f"an evaluation without one number in field {number}")
    return values[0]


def _codes(path: Path, classes: dict[str, _Class]) -> NDArray[np.int16]:
    """The code of each class; all its spellings must have the same."""
    spelled = [(i, cell) for i, known in enumerate(classes.values()) for cell in known.spellings.values()]
    owners = np.array([i for i, _ in spelled])
    codes = canonical_codes(make_batch([cell for _, cell in spelled]))
    first = np.searchsorted(owners, np.arange(len(classes)))
    other = np.flatnonzero((codes != codes[first][owners]).any(1))
    if len(other):
        raise BenchmarkError(
            "isomorphic cells under one hash",
            f"different ones under {list(classes)[owners[other[0]]]} in {path}",
            "use the official file; nothing was written",
        )
    return codes[first]


def _columns(classes: list[_Class], runs: list[int]) -> Iterator[tuple[Column, Any]]:
    yield (
        Column(TASK, "params", "none", "none"),
        np.array([known.parameters for known in classes], dtype=np.float64),
    )
    for epochs in runs:
        means = np.stack([known.sums[epochs] for known in classes]) / REPEATS
        for at, epoch in enumerate((epochs // 2, epochs)):
            for s, split in enumerate(_SPLITS.values()):
                yield Column(TASK, "top1", split, str(epoch)), 100 * means[:, at, s]
            yield Column(TASK, "time_elapsed", "none", str(epoch)), means[:, at, 3]
