"""The published surrogate of NAS-Bench-301, as plain weights: a network over DARTS cells and the epoch.

In: ``surrogate_weights.npz`` (YAHPO Gym's surrogate of the NAS-Bench-301 learning curves: Pfisterer et al.,
AutoML 2022; slds-lmu/yahpo_data, Apache-2.0). Out: a ``SurrogateTask`` over the space ``darts``. Next:
``archwalk data import nasbench301`` saves it.

Each of 34 categories, the operation on every possible edge of both cells and the input pair of every node,
has an embedding. Their sum through the first layers depends on a node only by its inputs and its two
operations; so the first layers are computed once for each of those combinations, 980 a cell, and added up.
"""

from __future__ import annotations

from io import BytesIO
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from archwalk.errors import ArchitectureError, BenchmarkError
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.spaces.darts import DARTS_OPERATIONS, NODES
from archwalk.spaces.registry import make_space
from archwalk.tasks.metrics import METRICS, Column, Metric
from archwalk.tasks.surrogates.file import Arrays
from archwalk.tasks.surrogates.models import Floats, Prediction
from archwalk.tasks.surrogates.task import Output, SurrogateTask

# In the order of the categories' codes, which count from 1; 0 is an edge that is not there. The categories of
# the edges stand in the order of the space's slots.
OPERATIONS = (
    "avg_pool_3x3",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "max_pool_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "skip_connect",
)
EPOCHS = 98  # the length of the benchmark's trainings, and the default
RUNTIME = Metric("runtime", "min", "seconds", 0)
SOURCE = (
    "Surrogate of NAS-Bench-301 (Zela et al., ICLR 2022) from YAHPO Gym (Pfisterer et al., AutoML 2022), "
    "https://github.com/slds-lmu/yahpo_data, nb301, Apache-2.0 licence"
)
NOTES = (
    "Kendall's tau with the official NAS-Bench-301 XGB v1.0 is .73 on 725 random cells, its level 1.3 lower",
    "predictions rise with the number of skip connections, up to cells of nothing else (93.9 to 95.3)",
)
MOST_SKIPS = 5  # of a cell's 8 edges; of random genotypes fewer than 1 in 2,500 have a cell with more
_PAIRS = {node: list(combinations(range(node), 2)) for node in NODES}
_FIRST_EDGES = np.cumsum([0, *NODES, *NODES])[:-1]  # slot of each node's first edge, normal cell first
_WIDE, _DEEP, _DEEPER = slice(0, 2), slice(2, 514), slice(514, 770)
_DEEP_LAYERS = ("deep.1.1", "deep.2.0")
_DEEPER_LAYERS = ("deeper.1.1", "deeper.2.1", "deeper.3.1", "deeper.4.0")
_EPOCH_SCALE = 0.01923077
# Rows computed at once, always as many: the same kernels on the same shapes give an architecture the same
# bits in whatever batch it comes.
_BLOCK = 128


def weight_shapes() -> dict[str, tuple[int, ...]]:
    """Name → shape of every array of the published weights."""
    embeddings = [(8, 10)] * 28 + [(4, 6), (7, 10), (11, 12)] * 2
    shapes: dict[str, tuple[int, ...]] = {f"embds_fct.{i}.weight": s for i, s in enumerate(embeddings)}
    width = sum(s[1] for s in embeddings) + 1
    sizes = {
        "wide.0": (2, width),
        "deep.0.1": (512, width),
        "deep.1.1": (512, 512),
        "deep.2.0": (2, 512),
        "deeper.0.1": (256, width),
        "deeper.1.1": (256, 256),
        "deeper.2.1": (128, 256),
        "deeper.3.1": (128, 128),
        "deeper.4.0": (2, 128),
    }
    for layer, (out, inputs) in sizes.items():
        shapes |= {f"{layer}.weight": (out, inputs), f"{layer}.bias": (out,)}
    return shapes


class NasBench301:
    """Validation accuracy (output 0, percent) and training time (output 1, seconds) of DARTS cells.

    Args:
        space: the space ``darts``.
        arrays: the published weights.
        epoch: after how many epochs of training, 1 to 98.

    Raises:
        BenchmarkError: another space, an epoch out of range, or other weights.
    """

    kind = "nasbench301"

    def __init__(self, space: SearchSpace, arrays: Arrays, epoch: int = EPOCHS) -> None:
        _check(space, arrays, epoch)
        self.space, self.epoch, self._arrays = space, epoch, arrays
        self._layers = {
            name: torch.from_numpy(arrays[name].astype(np.float32))
            for layer in _DEEP_LAYERS + _DEEPER_LAYERS
            for name in (f"{layer}.weight", f"{layer}.bias")
        }
        table, base = _first_layers(arrays, epoch)
        self._table, self._base = torch.from_numpy(table), torch.from_numpy(base)

    def settings(self) -> dict[str, Any]:
        """The epoch."""
        return {"epoch": self.epoch}

    def arrays(self) -> Arrays:
        """The published weights."""
        return self._arrays

    def predict(self, codes: Codes, output: int = 0) -> Prediction:
        """Of cells [n, slots]. The published network has no opinion on its error."""
        values = self.outputs(codes)[:, output]
        return Prediction(values, np.full(len(codes), np.nan))

    def outputs(self, codes: Codes) -> Floats:
        """Accuracy in percent and training time in seconds of cells [n, slots], [n, 2].

        Raises:
            ArchitectureError: a code that is no cell of the space.
        """
        rows = torch.from_numpy(_table_rows(codes))
        n = len(rows)
        found = np.empty((-(-n // _BLOCK) * _BLOCK, 2))
        rows = F.pad(rows, (0, 0, 0, len(found) - n))
        with torch.inference_mode():
            for start in range(0, len(found), _BLOCK):
                found[start : start + _BLOCK] = self._block(rows[start : start + _BLOCK]).double().numpy()
        found = 1 / (1 + np.exp(-found[:n]))
        return np.column_stack([100 * found[:, 0], (found[:, 1] - 0.01) * 13132.0927734375 + 30.557992935])

    def _block(self, rows: Tensor) -> Tensor:
        first = F.embedding_bag(rows, self._table, mode="sum") + self._base
        deep, deeper = F.selu(first[:, _DEEP]), F.selu(first[:, _DEEPER])
        for layer in _DEEP_LAYERS:
            deep = self._layer(deep, layer)
        for layer in _DEEPER_LAYERS:
            deeper = self._layer(deeper, layer)
        return first[:, _WIDE] + deep + deeper

    def _layer(self, x: Tensor, layer: str) -> Tensor:
        y = F.linear(x, self._layers[f"{layer}.weight"], self._layers[f"{layer}.bias"])
        return y if layer.endswith(".0") else F.selu(y)  # layer 0 of the last block is the linear output


class SkipReach:
    """Cells with more than ``limit`` skip connections are far: random samples have next to none."""

    kind = "skips"

    def __init__(self, limit: int = MOST_SKIPS) -> None:
        self.limit = limit

    def far(self, codes: Codes) -> NDArray[np.bool_]:
        """Which of the cells [n, slots] it does not reach, [n]."""
        skips = codes.reshape(len(codes), 2, -1) == DARTS_OPERATIONS.index("skip_connect")
        return (skips.sum(2) > self.limit).any(1)

    def __str__(self) -> str:
        return f"more than {self.limit} of a cell's 8 operations are skip connections"

    def settings(self) -> dict[str, Any]:
        """The limit."""
        return {"limit": self.limit}

    def arrays(self) -> Arrays:
        """None."""
        return {}


def _first_layers(arrays: Arrays, epoch: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What each (cell, node, input pair, two operations) adds to the first layers, [1960, 770], and the rest.

    The rest is the bias, the epoch, and the embeddings of all edges as if absent, [770].
    """
    first = ("wide.0", "deep.0.1", "deeper.0.1")
    weight = np.concatenate([arrays[f"{layer}.weight"] for layer in first]).astype(np.float64)
    bias = np.concatenate([arrays[f"{layer}.bias"] for layer in first]).astype(np.float64)
    added, start = [], 0
    for i in range(34):
        embedding = arrays[f"embds_fct.{i}.weight"].astype(np.float64)
        added.append(embedding @ weight[:, start : start + embedding.shape[1]].T)
        start += embedding.shape[1]
    base = bias + epoch * _EPOCH_SCALE * weight[:, start]
    base = base + sum(edge[0] for edge in added[:28])
    operations = [1 + OPERATIONS.index(name) for name in DARTS_OPERATIONS[1:]]
    rows = []
    for cell in (0, 1):
        edge = 14 * cell
        for node, pairs in _PAIRS.items():
            for number, (a, b) in enumerate(pairs, start=1):
                lower, upper = (added[edge + i][operations] - added[edge + i][0] for i in (a, b))
                both = lower[:, None] + upper[None]
                if node > 2:
                    both = both + added[28 + 3 * cell + node - 3][number]
                rows.append(both.reshape(-1, both.shape[-1]))
            edge += node
    return np.concatenate(rows).astype(np.float32), base.astype(np.float32)


def _table_rows(codes: Codes) -> NDArray[np.int64]:
    """The rows of the first layers' table that cells add up, [n, 8]."""
    there = codes > 0
    wrong = (np.add.reduceat(there, _FIRST_EDGES, axis=1, dtype=np.int64) != 2).any(1)
    if wrong.any():
        raise ArchitectureError(
            "two inputs at each node of a DARTS cell",
            f"the code {codes[wrong][0].tolist()}",
            "read architectures with the space's parse",
        )
    slots = np.nonzero(there)[1].reshape(len(codes), 8, 2)
    operations = np.take_along_axis(codes, slots.reshape(len(codes), 16), axis=1).reshape(slots.shape) - 1
    low, high = np.moveaxis(slots - _FIRST_EDGES[:, None], -1, 0)
    nodes = np.array(NODES * 2)
    pair = low * (2 * nodes - low - 1) // 2 + high - low - 1  # lexicographic among the pairs of a node
    offset = np.cumsum([0] + [len(_PAIRS[node]) for node in NODES * 2])[:-1]
    n = len(DARTS_OPERATIONS) - 1
    return ((offset + pair) * n + operations[..., 0]) * n + operations[..., 1]


def import_nasbench301(
    file: str | Path, *, epoch: int = EPOCHS, name: str = "nasbench301", space: SearchSpace | None = None
) -> SurrogateTask:
    """The published surrogate as a task: ``cifar10``, validation accuracy ``top1`` and ``runtime``.

    Args:
        file: ``surrogate_weights.npz``.
        epoch: after how many epochs of training, 1 to 98.
        name: of the task file.
        space: ``darts`` by default.

    Raises:
        BenchmarkError: no such file, or other arrays in it.
    """
    the_space = space or make_space("darts")
    model = NasBench301(the_space, _read_npz(Path(file)), epoch)
    outputs = (
        Output(Column("cifar10", "top1", "valid", str(epoch)), METRICS["top1"], 0, 0),
        Output(Column("cifar10", "runtime", "none", str(epoch)), RUNTIME, 0, 1),
    )
    return SurrogateTask(
        name,
        the_space,
        (model,),
        outputs,
        {"cifar10": METRICS["top1"]},
        SkipReach(),
        source=SOURCE,
        notes=NOTES,
    )


def _read_npz(path: Path) -> Arrays:
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            if not hasattr(archive, "files"):
                raise ValueError("a single array")
            return {key: archive[key] for key in archive.files}
    except OSError as error:
        got = f"{path}: {error.strerror or error}"
        raise BenchmarkError("the weights as an .npz file", got, "check the path") from error
    except Exception as error:  # a damaged archive fails in many ways
        raise BenchmarkError(
            "an intact .npz file of plain arrays", f"{path}: {error}", "copy it again; nothing was executed"
        ) from error


def _check(space: SearchSpace, arrays: Arrays, epoch: int) -> None:
    if space.name != "darts":
        raise BenchmarkError("the space 'darts'", repr(space.name), "the surrogate knows DARTS cells alone")
    if not 1 <= epoch <= EPOCHS:
        raise BenchmarkError(f"an epoch from 1 to {EPOCHS}", str(epoch), "correct --epoch")
    for name, shape in weight_shapes().items():
        array = arrays.get(name)
        if array is None or array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
            got = "none" if array is None else f"{array.dtype} {array.shape}, or values that are not finite"
            raise BenchmarkError(
                f"finite floats {shape} called {name!r}, as the published surrogate has",
                got,
                "use surrogate_weights.npz of the published surrogate",
            )
    strangers = sorted(set(arrays) - set(weight_shapes()))
    if strangers:
        raise BenchmarkError(
            "the published surrogate's arrays and no others",
            ", ".join(strangers[:5]),
            "use surrogate_weights.npz of the published surrogate",
        )
