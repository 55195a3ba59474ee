"""``ListedProblem``: a search problem whose architectures stand in a table, so that all can be compared at
once.

In: a space that can be listed, measured source tasks, trained agents' opinions. Out: a ``Problem`` whose ids
are rows. Next: ``open.make_problem`` chooses between this and an open problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwalk.searching.experience.source import Source
from archwalk.searching.problem import Floats, Ints, Problem, one_hot
from archwalk.spaces.base import ListedSpace, restrict_neighbours


class ListedProblem(Problem):
    """Architectures in a table; ids are its rows.

    Attributes:
        architectures: their strings.
        tables: the three views, each [N, S]: the first member of the canonical group, the code without slots
            that no signal passes, the code.
        edits: indices one edit away, [N, K], -1 where there are fewer.
        groups: ``keys`` of all, [N]. When a network is really trained, one evaluation serves its canonical
            group. In a table every architecture was measured by itself, but those of a group which all
            sources that know the whole table measured alike are taken to be one network.
    """

    listed = True
    views = 3

    def __init__(
        self,
        space: ListedSpace,
        architectures: tuple[str, ...],
        tables: tuple[Ints, Ints, Ints],
        edits: Ints,
        groups: Ints,
    ) -> None:
        super().__init__()
        self.space, self.architectures, self.tables = space, architectures, tables
        self.edits, self.groups = edits, groups
        self.encodings: dict[tuple[int, ...], Any] = {}  # of ``gp.beliefs``, by the sources
        self.computed: dict[str, Any] = {}  # of all architectures, by methods, under a name
        self._kept: tuple[dict[int, NDArray[np.uint8]], ...] = tuple({} for _ in tables)

    def __len__(self) -> int:
        return len(self.architectures)

    def sample(self, n: int, generator: np.random.Generator) -> Ints:
        """Uniform over all, [n]."""
        return generator.integers(len(self), size=n)

    def neighbours(self, ids: Ints) -> Ints:
        """Ids one edit away, [n, K], -1 where there are fewer."""
        return self.edits[ids]

    def codes(self, ids: Ints) -> Ints:
        """Slot values, [n, S]."""
        return self.tables[2][ids]

    def view(self, which: int, ids: Ints) -> Ints:
        """Slot values by one of the three views, [n, S]."""
        return self.tables[which][ids]

    def distances(self, view: int, rows: Ints, columns: Ints | None = None) -> NDArray[np.uint8]:
        """Slots in which architectures differ, [rows, columns]; rows are kept once computed."""
        kept, table = self._kept[view], self.tables[view]
        for row in rows.tolist():
            if row not in kept:
                kept[row] = (table != table[row]).sum(1).astype(np.uint8)
        found = np.stack([kept[row] for row in rows.tolist()])
        return found if columns is None else found[:, columns]

    def one_hot(self, ids: Ints | None = None) -> Floats:
        """The view without dead slots, one column a slot and choice, [n, F]."""
        return self._one_hot if ids is None else self._one_hot[ids]

    @cached_property
    def _one_hot(self) -> Floats:
        return one_hot(self.tables[1])

    @cached_property
    def code_one_hot(self) -> Floats:
        """``codes`` of all with one column a slot and choice, [N, F]."""
        return one_hot(self.tables[2])

    def keys(self, ids: Ints) -> Ints:
        """``groups`` of some, [n]."""
        return self.groups[ids]

    def key_text(self, index: int) -> str:
        """The first architecture with the same key."""
        return self.architectures[int(np.argmax(self.groups == self.groups[index]))]

    @cached_property
    def _position(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.architectures)}

    def ids(self, texts: Iterable[str]) -> Ints:
        """Rows of architecture strings, [texts]."""
        try:
            return np.array([self._position[text] for text in texts], dtype=np.int64)
        except KeyError as error:
            raise self._stranger(error.args[0]) from None

    def locate(self, codes: NDArray[np.int16]) -> Ints:
        """Rows of codes, [n, S] → [n]; -1 for those that are not in the table."""
        place = self._place
        return np.array([place.get(code, -1) for code in map(tuple, codes.tolist())], dtype=np.int64)

    def with_experience(self, experience: Iterable[Source]) -> Problem:
        """The same problem with other experience; the places of codes are looked up by both alike."""
        _ = self._place  # once, not once a copy: searches of several tasks copy at every suggestion
        return super().with_experience(experience)

    @cached_property
    def _place(self) -> dict[tuple[int, ...], int]:
        return {code: i for i, code in enumerate(map(tuple, self.tables[2].tolist()))}

    def text(self, index: int) -> str:
        """The string of an architecture."""
        return self.architectures[index]


def list_problem(
    space: ListedSpace,
    rows: Ints | None = None,
    measured_apart: bool = True,
    experience: Sequence[Source] = (),
) -> ListedProblem:
    """``make_problem`` of a space that can be listed, whatever its size."""
    rows = np.arange(len(space)) if rows is None else rows
    codes = space.codes[rows].astype(np.int64)
    live = np.full_like(codes, -1)
    for out, code in zip(live, codes.tolist(), strict=True):
        present = space.live_code([v for v in code if v >= 0])
        out[: len(present)] = present
    groups = space.canonical_groups()
    _, first = np.unique(groups, return_index=True)
    canonical = space.codes[first[groups[rows]]].astype(np.int64)
    problem = ListedProblem(
        space,
        architectures=tuple(space.architectures[i] for i in rows.tolist()),
        tables=(canonical, live, codes),
        edits=restrict_neighbours(space.neighbour_table(), rows).astype(np.int64),
        groups=groups[rows],
    )
    problem.experience = tuple(experience)
    if measured_apart:
        tasks = [source for source in experience if not source.column]
        said = [whole(problem, problem.locate(source.codes), source.values) for source in tasks]
        tables = [table for table in said if table is not None]
        alike = np.stack([problem.groups, *tables], 1) if tables else np.arange(len(rows))[:, None]
        problem.groups = np.unique(alike, axis=0, return_inverse=True)[1].ravel()
    return problem


def whole(problem: Problem, ids: Ints, values: Floats) -> Floats | None:
    """Values in the order of the problem's ids, [N]; None if they are not of all its architectures.

    Args:
        problem: of N architectures, if it is listed.
        ids: what the values are of, [n]; -1 for what is none of the problem's.
        values: [n].
    """
    if not problem.listed or len(ids) < len(problem):
        return None
    found = np.full(len(problem), np.nan)
    found[ids[ids >= 0]] = values[ids >= 0]
    return None if np.isnan(found).any() else found
