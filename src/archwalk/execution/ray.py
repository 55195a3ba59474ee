"""``RayTasks``: work as tasks on a Ray cluster. The nodes need no shared folder: files travel both ways.

In: works, ``RaySettings``, and a cluster that this process is connected to. Out: events. A task begins with
the files that its work asks for, does it in a temporary folder and a worker process of its own, and sends
back the files that are said. So work whose node dies goes on elsewhere from what has come back. This process
alone writes below the root, and holds the locks of what it has given away. Next: whoever submitted the works.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, no_type_check

from archwalk.config import RaySettings
from archwalk.errors import ClusterError, InUseError
from archwalk.execution.cluster import (
    check_room,
    load_ray,
    options,
    raised,
    room,
    silent,
    task_bundle,
)
from archwalk.execution.executor import Event, Executor, K, Work, run
from archwalk.execution.processes import Processes
from archwalk.files import hold, write_atomically

Files = dict[str, bytes]  # name below the root → content
MOST = 1_000  # tasks at once, where the resources would allow more
UNHEARD = 16  # answers that a task may be ahead of its listener
_ANSWER = 5.0  # seconds that a task has to stop


class RayTasks(Executor[K]):
    """Tasks on a cluster.

    Args:
        root: folder of the work.
        settings: what a task takes, how many may be under way, how often one may be lost.
        what: a task is, for messages.
        shared: name below the root → file, which every task has from the beginning.

    Raises:
        ClusterError: no node has the resources.
    """

    error = ClusterError

    def __init__(
        self, root: Path, settings: RaySettings, what: str, shared: Mapping[str, Path] | None = None
    ) -> None:
        super().__init__(root, settings.losses)
        remedy = "start such a node, or lower --ray.task-cpus or --ray.task-gpus"
        check_room(task_bundle(settings), 1, what, remedy)
        ray = load_ray()
        self._settings = settings
        self._shared = ray.put({name: path.read_bytes() for name, path in (shared or {}).items()})
        self._task = ray.remote(
            max_retries=0, _generator_backpressure_num_objects=UNHEARD, **options(task_bundle(settings))
        )(_task)
        self._running: dict[Any, K] = {}  # what a task yields → its work
        self._ended: dict[K, Event[K]] = {}  # until its task has cleared up
        self._locks: dict[K, ExitStack] = {}
        self._busy: list[Event[K]] = []
        self._heard_at = time.monotonic()

    @property
    def size(self) -> int:
        """As many as find their resources, if no one else uses the cluster."""
        return self._settings.tasks or max(1, min(room(task_bundle(self._settings)), MOST))

    def _begin(self, key: K, work: Work) -> None:
        if work.lock and key not in self._locks:
            held = ExitStack()
            try:
                held.enter_context(hold(work.lock))
            except InUseError:
                self._busy.append(Event(key, "busy"))
                return
            self._locks[key] = held
        files = {name: (self.root / name).read_bytes() for name in work.files()}
        task = self._task.remote(self._shared, files, work.function, work.arguments, self.losses)
        self._running[task] = key

    def _listen(self, seconds: float) -> list[Event[K]]:
        busy, self._busy = self._busy, []
        if busy or not self._running:
            time.sleep(0 if busy else seconds)
            return busy
        ready, _ = load_ray().wait(list(self._running), num_returns=1, timeout=seconds)
        if ready:
            self._heard_at = time.monotonic()
        elif not room(task_bundle(self._settings)) and (
            time.monotonic() - self._heard_at > self._settings.patience
        ):
            raise silent(self._settings.patience)
        return [event for task in ready for event in self._next(task)]

    def _next(self, task: Any) -> list[Event[K]]:
        ray, key = load_ray(), self._running[task]
        try:
            kind, value, files, node = ray.get(next(task))
        except StopIteration:
            del self._running[task]
            self._unlock(key)  # another command may look at it as soon as it is told of
            return [self._ended.pop(key)]
        except ray.exceptions.RayTaskError as error:
            raise raised(error) from error
        except ray.exceptions.RayError as error:  # the process or its node has died
            del self._running[task]
            self._ended.pop(key, None)
            return [Event(key, "lost", " ".join(str(error).split())[:400])]
        for name, content in files.items():
            write_atomically(self.root / name, content)
        event = Event(key, kind, value, tuple(files), node)
        if kind == "said":
            return [event]
        self._ended[key] = event
        return []

    def _unlock(self, key: K) -> None:
        if held := self._locks.pop(key, None):
            held.close()

    def stop(self) -> None:
        """Stop the tasks: by asking, so that they clear up; by force where that is of no use."""
        ray, tasks = load_ray(), list(self._running)
        for force in (False, True):
            if not tasks or not ray.is_initialized():
                break
            for task in tasks:
                ray.cancel(task, force=force)
            _, tasks = ray.wait(tasks, num_returns=len(tasks), timeout=_ANSWER)
        self._running.clear()
        for key in list(self._locks):
            self._unlock(key)


@no_type_check  # a checker's wrapper would hide from Ray that this yields
def _task(*what: Any) -> Iterator[Any]:
    yield from _perform(*what)


_idle: list[Processes[str]] = []  # worker processes that wait for this Ray process's next task


def _perform(
    shared: Files, files: Files, function: str, arguments: Any, losses: int
) -> Iterator[tuple[str, Any, Files, str]]:
    """Do some work in a folder of its own; runs on whatever node the cluster chooses.

    Yields:
        Kind and value of an event, the files that it names and that are new, and the node.
    """
    where = Path(tempfile.mkdtemp(prefix="archwalk-"))
    node = load_ray().get_runtime_context().get_node_id()
    workers = _idle.pop() if _idle else Processes(where, 1, losses)
    workers.root = where
    try:
        for name, content in (shared | files).items():
            write_atomically(where / name, content)
        sent = {name: hashlib.sha256(content).digest() for name, content in files.items()}
        for event in run(workers, {function: Work(function, arguments)}):
            new = changed_files(where, event.files, sent)
            if event.kind != "lost":
                yield event.kind, event.value, new, node
    except BaseException:
        workers.stop()
        raise
    else:
        _idle.append(workers)
    finally:
        shutil.rmtree(where, ignore_errors=True)


def changed_files(where: Path, names: Sequence[str], sent: dict[str, bytes]) -> Files:
    """Those of some files that are new, in the same order.

    Args:
        where: their folder.
        names: below it.
        sent: digests of what is known already; brought up to date.
    """
    # Their writer goes on meanwhile: what is read first may be older than the rest, never newer.
    content = {name: (where / name).read_bytes() for name in reversed(names)}
    digests = {name: hashlib.sha256(content[name]).digest() for name in names}
    new = [name for name in names if sent.get(name) != digests[name]]
    sent.update(digests)
    return {name: content[name] for name in new}
