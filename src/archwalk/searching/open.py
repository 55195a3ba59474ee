"""``OpenProblem``: a search problem in a space that nobody lists; ``make_problem``: the problem of any space.

In: a space. Out: a ``Problem`` that gives an architecture the next id when it is first met. Next:
``history``, then ``acquisition``, which climbs over neighbours where it cannot compare all.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import ArchitectureError, SearchError
from archwalk.searching.experience.source import Source
from archwalk.searching.listed import list_problem
from archwalk.searching.problem import Floats, Floats32, Ints, Problem
from archwalk.spaces.base import PAD, ListedSpace, SearchSpace
from archwalk.spaces.index import CodeIndex

LISTED = 200_000  # architectures of a space above which values of all take longer than a local search


class OpenProblem(Problem):
    """A space that is met piece by piece: an architecture gets the next id when it is first met.

    Args:
        space: of any size.
        measured_apart: whether architectures that compute the same function have evaluations of their own.
    """

    listed = False
    views = 1

    def __init__(self, space: SearchSpace, *, measured_apart: bool) -> None:
        super().__init__()
        self.space, self._apart = space, measured_apart
        self._index = CodeIndex(len(space.slot_sizes))
        self._keys: dict[int, int] = {}
        self._key_numbers: dict[Hashable, int] = {}
        widths = np.array(space.slot_sizes) + 1
        self._first_column = np.concatenate([[0], np.cumsum(widths)[:-1]]) + 1  # an absent slot's is one less
        self._features = int(widths.sum())

    def __len__(self) -> int:
        """Architectures met so far."""
        return len(self._index)

    def intern(self, codes: NDArray[np.int16]) -> Ints:
        """Ids of codes, [n, S] → [n]; -1 for rows of padding."""
        real = np.flatnonzero((codes != PAD).any(1))
        found = np.full(len(codes), PAD, dtype=np.int64)
        found[real] = self._index.add(codes[real].astype(np.int16))
        return found

    def forget(self, mark: int) -> None:
        """Let go of all ids from ``mark`` on, so that what was only considered takes no room."""
        self._index.truncate(mark)
        for index in [i for i in self._keys if i >= mark]:
            del self._keys[index]

    def sample(self, n: int, generator: np.random.Generator) -> Ints:
        """As the space samples, [n]."""
        return self.intern(self.space.sample(n, generator))

    def neighbours(self, ids: Ints) -> Ints:
        """Ids one edit away, [n, K], -1 where there are fewer."""
        around = self.space.neighbours(self._index.codes[ids])
        return self.intern(around.reshape(-1, around.shape[-1])).reshape(around.shape[:2])

    def codes(self, ids: Ints) -> Ints:
        """Slot values, [n, S]; -1 where a slot is absent."""
        return self._index.codes[ids].astype(np.int64)

    def view(self, which: int, ids: Ints) -> Ints:
        """``codes``: the only view."""
        return self.codes(ids)

    def distances(self, view: int, rows: Ints, columns: Ints | None = None) -> NDArray[np.uint8]:
        """Slots in which architectures differ, [rows, columns]; an absent slot is a choice of its own."""
        columns = np.arange(len(self)) if columns is None else columns
        alike = self._sparse(rows) @ self._sparse(columns).T  # small whole numbers, exact in float32
        return (self._index.codes.shape[1] - alike).astype(np.uint8)

    def _sparse(self, ids: Ints) -> Floats32:
        features = np.zeros((len(ids), self._features), dtype=np.float32)
        at = self._index.codes[ids] + self._first_column
        np.put_along_axis(features, at, np.float32(1), axis=1)
        return features

    def one_hot(self, ids: Ints | None = None) -> Floats:
        """One column a slot and choice, an absent slot being a choice, [n, F]."""
        return self._sparse(np.arange(len(self)) if ids is None else ids).astype(np.float64)

    def keys(self, ids: Ints) -> Ints:
        """The ids themselves, or a number for each canonical key, [n]."""
        if self._apart:
            return ids
        for index in ids.tolist():
            if index not in self._keys:
                key = self.space.canonical(self._code(index))
                self._keys[index] = self._key_numbers.setdefault(key, len(self._key_numbers))
        return np.array([self._keys[i] for i in ids.tolist()], dtype=np.int64)

    def key_text(self, index: int) -> str:
        """The canonical key written out, or the architecture itself."""
        if self._apart:
            return self.text(index)
        return repr(self.space.canonical(self._code(index)))

    def _code(self, index: int) -> list[int]:
        return self._index.codes[index].tolist()

    def ids(self, texts: Iterable[str]) -> Ints:
        """Ids of architecture strings, [texts]."""
        try:
            return self.intern(self.space.rows(texts))
        except ArchitectureError as error:
            raise self._stranger(error.got) from error

    def locate(self, codes: NDArray[np.int16]) -> Ints:
        """Ids of codes, which must be of the space, [n, S] → [n]."""
        return self.intern(codes)

    def text(self, index: int) -> str:
        """The string of an architecture."""
        return self.space.format(self._code(index))


def make_problem(
    space: SearchSpace,
    rows: Ints | None = None,
    *,
    measured_apart: bool,
    experience: Sequence[Source] = (),
) -> Problem:
    """The problem of searching a space, or some of its architectures.

    Args:
        space: of any size; one that cannot be listed, or is larger than ``LISTED``, makes an open problem.
        rows: indices of the architectures to choose from, ascending; all of them by default.
        measured_apart: whether architectures that compute the same function have evaluations of their own.
        experience: what is known of other tasks.

    Raises:
        SearchError: rows, which are a table's, of a space that cannot be listed.
    """
    if isinstance(space, ListedSpace) and (rows is not None or len(space) <= LISTED):
        return list_problem(space, rows, measured_apart, experience)
    if rows is not None:
        raise SearchError(
            "a space that can be listed, for a table of its architectures",
            f"the space {space.name!r}",
            "leave the table out",
        )
    return OpenProblem(space, measured_apart=measured_apart).with_experience(experience)
