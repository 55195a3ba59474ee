"""``Dataset``: labelled examples in memory, checked, from whatever holds them.

In: a folder of images by class, an ``.npz`` or Parquet file, or two arrays. Out: a ``Dataset`` with a digest
    of
all that matters. Next: ``splits`` divides it; ``plan`` chooses a space by its shape.

Nothing is guessed where two meanings are possible: three axes may be grey images or series, whole numbers may
be classes or quantities. Then the user is asked.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from archwalk.errors import DataError, enumerated, reason, unknown

Kind = Literal["images", "vectors", "series"]
Task = Literal["classification", "regression"]
Array = NDArray[Any]

INPUTS: dict[str, Kind | None] = {
    "images": "images",
    "series": "series",
    "vectors": "vectors",
    "x": None,
    "X": None,
    "inputs": None,
    "data": None,
}
TARGETS: dict[str, Task | None] = {
    "labels": "classification",
    "label": "classification",
    "targets": None,
    "target": None,
    "y": None,
}
SPLIT = "split"
SPLITS = ("train", "validation", "test")
SPLIT_WORDS = dict(zip(SPLITS, SPLITS, strict=True)) | {"valid": "validation", "val": "validation"}
LEAST, EACH = 20, 5  # examples in all, and of each class: one for each of five blocks
FEW = 20  # different whole numbers up to which they may be classes


@dataclass(frozen=True)
class Dataset:
    """Labelled examples.

    Attributes:
        name: of the file or folder.
        kind: images, vectors or series.
        inputs: images [n, channels, height, width], uint8 or float32; vectors [n, features] and series
            [n, channels, length], float32.
        targets: numbers of classes, int64, or quantities, float64, [n].
        classes: names by number; empty for regression.
        names: of the examples: paths below the folder, or row numbers.
        features: names of the columns of vectors or channels of series, where they have any.
        given: the split that the data itself says, as a position in ``SPLITS``, int8 [n]; None: it says none.
        digest: SHA-256 of all of this but the name.
        notes: what a reader of the model card should know.
    """

    name: str
    kind: Kind
    inputs: Array
    targets: Array
    classes: tuple[str, ...]
    names: tuple[str, ...]
    features: tuple[str, ...] = ()
    given: NDArray[np.int8] | None = None
    digest: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.targets)

    @property
    def task(self) -> Task:
        """Classification or regression."""
        return "classification" if self.classes else "regression"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example's input."""
        return tuple(self.inputs.shape[1:])

    @property
    def counts(self) -> dict[str, int]:
        """Examples by class."""
        return {name: int((self.targets == k).sum()) for k, name in enumerate(self.classes)}


def load_data(
    given: str | Path | tuple[Any, Any],
    *,
    kind: Kind | None = None,
    task: Task | None = None,
    target: str | None = None,
    image_size: int | None = None,
) -> Dataset:
    """Read and check labelled data.

    Args:
        given: a folder ``CLASS/image`` (or ``train/CLASS/image`` and so on), an ``.npz`` file with an array
            of inputs and one of labels or targets, a Parquet file with a row an example, or two arrays.
        kind: what inputs of three axes are; by default what the array's name says.
        task: what whole numbers are; by default what the array's name or type says.
        target: name of the array or column of labels or targets, where it is another than ``TARGETS``.
        image_size: largest side that images of a folder are scaled to; see ``images.read_folder``.

    Raises:
        DataError: anything that no network can be fitted to, or that has two meanings.
    """
    for name, value, known in (("kind", kind, get_args(Kind)), ("task", task, get_args(Task))):
        if value is not None and value not in known:
            raise DataError(*unknown(f"--{name}", value, known))
    if isinstance(given, tuple):
        arrays = {"x": np.asarray(given[0]), "y": np.asarray(given[1])}
        return _of_arrays("arrays", arrays, kind, task, None)
    path = Path(given)
    if path.is_dir():
        from archwalk.fitting.images import read_folder

        _nothing_asked(path, kind, task, target)
        return read_folder(path, image_size)
    if image_size is not None:
        raise DataError("--image-size with a folder of images", str(path), "leave it out")
    if not path.is_file():
        raise DataError("a folder of images, an .npz or a Parquet file", f"{path}: nothing", "check the path")
    if path.suffix == ".npz":
        return _of_arrays(path.name, _read_npz(path), kind, task, target)
    if path.suffix in (".parquet", ".pq"):
        return _of_frame(path, kind, task, target)
    raise DataError("a folder of images, an .npz or a Parquet file", path.name, "write it as one of these")


def _nothing_asked(path: Path, kind: Kind | None, task: Task | None, target: str | None) -> None:
    if kind not in (None, "images") or task not in (None, "classification") or target is not None:
        raise DataError(
            "images by class in a folder, whose names are the labels",
            f"{path} with --kind {kind}, --task {task}, --target {target}",
            "leave these out, or give arrays",
        )


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, TypeError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise DataError(
            "an intact .npz file of plain arrays, without Python objects",
            f"{path}: {reason(error)}",
            "write it with numpy.savez; labels that are texts as an array of texts, not of objects",
        ) from error


def _of_arrays(
    name: str, arrays: Mapping[str, Array], kind: Kind | None, task: Task | None, target: str | None
) -> Dataset:
    inputs_at = _only(name, arrays, INPUTS, "inputs", None)
    target_at = _only(name, arrays, TARGETS, "labels or targets", target)
    inputs, targets = arrays[inputs_at], arrays[target_at]
    kind = kind or INPUTS[inputs_at]
    if inputs.dtype.kind not in "buif":
        raise DataError("numbers as inputs", f"{inputs_at} of type {inputs.dtype}", "write them as numbers")
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim != 1 or inputs.ndim == 0 or len(inputs) != len(targets):
        raise DataError(
            "one label or target for each example",
            f"{inputs_at} of shape {inputs.shape} and {target_at} of shape {targets.shape}",
            "give arrays with the examples as first axis, in the same order",
        )
    given = _given_split(arrays[SPLIT].tolist(), len(inputs)) if SPLIT in arrays else None
    kind = _kind(kind, inputs)
    values, notes = _shaped(kind, inputs)
    names = tuple(map(str, range(len(inputs))))
    return checked(name, kind, values, targets, task or TARGETS.get(target_at), names, (), given, notes)


def _only(
    file: str, arrays: Mapping[str, Any], known: Mapping[str, object], what: str, asked: str | None
) -> str:
    """The one array or column of some that is there."""
    if asked is not None:
        if asked not in arrays:
            raise DataError(*unknown(f"array or column of {file}", asked, arrays))
        return asked
    there = [name for name in known if name in arrays]
    if len(there) != 1:
        raise DataError(
            f"one of {', '.join(known)} in {file}, for the {what}",
            enumerated(arrays) or "nothing",
            "rename them"
            + (", or name the one that is meant with --target" if known is TARGETS else "")
            + (", and leave the others out" if there else ""),
        )
    return there[0]


def _kind(kind: Kind | None, inputs: Array) -> Kind:
    """What inputs are, by their axes where these say it."""
    axes = inputs.ndim
    fits: dict[Kind, tuple[int, ...]] = {"vectors": (2,), "series": (2, 3), "images": (3, 4)}
    if kind is not None:
        if axes not in fits[kind]:
            raise DataError(
                f"{kind} of {' or '.join(str(a) for a in fits[kind])} axes, examples first",
                f"an array of shape {inputs.shape}",
                "reshape it, or say what it is with --kind",
            )
        return kind
    if axes == 3:
        raise DataError(
            "to know what three axes are",
            f"an array of shape {inputs.shape}",
            "give --kind images (examples, height, width) or --kind series (examples, channels, length)",
        )
    if axes not in (2, 4):
        raise DataError(
            "vectors (2 axes), series (3) or images (4)", f"an array of shape {inputs.shape}", "reshape it"
        )
    return "vectors" if axes == 2 else "images"


def _shaped(kind: Kind, inputs: Array) -> tuple[Array, tuple[str, ...]]:
    """Inputs with the axes of ``Dataset``."""
    notes: tuple[str, ...] = ()
    if kind == "series" and inputs.ndim == 2:
        inputs = inputs[:, None]
    if kind == "images":
        if inputs.ndim == 3:
            inputs = inputs[:, None]
        else:
            last, second = (inputs.shape[i] in (1, 3) for i in (3, 1))
            if last == second:
                raise DataError(
                    "images with their 1 or 3 channels as second or as last axis, and not both possible",
                    f"an array of shape {inputs.shape}",
                    "move the channels to the second axis, and give grey images three axes",
                )
            inputs = np.moveaxis(inputs, 3, 1) if last else inputs
        if inputs.dtype == np.uint8:
            return np.ascontiguousarray(inputs), notes
    with np.errstate(over="ignore"):
        return inputs.astype(np.float32), notes


def _given_split(words: Sequence[Any], n: int) -> NDArray[np.int8]:
    if len(words) != n:
        raise DataError(f"a split for each of {n:,} examples", f"{len(words):,}", f"mend {SPLIT!r}")
    meant = [SPLIT_WORDS.get(str(word).strip().lower()) for word in words]
    strange = next((str(w) for w, m in zip(words, meant, strict=True) if m is None), None)
    if strange is not None:
        raise DataError(*unknown("split", strange, SPLIT_WORDS))
    return np.array([SPLITS.index(str(m)) for m in meant], dtype=np.int8)


def _of_frame(path: Path, kind: Kind | None, task: Task | None, target: str | None) -> Dataset:
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError("an intact Parquet file", f"{path}: {reason(error)}", "write it again") from error
    columns = {name: frame[name] for name in frame.columns}
    at = _only(path.name, columns, TARGETS, "labels or targets", target)
    given = _given_split(frame[SPLIT].to_list(), len(frame)) if SPLIT in columns else None
    features = [name for name in columns if name not in (at, SPLIT)]
    if not features or not len(frame):
        raise DataError(
            "rows, and columns beside the target", f"{path.name} of shape {frame.shape}", "add them"
        )
    missing = [name for name in (*features, at) if columns[name].null_count()]
    if missing:
        raise _not_finite(missing[0], [int(i) for i in columns[missing[0]].is_null().arg_true()])
    nested = [name for name in features if isinstance(columns[name].dtype, pl.List | pl.Array)]
    if nested and len(nested) < len(features):
        raise DataError(
            "columns of numbers (vectors) or of lists (series), not both",
            enumerated(features),
            "leave some out",
        )
    found: Kind = "series" if nested else "vectors"
    if kind not in (None, found):
        raise DataError(f"{found}, which is what {path.name} holds", f"--kind {kind}", "leave it out")
    inputs = (_lists if nested else _numbers)(columns, features)
    names = tuple(map(str, range(len(frame))))
    targets = columns[at].to_numpy()
    if columns[at].dtype in (pl.String, pl.Categorical, pl.Enum):
        targets = np.array(columns[at].cast(pl.String).to_list())
    return checked(
        path.name, found, inputs, targets, task or TARGETS.get(at), names, tuple(features), given, ()
    )


def _numbers(columns: Mapping[str, pl.Series], features: Sequence[str]) -> Array:
    for name in features:
        if not (columns[name].dtype.is_numeric() or columns[name].dtype == pl.Boolean):
            raise DataError(
                "numbers in every column beside the target",
                f"{name!r} of type {columns[name].dtype}",
                "leave it out, or encode it: a column of 0 and 1 for each of its values",
            )
    return np.stack([columns[name].cast(pl.Float32).to_numpy() for name in features], 1)


def _lists(columns: Mapping[str, pl.Series], features: Sequence[str]) -> Array:
    channels = []
    for name in features:
        try:
            rows = [np.asarray(row, dtype=np.float32) for row in columns[name].to_list()]
            lengths = {row.shape for row in rows}
            channel = np.stack(rows)
        except (ValueError, TypeError) as error:
            lengths, channel = set(), np.zeros(0, dtype=np.float32)
            said = reason(error)
        if channel.ndim != 2:
            raise DataError(
                "series of numbers, all of one length",
                f"column {name!r}: {sorted(lengths)[:3] if lengths else said}",
                "cut or pad them to one length",
            )
        channels.append(channel)
    if len({channel.shape for channel in channels}) > 1:
        raise DataError("channels of one length", str([c.shape[1] for c in channels]), "cut or pad them")
    return np.stack(channels, 1)


def _not_finite(where: str, rows: Sequence[int]) -> DataError:
    return DataError(
        "a finite number in every place",
        f"missing, NaN or infinite ones in {where}: {len(rows):,} examples, the first is {rows[0]}",
        "fill them (with the column's median, say) or leave these examples out",
    )


def checked(
    name: str,
    kind: Kind,
    inputs: Array,
    targets: Array,
    task: Task | None,
    names: tuple[str, ...],
    features: tuple[str, ...],
    given: NDArray[np.int8] | None,
    notes: tuple[str, ...],
) -> Dataset:
    """A ``Dataset`` of inputs with their final axes. Raises ``DataError`` for what cannot be learned."""
    if 0 in inputs.shape[1:]:
        raise DataError("inputs with numbers in them", f"inputs of shape {inputs.shape}", "check the data")
    if len(inputs) < LEAST:
        raise DataError(
            f"at least {LEAST} examples, for training, validation and test",
            f"{len(inputs)} in {name}",
            "collect more",
        )
    if inputs.dtype != np.uint8:
        bad = np.flatnonzero(~np.isfinite(inputs.reshape(len(inputs), -1)).all(1))
        if len(bad):
            where = "the inputs"
            if inputs.ndim == 2:
                column = int(np.flatnonzero(~np.isfinite(inputs[bad[0]]))[0])
                where = f"column {features[column] if features else column!r}"
            raise _not_finite(where, bad.tolist())
        if inputs.ndim == 2 and (inputs == inputs[0]).all():
            raise DataError("inputs that differ", "the same vector in every row", "check the data")
    task = task or _task(targets)
    classes: tuple[str, ...] = ()
    values: Array
    if task == "classification":
        values, classes = _classes(targets)
    else:
        values = _quantities(targets)
    _check_given(given, values if classes else None, classes)
    digest = hashlib.sha256(repr((kind, inputs.shape, inputs.dtype.str, classes, features, names)).encode())
    for array in (inputs, values, given):
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    flat = inputs.reshape(len(inputs), -1)
    different = len({hashlib.sha256(row.tobytes()).digest() for row in flat})
    if different < len(inputs):
        notes = (*notes, f"{len(inputs) - different:,} examples have inputs that occur more than once")
    return Dataset(name, kind, inputs, values, classes, names, features, given, digest.hexdigest(), notes)


def _task(targets: Array) -> Task:
    """What targets are by their type, where that says it."""
    if targets.dtype.kind in "OUSb":
        return "classification"
    if targets.dtype.kind not in "uif":
        raise DataError(
            "labels or numbers as targets", f"type {targets.dtype}", "write them as text or numbers"
        )
    different = np.unique(targets[np.isfinite(targets)])
    whole = bool((different == np.round(different)).all())
    few = len(different) <= FEW
    if not whole or (targets.dtype.kind == "f" and not few):
        return "regression"
    if targets.dtype.kind in "ui" and few:
        return "classification"
    raise DataError(
        "to know whether whole numbers are classes or quantities",
        f"{len(different):,} different ones of type {targets.dtype}",
        "give --task classification or --task regression",
    )


def _classes(targets: Array) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if targets.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(targets))
        if len(bad):
            raise _not_finite("the labels", bad.tolist())
        if not (targets == np.round(targets)).all():
            raise DataError("labels", "numbers with fractions", "give --task regression, or whole numbers")
        targets = targets.astype(np.int64)
    if targets.dtype.kind == "O":
        if any(value is None for value in targets.tolist()):
            raise DataError("a label for each example", "missing ones", "leave these examples out")
        targets = np.array([str(value) for value in targets.tolist()])
    names, numbers = np.unique(targets, return_inverse=True)
    texts = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names.tolist())
    if len(texts) < 2:
        raise DataError("at least two classes", f"one, {texts[0]!r}", "add examples of another class")
    counts = np.bincount(numbers)
    rare = [f"{t!r} ({c})" for t, c in zip(texts, counts.tolist(), strict=True) if c < EACH]
    if rare:
        raise DataError(
            f"at least {EACH} examples of each class",
            f"fewer of {enumerated(rare, 8)}",
            "collect more, leave these classes out, or, if they are quantities, give --task regression",
        )
    return numbers.reshape(-1).astype(np.int64), texts


def _quantities(targets: Array) -> NDArray[np.float64]:
    try:
        values = targets.astype(np.float64)
    except (ValueError, TypeError) as error:
        raise DataError("numbers as targets", reason(error), "give --task classification") from error
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise _not_finite("the targets", bad.tolist())
    if values.std() == 0:
        raise DataError("targets that differ", f"{values[0]} throughout", "check the data")
    return values


def _check_given(given: NDArray[np.int8] | None, numbers: Array | None, classes: Sequence[str]) -> None:
    """Refuse splits of the data's own that cannot be used: test and train must be there, with every class."""
    if given is None:
        return
    for number, split in enumerate(SPLITS):
        inside = given == number
        if not inside.any():
            if split == "validation":
                continue  # taken out of what is trained on
            raise DataError(f"a split {split!r}", "none", "add it, or leave all splits out")
        if numbers is not None:
            absent = [c for k, c in enumerate(classes) if not (numbers[inside] == k).any()]
            if absent:
                raise DataError(
                    f"every class in the split {split!r}", f"none of {enumerated(absent, 8)}", "add some"
                )
