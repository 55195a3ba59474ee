"""How a user's Python function is called, here or in a process of its own; imports nothing heavy.

In: the function. Out: whether it asks for a mapping, and its answer as metrics. Next: ``tasks.evaluators``
and ``execution.worker`` call it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, TypeVar

__all__ = [
    "takes_mapping",
]

F = TypeVar("F", bound=Callable[..., Any])

ONLY = ""  # name of the metric of a function that answers with a bare number, until the ledger names it
MAPPING = "mapping"  # what a process of a function answers with when it is asked nothing: 1 if it wants one
NO_TASK = "takes no task"  # what it complains of where it should take one


def takes_mapping(function: F) -> F:
    """Decorator: the function is called with a dictionary slot → choice instead of a string."""
    function.archwalk_takes_mapping = True  # type: ignore[attr-defined]
    return function


def asks_for_mapping(function: Callable[..., Any]) -> bool:
    """Whether it is decorated, or its first parameter is annotated as a ``dict`` or a ``Mapping``."""
    if getattr(function, "archwalk_takes_mapping", False):
        return True
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some builtins have none
        return False
    hint = parameters[0].annotation if parameters else None
    hint = hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))
    return hint.partition("[")[0].rpartition(".")[2].lower() in ("dict", "mapping", "mutablemapping")


def takes_task(function: Callable[..., Any]) -> bool:
    """Whether it can be called with an architecture and the name of a task."""
    try:
        inspect.signature(function).bind("", "")
    except TypeError:
        return False
    except ValueError:  # some builtins do not say
        return True
    return True


def metrics_of(answer: Any) -> dict[str, float]:
    """The answer of an evaluator as metrics; that of a bare number is called ``ONLY``.

    What is no number beside the metrics of a mapping, such as a text or a list, is left out.

    Raises:
        TypeError: it is neither a number nor a mapping with a number in it.
    """
    pairs = answer.items() if isinstance(answer, Mapping) or hasattr(answer, "items") else None
    if pairs is None:
        number = None if isinstance(answer, str | bytes) else number_of(answer)
        found = {} if number is None else {ONLY: number}
    else:
        numbers = {str(name): number_of(value) for name, value in pairs}
        found = {name: number for name, number in numbers.items() if number is not None}
    if not found:
        raise TypeError(f"expected a number or a mapping of metrics, got {answer!r:.200}")
    return found


def number_of(value: Any) -> float | None:
    """A number, however a library wraps it: of numpy, of torch, as text; None for anything else."""
    try:
        if not isinstance(value, str | Real) and hasattr(value, "item"):
            value = value.item()  # arrays and tensors of one element
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
