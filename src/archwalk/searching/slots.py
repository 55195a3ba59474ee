"""Architectures chosen slot by slot, and methods that learn from one evaluation after the other.

In: a ``Problem``, a ``History``, a rule that picks one of the choices on offer. Out: an architecture that is
not visited. Next: the methods whose policy is a sequence of choices, in ``methods``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from archwalk.searching.history import History
from archwalk.searching.listed import ListedProblem
from archwalk.searching.methods.random import random
from archwalk.searching.open import OpenProblem
from archwalk.searching.problem import Floats, Ints, Mask, Problem

TRIES = 50  # walks in an open space that may end at a visited architecture before a random one is taken
Choose = Callable[[Ints, Ints], int]


def choose_slots(
    problem: Problem, history: History, choose: Choose, generator: np.random.Generator, seed: int
) -> int:
    """An unvisited architecture whose slots are chosen one after the other.

    Of a listed problem a choice is on offer if it leads to an architecture that is not visited. In an open
    space the walk begins at a random architecture and edits slot by slot: on offer is what stands in the slot
    and what one edit puts there without a change of the slots before, so that conditions hold throughout;
    a walk to a visited architecture is repeated.

    Args:
        problem: whose slots.
        history: what is visited; not everything.
        choose: from the choices made so far, [slots before], and those on offer, ascending, -1 being an
            absent slot, to one on offer. Not asked where only one is on offer.
        generator: decides what ``choose`` does not.
        seed: of the method, for a random architecture after ``TRIES`` walks.
    """
    if isinstance(problem, ListedProblem):
        codes, left = problem.tables[2], history.free
        made: list[int] = []
        for slot in range(codes.shape[1]):
            column = codes[left, slot]
            offered = np.flatnonzero(np.bincount(column + 1)) - 1
            made.append(_pick(choose, np.array(made, dtype=np.int64), offered))
            left = left[column == made[-1]]
        return int(left[0])
    assert isinstance(problem, OpenProblem)
    for _ in range(TRIES):
        at = problem.space.sample(1, generator)[0]
        for slot in range(len(at)):
            around = problem.space.neighbours(at[None])[0]
            around = around[(around >= 0).any(1) & (around[:, :slot] == at[:slot]).all(1)]
            offered = np.unique(np.append(around[:, slot], at[slot])).astype(np.int64)
            choice = _pick(choose, at[:slot].astype(np.int64), offered)
            if choice != at[slot]:
                at = generator.choice(around[around[:, slot] == choice])
        mark = len(problem)
        index = problem.intern(at[None])
        if not history.visited(index)[0]:
            return int(index[0])
        problem.forget(mark)
    return random(problem, history, seed)


def _pick(choose: Choose, made: Ints, offered: Ints) -> int:
    return choose(made, offered) if len(offered) > 1 else int(offered[0])


def possible_choices(problem: Problem) -> Mask:
    """Which choices a slot may have, absent first, [slots, choices + 1]; an open space says all of them."""
    widths = np.array(problem.space.slot_sizes) + 1
    mask = np.arange(widths.max()) < widths[:, None]
    if isinstance(problem, ListedProblem):
        mask = np.zeros_like(mask)
        mask[np.arange(len(widths)), problem.tables[2] + 1] = True
    return mask


SAMPLE = 500  # architectures of an open space that say whether a slot may be absent


def choices_of(problem: Problem, history: History) -> list[list[int]]:
    """The choices of each slot for a library that knows independent parameters alone, ascending.

    An absent slot, -1, is a choice where it occurs: in a listed problem, or among the evaluations and a
    sample of an open space.
    """
    possible = possible_choices(problem)
    if isinstance(problem, OpenProblem):
        codes = problem.space.sample(SAMPLE, np.random.default_rng(0))
        absent = (codes < 0).any(0) | (problem.codes(history.indices) < 0).any(0)
        possible[:, 0] = absent
    return [(np.flatnonzero(row) - 1).tolist() for row in possible]


def follow(
    problem: Problem,
    history: History,
    ask: Callable[[], Sequence[int]],
    generator: np.random.Generator,
    seed: int,
) -> int:
    """The unvisited architecture that a library's suggestion leads to.

    Slot by slot the suggested choice is taken where it is on offer, else a random one is; see
    ``choose_slots``.

    Args:
        problem: what is searched.
        history: what is visited.
        ask: a suggestion, a choice a slot; asked again where a walk led to a visited architecture.
        generator: decides the rest.
        seed: of the method.
    """
    asked, last = ask(), -1

    def choose(made: Ints, offered: Ints) -> int:
        nonlocal asked, last
        slot = len(made)
        if slot <= last:
            asked = ask()
        last = slot
        return asked[slot] if asked[slot] in offered else int(generator.choice(offered))

    return choose_slots(problem, history, choose, generator, seed)


def as_accuracies(rewards: Floats) -> Floats:
    """Rewards between 0 and 1, [n]: as they are if they all lie there, else by their own range.

    What was published for accuracies then serves losses and weighted objectives too.
    """
    if not len(rewards) or (rewards.min() >= 0 and rewards.max() <= 1):
        return rewards
    span = rewards.max() - rewards.min()
    return (rewards - rewards.min()) / span if span > 0 else np.full(len(rewards), 0.5)


class Replayed(ABC):
    """A method that learns from each evaluation once, in order, and so can be rebuilt from the history.

    Args:
        problem: what is searched.
        seed: decides all randomness.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.seed = problem, seed
        self._learned: tuple[Ints, Floats] = np.zeros(0, np.int64), np.zeros(0)
        self.begin()

    @abstractmethod
    def begin(self) -> None:
        """Forget everything."""

    @abstractmethod
    def learn(self, codes: Ints, rewards: Floats) -> None:
        """Learn from the last of the evaluations so far.

        Args:
            codes: of all up to it, [n, S].
            rewards: as ``as_accuracies``, [n].
        """

    @abstractmethod
    def propose(self, history: History, generator: np.random.Generator) -> int:
        """One architecture that is not visited."""

    def update(self, evaluations: History) -> None:
        """Learn what is new, or everything again where the past is another one."""
        self._history = evaluations
        rewards, (ids, before) = as_accuracies(evaluations.rewards), self._learned
        known = len(ids)
        if not (np.array_equal(ids, evaluations.indices[:known]) and np.array_equal(before, rewards[:known])):
            self.begin()
            known = 0
        codes = self.problem.codes(evaluations.indices)
        for n in range(known + 1, len(evaluations) + 1):
            self.learn(codes[:n], rewards[:n])
        self._learned = evaluations.indices, rewards

    def suggest(self, n: int) -> Sequence[int]:
        """One after the other, each pending while the next is chosen."""
        history, found = self._history, list[int]()
        while len(found) < n and not history.exhausted():
            found.append(self.propose(history, np.random.default_rng([self.seed, len(history), len(found)])))
            history = history.with_pending(found[-1:])
        return found
