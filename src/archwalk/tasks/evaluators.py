"""Evaluators: what turns an architecture into metrics.

In: a benchmark's table, a Python function ``module:function``, or a command that prints JSON. Out: an
``Evaluator`` for ``budget.Evaluations``. Function and command run in a process group of their own, which is
killed as a whole when the time limit is over, or when this process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archwalk.errors import SearchError
from archwalk.tasks.ledger import EvaluationFailed, Metrics
from archwalk.tasks.table import Benchmark

_TAIL = 300  # characters of standard error kept with a failure
_WORKER = (sys.executable, "-m", "archwalk.execution.worker")  # ends when the process that started it does


@dataclass(frozen=True)
class TableEvaluator:
    """Looks an architecture up in a benchmark.

    Attributes:
        benchmark: the table.
        task: whose columns.
    """

    benchmark: Benchmark
    task: str

    def __call__(self, architecture: str) -> Metrics:
        """The reward's column, and the task's metrics without a split, as stored."""
        row = self.benchmark.index(architecture)
        reward = self.benchmark.reward_column(self.task)
        metrics = {reward.metric: float(self.benchmark.columns[reward][row])}
        for column, values in self.benchmark.columns.items():
            if column.task == self.task and column.split == "none" and np.isfinite(values[row]):
                metrics[column.metric] = float(values[row])
        return metrics


@dataclass(frozen=True)
class CommandEvaluator:
    """Runs a command; the last line of its standard output is a JSON object of metrics.

    Attributes:
        command: program and arguments; ``{}`` becomes the architecture, which is the last argument if there
            is no ``{}``.
        time_limit: seconds after which its whole process group is killed; None: no limit.
        retries: how often a crash or time-out is tried again within the same look.
    """

    command: tuple[str, ...]
    time_limit: float | None = None
    retries: int = 0

    def __call__(self, architecture: str) -> Metrics:
        """Raises ``EvaluationFailed`` once every try is used up."""
        for left in range(self.retries, -1, -1):
            try:
                return self._run(architecture)
            except EvaluationFailed:
                if not left:
                    raise
        raise AssertionError("unreachable")

    def _run(self, architecture: str) -> Metrics:
        command = [part.replace("{}", architecture) for part in self.command]
        if command == list(self.command):
            command.append(architecture)
        if self.command[:3] != _WORKER:
            command = [*_WORKER, "--", *command]
        output = _output_of(command, self.time_limit)
        lines = [line for line in output.splitlines() if line.strip()]
        try:
            metrics = json.loads(lines[-1])
            return {str(k): float(v) for k, v in metrics.items()}
        except (IndexError, ValueError, AttributeError, TypeError) as error:
            last = lines[-1][:_TAIL] if lines else "nothing"
            message = f"expected a JSON object of numbers on the last line of its output, got {last!r}"
            raise EvaluationFailed("failed", message) from error


def _output_of(command: Sequence[str], time_limit: float | None) -> str:
    """Standard output of a command in its own session; killed with all its children when time is up."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # held open: a worker ends itself when it closes
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        streams = {"stdin": process.stdin}
        process.stdin = None  # or communicate would close it
        try:
            output, complaint = process.communicate(timeout=time_limit)
        except subprocess.TimeoutExpired as error:
            raise EvaluationFailed("timeout", f"killed after {time_limit:g} s") from error
        finally:
            _kill_group(process.pid)  # children that outlived the command, too
            if streams["stdin"]:
                streams["stdin"].close()
    if process.returncode:
        said = complaint.strip()[-_TAIL:]
        raise EvaluationFailed("failed", f"exit status {process.returncode}: {said}")
    return output


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def make_evaluator(
    function: str | None, command: str | None, time_limit: float | None, retries: int
) -> CommandEvaluator:
    """The evaluator that a user named, checked as far as can be without evaluating anything.

    Args:
        function: ``module:function``, importable from the present folder.
        command: a command line as a shell would split it.
        time_limit: seconds an evaluation.
        retries: within one look.

    Raises:
        SearchError: neither or both given, a function that cannot be imported, a program that is not there,
            a time limit or number of retries out of range.
    """
    if (function is None) == (command is None):
        got = "both" if function else "neither"
        raise SearchError("either --evaluator module:function or --command '...'", got, "give one of them")
    if (time_limit is not None and time_limit <= 0) or retries < 0:
        raise SearchError(
            "a time limit above 0 seconds and at least 0 retries",
            f"{time_limit} and {retries}",
            "correct them",
        )
    if command is not None:
        words = tuple(shlex.split(command))
        if not words or shutil.which(words[0]) is None:
            raise SearchError("a command whose program exists", repr(command), "check its spelling and PATH")
        return CommandEvaluator(words, time_limit, retries)
    return CommandEvaluator(check_function(str(function), "from here"), time_limit, retries)


def check_function(name: str, where: str) -> tuple[str, ...]:
    """The words that evaluate with a function, once it has been imported in a process of its own.

    Args:
        name: ``module:function``.
        where: for the message.

    Raises:
        SearchError: it cannot be imported.
    """
    words = (*_WORKER, name)
    try:
        if not all(name.partition(":")):
            raise EvaluationFailed("failed", "there is no ':' between module and function")
        _output_of(words, None)
    except EvaluationFailed as error:
        raise SearchError(
            f"an evaluator module:function that can be imported {where}",
            f"{name!r}: {error}",
            "run from the folder of the module, or put that folder on PYTHONPATH",
        ) from error
    return words
