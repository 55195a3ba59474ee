"""Evaluations as tasks on a Ray cluster, with resources, a time limit and retries.

In: a function or command, and a cluster that this process is connected to. Out: an ``Evaluator`` that many
threads may call at once, each call a task. On its node a task runs the same ``CommandEvaluator`` as a search
here would: the user's code has a process group of its own, which is killed when time is up. A look whose
process or node dies is made again elsewhere; one that fails by itself is recorded as failed. Next: ``verbs``.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from typing import Any

from archwalk.config import RaySettings
from archwalk.execution.executor import Say, Work
from archwalk.execution.ray import RayTasks
from archwalk.tasks.evaluators import CommandEvaluator, make_evaluator
from archwalk.tasks.ledger import EvaluationFailed, Metrics

MOST = 256  # looks under way at once, where the resources would allow more
_TURN = 0.1  # seconds that one thread listens for all, and that the others wait for it


class Stopped(Exception):
    """An evaluation that was ended because the search was."""


class RayEvaluator:
    """Evaluates on the cluster; the arguments are those of ``make_evaluator``, which has accepted them here.

    Args:
        settings: with which resources.

    Raises:
        ClusterError: no node has the resources.
    """

    def __init__(
        self,
        function: str | None,
        command: str | None,
        time_limit: float | None,
        retries: int,
        settings: RaySettings,
    ) -> None:
        path = os.environ.get("PYTHONPATH", "")
        self._what = (function, command, time_limit, retries), str(Path.cwd()), path
        self._tasks: RayTasks[str] = RayTasks(Path(), settings, "evaluation")
        self.size = min(self._tasks.size, MOST)
        self._asked: queue.SimpleQueue[tuple[str, Future[Any]]] = queue.SimpleQueue()
        self._answers: dict[str, Future[Any]] = {}
        self._turn, self._closed = threading.Lock(), False
        self.nodes: set[str] = set()  # that have evaluated

    def __call__(self, architecture: str) -> Metrics:
        """One look.

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
            self._tasks.submit(architecture, Work(f"{__name__}:evaluate", (*self._what, architecture)))
        for event in self._tasks.events(_TURN):
            if event.kind == "done":
                self.nodes.add(event.node)
                self._answers.pop(event.key).set_result(event.value)

    def close(self) -> None:
        """Stop what is under way; those that wait for it get ``Stopped``."""
        with self._turn:
            self._closed = True
            self._tasks.stop()


def at_once(work: Callable[[], object], evaluator: RayEvaluator) -> None:
    """Run the same work in as many threads as there may be looks under way, and wait for all.

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


def evaluate(root: Path, say: Say, what: list[Any], folder: str, path: str, architecture: str) -> Any:
    """One look, on whatever node the cluster chooses.

    Args:
        what: the arguments of ``make_evaluator``.
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
    try:
        return _made(*what)(architecture), None
    except EvaluationFailed as error:
        return {}, (error.status, str(error))


@cache
def _made(
    function: str | None, command: str | None, time_limit: float | None, retries: int
) -> CommandEvaluator:
    here = f" on the node {os.uname().nodename}"
    return make_evaluator(function, command, time_limit, retries, here)
