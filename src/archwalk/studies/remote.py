"""A study's agents as tasks on a Ray cluster. The nodes need no shared folder: files travel both ways.

In: a study folder and a cluster. Out: the same folder with the same files as from processes on this machine.
A task begins with the files that the agent has so far, makes it in a folder of its own, and sends every
checkpoint, row and result back as it comes; so an agent whose node dies goes on elsewhere from its last
checkpoint. This process alone writes to the study folder, and holds the locks of agents it has given away.
Next: ``study`` runs it.
"""

from __future__ import annotations

import hashlib
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, no_type_check

from archwalk.config import RaySettings
from archwalk.errors import InUseError
from archwalk.execution.cluster import (
    GLANCE,
    end,
    load_ray,
    lost,
    make_task,
    raised,
    room,
    silent,
    task_bundle,
)
from archwalk.files import hold, write_atomically
from archwalk.studies.crew import Crew
from archwalk.studies.folder import STUDY, StudyDir
from archwalk.studies.plan import Job
from archwalk.studies.worker import Event, make_agents
from archwalk.tasks.registry import benchmark_names
from archwalk.training.rundir import CHECKPOINT, COSTS, CUT, SETTINGS, WEIGHTS, RunDir
from archwalk.training.runner import find_device

Files = dict[str, bytes]  # path within the study folder → content
TABLE = "benchmark.parquet"


class RayCrew(Crew):
    """Tasks on a cluster that this process is connected to.

    Args:
        folder: the study's.
        settings: what a task takes, and how many may be under way.
        device: where each node trains; ``auto`` is the CPU.
    """

    def __init__(self, folder: StudyDir, settings: RaySettings, device: str) -> None:
        super().__init__(folder)
        self._device = "cpu" if device == "auto" else device
        ray, plan = load_ray(), folder.plan()
        self.settings, self._study = settings, plan.to_toml()
        own = plan.benchmark not in benchmark_names()
        self._table = ray.put(Path(plan.benchmark).read_bytes() if own else None)
        self._task = make_task(settings, _task)
        self._made: dict[Any, dict[Job, ExitStack]] = {}  # what a task yields → its agents and their locks
        self._said: list[Event] = []
        self._ended: list[Event] = []
        self._losses: dict[Job, int] = {}
        self._heard_at = time.monotonic()

    def has_room(self) -> bool:
        """Whether one more task would find its resources, if no one else uses the cluster."""
        return len(self._made) < (self.settings.tasks or max(1, min(room(task_bundle(self.settings)), 1_000)))

    def order(self, jobs: list[Job]) -> None:
        """Begin a task with those agents that no other process has."""
        mine: dict[Job, ExitStack] = {}
        for job in jobs:
            held = ExitStack()
            try:
                held.enter_context(hold(self.folder.lock(job)))
            except InUseError:
                self._said.append(Event("busy", job))
                continue
            if self.folder.done(job):
                held.close()
                self._said.append(Event("done", job))
                continue
            mine[job] = held
        if mine:
            files = collect_files(self.folder, list(mine))
            task = self._task.remote(self._study, self._table, files, list(mine), self._device)
            self._made[task] = mine

    def listen(self, seconds: float) -> list[Event]:
        """What the tasks have yielded; files are written before the event that follows them is passed on."""
        ray, said = load_ray(), self._said
        self._said = []
        if not self._made:
            time.sleep(0 if said else seconds)
            return said
        ready, _ = ray.wait(list(self._made), num_returns=1, timeout=0 if said else seconds)
        if ready:
            self._heard_at = time.monotonic()
        elif not room(task_bundle(self.settings)) and (
            time.monotonic() - self._heard_at > self.settings.patience
        ):
            raise silent(self.settings.patience)
        for task in ready:
            said += self._next(task)
        return said

    def _next(self, task: Any) -> list[Event]:
        ray = load_ray()
        mine = self._made[task]
        try:
            item = ray.get(next(task))
        except StopIteration:
            self._let_go(task)
            return []
        except ray.exceptions.RayTaskError as error:
            raise raised(error) from error
        except ray.exceptions.RayError as error:  # the process or its node has died
            self._let_go(task)
            for job in mine:
                self._losses[job] = self._losses.get(job, 0) + 1
                if self._losses[job] > self.settings.losses:
                    raise lost(f"the agent {job}", self._losses[job], error) from error
                self.again(job, 0.0)
            return []
        if isinstance(item, Event):
            if item.kind == "row":
                return [item]
            mine.pop(item.job).close()  # another process may look at it, before the task is quite over
            self._ended.append(item)
            if mine:  # told of together, since what they make possible is made together
                return []
            ended, self._ended = self._ended, []
            return ended
        for name, content in sorted(item.items(), key=lambda file: _rank(file[0])):
            write_atomically(self.folder.path / name, content)
        return []

    def _let_go(self, task: Any) -> None:
        for held in self._made.pop(task).values():
            held.close()

    def dismiss(self) -> None:
        """Stop the tasks; what has not come back is made again from the last checkpoint that has."""
        end(list(self._made))
        for task in list(self._made):
            self._let_go(task)


def _rank(name: str) -> int:
    """The order in which files are written, so that one is there only if those it counts on are."""
    last = Path(name).name
    order = (SETTINGS, CHECKPOINT, COSTS, WEIGHTS)
    if Path(name).parent.name == CUT:
        return 0
    return order.index(last) + 2 if last in order else 9 if last.endswith(".json") else 1


def collect_files(study: StudyDir, jobs: Sequence[Job]) -> Files:
    """What agents have so far, and what of their sources they need to begin."""
    names: list[Path] = []
    for job in jobs:
        names += [p for p in study.run(job).path.rglob("*") if p.is_file() and p.name[0] != "."]
        if not job.scratch:
            source = study.run(job.source).path
            names += [source / name for name in (SETTINGS, COSTS, WEIGHTS)]
            names.append(source.with_name(f"{source.name}.json"))
    return {str(path.relative_to(study.path)): path.read_bytes() for path in names}


@no_type_check  # a checker's wrapper would hide from Ray that this yields
def _task(*what: Any) -> Iterator[Any]:
    yield from make_elsewhere(*what)


def make_elsewhere(
    study: str, table: bytes | None, files: Files, jobs: Sequence[Job], device: str = "cpu"
) -> Iterator[Event | Files]:
    """Some agents, in a folder of their own; runs on whatever node the cluster chooses.

    Args:
        study: ``study.toml``.
        table: the benchmark's file; None if it is known by name everywhere.
        files: what there is so far.
        jobs: the agents.
        device: where to train.

    Yields:
        Events, and files that are new or have changed.
    """
    where = Path(tempfile.mkdtemp(prefix="archwalk-"))
    node = load_ray().get_runtime_context().get_node_id()
    try:
        folder = StudyDir(where)
        for name, content in files.items():
            write_atomically(where / name, content)
        write_atomically(where / STUDY, study.encode())
        asked = folder.plan()
        if table is not None:
            write_atomically(where / TABLE, table)
            folder.begin(replace(asked, benchmark=str(where / TABLE)))
        sent = {name: hashlib.sha256(content).digest() for name, content in files.items()}

        def changed() -> Files:
            new: Files = {}
            for name, content in collect_files(folder, jobs).items():
                if Path(name).name == SETTINGS:  # as if made where the study is
                    plan = RunDir((where / name).parent).spec()
                    content = replace(plan, benchmark=asked.benchmark).to_toml().encode()
                digest = hashlib.sha256(content).digest()
                if sent.get(name) != digest:
                    sent[name], new[name] = digest, content
            return new

        yield from _spoken(folder, jobs, device, node, changed)
    finally:
        shutil.rmtree(where, ignore_errors=True)


def _spoken(
    folder: StudyDir, jobs: Sequence[Job], device: str, node: str, changed: Callable[[], Files]
) -> Iterator[Event | Files]:
    """What ``make_agents`` says, from a thread of its own, and the files after every checkpoint."""
    spoken: queue.SimpleQueue[Event | Files | BaseException | None] = queue.SimpleQueue()
    files = {job: folder.run(job).path / CHECKPOINT for job in jobs}

    def written(job: Job) -> int:
        return files[job].stat().st_mtime_ns if files[job].exists() else 0

    seen = {job: written(job) for job in jobs}

    def on_event(event: Event) -> None:
        now = written(event.job)
        if now != seen[event.job] or event.kind == "done":
            seen[event.job] = now
            spoken.put(changed())
            if event.kind == "done":
                spoken.put(evaluations(event.job))
        spoken.put(replace(event, node=node))

    def evaluations(job: Job) -> Files:
        file = folder.run(job).path.with_name(f"{folder.run(job).path.name}.json")
        return {str(file.relative_to(folder.path)): file.read_bytes()}

    def make() -> None:
        try:
            make_agents(folder, jobs, on_event, find_device(device))
            spoken.put(None)
        except BaseException as error:
            spoken.put(error)

    threading.Thread(target=make, daemon=True).start()
    while True:
        try:
            item = spoken.get(timeout=GLANCE)  # a request to stop is heard between two waits only
        except queue.Empty:
            continue
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        yield item
