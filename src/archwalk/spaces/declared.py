"""``DeclaredSpace``: slots with conditions and forbidden combinations, as a user declares them.

In: a ``Declaration``. Out: a ``SearchSpace`` of any size; where it is small, ``listing`` gives the same
architectures as a ``ListedSpace``, for tables. Next: ``registry`` finds both by name, file or object.

Edits. A categorical slot takes any other choice; an ordinal or integer slot goes one step up or down. Slots
that exist before and after keep their choices. Where the edit makes other slots appear or vanish, all choices
of those that appear give neighbours, whatever stood in those that vanish: so neighbourhood is mutual, and no
tuned child keeps its parent from changing. Where that could be more than ``MAX_COMPLETIONS`` in either
direction, slots appear at their first choice and vanish only from there, which is mutual too.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import ArchitectureError, SpaceError, unknown
from archwalk.spaces.base import PAD, Code, Codes, Graph, Graphs, ListedSpace, SearchSpace
from archwalk.spaces.counting import Counting, TooManyStates
from archwalk.spaces.declaration import Among, Choice, Declaration, Slot, read_declaration, text_of

MAX_COMPLETIONS = 32
MAX_LISTED = 100_000
_TRIES = 1_000_000  # draws in a row that may be forbidden before sampling gives up
_BLOCK = 1 << 14  # candidate edits worked on at once, which fit a cache


class DeclaredSpace(SearchSpace):
    """A space of named slots.

    An architecture is written ``slot=choice,slot=choice,...``: slots in the order of the declaration, absent
    ones left out. Two different architectures are taken to compute different functions; the graph is the
    chain of the present slots.

    Args:
        declaration: checked, from ``load_declaration`` or ``read_declaration``; or slots, slot → ``Slot``, a
            table of its fields or a list of categorical choices.
        forbidden: with slots: combinations, slot → a choice or several.
        name: with slots: of the space.

    Attributes:
        declaration: what was declared.
        uniform: whether ``sample`` is uniform over the architectures. Where forbidden combinations tie so
            many slots together that they cannot be counted, it is: drawn without regard to them and thrown
            away if forbidden, which is uniform too, but slow where few are left; ``size`` is None then, and
            ``most`` the number without them.
        most: an upper bound of ``size``, equal to it where it is known.

    Raises:
        SpaceError: a declaration that contradicts itself, or leaves a single architecture or none.
    """

    def __init__(
        self,
        declaration: Declaration | Mapping[str, Slot | Mapping[str, Any] | Sequence[Choice]],
        *,
        forbidden: Sequence[Mapping[str, Choice | Sequence[Choice]]] = (),
        name: str = "declared",
    ) -> None:
        if not isinstance(declaration, Declaration):
            declaration = read_declaration({"name": name, "slots": declaration, "forbidden": forbidden})
        self.declaration = declaration
        self.name = declaration.name
        self.slot_sizes = tuple(map(len, declaration.choices))
        named = zip(declaration.slots, declaration.texts, strict=True)
        self.vocabulary = ("input", "output", *(f"{slot}={text}" for slot, texts in named for text in texts))
        wide = len(self.vocabulary) > np.iinfo(np.int16).max
        self._starts: NDArray[np.signedinteger[Any]] = np.cumsum([2, *self.slot_sizes[:-1]]).astype(
            np.int32 if wide else np.int16
        )
        self._place = [{text: v for v, text in enumerate(texts)} for texts in declaration.texts]
        self._parents = [self._allowing(parents) for parents in declaration.when]
        self._rows = [self._allowing(row) for row in declaration.forbidden]
        self._count()
        self._plan_edits()
        weights = self._edit_counts
        self.max_neighbours = self._counting.largest(lambda s: weights[s])
        self.max_nodes = 2 + self._counting.largest(lambda s: np.ones(self.slot_sizes[s], dtype=np.int64))
        self._check_edits()

    def _allowing(self, among: Among) -> list[tuple[int, NDArray[np.bool_]]]:
        """Slot by slot, which choices fulfil a condition or combination, [choices + 1]; absent is last."""
        tables = []
        for s, some in among.items():
            allowed = np.zeros(self.slot_sizes[s] + 1, dtype=np.bool_)
            allowed[list(some)] = True
            tables.append((s, allowed))
        return tables

    # ---- how many, and which

    def _count(self) -> None:
        d = self.declaration
        try:
            self._counting = Counting(self.slot_sizes, d.when, d.forbidden)
            self.size = self.most = self._counting.size
        except TooManyStates:
            try:
                self._counting = Counting(self.slot_sizes, d.when, ())
            except TooManyStates:
                raise SpaceError(
                    "conditions that can be counted", "slots with too many parents", "drop some conditions"
                ) from None
            self.size, self.most = None, self._counting.size
        if self.size == 0:
            raise SpaceError(
                f"an architecture left in the space {self.name!r}",
                f"none under {len(d.forbidden)} forbidden combinations",
                "drop some of them",
            )
        for s in self._counting.never():
            raise SpaceError(
                f"slot {d.slots[s]!r} in some architecture",
                f"a slot that never exists: {d.words(d.when[s]) or 'always'} is not to be had",
                "correct its condition or the forbidden combinations, or leave it out",
            )
        if self.size == 1:
            raise SpaceError(
                f"at least two architectures in the space {self.name!r}", "a single one", "add a choice"
            )

    def _check_edits(self) -> None:
        """Forbidden combinations may leave architectures, but no way from one to another."""
        if not self.declaration.forbidden or (self.size is not None and self.size > 1_000):
            return
        some = self._list() if self.size is not None else self.sample(100, np.random.default_rng(0))
        if (self.neighbours(some)[:, 0, :] == PAD).all():
            raise SpaceError(
                f"an edit that leads from one architecture of the space {self.name!r} to another",
                "forbidden combinations that cut them all off",
                "drop some of them, or make ordinal slots categorical",
            )

    def sample(self, n: int, generator: np.random.Generator) -> Codes:
        """Drawn independently and uniformly over all architectures, [n, slots].

        Raises:
            SpaceError: not counted, and a million draws in a row are forbidden.
        """
        if self.size is not None:
            return self._counting.sample(n, generator)
        kept: list[Codes] = []
        missing, in_vain = n, 0
        while missing > 0:
            drawn = self._counting.sample(max(256, missing), generator)
            good = drawn[~self._forbidden(drawn)][:missing]
            in_vain = 0 if len(good) else in_vain + len(drawn)
            if in_vain >= _TRIES:
                raise SpaceError(
                    f"an architecture of the space {self.name!r} among random ones",
                    f"{in_vain:,} that are forbidden",
                    "drop some forbidden combinations, or write them as conditions",
                )
            kept.append(good)
            missing -= len(good)
        return np.concatenate(kept) if kept else np.empty((0, len(self.slot_sizes)), dtype=np.int16)

    def _forbidden(self, codes: Codes) -> NDArray[np.bool_]:
        """Whether a forbidden combination holds, [n]."""
        bad = np.zeros(len(codes), dtype=np.bool_)
        for row in self._rows:
            holds = np.ones(len(codes), dtype=np.bool_)
            for s, allowed in row:
                holds &= allowed[codes[:, s]]
            bad |= holds
        return bad

    def contains(self, codes: Codes) -> NDArray[np.bool_]:
        """Whether codes are architectures of the space, [n]."""
        sizes = np.array(self.slot_sizes)
        good = np.all((codes >= PAD) & (codes < sizes), axis=1)
        inside = np.where(good[:, None], codes, PAD)
        for s, parents in enumerate(self._parents):
            exists = np.ones(len(codes), dtype=np.bool_)
            for p, allowed in parents:
                exists &= allowed[inside[:, p]]
            good &= exists == (inside[:, s] >= 0)
        return good & ~self._forbidden(inside)

    def listing(self) -> ListedSpace | None:
        """The same architectures as a listed space, in lexicographic order of the codes; None where too many.

        At most ``MAX_LISTED`` architectures and 127 choices a slot.
        """
        small = self.size is not None and self.size <= MAX_LISTED and max(self.slot_sizes) <= 127
        return self._listing if small else None

    @cached_property
    def _listing(self) -> ListedSpace:
        return ListedDeclaredSpace(self)

    def _list(self) -> Codes:
        codes = np.full((1, len(self.slot_sizes)), PAD, dtype=np.int16)
        done: set[int] = set()
        for s in self.declaration.order:
            exists = np.ones(len(codes), dtype=np.bool_)
            for p, allowed in self._parents[s]:
                exists &= allowed[codes[:, p]]
            times = np.where(exists, self.slot_sizes[s], 1)
            codes = np.repeat(codes, times, axis=0)
            within = np.arange(len(codes)) - np.repeat(np.cumsum(times) - times, times)
            codes[:, s] = np.where(np.repeat(exists, times), within, PAD)
            done.add(s)
            if any(s in row and done >= row.keys() for row in self.declaration.forbidden):
                codes = codes[~self._forbidden(codes)]  # PAD, not reached yet, fulfils no combination
        return codes[np.lexsort(codes.T[::-1])]

    # ---- edits

    def _plan_edits(self) -> None:
        """Tables over slots and over classes of their choices, which are what a slot's children tell apart.

        ``_fillings`` says of an edit from one class to another how many ways there may be to fill the slots
        that appear: 0 where no other slot is touched, -1 where they can only take their first choices.
        """
        d = self.declaration
        fillings: list[NDArray[np.int64]] = []
        classes: list[NDArray[np.int64]] = []
        self._edit_counts: list[NDArray[np.int64]] = []
        for s, size in enumerate(self.slot_sizes):
            asked = [set(parents[s]) for parents in d.when if s in parents]
            signs: dict[tuple[bool, ...], int] = {}
            of = [signs.setdefault(tuple(v in some for some in asked), len(signs)) for v in range(size)]
            one_of = [of.index(c) for c in range(len(signs))]
            table = [[0 if a == b else self._ways(s, a, b) for b in one_of] for a in one_of]
            fillings.append(np.array(table))
            classes.append(np.array(of))
            self._edit_counts.append(self._edits_of(s, classes[-1], np.maximum(1, fillings[-1])))
        self._children = [s for s in d.order if d.when[s]]
        self._fillings = np.concatenate([table.ravel() for table in fillings])
        self._fillings_at = np.cumsum([0, *(table.size for table in fillings[:-1])])
        self._class_count = np.array([len(table) for table in fillings])
        self._class = np.concatenate(classes)
        self._class_at = np.cumsum([0, *self.slot_sizes[:-1]])
        kinds = np.array(d.kinds)
        alternatives = np.where(kinds == "categorical", np.array(self.slot_sizes) - 1, 2)
        self._edit_slot = np.repeat(np.arange(len(kinds)), alternatives)
        within = np.concatenate([np.arange(k) for k in alternatives])
        self._edit_any = (kinds == "categorical")[self._edit_slot]
        # the k-th choice that is not the present one; or one step down, one up
        self._edit_by: Codes = np.where(self._edit_any, within, 2 * within - 1).astype(np.int16)
        self._edit_size = np.array(self.slot_sizes)[self._edit_slot]

    def _edits_of(self, s: int, of: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """At most how many edits of a slot there are, a choice, [choices]."""
        if self.declaration.kinds[s] == "categorical":
            return (counts[of] * np.bincount(of, minlength=len(counts))).sum(1) - 1
        edits = np.zeros(len(of), dtype=np.int64)
        edits[:-1] += counts[of[:-1], of[1:]]
        edits[1:] += counts[of[1:], of[:-1]]
        return edits

    def _ways(self, s: int, a: int, b: int) -> int:
        """The entry of ``_fillings`` for a step of slot ``s`` from choice ``a`` to ``b``."""
        when = self.declaration.when
        touched: list[int] = []  # slots that may appear or vanish
        under: dict[int, set[int]] = {a: set(), b: set()}  # those of them that may exist on one side
        for t in self.declaration.order:
            parents = when[t]
            here = {v: s not in parents or v in parents[s] for v in (a, b)}
            through = [p for p in parents if p in touched]
            if not any(here.values()) or (here[a] == here[b] and not through):
                continue
            touched.append(t)
            for v in (a, b):
                if here[v] and under[v].issuperset(through):
                    under[v].add(t)
        ways = {v: prod(self.slot_sizes[t] for t in under[v]) for v in (a, b)}
        return 0 if not touched else ways[b] if max(ways.values()) <= MAX_COMPLETIONS else -1

    def neighbours(self, codes: Codes) -> NDArray[np.int16]:
        """All architectures one edit away, [n, K, slots]; padding at the end.

        In order of the slot edited, then its new choice; the choices of slots that appear come last.
        """
        around = np.full((len(codes), self.max_neighbours, codes.shape[1]), PAD, dtype=np.int16)
        block = max(1, _BLOCK // len(self._edit_slot))
        for start in range(0, len(codes), block):
            self._edit(codes[start : start + block], around[start : start + block])
        return around

    def _edit(self, codes: Codes, out: NDArray[np.int16]) -> None:
        old = codes[:, self._edit_slot]
        past: Codes = (self._edit_by >= old).astype(np.int16)
        new: Codes = self._edit_by + np.where(self._edit_any, past, old)
        rows, edits = np.nonzero((old >= 0) & (new >= 0) & (new < self._edit_size))
        slots, old, new = self._edit_slot[edits], old[rows, edits], new[rows, edits]
        filling: NDArray[np.int64] | None = None
        if self._children:
            first = self._class_at[slots]
            cell = self._class[first + old] * self._class_count[slots] + self._class[first + new]
            ways = self._fillings[self._fillings_at[slots] + cell]
            times = np.maximum(1, ways)
            filling = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
            rows, slots, new, ways = (np.repeat(part, times) for part in (rows, slots, new, ways))
        found = codes[rows]
        found[np.arange(len(rows)), slots] = new
        if filling is not None:
            touching = np.flatnonzero(ways)
            good = np.ones(len(rows), dtype=np.bool_)
            good[touching], found[touching] = self._filled(
                found[touching], filling[touching], ways[touching] < 0
            )
            rows, found = rows[good], found[good]
        if self._rows:
            good = ~self._forbidden(found)
            rows, found = rows[good], found[good]
        counts = np.bincount(rows, minlength=len(codes))
        out[rows, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)] = found

    def _filled(
        self, codes: Codes, filling: NDArray[np.int64], anchored: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], Codes]:
        """Edited codes with the slots that appear filled in and those that vanish gone.

        Args:
            codes: with the edited slot's new choice, all others as before, [m, slots].
            filling: the choices in slots that appear, as the digits of one number, [m]; the number of digits
                and their bases are those of the slots that do appear.
            anchored: slots may vanish from their first choice only, [m].

        Returns:
            Whether the digits fit and nothing vanished that must not, [m]; the codes.
        """
        columns = np.ascontiguousarray(codes.T)
        good = np.ones(len(codes), dtype=np.bool_)
        for t in self._children:
            exists = np.ones(len(codes), dtype=np.bool_)
            for p, allowed in self._parents[t]:
                exists &= allowed[columns[p]]
            column = columns[t]
            vanishing = (column > 0) & ~exists
            good &= ~(vanishing & anchored)
            appears = np.flatnonzero(exists & (column < 0))
            column[~exists] = PAD
            filling[appears], column[appears] = np.divmod(filling[appears], self.slot_sizes[t])
        return good & (filling == 0), columns.T

    # ---- strings, values, graphs

    def parse(self, text: str) -> Code:
        """Read ``slot=choice,slot=choice,...``; the code has -1 for an absent slot."""
        values: dict[str, str] = {}
        for part in text.split(","):
            slot, equals, choice = part.partition("=")
            if not equals or slot in values:
                raise self._stranger(text, "slot=choice,slot=choice,...")
            values[slot] = choice
        code = self.encode(values)
        if self.format(code) != text:
            raise ArchitectureError(
                f"the slots of {self.name!r} in their order", repr(text), f"write {self.format(code)!r}"
            )
        return code

    def encode(self, values: Mapping[str, object]) -> Code:
        """The code of choices by slot; choices are compared as text. The inverse of ``values``.

        Raises:
            ArchitectureError: an unknown slot or choice, a slot missing or there against its condition, or
                a forbidden combination.
        """
        d = self.declaration
        texts = {slot: text_of(choice) for slot, choice in values.items()}
        for slot in texts:
            if slot not in d.slots:
                raise ArchitectureError(*unknown(f"slot of the space {self.name!r}", slot, d.slots))
        code = [PAD] * len(d.slots)
        for s in d.order:
            slot = d.slots[s]
            exists = all(code[p] in some for p, some in d.when[s].items())
            if exists != (slot in texts):
                under = f" under {d.words(d.when[s])}" if d.when[s] else ""
                raise ArchitectureError(
                    f"{'a choice of' if exists else 'no'} slot {slot!r} of the space {self.name!r}"
                    + (under if exists else f" except{under}"),
                    _written(texts),
                    f"add {slot}=..." if exists else f"leave {slot!r} out",
                )
            if exists:
                if texts[slot] not in self._place[s]:
                    what = f"choice of slot {slot!r} of the space {self.name!r}"
                    raise ArchitectureError(*unknown(what, texts[slot], d.texts[s]))
                code[s] = self._place[s][texts[slot]]
        for row in d.forbidden:
            if all(code[s] in some for s, some in row.items()):
                raise ArchitectureError(
                    f"an architecture of the space {self.name!r}, which forbids {d.words(row)}",
                    _written(texts),
                    "change one of these slots",
                )
        return tuple(code)

    def format(self, code: Sequence[int]) -> str:
        """Write ``slot=choice,slot=choice,...``."""
        d = self.declaration
        return ",".join(f"{d.slots[s]}={d.texts[s][v]}" for s, v in enumerate(code) if v >= 0)

    def values(self, code: Sequence[int]) -> dict[str, Choice]:
        """The choices by slot, of the types declared; absent slots left out."""
        d = self.declaration
        return {d.slots[s]: d.choices[s][v] for s, v in enumerate(code) if v >= 0}

    def canonical(self, code: Sequence[int]) -> Hashable:
        """The code itself."""
        return tuple(code)

    def graph(self, code: Sequence[int]) -> Graph:
        """A chain: input, one node a present slot, output."""
        nodes = [int(self._starts[s]) + v for s, v in enumerate(code) if v >= 0]
        operations = (0, *nodes, 1)
        return Graph(operations, tuple(pairwise(range(len(operations)))))

    def graphs(self, codes: Codes) -> Graphs:
        """``graph`` of many, as arrays."""
        n, v = len(codes), self.max_nodes
        present = codes >= 0
        nodes = present.sum(1) + 2
        operations: Any = np.full((n, v), -1, dtype=self._starts.dtype)
        operations[:, 0] = 0
        operations[np.arange(n), nodes - 1] = 1
        rows, slots = np.nonzero(present)
        place = (np.cumsum(present, axis=1) * present)[rows, slots]
        operations[rows, place] = codes[rows, slots] + self._starts[slots]
        edge = np.arange(v - 1)
        adjacency = np.zeros((n, v, v), dtype=np.uint8)
        adjacency[:, edge, edge + 1] = edge + 1 < nodes[:, None]
        return Graphs(nodes.astype(np.int64), operations, adjacency)

    def describe(self) -> dict[str, Any]:
        """Name and declaration."""
        return {"name": self.name, "declaration": self.declaration.plain()}

    def __repr__(self) -> str:
        size = f"at most {self.most:,}" if self.size is None else f"{self.size:,}"
        return f"<{type(self).__name__} {self.name}: {size} architectures>"


class ListedDeclaredSpace(ListedSpace):
    """A declared space whose architectures are listed: same codes, strings and neighbours.

    Args:
        space: of at most ``MAX_LISTED`` architectures.
    """

    def __init__(self, space: DeclaredSpace) -> None:
        self.space = space
        self.name, self.vocabulary, self.max_nodes = space.name, space.vocabulary, space.max_nodes
        self.slot_sizes = space.slot_sizes

    @cached_property
    def codes(self) -> NDArray[np.int8]:
        """Every architecture in lexicographic order, absent slots first, [architectures, slots]."""
        return self.space._list().astype(np.int8)

    def neighbour_table(self) -> NDArray[np.int32]:
        """``DeclaredSpace.neighbours`` as indices."""
        around = self.space.neighbours(self.codes.astype(np.int16)).astype(np.int8)
        there = (around >= 0).any(2)
        table = np.full(there.shape, PAD, dtype=np.int32)
        table[there] = self.positions(around[there].astype(np.int16))
        return np.ascontiguousarray(table[:, : int(there.sum(1).max())])

    def parse(self, text: str) -> Code:
        """Read ``slot=choice,slot=choice,...``."""
        return self.space.parse(text)

    def format(self, code: Sequence[int]) -> str:
        """Write ``slot=choice,slot=choice,...``."""
        return self.space.format(code)

    def values(self, code: Sequence[int]) -> dict[str, Choice]:
        """The choices by slot."""
        return self.space.values(code)

    def canonical(self, code: Sequence[int]) -> Hashable:
        """The code itself."""
        return self.space.canonical(code)

    def graph(self, code: Sequence[int]) -> Graph:
        """The chain of present slots."""
        return self.space.graph(code)

    def graphs(self, codes: Codes) -> Graphs:
        """``graph`` of many, as arrays."""
        return self.space.graphs(codes)

    def describe(self) -> dict[str, Any]:
        """Name and declaration."""
        return self.space.describe()


def _written(texts: Mapping[str, str]) -> str:
    return repr(",".join(f"{slot}={text}" for slot, text in texts.items()))
