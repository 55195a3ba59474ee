"""A method that notes what it is given, and suggests what the method of that name suggests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archwalk.searching.history import History
from archwalk.searching.optimizer import Method, Optimizer
from archwalk.searching.problem import Problem
from archwalk.searching.registry import find_method


def spied(name: str) -> tuple[Method, list[History]]:
    """The method under the name ``spied``, and the histories that it is given, suggestion by suggestion."""
    given: list[History] = []
    original = find_method(name)

    class Spy:
        def __init__(self, problem: Problem, seed: int) -> None:
            self._optimizer: Optimizer = original.make(problem, seed)

        def update(self, evaluations: History) -> None:
            given.append(evaluations)
            self._optimizer.update(evaluations)

        def suggest(self, n: int) -> Sequence[int]:
            return self._optimizer.suggest(n)

    return replace(original, name="spied", make=Spy), given
