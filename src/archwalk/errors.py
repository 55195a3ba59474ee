"""One small family of errors. Each says what was expected, what came, and what to do next.

The command line prints the message and exits with status 2; in Python they are ordinary exceptions.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ArchitectureError",
    "ArchwalkError",
    "BenchmarkError",
    "ClusterError",
    "InUseError",
    "RunError",
    "SearchError",
    "SettingsError",
    "SpaceError",
]

MOST = 1_500  # characters of a part of a message: what fits on a screen


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters: its beginning and its end, where reasons stand."""
    if len(text) <= most:
        return text
    gap = f" ... ({len(text):,} characters) ... "
    head = (most - len(gap)) * 2 // 3
    return text[:head] + gap + text[len(text) - (most - len(gap) - head) :]


def reason(error: BaseException | str, most: int = 400) -> str:
    """What a library says of an error, in one bounded line: all of its lines, since the reason often stands
    below the first."""
    said = " ".join(str(error).split())
    return shortened(said, most) or type(error).__name__


class ArchwalkError(Exception):
    """Base of every error that a user can cause and mend.

    Args:
        expected: what would have been right.
        got: what came instead.
        remedy: what to do next. Of each part at most ``MOST`` characters are kept.
    """

    def __init__(self, expected: str, got: str, remedy: str) -> None:
        expected, got, remedy = (shortened(part, MOST) for part in (expected, got, remedy))
        super().__init__(f"Expected {expected}.\n     Got {got}.\n  Remedy {remedy}.")
        self.expected, self.got, self.remedy = expected, got, remedy

    def __reduce__(self) -> tuple[type[ArchwalkError], tuple[str, str, str]]:
        return type(self), (self.expected, self.got, self.remedy)


class BenchmarkError(ArchwalkError):
    """A benchmark file or table that cannot be used as it is."""


class ArchitectureError(ArchwalkError):
    """A string or code that is no architecture of the space at hand."""


class SpaceError(ArchwalkError):
    """A declaration of a search space that cannot be read or contradicts itself."""


class SettingsError(ArchwalkError):
    """Settings that are unknown, out of range, or at odds with each other or with the task."""


class RunError(ArchwalkError):
    """A run folder that cannot be used for what was asked."""


class SearchError(ArchwalkError):
    """A search, its evaluator or its cache of evaluations that cannot be used as asked."""


class DataError(ArchwalkError):
    """Labelled data that no network can be fitted to as it is."""


class ClusterError(ArchwalkError):
    """A Ray cluster that is not there, cannot be used, or has been lost."""


class InUseError(RunError):
    """A run folder that another process is working in."""


def unknown(kind: str, got: str, known: Iterable[str]) -> tuple[str, str, str]:
    """The three parts of an error about a name: ``raise SomeError(*unknown("task", t, tasks))``."""
    names = [str(k) for k in known]
    near = get_close_matches(got, names, n=1)
    hint = f"did you mean {near[0]!r}? Otherwise use" if near else "use"
    return f"a {kind} among: {enumerated(names) or '(none)'}", repr(got), f"{hint} one of the names above"


def enumerated(names: Iterable[str], most: int = 40) -> str:
    """Names with commas, the first few of many and how many there are."""
    listed = list(names)
    shown = listed if len(listed) <= most else [*listed[: most - 1], f"... ({len(listed):,} in all)"]
    return ", ".join(shown)
