"""``Executor``: does work somewhere, tells what comes of it, begins anew what is lost, and ends it all.

In: ``Work``, a function by its name with JSON arguments, and the root folder in which it reads and writes.
Out: ``Event``s as they come; an error of the work is raised here. ``run`` sees many works through. Next:
``inline`` works in this process, ``processes`` in worker processes on this machine, ``ray`` on a cluster.

The function is called as ``function(root, say, *arguments)`` and returns a JSON value. While it works it may
``say(value, files)``: a JSON value, and names of files below the root that may be new. Where the root is not
shared, they are there before the event is; they are written in the order in which they are named, and read in
the opposite one, so a file is never newer than those named before it.
"""

from __future__ import annotations

import importlib
import json
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from archwalk.errors import ArchwalkError, InUseError, RunError
from archwalk.files import hold

GLANCE = 0.5  # seconds between two looks at whether something else has happened
BUSY_SECONDS = 2.0  # before work that another command is at is tried again
LOSSES = 2  # times that the same work may be lost with its process

K = TypeVar("K", bound=Hashable)


Say = Callable[[Any, Sequence[str]], None]


class Stopped(Exception):
    """Work that was ended because whoever asked for it was."""


@dataclass(frozen=True)
class Work:
    """What is to be done.

    Attributes:
        function: ``module:function``, importable wherever it may be done.
        arguments: JSON values.
        lock: a file that is held meanwhile, so that commands which share a folder share its work.
        files: asked when the work begins: names below the root that it needs where the root is not shared.
    """

    function: str
    arguments: Sequence[Any] = ()
    lock: Path | None = None
    files: Callable[[], Sequence[str]] = field(default=tuple, compare=False)

    def to_json(self) -> str:
        """All but the files, in one line."""
        return json.dumps([self.function, self.arguments, str(self.lock) if self.lock else None])

    @classmethod
    def from_json(cls, line: str | bytes) -> Work:
        """The inverse of ``to_json``."""
        function, arguments, lock = json.loads(line)
        return cls(function, arguments, Path(lock) if lock else None)

    def perform(self, root: Path, say: Say) -> tuple[Literal["done", "busy"], Any]:
        """Do it here and now; ``busy`` if somebody else holds the lock.

        Returns:
            The kind of the event that ends it, and its value.
        """
        module, _, name = self.function.partition(":")
        function = getattr(importlib.import_module(module), name)
        with ExitStack() as held:
            if self.lock:
                try:
                    held.enter_context(hold(self.lock))
                except InUseError:
                    return "busy", None
            return "done", function(root, say, *self.arguments)


@dataclass(frozen=True)
class Event(Generic[K]):
    """What has happened to some work.

    Attributes:
        key: of the work, as submitted.
        kind: ``said``; ``done``; ``busy``: nothing was done, since another command is at it; ``lost``: its
            process or node has died, and it is begun anew.
        value: what was said or returned; why it was lost.
        files: names that were said with it.
        node: where, if not on this machine.
    """

    key: K
    kind: Literal["said", "done", "busy", "lost"]
    value: Any = None
    files: tuple[str, ...] = ()
    node: str = ""


def at_once(work: Callable[[], object], size: int, close: Callable[[], None]) -> None:
    """Run the same work in several threads, and wait for all.

    Args:
        work: what each does.
        size: threads.
        close: ends what they are at; they then raise ``Stopped``.

    The first error of any ends the others, and is raised.
    """
    with ThreadPoolExecutor(size) as pool:
        running = [pool.submit(work) for _ in range(size)]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            if any(not thread.done() for thread in running):
                close()
        for thread in running:
            error = thread.exception()
            if error is not None and not isinstance(error, Stopped):
                raise error


class Executor(ABC, Generic[K]):
    """Does work under a root folder. Leaving its ``with`` block stops whatever is still under way.

    Args:
        root: the folder.
        losses: how often the same work may be lost.
    """

    error: type[ArchwalkError] = RunError  # for work that has been lost too often

    def __init__(self, root: Path, losses: int = LOSSES) -> None:
        self.root, self.losses = root, losses
        self._works: dict[K, Work] = {}
        self._lost: Counter[K] = Counter()

    @property
    @abstractmethod
    def size(self) -> int:
        """How much may be under way at once."""

    @abstractmethod
    def _begin(self, key: K, work: Work) -> None: ...

    @abstractmethod
    def _listen(self, seconds: float) -> list[Event[K]]: ...

    @abstractmethod
    def stop(self) -> None:
        """End what is under way; of its files, what has been written stays."""

    def has_room(self) -> bool:
        """Whether one more work would be begun at once."""
        return len(self._works) < self.size

    def submit(self, key: K, work: Work) -> None:
        """Begin some work; there must be room. A key may come again once its work is done or busy."""
        self._works[key] = work
        self._begin(key, work)

    def events(self, seconds: float) -> list[Event[K]]:
        """What has happened; nothing after some seconds without anything. Memory is bounded: who is not
        listened to waits.

        Raises:
            ArchwalkError: a work's own; or it has been lost too often.
        """
        heard = self._listen(seconds)
        for event in heard:
            if event.kind == "lost":
                self._lost[event.key] += 1
                if (times := self._lost[event.key]) > self.losses:
                    raise self.error(
                        f"{event.key} to be done",
                        f"the death of what was at it, time {times}: {event.value}",
                        "look for the cause above, at free memory, and in Ray's logs if there is a cluster; "
                        "then run the same command again: it resumes",
                    )
                self._begin(event.key, self._works[event.key])
            elif event.kind != "said":
                del self._works[event.key]
                self._lost.pop(event.key, None)
        return heard

    def __enter__(self) -> Executor[K]:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def run(
    executor: Executor[K],
    works: Mapping[K, Work],
    needs: Callable[[K], Iterable[K]] = lambda key: (),
) -> Iterator[Event[K]]:
    """See all works through, by this command or another that shares their locks.

    Args:
        executor: where.
        works: by key, in the order in which they are begun.
        needs: keys that must be done before a work begins.

    Yields:
        Every event.
    """
    waiting, undone, busy = list(works), set(works), dict.fromkeys(works, 0.0)
    while undone:
        now = time.monotonic()
        for key in list(waiting):
            if busy[key] > now or not undone.isdisjoint(needs(key)):
                continue
            if not executor.has_room():
                break
            waiting.remove(key)
            executor.submit(key, works[key])
        for event in executor.events(GLANCE):
            if event.kind == "done":
                undone.discard(event.key)
            elif event.kind == "busy":
                waiting.insert(0, event.key)
                busy[event.key] = time.monotonic() + BUSY_SECONDS
            yield event
