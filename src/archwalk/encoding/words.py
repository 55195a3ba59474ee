"""Operations described by what they are, so that one network reads the architectures of every space.

In: a word of a space's vocabulary, such as ``nor_conv_3x3``, ``reduce:dil_conv_5x5`` or ``mlp7=4``. Out: its
features. Next: ``encoder`` embeds them.

Operations of different spaces share what they have in common: kind, kernel, dilation, what they do to
channels and resolution. A slot with an ordinal choice shares its name without the number in it (``mlp3`` and
``mlp7``), where in the architecture it stands and how large the choice is. What is left of a word is hashed,
so that words which nobody foresaw can be told apart.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

from archwalk.spaces.base import SearchSpace

KINDS = (
    *("input", "output", "identity", "convolution", "separable", "max_pool", "average_pool"),
    *("module", "choice", "unknown"),
)
HASHED = 12  # features of a name that only tell it from others
# Kind; 1 for kernel 1, 3, 5 and beyond; dilated; doubles channels; halves resolution; of a reduction cell;
# size of an ordinal choice in [-1, 1]; its logarithm; what it is called; which slot it is of.
FEATURES = len(KINDS) + 4 + 4 + 2 + 2 * HASHED
_OPERATION = re.compile(
    r"(?P<pre>nor_|sep_|dil_|avg_|max_|max)?(?P<what>conv|pool)_?(?P<kernel>\d)x\d(?:-bn-relu)?"
)
_NAMED: dict[str, tuple[str, bool, bool]] = {  # kind, doubles channels, halves resolution
    "input": ("input", False, False),
    "input_last": ("input", False, False),
    "output": ("output", False, False),
    "skip": ("identity", False, False),
    "skip_connect": ("identity", False, False),
    "plain": ("module", False, False),
    "double_channels": ("module", True, False),
    "halve_resolution": ("module", False, True),
    "double_and_halve": ("module", True, True),
}


@cache
def hashed(text: str) -> NDArray[np.float32]:
    """±1, the same on every machine, [HASHED]; zeros for an empty text."""
    if not text:
        return np.zeros(HASHED, dtype=np.float32)
    bits = np.unpackbits(np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint8))[:HASHED]
    return (2 * bits.astype(np.float32) - 1).astype(np.float32)


def describe_word(word: str, size: float = 0.0) -> NDArray[np.float32]:
    """Features of a word, [FEATURES].

    Args:
        word: of a vocabulary.
        size: where the choice stands among those of its slot, from -1 (first) to 1 (last); 0 if it is no
            choice of a slot.
    """
    kind, kernel, dilated, doubles, halves, called, slot, number = (
        "unknown", 0, False, False, False, word, "", 0.0,
    )  # fmt: skip
    cell, _, rest = word.rpartition(":")
    operation = _OPERATION.fullmatch(rest)
    if rest in _NAMED:
        kind, doubles, halves = _NAMED[rest]
        called = rest if rest == "input_last" else ""
    elif operation:
        pool = operation["what"] == "pool"
        average = operation["pre"] == "avg_"
        kind = ("average_pool" if average else "max_pool") if pool else "convolution"
        if operation["pre"] in ("sep_", "dil_"):
            kind = "separable"
        kernel, dilated, called = int(operation["kernel"]), operation["pre"] == "dil_", ""
    elif "=" in word:
        slot, _, called = word.partition("=")
        kind, slot = "choice", re.sub(r"\d+", "#", slot)
        if re.fullmatch(r"-?\d+(\.\d+)?", called):
            number = float(np.clip(np.log2(1 + abs(float(called))) / 10, 0, 1))
    kinds = [float(kind == k) for k in KINDS]
    kernels = [float(kernel == 1), float(kernel == 3), float(kernel == 5), float(kernel > 5)]
    flags = [float(flag) for flag in (dilated, doubles, halves, cell == "reduce")]
    known = np.array([*kinds, *kernels, *flags, size, number], dtype=np.float32)
    return np.concatenate([known, hashed(called), hashed(slot)])


def describe_words(space: SearchSpace) -> NDArray[np.float32]:
    """Features of a space's vocabulary, [words, FEATURES]."""
    slots = [word.partition("=")[0] for word in space.vocabulary]
    found = []
    for i, word in enumerate(space.vocabulary):
        same = [j for j, slot in enumerate(slots) if slot == slots[i] and "=" in word]
        size = 2 * same.index(i) / (len(same) - 1) - 1 if len(same) > 1 else 0.0
        found.append(describe_word(word, size))
    return np.stack(found)
