"""Files of weights with a card: safetensors whose header says what they are. Nothing in them is executed.

In: weights, their kind, a card as plain values; or a file. Out: the file; or what is in it, as far as
safetensors itself vouches for it. Next: ``frozen`` and ``archwalk.searching.incontext.agent`` check the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from archwalk.errors import ArchwalkError, reason
from archwalk.files import write_atomically

AUTOENCODER, AGENT = "archwalk autoencoder", "archwalk in-context agent"  # kinds of files
FORMAT = "1"
LARGEST = 64 * 2**20  # bytes of a file


class WeightsFile(NamedTuple):
    """What is in a file.

    Attributes:
        content: its bytes.
        tensors: the weights by name.
        header: ``kind, format, card``, whatever it has of them; the card is JSON.
    """

    content: bytes
    tensors: dict[str, Tensor]
    header: dict[str, str]


def write_weights(path: Path, kind: str, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write a file. Raises ``RunError`` where it cannot be written."""
    header = {"kind": kind, "format": FORMAT, "card": json.dumps(dict(card), sort_keys=True)}
    write_atomically(path, save({name: value.contiguous() for name, value in tensors.items()}, header))


def read_weights(path: Path, refused: Callable[[Path, str], ArchwalkError]) -> WeightsFile:
    """Read a file.

    Args:
        path: the file.
        refused: makes the error for it, of what came instead of a good one.

    Raises:
        ArchwalkError: ``refused``, where there is no file, or one that is too large, damaged or something
            else.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise refused(path, f"a file of {path.stat().st_size:,} bytes; none is larger than {LARGEST:,}")
        content = path.read_bytes()
    except OSError as error:
        raise refused(path, error.strerror or str(error)) from error
    try:
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        header = dict(json.loads(content[8 : 8 + size]).get("__metadata__", {}))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise refused(path, f"no safetensors file, or a damaged one: {reason(error)}") from error
    return WeightsFile(content, tensors, header)
