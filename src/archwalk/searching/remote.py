"""Evaluations as tasks on a Ray cluster, with resources, a time limit and retries.

In: a function or command, and a cluster that this process is connected to. Out: an ``Evaluator`` that many
threads may call at once, each call a task. On its node a task runs the same ``CommandEvaluator`` as a search
here would: the user's code has a process group of its own, which is killed when time is up. An evaluation
whose process or node dies is made again elsewhere; one that fails by itself is recorded as failed. Next:
``verbs``.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from archwalk.config import RaySettings
from archwalk.errors import SearchError
from archwalk.execution.cluster import (
    GLANCE,
    check_tasks,
    end,
    load_ray,
    lost,
    make_task,
    raised,
    room,
    task_bundle,
)
from archwalk.tasks.evaluators import CommandEvaluator, check_function
from archwalk.tasks.ledger import EvaluationFailed, Metrics

MOST = 256  # evaluations under way at once, where the resources would allow more


@dataclass(frozen=True)
class Work:
    """What a node needs to know to evaluate.

    Attributes:
        function: ``module:function``; None for a command.
        command: program and arguments.
        time_limit: seconds a try; None: no limit.
        retries: after a crash or time-out.
        folder: where the search was started; the task works there, where the node has it.
        path: ``PYTHONPATH`` there.
    """

    function: str | None
    command: tuple[str, ...]
    time_limit: float | None
    retries: int
    folder: str
    path: str


def make_work(function: str | None, command: CommandEvaluator) -> Work:
    """The work of an evaluator that has been checked here."""
    path = os.environ.get("PYTHONPATH", "")
    words = () if function else command.command
    return Work(function, words, command.time_limit, command.retries, str(Path.cwd()), path)


class RayEvaluator:
    """Evaluates on the cluster.

    Args:
        work: what.
        settings: with which resources.

    Raises:
        ClusterError: no node has the resources.
    """

    def __init__(self, work: Work, settings: RaySettings) -> None:
        ray = load_ray()
        check_tasks(settings, "evaluation")
        self.size = min(settings.tasks or room(task_bundle(settings)), MOST)
        self._settings, self._work = settings, ray.put(work)
        self._task = make_task(settings, evaluate_elsewhere)
        self._closed, self._lock = False, threading.Lock()
        self._under_way: set[Any] = set()
        self.nodes: set[str] = set()  # that have evaluated

    def __call__(self, architecture: str) -> Metrics:
        """One evaluation.

        Raises:
            EvaluationFailed: as ``CommandEvaluator`` does.
            SearchError: the function or program is not there on a node.
            ClusterError: processes or nodes have died under it too often.
        """
        ray, losses = load_ray(), 0
        while True:
            try:
                metrics, failure, node = self._answer(architecture)
            except ray.exceptions.RayTaskError as error:
                if self._closed:  # cancelled in the middle of its work
                    raise Stopped from error
                raise raised(error) from error
            except ray.exceptions.RayError as error:  # the process or its node has died
                losses += 1
                if self._closed:
                    raise Stopped from error
                if losses > self._settings.losses:
                    raise lost(f"the evaluation of {architecture!r}", losses, error) from error
                continue
            self.nodes.add(node)
            if failure is not None:
                raise EvaluationFailed(*failure)
            return metrics

    def _answer(self, architecture: str) -> Any:
        ray = load_ray()
        with self._lock:
            if self._closed:
                raise Stopped
            task = self._task.remote(self._work, architecture)
            self._under_way.add(task)
        try:
            while not ray.wait([task], timeout=GLANCE)[0]:
                if self._closed:
                    raise Stopped
            return ray.get(task)
        finally:
            with self._lock:
                self._under_way.discard(task)

    def close(self) -> None:
        """Stop what is under way; those that wait for it get ``Stopped``."""
        with self._lock:
            self._closed, tasks = True, list(self._under_way)
        end(tasks)


class Stopped(Exception):
    """An evaluation that was ended because the search was."""


def at_once(work: Callable[[], object], evaluator: RayEvaluator) -> None:
    """Run the same work in as many threads as there may be evaluations under way, and wait for all.

    The first error of any ends the others, and is raised.
    """
    with ThreadPoolExecutor(evaluator.size) as pool:
        running = [pool.submit(work) for _ in range(evaluator.size)]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            if any(not thread.done() for thread in running):
                evaluator.close()
        for thread in running:
            error = thread.exception()
            if error is not None and not isinstance(error, Stopped):
                raise error


def evaluate_elsewhere(work: Work, architecture: str) -> tuple[dict[str, float], tuple[str, str] | None, str]:
    """One evaluation, on whatever node the cluster chooses.

    Returns:
        Metrics; what ``EvaluationFailed`` was raised with, if it was; and the node.

    Raises:
        SearchError: the function cannot be had there.
    """
    node: str = load_ray().get_runtime_context().get_node_id()
    evaluator = _prepared(work)
    try:
        return {str(k): float(v) for k, v in evaluator(architecture).items()}, None, node
    except EvaluationFailed as error:
        return {}, (error.status, str(error)), node


@cache
def _prepared(work: Work) -> CommandEvaluator:
    """Once a process: go to the folder, and see whether the function is there."""
    if os.path.isdir(work.folder):
        os.chdir(work.folder)
    if work.path:
        os.environ["PYTHONPATH"] = work.path
    here = f"on the node {os.uname().nodename}"
    if work.function is None:
        if shutil.which(work.command[0]) is None:
            raise SearchError(
                f"a command whose program exists {here}", repr(work.command[0]), "install it there"
            )
        guarded = (sys.executable, "-m", "archwalk.execution.worker", "--", *work.command)
        return CommandEvaluator(_with_place(guarded), work.time_limit, work.retries)
    words = check_function(work.function, here)
    return CommandEvaluator(words, work.time_limit, work.retries)


def _with_place(words: tuple[str, ...]) -> tuple[str, ...]:
    return words if any("{}" in word for word in words) else (*words, "{}")
