"""``Crew``: who makes a study's agents, in which order, and what is done with what they say.

In: a folder with a plan. Out: every agent made, and both tables. Where the agents are made is left open.
Next: ``study`` has worker processes on this machine, ``remote`` has tasks on a Ray cluster.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from archwalk.errors import RunError
from archwalk.studies.folder import StudyDir
from archwalk.studies.plan import Job
from archwalk.studies.worker import Event, OnEvent

BUSY_SECONDS = 2.0  # before a job that another process works on is looked at again


class Crew(ABC):
    """Gives orders until every agent is done.

    Args:
        folder: the study's.
    """

    def __init__(self, folder: StudyDir) -> None:
        self.folder = folder
        self.todo = folder.missing()
        self.undone = set(self.todo)
        self.busy_until: dict[Job, float] = {}

    @abstractmethod
    def has_room(self) -> bool:
        """Whether some more jobs can be begun."""

    @abstractmethod
    def order(self, jobs: list[Job]) -> None:
        """Begin with some jobs of one stage, together."""

    @abstractmethod
    def listen(self, seconds: float) -> list[Event]:
        """What has been said, or nothing after some seconds.

        Raises:
            ArchwalkError: a worker cannot go on.
        """

    @abstractmethod
    def dismiss(self) -> None:
        """Let all workers go; one that is at work stops, and its agent goes on from the last checkpoint."""

    def work(self, on_event: OnEvent | None) -> None:
        """Until every agent is done, by this process or another."""
        while self.undone:
            self._give_orders()
            events = self.listen(BUSY_SECONDS / 4)
            for event in events:
                self._heard(event)
            if any(event.kind == "done" for event in events):
                self.folder.collect()
            if on_event:
                for event in events:
                    on_event(event)

    def _heard(self, event: Event) -> None:
        if event.kind == "error" and event.error:
            raise RunError(*event.error)
        if event.kind == "busy":
            self.again(event.job, BUSY_SECONDS)
        elif event.kind == "done":
            self.undone.discard(event.job)

    def again(self, job: Job, seconds: float) -> None:
        """Have a job begun once more, after some seconds."""
        self.todo.insert(0, job)
        self.busy_until[job] = time.monotonic() + seconds

    def _give_orders(self) -> None:
        """As many jobs as there is room for, of those that can begin."""
        while ready := [job for job in self.todo if self._can_begin(job)]:
            if not self.has_room():
                return
            self.todo.remove(ready[0])
            self.order(ready[:1])

    def _can_begin(self, job: Job) -> bool:
        if self.busy_until.get(job, 0.0) > time.monotonic():
            return False
        return job.scratch or job.source not in self.undone
