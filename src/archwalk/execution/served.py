"""Evaluators that may be asked many times at once on this machine, and stopped.

In: an evaluator as ``evaluators.make_evaluator`` makes it. Out: one of the same answers for several threads:
a function given by name is imported once a server (``forkserver``), and an evaluation that crashes or hangs
ends itself alone. Next: ``archwalk.searching.running``.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

from archwalk.execution.executor import Stopped
from archwalk.execution.forkserver import can_fork
from archwalk.tasks.evaluators import WORKER, CommandEvaluator, failure_of
from archwalk.tasks.ledger import EvaluationFailed, Evaluator, Metrics


class ServedEvaluator:
    """A function's evaluations, each in a process forked from one that has imported it.

    Args:
        evaluator: of a function given by name.
        environment: more variables for the processes.
    """

    def __init__(self, evaluator: CommandEvaluator, environment: Mapping[str, str] | None = None) -> None:
        self._evaluator, self._environment = evaluator, os.environ | dict(environment or {})
        self._idle: list[_Server] = []
        self._busy: set[_Server] = set()
        self._lock, self._closed = threading.Lock(), False
        self._forks = True

    def __call__(self, architecture: str) -> Metrics:
        """Raises ``EvaluationFailed`` once every try is used up, and ``Stopped`` when it is closed."""
        for left in range(self._evaluator.retries, -1, -1):
            try:
                return self._ask(architecture)
            except EvaluationFailed:
                if self._closed:
                    raise Stopped from None
                if not left:
                    raise
        raise AssertionError("unreachable")

    def _ask(self, architecture: str) -> Metrics:
        if not self._forks:
            return self._evaluator.once(architecture)
        make = self._evaluator.choices
        given: Any = architecture if make is None else make(architecture)
        server = self._take()
        try:
            if not server.forks:
                self._forks = False
                server.end()
                return self._evaluator.once(architecture)
            reply = server.ask(given, self._evaluator.time_limit)
        except BaseException:
            server.end()
            raise
        finally:
            self._put(server)
        if "answer" in reply:
            return {str(name): float(value) for name, value in reply["answer"].items()}
        if "timeout" in reply:
            raise EvaluationFailed("timeout", f"killed after {self._evaluator.time_limit:g} s")
        raise failure_of(reply["code"], reply["complaint"])

    def make_ready(self) -> None:
        """Import the function, in one more process if all are at something."""
        server = self._take()
        try:
            self._forks = server.forks
        except EvaluationFailed:  # the first evaluation will say so
            pass
        finally:
            self._put(server)

    def _put(self, server: _Server) -> None:
        with self._lock:
            self._busy.discard(server)
            if server.alive:
                self._idle.append(server)

    def _take(self) -> _Server:
        with self._lock:
            if self._closed:
                raise Stopped
            server = self._idle.pop() if self._idle else None
            if server is None:
                words = [w for w in self._evaluator.command if w not in WORKER]
                task = self._evaluator.task
                server = _Server([*(["--task", task] if task else []), *words], self._environment)
            self._busy.add(server)
            return server

    def close(self) -> None:
        """End the processes, and what they are at."""
        with self._lock:
            self._closed = True
            servers = [*self._idle, *self._busy]
            self._idle.clear()
        for server in servers:
            server.end()


class _Server:
    """One process that has imported the function."""

    def __init__(self, words: list[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "archwalk.execution.forkserver", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C is for the search, which then ends this one
        )
        self.alive, self._said = True, ""

    @property
    def forks(self) -> bool:
        """Whether it can evaluate; waits until it has imported the function."""
        if not self._said:
            self._said = str(self._line())
        return self._said == "ready"

    def ask(self, given: Any, limit: float | None) -> dict[str, Any]:
        """One evaluation. Raises ``EvaluationFailed`` if the process ends over it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended: reading says so
            self._process.stdin.write(json.dumps([given, limit]).encode() + b"\n")
            self._process.stdin.flush()
        reply = self._line()
        assert isinstance(reply, dict)
        return reply

    def _line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self.end()
            raise EvaluationFailed(
                "failed", f"the process that forks for evaluations ended with status {code}"
            )
        return json.loads(line)

    def end(self) -> None:
        """End it, and what it is at."""
        self.alive = False
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not (stream is self._process.stdout and self._process.poll() is None):
                with contextlib.suppress(OSError, ValueError):
                    stream.close()  # its input: it ends what it is at, and then itself
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdout.close()


def served(evaluator: Evaluator, jobs: int) -> Evaluator:
    """An evaluator for several threads: functions given by name get servers, where this system forks.

    Args:
        evaluator: as made for one.
        jobs: evaluations at once; their linear algebra shares the cores, unless the user says otherwise.
    """
    if not (isinstance(evaluator, CommandEvaluator) and evaluator.command[:3] == WORKER and can_fork()):
        return evaluator
    return ServedEvaluator(evaluator, thread_share(jobs))


def make_ready(evaluator: Evaluator) -> None:
    """Have a function imported, so that its first evaluation takes no longer than the others."""
    if isinstance(evaluator, ServedEvaluator):
        evaluator.make_ready()


def thread_share(jobs: int) -> dict[str, str]:
    """Variables that give each of several evaluations its share of the cores; none where they are set, or
    for one alone."""
    if jobs < 2 or "OMP_NUM_THREADS" in os.environ:
        return {}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"OMP_NUM_THREADS": str(max(1, cores // jobs))}


def close(evaluator: Evaluator) -> None:
    """End what an evaluator is at, where it can."""
    end = getattr(evaluator, "close", None)
    if end is not None:
        end()
