"""Making a study, agent by agent, until every one is done.

In: a plan, a folder, a number of worker processes, or a Ray cluster. Out: the folder with both tables. Killed
at any moment and called again, it goes on; called twice at once, both share the work. Next:
``archwalk.reporting``.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from archwalk import api
from archwalk.config import RaySettings, Settings, ray_settings
from archwalk.errors import RunError, SettingsError
from archwalk.studies.crew import Crew
from archwalk.studies.folder import StudyDir
from archwalk.studies.plan import Job, StudyPlan, make_plan
from archwalk.studies.worker import Event, OnEvent
from archwalk.tasks.registry import load_benchmark
from archwalk.training.loop import Loop
from archwalk.training.runner import find_device

SAMPLE_SECONDS = 3.0  # of training, to estimate how long a study takes


def study(
    benchmark: str | Path,
    tasks: Sequence[str],
    run_dir: str | Path,
    *,
    seeds: int = 5,
    preset: str | Path | Settings = "laptop",
    jobs: int = 1,
    device: str = "auto",
    executor: api.Executor = "inline",
    ray: RaySettings | None = None,
    on_event: OnEvent | None = None,
) -> StudyDir:
    """Train an agent a task and seed, move each to every other task, and evaluate every regime.

    Called again it resumes; called with more seeds it adds them.

    Args:
        benchmark: name or file.
        tasks: at least two of its tasks.
        run_dir: the study's folder.
        seeds: at least 1; statistics begin to mean something at 5.
        preset: name, TOML file, or settings.
        jobs: worker processes on this machine, one thread each.
        device: ``auto``: a GPU if there is one; ``cpu``, ``cuda`` or ``cuda:N``. With Ray each node looks for
            it, and ``auto`` is the CPU.
        executor: ``inline``: those processes; ``ray``: an agent a task on a Ray cluster.
        ray: which cluster, and what an agent takes of it; used with ``ray`` alone.
        on_event: called with every ``Event``.

    Returns:
        The finished study.

    Raises:
        ArchwalkError: anything wrong with benchmark, tasks, settings or folder, before any work.
    """
    plan = make_plan(benchmark, tasks, seeds, preset)
    return run_study(plan, run_dir, jobs=jobs, device=device, executor=executor, ray=ray, on_event=on_event)


def run_study(
    plan: StudyPlan,
    run_dir: str | Path,
    *,
    jobs: int = 1,
    device: str = "auto",
    executor: api.Executor = "inline",
    ray: RaySettings | None = None,
    on_event: OnEvent | None = None,
) -> StudyDir:
    """``study``, of a plan that is made already."""
    if jobs < 1:
        raise SettingsError("at least one worker process", f"{jobs} jobs", "ask for as many as cores")
    folder = StudyDir(run_dir)
    folder.check(plan)
    settings = ray_settings(executor, ray)
    if settings is None:
        where = find_device(device)
        _make(folder, plan, lambda: LocalCrew(folder, jobs, where), on_event)
    else:
        from archwalk.execution.cluster import check_tasks, connected
        from archwalk.studies.remote import RayCrew

        with connected(settings):
            check_tasks(settings, "agent")
            _make(folder, plan, lambda: RayCrew(folder, settings, device), on_event)
    return folder


def _make(folder: StudyDir, plan: StudyPlan, make_crew: Callable[[], Crew], on_event: OnEvent | None) -> None:
    folder.begin(plan)
    crew = make_crew()
    try:
        crew.work(on_event)
    finally:
        crew.dismiss()
    folder.collect()


class LocalCrew(Crew):
    """Worker processes on this machine.

    Args:
        folder: the study's.
        size: most of them.
        device: where they train.
    """

    def __init__(self, folder: StudyDir, size: int, device: torch.device) -> None:
        super().__init__(folder)
        self.size, self.device = size, device
        self.workers: list[_Worker] = []
        self.selector = selectors.DefaultSelector()

    def has_room(self) -> bool:
        """Whether a worker is idle, or one more may be had."""
        return len(self.workers) < self.size or any(not w.jobs for w in self.workers)

    def order(self, jobs: list[Job]) -> None:
        """To an idle worker, or a new one."""
        worker = next((w for w in self.workers if not w.jobs), None)
        if worker is None:
            worker = _Worker(self.folder, self.device)
            self.workers.append(worker)
            self.selector.register(worker.output, selectors.EVENT_READ, worker)
        worker.order(jobs)

    def listen(self, seconds: float) -> list[Event]:
        """What the workers have said."""
        return [event for key, _ in self.selector.select(timeout=seconds) for event in key.data.read()]

    def dismiss(self) -> None:
        """End the processes."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.wait()
            worker.process.stdin.close()  # type: ignore[union-attr]
            os.close(worker.output)
        self.selector.close()


class _Worker:
    """One worker process.

    Args:
        folder: the study's.
        device: where it trains.

    Attributes:
        jobs: what it is at.
    """

    def __init__(self, folder: StudyDir, device: torch.device) -> None:
        self.jobs: list[Job] = []
        self._rest = b""
        self.output, theirs = os.pipe()
        one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # else they fight over the cores
        self.process = subprocess.Popen(
            [sys.executable, "-m", "archwalk.studies.worker", str(folder.path), str(device)],
            stdin=subprocess.PIPE,
            stdout=theirs,
            env=os.environ | one_thread,
        )
        os.close(theirs)

    def order(self, jobs: list[Job]) -> None:
        """Begin with some jobs."""
        self.jobs = list(jobs)
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: ``read`` says so
            self.process.stdin.write(json.dumps(jobs).encode() + b"\n")
            self.process.stdin.flush()

    def read(self) -> list[Event]:
        """The events that have come.

        Raises:
            RunError: the process has ended.
        """
        received = os.read(self.output, 65_536)
        if not received:
            raise RunError(
                f"the worker process at {' and '.join(map(str, self.jobs))} to go on",
                f"its end, with status {self.process.wait()}",
                "see above why, or free memory; then run the same command again: it resumes",
            )
        *lines, self._rest = (self._rest + received).split(b"\n")
        events = [Event.from_json(line) for line in lines]
        ended = {event.job for event in events if event.kind != "row"}
        self.jobs = [job for job in self.jobs if job not in ended]
        return events


def steps_a_second(plan: StudyPlan, device: torch.device) -> float:
    """Trained steps a second of one worker on this machine, measured for a few seconds; nothing is kept."""
    often = {"trained_steps": 10**12, "log_every": plan.settings.learner.batch_size, "evaluate_every": 10**12}
    table, settings = load_benchmark(plan.benchmark), plan.settings.replace(training=often)
    loop = Loop(table, plan.tasks[0], settings, 0, device=device)
    began = first = 0.0
    for _ in loop.run():
        trained = loop.counters.trained_steps
        if not began:
            began, first = time.monotonic(), trained
        seconds = time.monotonic() - began
        if seconds > SAMPLE_SECONDS:
            return (trained - first) / seconds
    raise AssertionError("the run is endless")


def forecast(plan: StudyPlan, run_dir: str | Path, jobs: int, device: str = "auto") -> dict[str, Any]:
    """What a study would take: ``agents, done, steps, steps_a_second, hours`` (of what is left to do).

    Raises:
        ArchwalkError: as ``study``, of which nothing is begun.
    """
    folder = StudyDir(run_dir)
    folder.check(plan)
    every = plan.jobs()
    left = [job for job in every if not folder.done(job)]
    steps, rate = len(left) * plan.steps_a_job, steps_a_second(plan, find_device(device))
    workers = min(jobs, max(len(left), 1))
    return {
        "agents": len(every),
        "done": len(every) - len(left),
        "steps": steps,
        "steps_a_second": rate,
        "hours": steps / rate / workers / 3600,
    }
