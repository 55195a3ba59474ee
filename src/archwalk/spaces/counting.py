"""``Counting``: how many architectures slots, conditions and forbidden combinations leave; uniform samples.

In: slot sizes, conditions, forbidden combinations. Out: the exact number, samples, and the largest sum of
weights of an architecture. Next: ``declared`` asks for all three.

Slots that no condition or forbidden combination ties together are independent. Within a group that is tied, a
dynamic programme goes through the slots, parents first; its state is the choices so far that a later slot or
combination still asks for, where choices that nobody tells apart count as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

MAX_STATES = 50_000  # of all groups together; a second or so
ABSENT = -1

Among = Mapping[int, tuple[int, ...]]
State = tuple[int, ...]
_Tables = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]


class TooManyStates(Exception):
    """Counting this exactly would take too long."""


@dataclass(frozen=True)
class _Option:
    choice: int  # a class of choices, or ABSENT
    ways: int  # choices in it
    after: int  # index of the state that follows


@dataclass(frozen=True)
class _Step:
    """One slot of a group: what may follow each state, and how many ways lead on from there."""

    slot: int
    options: list[list[_Option]]  # of each state before the slot
    ways: list[int]  # of each state before the slot, to fill this slot and all later ones


class Counting:
    """The architectures of some slots.

    Args:
        sizes: choices of each slot.
        when: of each slot, its parents and the choices of them under which it exists.
        forbidden: combinations of choices that are left out; slots of one must all exist for it to hold.

    Raises:
        TooManyStates: the slots are tied together too densely.
    """

    def __init__(self, sizes: Sequence[int], when: Sequence[Among], forbidden: Sequence[Among]) -> None:
        self._sizes, self._when, self._forbidden = tuple(sizes), when, forbidden
        self._members = [_classes(s, size, when, forbidden) for s, size in enumerate(sizes)]
        self._class_of = [
            {v: c for c, members in enumerate(several) for v in members} for several in self._members
        ]
        groups = _groups(len(sizes), [{s: (), **parents} for s, parents in enumerate(when)] + [*forbidden])
        tied = {s for row in forbidden for s in row}
        self._free = tuple(g[0] for g in groups if len(g) == 1 and g[0] not in tied)
        self._states = 0
        self._kept: dict[tuple[int, int], _Tables] = {}
        self._groups = [self._steps(g) for g in groups if len(g) > 1 or g[0] in tied]
        self.size = prod(sizes[s] for s in self._free) * prod(steps[0].ways[0] for steps in self._groups)

    def _steps(self, group: Sequence[int]) -> list[_Step]:
        order = self._order(group)
        steps: list[_Step] = []
        states: dict[State, int] = {(): 0}
        live: tuple[int, ...] = ()
        for k, s in enumerate(order):
            later, known = order[k + 1 :], {*order[: k + 1]}
            asked = {p for t in later for p in self._when[t]}
            asked |= {p for row in self._forbidden if set(row) & set(later) for p in row}
            after_live = tuple(p for p in (*live, s) if p in asked)
            ending = [row for row in self._forbidden if s in row and set(row) <= known]
            after: dict[State, int] = {}
            options: list[list[_Option]] = []
            for state in states:
                here: dict[int, int] = dict(zip(live, state, strict=True))
                options.append([])
                for choice in self._possible(s, here):
                    here[s] = choice
                    if any(self._holds(row, here) for row in ending):
                        continue
                    follows = after.setdefault(tuple(here[p] for p in after_live), len(after))
                    members = 1 if choice == ABSENT else len(self._members[s][choice])
                    options[-1].append(_Option(choice, members, follows))
                    self._states += 1
                if self._states > MAX_STATES:
                    raise TooManyStates
            steps.append(_Step(s, options, []))
            states, live = after, after_live
        ways = [1] * len(states)
        for step in reversed(steps):
            ways = [sum(o.ways * ways[o.after] for o in several) for several in step.options]
            step.ways.extend(ways)
        return steps

    def _order(self, group: Sequence[int]) -> list[int]:
        """Parents first; among what can follow, the slot that leaves the fewest states to remember."""
        ties = [{s, *self._when[s]} for s in group] + [set(row) for row in self._forbidden]
        order: list[int] = []
        left = set(group)

        def remembered(s: int) -> float:
            rest = left - {s}
            open_ = {p for tie in ties if tie & rest for p in tie} - rest
            return prod(len(self._members[p]) + bool(self._when[p]) for p in open_)

        while left:
            able = [s for s in sorted(left) if not left & set(self._when[s])]
            order.append(min(able, key=remembered))
            left.remove(order[-1])
        return order

    def _possible(self, s: int, here: Mapping[int, int]) -> Sequence[int]:
        exists = all(
            here[p] != ABSENT and self._members[p][here[p]][0] in some for p, some in self._when[s].items()
        )
        return range(len(self._members[s])) if exists else (ABSENT,)

    def _holds(self, row: Among, here: Mapping[int, int]) -> bool:
        return all(here[p] != ABSENT and self._members[p][here[p]][0] in some for p, some in row.items())

    def never(self) -> list[int]:
        """Slots that exist in no architecture."""
        dead = []
        for steps in self._groups:
            ends = [*(step.ways for step in steps[1:]), None]
            for step, ways in zip(steps, ends, strict=True):
                alive = any(
                    o.choice != ABSENT and (ways is None or ways[o.after])
                    for several in step.options
                    for o in several
                )
                dead += [] if alive else [step.slot]
        return dead

    def largest(self, weight: Callable[[int], NDArray[np.int64]]) -> int:
        """The largest sum over the slots of an architecture, of weights of slot and choice.

        Args:
            weight: slot → a weight of at least 0 for each choice, [choices].
        """
        total = sum(int(weight(s).max()) for s in self._free)
        for steps in self._groups:
            best: list[int] | None = None
            ahead: list[int] | None = None
            for step in reversed(steps):
                w = weight(step.slot)
                top = [int(w[list(members)].max()) for members in self._members[step.slot]]
                best = [
                    max(
                        (
                            (0 if o.choice == ABSENT else top[o.choice]) + (best[o.after] if best else 0)
                            for o in several
                            if ahead is None or ahead[o.after]
                        ),
                        default=0,
                    )
                    for several in step.options
                ]
                ahead = step.ways
            total += best[0] if best else 0
        return total

    def sample(self, n: int, generator: np.random.Generator) -> NDArray[np.int16]:
        """Uniform, independent draws, [n, slots]; -1 where a slot is absent. ``size`` must not be 0."""
        codes = generator.integers(0, self._sizes, size=(n, len(self._sizes))).astype(np.int16)
        for g, steps in enumerate(self._groups):
            state = np.zeros(n, dtype=np.int64)
            u = generator.random((len(steps), n))
            for k, step in enumerate(steps):
                upto, follows, choice = self._tables(g, k)
                option = (u[k][:, None] >= upto[state]).sum(1)
                picked = choice[state, option]
                codes[:, step.slot] = self._within(step.slot, picked, generator)
                state = follows[state, option]
        return codes

    def _within(self, s: int, picked: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int16]:
        counts = np.array([*map(len, self._members[s]), 1])  # the last stands for ABSENT
        members = np.array([*(v for several in self._members[s] for v in several), ABSENT])
        starts = np.cumsum([0, *counts[:-1]])
        return members[starts[picked] + generator.integers(0, counts[picked])].astype(np.int16)

    def _tables(self, group: int, k: int) -> _Tables:
        """Of a step: cumulated probabilities of the options of each state, what follows, their classes."""
        if (group, k) in self._kept:
            return self._kept[group, k]
        steps = self._groups[group]
        step = steps[k]
        ahead = steps[k + 1].ways if k + 1 < len(steps) else None
        shape = (len(step.options), max(1, *map(len, step.options)))
        upto = np.full(shape, 2.0)
        follows = np.zeros(shape, dtype=np.int64)
        choice = np.full(shape, ABSENT, dtype=np.int64)
        for i, several in enumerate(step.options):
            seen = 0
            for j, option in enumerate(several):
                seen += option.ways * (ahead[option.after] if ahead else 1)
                # integers beyond 2^1024 divide exactly; 1 would let a draw that rounds up pass the last
                upto[i, j] = seen / step.ways[i] if seen < step.ways[i] else 2.0
                follows[i, j], choice[i, j] = option.after, option.choice
        self._kept[group, k] = upto, follows, choice
        return self._kept[group, k]


def _classes(
    s: int, size: int, when: Sequence[Among], forbidden: Sequence[Among]
) -> tuple[tuple[int, ...], ...]:
    """A slot's choices, grouped where no condition and no forbidden combination tells them apart."""
    told_apart = [set(row[s]) for row in [*when, *forbidden] if s in row]
    classes: dict[tuple[bool, ...], list[int]] = {}
    for v in range(size):
        classes.setdefault(tuple(v in some for some in told_apart), []).append(v)
    return tuple(tuple(members) for members in classes.values())


def _groups(slots: int, ties: Sequence[Mapping[int, object]]) -> list[list[int]]:
    """Slots that ties connect, directly or not."""
    group = list(range(slots))
    for tie in ties:
        joined = {group[s] for s in tie}
        lowest = min(joined)
        group = [lowest if g in joined else g for g in group]
    return [[s for s in range(slots) if group[s] == g] for g in sorted(set(group))]
