"""Functions for executors to do."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from archwalk.errors import BenchmarkError
from archwalk.execution.executor import Say


def double(root: Path, say: Say, number: int) -> int:
    print("noise on standard output")
    say({"half": number / 2}, ())
    say([root.name, number], ["a"])
    return 2 * number


def mark(root: Path, say: Say, name: str, needed: list[str]) -> list[str]:
    """Which of the needed files are there."""
    there = [other for other in needed if (root / other).exists()]
    time.sleep(0.05)
    (root / name).touch()
    return there


def pid(root: Path, say: Say) -> int:
    return os.getpid()


def refuse(root: Path, say: Say) -> None:
    raise BenchmarkError("a table", "a chair", "sit elsewhere")


def fail(root: Path, say: Say) -> None:
    raise ZeroDivisionError("by zero")


def die(root: Path, say: Say, times: int) -> int:
    """Is killed so many times, then succeeds."""
    died = len(list(root.glob("death-*")))
    if died < times:
        (root / f"death-{died}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return died


def sleep(root: Path, say: Say) -> None:
    say(os.getpid(), ())
    time.sleep(1000)


def shout(root: Path, say: Say, lines: int) -> None:
    for line in range(lines):
        say([line, "x" * 1000], ())
    (root / "shouted").touch()


def alone(root: Path, say: Say, name: str) -> None:
    """Fails if done twice at once."""
    with (root / name).open("x"):
        time.sleep(0.2)
    (root / name).unlink()
