"""The one file of a surrogate task: safetensors, so plain arrays and a line of JSON, sealed with a checksum.

In: a description (JSON values) and named arrays. Out: bytes, and both again from bytes that are intact. The
description stands in safetensors' own metadata under ``archwalk``; it begins with the SHA-256 of the file's
bytes, that of the seal itself taken as zeros, which is compared before anything else is parsed. Nothing in a
file is executed. Next: ``task`` makes a ``SurrogateTask`` of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_arrays
from safetensors.numpy import save as write_arrays

from archwalk.errors import BenchmarkError

FORMAT = 1
SUFFIX = ".task"
Arrays = dict[str, NDArray[Any]]
_KEY = "archwalk"
_SEAL_KEY = "archwalk-sha256"
_UNSEALED = "0" * 64
# The description is JSON written as a string of the header's JSON, hence the backslashes.
_SEAL = re.compile(rb'\{\\"' + _SEAL_KEY.encode() + rb'\\": \\"([0-9a-f]{64})\\"')
_DTYPES = {np.dtype(t) for t in ("u1", "i1", "i2", "i4", "i8", "f4", "f8")}


def pack(description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a file.

    Args:
        description: plain JSON values; the format's number is added.
        arrays: name → integers or floats of any shape.
    """
    strange = {name for name, array in arrays.items() if array.dtype not in _DTYPES}
    if strange:
        raise ValueError(f"arrays of another type than {sorted(map(str, _DTYPES))}: {sorted(strange)}")
    header = {_SEAL_KEY: _UNSEALED, "format": FORMAT} | dict(description)
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return _sealed(write_arrays(plain, {_KEY: json.dumps(header, allow_nan=False)}))


def unpack(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Description and arrays of an intact file.

    Raises:
        BenchmarkError: no such file, not the format, or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchmarkError(
            "a surrogate task's file",
            f"{str(path)!r}: {error.strerror}",
            "make one with 'archwalk data fit-surrogate' or 'archwalk data import nasbench301'",
        ) from error
    length = int.from_bytes(content[:8], "little")
    if len(content) < 10 or content[8:9] != b"{" or length > len(content) - 8:
        raise _foreign(path, "a file of another kind, or one cut off")
    if not _SEAL.search(content, 0, 8 + length):
        raise _foreign(path, "arrays of another origin, or a damaged file")
    if _sealed(content) != content:
        raise damaged(path, "the checksum of its bytes does not fit")
    try:
        header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_KEY])
        arrays = parse_arrays(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    del header[_SEAL_KEY]
    if header.pop("format", None) != FORMAT:
        raise BenchmarkError(
            f"a surrogate task's file of format {FORMAT}", f"another format in {path}", "update archwalk"
        )
    return header, arrays


def identity(description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over the description and every number."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def damaged(path: Path, what: str) -> BenchmarkError:
    """The error for a file that is of the format and yet not intact."""
    return BenchmarkError(
        "an intact surrogate task's file",
        f"{path}: {what}",
        "copy it, fit it or import it again; the file was left as it is",
    )


def _sealed(content: bytes) -> bytes:
    match = _SEAL.search(content)
    if match is None:
        raise ValueError(f"no {_SEAL_KEY} in the file's metadata")
    start, end = match.span(1)
    blank = content[:start] + _UNSEALED.encode() + content[end:]
    return content[:start] + hashlib.sha256(blank).hexdigest().encode() + content[end:]


def _foreign(path: Path, got: str) -> BenchmarkError:
    return BenchmarkError(
        "a surrogate task's file",
        f"{got}: {path}",
        "make one with 'archwalk data fit-surrogate' or 'archwalk data import nasbench301'",
    )
