"""Evaluators: what turns an architecture into metrics.

In: a benchmark's table, a predicting task, a Python function (an object, or ``module:function``), or a
command that prints JSON. Out: an ``Evaluator`` for ``ledger.Ledger``. An answer that was given counts,
whatever is printed around it. A function given by name and a command run in a process group of their own,
which is killed as a whole when the time limit is over, or when this process ends, however it ends; a function
given as an object is called in this process.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from archwalk.calling import MAPPING, NO_TASK, asks_for_mapping, metrics_of, takes_task
from archwalk.ending import end_group, set_apart
from archwalk.errors import SearchError, reason, shortened
from archwalk.spaces.base import SearchSpace
from archwalk.tasks.base import Predicted
from archwalk.tasks.ledger import EvaluationFailed, Evaluator, Metrics
from archwalk.tasks.table import Benchmark

_TAIL = 400  # characters of standard error kept with a failure
_MOST = 2_000_000  # characters at the end of the output in which an answer is looked for
ENDED = 0  # among the groups under way: no more of them
WORKER = (sys.executable, "-m", "archwalk.execution.worker")  # ends when the process that started it does
Choices = Callable[[str], Mapping[str, Any]]  # an architecture's string → slot → choice


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
class PredictedEvaluator:
    """Asks a task that has a value for every architecture.

    Attributes:
        benchmark: the predicting tasks.
        task: one of them.
        metrics: names of the metrics to ask for.
    """

    benchmark: Predicted
    task: str
    metrics: tuple[str, ...]

    def __call__(self, architecture: str) -> Metrics:
        """The metrics of one architecture."""
        codes = self.benchmark.space.rows([architecture])
        return {name: float(self.benchmark.values(self.task, codes, name)[0]) for name in self.metrics}


@dataclass(frozen=True)
class CallableEvaluator:
    """Calls a Python function in this process; what it raises is a failed evaluation.

    Attributes:
        function: takes an architecture, returns a mapping of metrics, or one number.
        retries: how often an exception is tried again within the same evaluation.
        choices: makes the mapping that the function asks for; None: it takes the string.
        task: its second argument, where it evaluates several tasks.
    """

    function: Callable[..., Any]
    retries: int = 0
    choices: Choices | None = None
    task: str | None = None

    def __call__(self, architecture: str) -> Metrics:
        """Raises ``EvaluationFailed`` for any exception."""
        given = architecture if self.choices is None else self.choices(architecture)
        arguments = (given,) if self.task is None else (given, self.task)
        for left in range(self.retries, -1, -1):
            try:
                return metrics_of(self.function(*arguments))
            except Exception as error:
                if not left:
                    said = f"{type(error).__name__}: {reason(error, _TAIL)}"
                    raise EvaluationFailed("failed", said) from error
        raise AssertionError("unreachable")


@dataclass(frozen=True)
class CommandEvaluator:
    """Runs a command; the last JSON object of its standard output, or a number on its last line, are metrics.

    Attributes:
        command: program and arguments; ``{}`` becomes the architecture, which is the last argument if there
            is no ``{}``.
        time_limit: seconds after which its whole process group is killed; None: no limit.
        retries: how often a crash or time-out is tried again within the same evaluation.
        choices: of a function that asks for a mapping: what makes it; it is passed as JSON.
        task: takes the place of ``{task}``, or is the function's second argument, where there are several.
        running: process groups under way.
    """

    command: tuple[str, ...]
    time_limit: float | None = None
    retries: int = 0
    choices: Choices | None = None
    task: str | None = None
    running: set[int] = field(default_factory=set, compare=False, repr=False)

    def __call__(self, architecture: str) -> Metrics:
        """Raises ``EvaluationFailed`` once every try is used up."""
        for left in range(self.retries, -1, -1):
            try:
                return self.once(architecture)
            except EvaluationFailed:
                if not left:
                    raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End what is under way, in whatever thread, and all that is asked for later."""
        self.running.add(ENDED)
        for leader in [*self.running]:
            if leader != ENDED:
                end_group(leader)

    def once(self, architecture: str) -> Metrics:
        """One try. Raises ``EvaluationFailed``."""
        words = self.command
        if self.task is not None:
            words = _with_task(words, self.task)
        command = [part.replace("{}", architecture) for part in words]
        if self.choices is not None:
            command = [*command[:-1], "--json", command[-1], json.dumps(self.choices(architecture))]
        elif command == list(words):
            command.append(architecture)
        if self.command[:3] != WORKER:
            command = [*WORKER, "--", *command]
        output, complaint, failure = _output_of(command, self.time_limit, self.running)
        if failure is not None and not (self.command[:3] == WORKER and output.endswith("\n")):
            raise failure  # a function that has answered has finished, however its process ends
        try:
            return metrics_of(answer_in(output))
        except (ValueError, TypeError) as error:
            said = (
                reason(output[-_TAIL:])
                if output.strip()
                else f"nothing; {_reason_in(complaint) or 'no message'}"
            )
            message = f"expected a JSON object or a number at the end of its output, got {said}"
            raise EvaluationFailed("failed", message) from error


def _with_task(words: tuple[str, ...], task: str) -> tuple[str, ...]:
    if words[:3] == WORKER:
        return (*WORKER, "--task", task, *words[3:])
    return tuple(part.replace("{task}", task) for part in words)


def answer_in(output: str) -> Any:
    """What a command says at the end of its output: a number on the last line, or the last JSON object.

    The object may be on one line or several, with anything before and behind it.

    Raises:
        ValueError: neither is there.
    """
    lines = [line for line in output.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else ""
    try:
        return float(last)
    except ValueError:
        pass
    found = _last_object(output[-_MOST:])
    if found is None:
        found = _python_object(last)
    if found is None:
        raise ValueError("no JSON object and no number")
    return found


def _last_object(output: str) -> dict[str, Any] | None:
    """The last JSON object. One that begins a line goes before a later one within a line, such as settings
    in a message, unless both have a name in common: then the later one is the same report, made later."""
    decoder, end = json.JSONDecoder(), 0
    found: dict[str, Any] | None = None
    found_at_start = False
    for match in re.finditer(r"\{", output):
        if match.start() < end:  # within the one before
            continue
        try:
            value, end = decoder.raw_decode(output, match.start())
        except (ValueError, RecursionError):
            continue
        at_start = not output[output.rfind("\n", 0, match.start()) + 1 : match.start()].strip()
        if at_start or not found_at_start or (found or {}).keys() & value.keys():
            found, found_at_start = value, at_start
    return found


def _python_object(line: str) -> dict[str, Any] | None:
    """A dictionary as Python prints it, in single quotes; nothing is executed."""
    try:
        value = ast.literal_eval(line)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
    return value if isinstance(value, dict) else None


def _output_of(
    command: Sequence[str], time_limit: float | None, running: set[int]
) -> tuple[str, str, EvaluationFailed | None]:
    """Standard output and error of a command in its own session, and what went wrong; it is killed with all
    its children when time is up. While it runs, its group is in ``running``."""
    failure = None
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # held open: a worker ends itself when it closes
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        **set_apart(),
    ) as process:
        running.add(process.pid)
        if ENDED in running:
            end_group(process.pid)
        streams = {"stdin": process.stdin}
        process.stdin = None  # or communicate would close it
        try:
            output, complaint = process.communicate(timeout=time_limit)
        except subprocess.TimeoutExpired:
            failure = EvaluationFailed("timeout", f"killed after {time_limit:g} s")
            end_group(process.pid)
            output, complaint = process.communicate()
        finally:
            running.discard(process.pid)
            end_group(process.pid)  # children that outlived the command, too
            if streams["stdin"]:
                streams["stdin"].close()
    if failure is None and process.returncode:
        failure = failure_of(process.returncode, complaint)
    return output, complaint, failure


def failure_of(code: int, complaint: str) -> EvaluationFailed:
    """Of a process that ended without an answer."""
    return EvaluationFailed("failed", f"exit status {code}: {_reason_in(complaint)}")


_ERROR_LINE = re.compile(r"(?m)^[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Warning)\b.*")


def _reason_in(complaint: str) -> str:
    """The end of what was complained of; of a long Python error its name and the beginning, too."""
    said = complaint.strip()
    if len(said) <= _TAIL:
        return said
    errors = [match.start() for match in _ERROR_LINE.finditer(said)]
    if errors and len(said) - errors[-1] > _TAIL:
        return shortened(said[errors[-1] :], _TAIL)
    return said[-_TAIL:]


def make_evaluator(
    given: str | Callable[..., Any] | None,
    command: str | None,
    time_limit: float | None,
    retries: int,
    space: SearchSpace | None = None,
    task: str | None = None,
) -> Evaluator:
    """The evaluator that a user named or gave, checked as far as can be without evaluating anything.

    Args:
        given: ``module:function``, importable from the present folder; or a callable.
        command: a command line as a shell would split it.
        time_limit: seconds an evaluation.
        retries: within one evaluation.
        space: of the architectures, for a function that asks for a mapping.
        task: the one to evaluate, of an evaluator that does several.

    Raises:
        SearchError: neither or both given, a function that cannot be imported, a program that is not there, a
            time limit or number of retries out of range, a time limit for a callable, which cannot be
            stopped, or an evaluator of one task where it must do several.
    """
    if (given is None) == (command is None):
        got = "both" if given else "neither"
        raise SearchError("either --evaluator module:function or --command '...'", got, "give one of them")
    if (time_limit is not None and time_limit <= 0) or retries < 0:
        raise SearchError(
            "a time limit above 0 seconds and at least 0 retries",
            f"{time_limit} and {retries}",
            "correct them",
        )
    if given is not None and not isinstance(given, str):
        if not callable(given):
            raise SearchError("module:function or a callable", repr(given), "give one of them")
        if time_limit is not None:
            raise SearchError(
                "no time limit for a callable, which runs in this process",
                f"{time_limit:g} s",
                "give the evaluator as 'module:function', which gets a process of its own",
            )
        if task is not None and not takes_task(given):
            raise _of_one_task(repr(given))
        return CallableEvaluator(given, retries, _choices(space) if asks_for_mapping(given) else None, task)
    if command is not None:
        words = tuple(shlex.split(command))
        if not words or shutil.which(words[0]) is None:
            raise SearchError("a command whose program exists", repr(command), "check its spelling and PATH")
        if task is not None and "{task}" not in command:
            raise SearchError(
                "a command with {task} in the place of the task's name, for several tasks",
                repr(command),
                "add {task}, beside {} for the architecture",
            )
        return CommandEvaluator(words, time_limit, retries, task=task)
    words, mapping = import_function(str(given), "from here", task)
    evaluator = CommandEvaluator(words, time_limit, retries, task=task)
    if mapping:
        evaluator = replace(evaluator, choices=_choices(space))
    return evaluator


def _choices(space: SearchSpace | None) -> Choices:
    """What makes a mapping of an architecture's string.

    Raises:
        SearchError: the space cannot be told, or has no named slots.
    """
    values = getattr(space, "values", None)
    slots = getattr(space, "slots", None)
    if space is not None and values is not None:
        return lambda text: values(space.parse(text))
    if space is not None and isinstance(slots, Mapping):  # a choice in every slot
        return lambda text: {s: c[v] for v, (s, c) in zip(space.parse(text), slots.items(), strict=True)}
    raise SearchError(
        "a space whose slots have names, for an evaluator that asks for a mapping",
        "no space" if space is None else f"the space {space.name!r}",
        "let the evaluator take the architecture's string",
    )


def _of_one_task(got: str) -> SearchError:
    return SearchError(
        "an evaluator that takes an architecture and a task's name, for several tasks",
        got,
        "add a second parameter",
    )


def import_function(name: str, where: str, task: str | None = None) -> tuple[tuple[str, ...], bool]:
    """A function's process, once it has been imported there.

    Args:
        name: ``module:function``.
        where: for the message.
        task: its second argument, where it evaluates several tasks.

    Returns:
        The words that evaluate with it, and whether it asks for a mapping.

    Raises:
        SearchError: it cannot be imported, or takes no task where it must.
    """
    words = (*WORKER, name)
    try:
        if not all(name.partition(":")):
            raise EvaluationFailed("failed", "there is no ':' between module and function")
        output, _, failure = _output_of(words if task is None else _with_task(words, task), None, set())
        if failure is not None:
            raise failure
    except EvaluationFailed as error:
        if NO_TASK in str(error):
            raise _of_one_task(repr(name)) from None
        raise SearchError(
            f"an evaluator module:function that can be imported {where}",
            f"{name!r}: {error}",
            "run from the folder of the module, or put that folder on PYTHONPATH",
        ) from error
    return words, json.dumps({MAPPING: 1.0}) in output.splitlines()


def check_function(name: str, where: str) -> tuple[str, ...]:
    """The words of ``import_function``, for a function that takes an architecture's string.

    Raises:
        SearchError: it cannot be imported, or asks for a mapping, which only a search on this machine gives.
    """
    words, mapping = import_function(name, where)
    if mapping:
        raise SearchError(
            f"an evaluator that takes an architecture's string, {where}",
            f"{name!r}, which asks for a mapping",
            "parse the string in the evaluator, or search with --executor inline",
        )
    return words
