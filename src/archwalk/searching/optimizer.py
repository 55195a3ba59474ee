"""``Optimizer``: the interface of a search method, and ``Method``: what is known of one before it is used.

In: a ``Problem``, a seed. Out: suggestions by id. Next: ``registry`` has the methods by name, ``loop`` asks
them.

The simplest form of a method is a function ``(problem, history, seed) -> id``. A class with ``suggest`` and
``update``, made with ``(problem, seed)``, may keep what is dear to compute between two suggestions. Either
way a suggestion depends on the problem, the evaluations and the seed alone, never on what was suggested
before: a search that was killed then repeats itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from archwalk.errors import SearchError
from archwalk.searching.history import History
from archwalk.searching.problem import Problem

__all__ = [
    "Method",
    "Optimizer",
    "make_method",
]


@runtime_checkable
class Optimizer(Protocol):
    """A method at work on one problem."""

    def update(self, evaluations: History) -> None:
        """Learn what is evaluated and pending: all of it, not only what is new."""
        ...

    def suggest(self, n: int) -> Sequence[int]:
        """Ids of n different architectures that are not visited; fewer where fewer are left."""
        ...


Suggest = Callable[[Problem, History, int], Any]  # an id or an architecture's string


class FunctionOptimizer:
    """A method that is a function of problem, history and seed.

    Args:
        function: gives one suggestion, an id or a string.
        problem: what is searched.
        seed: decides all randomness.
    """

    def __init__(self, function: Suggest, problem: Problem, seed: int) -> None:
        self._function, self._problem, self._seed = function, problem, seed
        self._history: History | None = None

    def update(self, evaluations: History) -> None:
        """Keep the history."""
        self._history = evaluations

    def suggest(self, n: int) -> list[int]:
        """One after the other, each pending while the next is chosen."""
        assert self._history is not None, "update first"
        history = self._history
        found: list[int] = []
        while len(found) < n and not history.exhausted():
            answer = self._function(self._problem, history, self._seed)
            index = int(self._problem.ids([answer])[0]) if isinstance(answer, str) else int(answer)
            if index < 0 or bool(history.visited(np.array([index]))[0]):
                got = self._problem.text(index) if index >= 0 else repr(index)
                raise SearchError(
                    "a method that suggests an architecture without an evaluation",
                    f"{got} after {len(history)} evaluations",
                    "leave out what history.visited says is visited",
                )
            found.append(index)
            history = history.with_pending([index])
        return found


@dataclass(frozen=True)
class Method:
    """A search method.

    Attributes:
        name: on the command line and in result files.
        make: an optimizer for a problem and a seed.
        summary: what it does, in a few words.
        source: the publication it comes from.
        needs: what it cannot do without: ``listed`` (a space that can be listed), ``sources``, or a library's
            name.
        knows_sources: whether it is given what source tasks and their agents know.
        knows_columns: whether it reads columns that are no task's reward (training-free metrics, latency)
            where they are named as experience.
        learned: tasks that it was trained on, as (checksum of the table, task); it cannot be searched with or
            compared on these.
        check: raises ``SearchError`` for a problem that it cannot serve; called before any evaluation.
    """

    name: str
    make: Callable[[Problem, int], Optimizer]
    summary: str
    source: str
    needs: tuple[str, ...] = ()
    knows_sources: bool = False
    knows_columns: bool = False
    learned: frozenset[tuple[str, str]] = frozenset()
    check: Callable[[Problem], None] = lambda problem: None


def make_method(name: str, given: Any, **about: Any) -> Method:
    """A ``Method`` of a function or class, as the module's first lines describe them.

    Args:
        name: of the method.
        given: the function or class.
        about: other attributes of ``Method``.

    Raises:
        SearchError: neither.
    """
    about = {"summary": (getattr(given, "__doc__", None) or "").strip().split("\n")[0], "source": ""} | about
    if isinstance(given, type) and hasattr(given, "suggest") and hasattr(given, "update"):
        return Method(name, given, **about)
    if callable(given) and not isinstance(given, type):
        return Method(name, lambda problem, seed: FunctionOptimizer(given, problem, seed), **about)
    raise SearchError(
        "a function (problem, history, seed) -> id, or a class with suggest and update",
        repr(given),
        "see docs/search.md, 'A method of your own'",
    )
