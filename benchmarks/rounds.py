"""Systems that take turns: each in a process of its own, timed in short slices, one system after the other.

The scripts `frameworks.py`, `growth.py` and `open_space.py` use it. Noise of a shared machine then hits all
systems alike.
"""

from __future__ import annotations

import multiprocessing
import resource
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import torch

from archwalk.config import Settings
from archwalk.training.loop import Loop

NEVER = 10**12
Facts = dict[str, Any]


def peak() -> int:
    """The most bytes that this process had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class System:
    """What is measured. ``__init__`` opens it and trains a little, so that nothing is cold.

    Attributes:
        facts: what is to be told besides speed.
    """

    facts: Facts

    def train(self, seconds: float) -> tuple[int, float]:
        """Train for about that long. Returns trained steps and the seconds that they took."""
        raise NotImplementedError

    def end(self) -> Facts:
        """What can be told only after the last slice."""
        return {}


def endless(settings: Settings) -> Settings:
    """The settings without rows and evaluations between two copies, and without an end."""
    period = max(settings.learner.target_period, settings.training.actor_period)
    return settings.replace(
        training={"trained_steps": NEVER, "evaluate_every": NEVER, "log_every": period, "threads": 0}
    )


def periods(loop: Loop) -> Iterator[int]:
    """Trained steps, a period of copies at a time: a slice of whole periods pays for each copy once."""
    before = 0
    for _ in loop.run():
        yield loop.counters.trained_steps - before
        before = loop.counters.trained_steps


def _serve(pipe: Connection, make: Callable[..., System], threads: int, arguments: tuple[Any, ...]) -> None:
    try:
        torch.set_num_threads(threads)
        system = make(*arguments)
        pipe.send(system.facts)
        while (seconds := pipe.recv()) is not None:
            pipe.send(system.train(seconds))
        pipe.send(system.end())
    except Exception:
        pipe.send(traceback.format_exc())


class Turns:
    """One system in a process of its own.

    Args:
        make: a ``System`` class, or a function that returns one.
        threads: of the tensor library.
        arguments: of ``make``.
    """

    def __init__(self, make: Callable[..., System], threads: int, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, threads, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.rates: list[float] = []
        self.facts: Facts = self._answer()

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise RuntimeError("the process ended without a word: see above, or too little memory") from None
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    def turn(self, seconds: float) -> None:
        """One slice; adds to ``rates``, trained steps a second."""
        self.send(seconds)
        self.receive()

    def send(self, seconds: float) -> None:
        """Begin a slice, perhaps beside others'."""
        self._pipe.send(seconds)

    def receive(self) -> None:
        """Wait for its end."""
        steps, taken = self._answer()
        self.rates.append(steps / taken)

    def end(self) -> None:
        """The last facts; the process goes."""
        self._pipe.send(None)
        self.facts |= self._answer()
        self._process.join()

    @property
    def mean(self) -> float:
        """Mean rate over the rounds."""
        return sum(self.rates) / len(self.rates)

    def range(self) -> str:
        """``mean (least to most)``."""
        return f"{self.mean:,.0f} ({min(self.rates):,.0f} to {max(self.rates):,.0f})"
