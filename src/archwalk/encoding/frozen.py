"""``FrozenEncoder``: an encoder whose weights are final, from a file or drawn from a seed.

In: where the weights are. Out: whitened vectors of the architectures of any space. Next: ``tokens`` makes
them what a Q-network sees; ``archwalk.training.encoders`` writes such files.

A file is safetensors: that of an autoencoder (``save_encoder``), or of an in-context agent, which has an
encoder. Nothing in a file is executed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from archwalk.encoding.encoder import Encoder, draw
from archwalk.encoding.weights import AGENT, AUTOENCODER, FORMAT, read_weights, write_weights
from archwalk.errors import SettingsError, reason
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.spaces.correspondence import whole_of

KINDS = (AUTOENCODER, AGENT)  # what has an encoder
PART = "encoder."  # the names of its weights begin with it
WIDEST, DEEPEST = 1_024, 16
BATCH = 1_024  # architectures drawn at once
REFERENCE = 1_024  # architectures of a space that its vectors are whitened by
SMALLEST = 1e-3  # spread of a direction, as a share of the largest: less is rounding
_RANDOM = re.compile(r"random:(\d{1,18})")
_DIGEST = re.compile(r"(.+)#([0-9a-f]{16})", re.DOTALL)


@dataclass(frozen=True)
class FrozenEncoder:
    """Vectors of architectures, which never change.

    Attributes:
        encoder: its weights are not to be changed.
        place: where it came from, absolute.
        digest: of its weights, 16 hexadecimal digits.
    """

    encoder: Encoder
    place: str
    digest: str
    _standards: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def width(self) -> int:
        """Length of a vector."""
        return self.encoder.width

    def vectors(self, space: SearchSpace, codes: Codes) -> Float32[Tensor, "n width"]:
        """Vectors of architectures, whitened: less the mean of ``REFERENCE`` ones of their space, and
        with the same spread in every direction, turned as little as can be (ZCA, Kessy et al. 2018).

        Directions in which the vectors of a space differ little tell architectures apart as others do, but
        an agent learns from them slowly (docs/encoded.md).

        One thread computes them, so that their bits do not depend on how many there are.

        Args:
            space: theirs.
            codes: [n, slots].
        """
        space = whole_of(space)
        mean, whiten = self._standard(space)
        with _one_thread():
            return ((self._raw(space, codes).double() - mean) @ whiten).float()

    def _standard(self, space: SearchSpace) -> tuple[Tensor, Tensor]:
        key = json.dumps(space.describe(), sort_keys=True)
        if key not in self._standards:
            raw = self._raw(space, space.sample(REFERENCE, np.random.default_rng(0))).double()
            mean = raw.mean(0)
            with _one_thread():
                variance, axes = torch.linalg.eigh(torch.cov(raw.T))
            spread = variance.clamp(min=0).sqrt()
            spread = spread.clamp(min=max(SMALLEST * float(spread.max()), 1e-12))
            self._standards[key] = mean, (axes / spread) @ axes.T
        return self._standards[key]

    @torch.no_grad()
    def _raw(self, space: SearchSpace, codes: Codes) -> Float32[Tensor, "n width"]:
        with _one_thread():
            parts = [
                self.encoder(draw(space, codes[i : i + BATCH].astype(np.int16)))
                for i in range(0, len(codes), BATCH)
            ]
        return torch.cat(parts) if parts else torch.empty(0, self.width)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def open_encoder(place: str) -> FrozenEncoder:
    """An encoder by place.

    Args:
        place: a file, or ``random:SEED`` for weights that were never trained; with ``#`` and the digest of
            its weights behind it where they must be certain ones.

    Raises:
        SettingsError: no such file, a damaged one, one of something else, or other weights than the digest's.
    """
    found = _DIGEST.fullmatch(place)
    where, wanted = (found[1], found[2]) if found else (place, "")
    drawn = _RANDOM.fullmatch(where)
    if drawn:
        opened = _drawn(int(drawn[1]))
    else:
        path = Path(where)
        try:
            stat = path.stat()
        except OSError as error:
            raise _refused(path, error.strerror or str(error)) from error
        opened = _read(path.resolve(), stat.st_mtime_ns, stat.st_size)
    if wanted and opened.digest != wanted:
        raise SettingsError(
            f"the encoder whose weights have the digest {wanted}, as this run was made with",
            f"{where}, with {opened.digest}",
            "restore the file, or begin another run with this one",
        )
    return opened


def settled_place(place: str) -> str:
    """``PLACE#DIGEST`` of an encoder, with an absolute path. Raises ``SettingsError`` as ``open_encoder``."""
    opened = open_encoder(place)
    return f"{opened.place}#{opened.digest}"


def digest_of_place(place: str) -> str:
    """The digest of a settled place; any other place as it is."""
    found = _DIGEST.fullmatch(place)
    return found[2] if found else place


def random_encoder(seed: int) -> Encoder:
    """An encoder with weights drawn from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder()


@cache
def _drawn(seed: int) -> FrozenEncoder:
    encoder = random_encoder(seed).requires_grad_(False).eval()
    return FrozenEncoder(encoder, f"random:{seed}", digest_of(encoder.state_dict()))


@cache
def _read(path: Path, changed: int, size: int) -> FrozenEncoder:
    encoder, _ = read_encoder(path)
    return FrozenEncoder(encoder, str(path), digest_of(encoder.state_dict()))


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """Of names, shapes and bits of weights, 16 hexadecimal digits."""
    sha = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].contiguous()
        sha.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        sha.update(value.numpy().tobytes())
    return sha.hexdigest()[:16]


def save_encoder(encoder: Encoder, path: Path, card: Mapping[str, Any]) -> None:
    """Write a file. Raises ``RunError`` where it cannot be written.

    Args:
        encoder: what is kept.
        path: where.
        card: what it is: plain values.
    """
    tensors = {f"{PART}{name}": value for name, value in encoder.state_dict().items()}
    write_weights(path, AUTOENCODER, tensors, card)


def read_encoder(path: Path) -> tuple[Encoder, dict[str, Any]]:
    """An encoder and the card of its file.

    Raises:
        SettingsError: no such file, a damaged one, one of another version, or one of something else.
    """
    _, tensors, header = read_weights(path, _refused)
    try:
        card = json.loads(header.get("card", "{}"))
    except (ValueError, TypeError) as error:
        raise _refused(path, f"no safetensors file, or a damaged one: {reason(error)}") from error
    if header.get("kind") not in KINDS or not isinstance(card, dict):
        raise _refused(path, "a safetensors file of something else")
    if header.get("format") != FORMAT:
        raise _refused(path, f"one of format {header.get('format')!r}, not {FORMAT}")
    weights = {name.removeprefix(PART): t for name, t in tensors.items() if name.startswith(PART)}
    try:
        encoder = _shaped(weights)
        encoder.load_state_dict(weights)
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise _refused(path, f"a damaged one: {reason(error)}") from error
    return encoder.requires_grad_(False).eval(), card


def _shaped(weights: Mapping[str, Tensor]) -> Encoder:
    """An encoder of the size that weights are of; they are checked before anything of that size is made."""
    width, layers = len(weights["word.weight"]), len({n.split(".")[1] for n in weights if n[:7] == "layers."})
    if not (8 <= width <= WIDEST and width % 4 == 0 and 1 <= layers <= DEEPEST):
        raise ValueError(f"an encoder of width {width} with {layers} layers")
    if any(value.dtype != torch.float32 or not bool(value.isfinite().all()) for value in weights.values()):
        raise ValueError("weights that are not finite numbers of 32 bits")
    with torch.random.fork_rng(devices=[]):
        return Encoder(width, layers)


def _refused(path: Path, got: str) -> SettingsError:
    return SettingsError(
        "random:SEED, or the file of an autoencoder or of an in-context agent, as the encoder",
        f"{path}: {got}",
        "make one with 'archwalk encoder pretrain', or with 'archwalk agents train'",
    )
