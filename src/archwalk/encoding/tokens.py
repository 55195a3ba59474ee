"""Tokens that are vectors of an encoder: the same input for a Q-network in every space.

In: a space, a ``FrozenEncoder``. Out: a ``TokenTable`` of a listed space, or ``EncodedTokens``, which makes
the same tokens when they are asked for. Next: ``archwalk.envs`` shows them.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archwalk.encoding.frozen import FrozenEncoder
from archwalk.spaces.base import Codes, ListedSpace, SearchSpace
from archwalk.spaces.index import CodeIndex
from archwalk.spaces.tokens import TokenTable

KEPT = 2**17  # vectors of an open space that are kept, then begun anew


def encoded_table(space: ListedSpace, encoder: FrozenEncoder, rows: np.ndarray | None = None) -> TokenTable:
    """A vector an architecture, float32.

    Args:
        space: the space.
        encoder: makes the vectors.
        rows: indices of the architectures to encode, in order; all of them by default.
    """
    codes = space.codes if rows is None else space.codes[rows]
    vectors = encoder.vectors(space, codes.astype(np.int16))
    n = len(vectors)
    return TokenTable(vectors, torch.arange(n), torch.ones(n, dtype=torch.long), "encoded")


class EncodedTokens:
    """Vectors of any space's architectures, made when they are first asked for.

    Args:
        space: the space.
        encoder: makes the vectors.
    """

    random = False

    def __init__(self, space: SearchSpace, encoder: FrozenEncoder) -> None:
        self.space, self._encoder, self.features = space, encoder, encoder.width
        self._forget()

    def _forget(self) -> None:
        self._index = CodeIndex(len(self.space.slot_sizes))
        self._vectors = np.zeros((1_024, self.features), dtype=np.float32)

    def encode(self, codes: Codes, u: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """One vector each, [n, width]; a row of padding gets zeros.

        Args:
            codes: [n, slots].
            u: not used.
        """
        tokens = np.zeros((len(codes), self.features), dtype=np.float32)
        real = np.flatnonzero((codes >= 0).any(1))
        if len(self._index) > KEPT:
            self._forget()
        before = len(self._index)
        ids = self._index.add(codes[real])
        new = len(self._index)
        if new > before:
            if new > len(self._vectors):
                more = np.zeros((max(new, len(self._vectors)), self.features), dtype=np.float32)
                self._vectors = np.concatenate([self._vectors, more])
            met = self._index.codes[before:new]
            self._vectors[before:new] = self._encoder.vectors(self.space, met).numpy()
        tokens[real] = self._vectors[ids]
        return tokens

    def fresh(self) -> EncodedTokens:
        """The same with nothing kept."""
        return EncodedTokens(self.space, self._encoder)

    def state_dict(self) -> dict[str, Tensor]:
        """The vectors kept. The last bits of a vector depend on what it was computed with, so that a run
        which goes on needs the very same."""
        return {
            "token_codes": torch.from_numpy(self._index.state()),
            "token_vectors": torch.from_numpy(self._vectors[: len(self._index)].copy()),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        self._forget()
        self._index.load(state["token_codes"].numpy())
        self._vectors = state["token_vectors"].numpy().copy()
