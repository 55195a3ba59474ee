"""Making a study, agent by agent, until every one is done.

In: a plan, a folder, a number of worker processes, or a Ray cluster. Out: the folder with both tables. Killed
at any moment and called again, it goes on; called twice at once, both share the work. Next:
``archwalk.reporting``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from archwalk.agents.registry import DEFAULT, find_algorithm
from archwalk.config import ExecutorName, RaySettings, Settings, ray_settings
from archwalk.execution.cluster import connected
from archwalk.execution.executor import Executor, run
from archwalk.execution.processes import Processes
from archwalk.execution.ray import RayTasks
from archwalk.studies.folder import TABLE, StudyDir
from archwalk.studies.plan import Job, StudyPlan, make_plan
from archwalk.studies.worker import Event, OnEvent, agent_work
from archwalk.tasks.registry import benchmark_names, load_benchmark, split_protocol
from archwalk.training.loop import Loop
from archwalk.training.runner import find_device
from archwalk.transferring.registry import INITIALISE

__all__ = [
    "study",
]

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
    executor: ExecutorName = "inline",
    ray: RaySettings | None = None,
    on_event: OnEvent | None = None,
    multi_task: bool = False,
    algorithms: Sequence[str] = (DEFAULT,),
    transfers: Sequence[str] = (INITIALISE,),
) -> StudyDir:
    """Train an agent a task and seed, move each to every other task, and evaluate every regime.

    Called again it resumes; called with more seeds, algorithms or transfers it adds them.

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
        multi_task: also agents of all tasks, and of all but each, which are moved to the one left out.
        algorithms: every agent is trained by each of them; more may be asked for later.
        transfers: every agent is moved in each of these ways; likewise.

    Returns:
        The finished study.

    Raises:
        ArchwalkError: anything wrong with benchmark, tasks, settings or folder, before any work.
    """
    plan = make_plan(benchmark, tasks, seeds, preset, multi_task, algorithms, transfers)
    return run_study(plan, run_dir, jobs=jobs, device=device, executor=executor, ray=ray, on_event=on_event)


def run_study(
    plan: StudyPlan,
    run_dir: str | Path,
    *,
    jobs: int = 1,
    device: str = "auto",
    executor: ExecutorName = "inline",
    ray: RaySettings | None = None,
    on_event: OnEvent | None = None,
) -> StudyDir:
    """``study``, of a plan that is made already."""
    folder = StudyDir(run_dir)
    folder.check(plan)
    settings = ray_settings(executor, ray)
    if settings is None:
        where = str(find_device(device))
        _make(folder, plan, Processes(folder.path, jobs), where, on_event)
        return folder
    where, _ = split_protocol(plan.benchmark)
    own = {} if where in benchmark_names() else {TABLE: Path(where)}
    with connected(settings):
        tasks: RayTasks[Job] = RayTasks(folder.path, settings, "agent", own)
        _make(folder, plan, tasks, "cpu" if device == "auto" else device, on_event)
    return folder


def _make(
    folder: StudyDir, plan: StudyPlan, executor: Executor[Job], device: str, on_event: OnEvent | None
) -> None:
    """Every agent, each after the one whose weights it begins with."""
    folder.begin(plan)
    works = {job: agent_work(folder, job, device) for job in folder.missing()}
    with executor:
        for event in run(executor, works, lambda job: () if job.scratch else (job.source,)):
            if event.kind == "done":
                folder.collect()
                told = Event("done", event.key, node=event.node)
            elif event.kind == "said" and event.value is not None:
                told = Event("row", event.key, **event.value, node=event.node)
            else:
                continue
            if on_event:
                on_event(told)
    folder.collect()


def steps_a_second(plan: StudyPlan, device: torch.device, algorithm: str = DEFAULT) -> float:
    """Trained steps a second of one worker on this machine, measured for a few seconds; nothing is kept."""
    often = {"trained_steps": 10**12, "log_every": plan.settings.learner.batch_size, "evaluate_every": 10**12}
    table, settings = load_benchmark(plan.benchmark), plan.settings.replace(training=often)
    make = find_algorithm(algorithm)
    loop = Loop(table, plan.tasks[0], settings, 0, device=device, make_agent=make)
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
    """What a study would take: ``agents, done, steps, steps_a_second, hours`` (of what is left to do; with
    several algorithms the speed is their mean over what each has left).

    Raises:
        ArchwalkError: as ``study``, of which nothing is begun.
    """
    folder = StudyDir(run_dir)
    folder.check(plan)
    every = plan.jobs()
    left = [job for job in every if not folder.done(job)]
    steps, where = len(left) * plan.steps_a_job, find_device(device)
    rates = {name: steps_a_second(plan, where, name) for name in plan.algorithms}
    rate = len(left or every) / sum(1 / rates[job.algorithm] for job in left or every)
    workers = min(jobs, max(len(left), 1))
    return {
        "agents": len(every),
        "done": len(every) - len(left),
        "steps": steps,
        "steps_a_second": rate,
        "hours": steps / rate / workers / 3600,
    }
