"""Evaluations as tasks on a Ray cluster, with resources, a time limit and retries.

In: a function or command, and a cluster that this process is connected to. Out: an ``Evaluator`` that many
threads may call at once, each call a task. On its node a task runs the same ``CommandEvaluator`` as a search
here would: the user's code has a process group of its own, which is killed when time is up. An evaluation
whose process or node dies is made again elsewhere; one that fails by itself is recorded as failed. Next:
``verbs``.
"""

from __future__ import annotations

import os
import platform
import queue
import shutil
import threading
from concurrent.futures import Future, wait
from functools import cache
from pathlib import Path
from typing import Any

from archwalk.config import RaySettings
from archwalk.errors import SearchError
from archwalk.execution.executor import Say, Stopped, Work
from archwalk.execution.ray import RayTasks
from archwalk.tasks.evaluators import CommandEvaluator, check_function
from archwalk.tasks.ledger import EvaluationFailed, Metrics

MOST = 256  # evaluations under way at once, where the resources would allow more
_TURN = 0.1  # seconds that one thread listens for all, and that the others wait for it


def make_work(function: str | None, command: CommandEvaluator) -> list[Any]:
    """What a node needs to know to evaluate, of an evaluator that has been checked here.

    Returns:
        The arguments of ``evaluate`` before the architecture.
    """
    words = [] if function else list(command.command)
    path = os.environ.get("PYTHONPATH", "")
    return [function, words, command.time_limit, command.retries, str(Path.cwd()), path]


class RayEvaluator:
    """Evaluates on the cluster.

    Args:
        work: what; of ``make_work``.
        settings: with which resources.

    Raises:
        ClusterError: no node has the resources.
    """

    def __init__(self, work: list[Any], settings: RaySettings) -> None:
        self._work = work
        self._tasks: RayTasks[str] = RayTasks(Path(), settings, "evaluation")
        self.size = min(self._tasks.size, MOST)
        self._asked: queue.SimpleQueue[tuple[str, Future[Any]]] = queue.SimpleQueue()
        self._answers: dict[str, Future[Any]] = {}
        self._turn, self._closed = threading.Lock(), False
        self.nodes: set[str] = set()  # that have evaluated

    def __call__(self, architecture: str) -> Metrics:
        """One evaluation.

        Raises:
            EvaluationFailed: as ``CommandEvaluator`` does.
            SearchError: the function or program is not there on a node.
            ClusterError: processes or nodes have died under it too often.
        """
        answer: Future[Any] = Future()
        self._asked.put((architecture, answer))
        while not answer.done():
            if not self._turn.acquire(blocking=False):
                wait([answer], _TURN)
                continue
            try:
                if self._closed:
                    raise Stopped
                self._serve()
            finally:
                self._turn.release()
        metrics, failure = answer.result()
        if failure is not None:
            raise EvaluationFailed(*failure)
        return metrics

    def _serve(self) -> None:
        """What one of the waiting threads does for all of them, for a moment."""
        while not self._asked.empty():
            architecture, answer = self._asked.get()
            self._answers[architecture] = answer
            self._tasks.submit(architecture, Work(f"{__name__}:evaluate", (*self._work, architecture)))
        for event in self._tasks.events(_TURN):
            if event.kind == "done":
                self.nodes.add(event.node)
                self._answers.pop(event.key).set_result(event.value)

    def close(self) -> None:
        """Stop what is under way; those that wait for it get ``Stopped``."""
        self._closed = True  # first, or whoever serves might go on taking its turn
        with self._turn:
            self._tasks.stop()


def evaluate(
    root: Path,
    say: Say,
    function: str | None,
    command: list[str],
    time_limit: float | None,
    retries: int,
    folder: str,
    path: str,
    architecture: str,
) -> tuple[Metrics, tuple[str, str] | None]:
    """One evaluation, on whatever node the cluster chooses.

    Args:
        function: ``module:function``; None for a command.
        command: program and arguments.
        time_limit: seconds a try; None: no limit.
        retries: after a crash or time-out.
        folder: where the search was started; the work is done there, where the node has it.
        path: ``PYTHONPATH`` there.
        architecture: what to evaluate.

    Returns:
        Metrics; and what ``EvaluationFailed`` was raised with, if it was.

    Raises:
        SearchError: the function or program is not there.
    """
    if os.path.isdir(folder):
        os.chdir(folder)
    if path:
        os.environ["PYTHONPATH"] = path
    words = _checked(function, tuple(command))
    try:
        return CommandEvaluator(words, time_limit, retries)(architecture), None
    except EvaluationFailed as error:
        return {}, (error.status, str(error))


@cache
def _checked(function: str | None, command: tuple[str, ...]) -> tuple[str, ...]:
    """The words of an evaluation; once a process, it is seen whether the function or program is there."""
    here = f"on the node {platform.node()}"
    if function is not None:
        return check_function(function, here)
    if shutil.which(command[0]) is None:
        raise SearchError(f"a command whose program exists {here}", repr(command[0]), "install it there")
    return command
