"""``Problem``: what a search method may know before any evaluation.

In: a space of any size. Out: answers by id, a small integer that stands for an architecture. Of a listed
problem (``listed``) the ids are positions in a table; an open problem (``open``) gives them to the
architectures that it meets. Next: ``history`` adds what the evaluations said, and ``methods`` work with both
alike.
"""

from __future__ import annotations

import copy
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from archwalk.analysis.ranks import ranks
from archwalk.errors import SearchError
from archwalk.searching.experience.source import Source
from archwalk.spaces.base import SearchSpace
from archwalk.tasks.registry import AnyBenchmark

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Problem(ABC):
    """A search problem over architectures of S slots.

    Attributes:
        space: the search space.
        listed: whether values can be computed for all architectures at once.
        views: how many descriptions of an architecture there are, from coarse to fine; see ``view``.
        experience: what is known of other tasks; see ``with_experience``.
        barred: which ids are not to be evaluated, [n] → [n]; None: all may be. See ``limits``.
        task: benchmark and task, by name, where a table answers; for methods that train its networks.
        lock: held while a suggestion is made, where threads share a problem.
    """

    space: SearchSpace
    listed: bool
    views: int
    experience: tuple[Source, ...] = ()
    barred: Callable[[Ints], Mask] | None = None
    task: tuple[str, str] | None = None

    def __init__(self) -> None:
        self.lock = threading.RLock()

    @abstractmethod
    def __len__(self) -> int:
        """How many ids there are."""

    @abstractmethod
    def sample(self, n: int, generator: np.random.Generator) -> Ints:
        """Ids drawn independently, as the space samples, [n]."""

    @abstractmethod
    def neighbours(self, ids: Ints) -> Ints:
        """Ids one edit away, [n, K], -1 where there are fewer."""

    @abstractmethod
    def codes(self, ids: Ints) -> Ints:
        """Slot values, [n, S]; -1 where a slot is absent."""

    @abstractmethod
    def view(self, which: int, ids: Ints) -> Ints:
        """A description of architectures as slot values, [n, S]; the last one is ``codes``."""

    @abstractmethod
    def distances(self, view: int, rows: Ints, columns: Ints | None = None) -> NDArray[np.uint8]:
        """Slots in which architectures differ, by one view, [rows, columns]; None: all columns there are."""

    @abstractmethod
    def one_hot(self, ids: Ints | None = None) -> Floats:
        """Features of a regressor: one column a slot and choice, an absent slot being a choice, [n, F]."""

    @abstractmethod
    def keys(self, ids: Ints) -> Ints:
        """Equal for architectures of which one evaluation tells all, [n]."""

    @abstractmethod
    def key_text(self, index: int) -> str:
        """``keys`` of one architecture as the ledger writes it: the same in every process."""

    @abstractmethod
    def ids(self, texts: Iterable[str]) -> Ints:
        """Ids of architecture strings, [texts].

        Raises:
            SearchError: one is no architecture of this problem.
        """

    @abstractmethod
    def locate(self, codes: NDArray[np.int16]) -> Ints:
        """Ids of codes, [n, S] → [n]; -1 for those that are none of this problem's."""

    @abstractmethod
    def text(self, index: int) -> str:
        """The string of an architecture."""

    def with_experience(self, experience: Iterable[Source]) -> Problem:
        """The same problem, sharing all that it has computed, with other experience.

        What a subclass or method keeps on a problem must not depend on ``experience``.
        """
        other = copy.copy(self)
        other.experience = tuple(experience)
        if not self.listed:
            for source in other.experience:
                other.locate(source.codes)  # gives them ids before any that are forgotten
        return other

    def with_barred(self, barred: Callable[[Ints], Mask]) -> Problem:
        """The same problem, sharing all that it has computed, of which some ids are not to be evaluated."""
        other = copy.copy(self)
        other.barred = barred
        return other

    def with_task(self, benchmark: AnyBenchmark | None, task: str | None) -> Problem:
        """The same problem, sharing all that it has computed, of a benchmark's task; itself without one."""
        if benchmark is None or task is None:
            return self
        other = copy.copy(self)
        other.task = benchmark.name, task
        return other

    def _stranger(self, text: str) -> SearchError:
        return SearchError(
            f"architectures of the space {self.space.name!r} that this search may choose from",
            repr(text),
            "choose another --out, or the space that the evaluations were made in",
        )


def normal_scores(values: Floats) -> Floats:
    """Normal quantiles of the ranks, [n]; ties share theirs. Makes tasks comparable, whatever their metric
    (Salinas, Shen and Perrone 2020)."""
    return np.asarray(ndtri((ranks(values) - 0.5) / len(values)))


def one_hot(codes: Ints) -> Floats:
    """One column a slot and choice that occurs, absent slots included, [n, S] → [n, F]."""
    choices = np.arange(codes.min(), codes.max() + 1)
    return (codes[:, :, None] == choices).reshape(len(codes), -1).astype(np.float64)
