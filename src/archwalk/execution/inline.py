"""``Inline``: work in this process, one after the other.

In: works. Out: their events, once each is over. Next: whoever submitted them; ``processes`` is the same
beside this process.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from archwalk.execution.executor import Event, Executor, K, Work


class Inline(Executor[K]):
    """This process. What a work says is heard when it is over."""

    size = 1
    _next: tuple[K, Work] | None = None

    def _begin(self, key: K, work: Work) -> None:
        self._next = key, Work.from_json(work.to_json())  # what works here works elsewhere

    def _listen(self, seconds: float) -> list[Event[K]]:
        if self._next is None:
            time.sleep(seconds)
            return []
        (key, work), self._next = self._next, None
        heard: list[Event[K]] = []

        def say(value: Any, files: Sequence[str]) -> None:
            heard.append(Event(key, "said", value, tuple(files)))

        kind, value = work.perform(self.root, say)
        return [*heard, Event(key, kind, value)]

    def stop(self) -> None:
        """Nothing is under way between two calls."""
