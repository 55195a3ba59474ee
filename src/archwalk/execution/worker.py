"""The process in which a user's function or command evaluates one architecture.

In: ``module:function`` and its argument as JSON, an architecture's string or a mapping. Out: the metrics as
JSON, the only line on standard output: whatever the function prints, in whatever way and however late, goes
to standard error, and what it reads from standard input is empty. Without an argument it only checks that the
function is there, and says whether it asks for a mapping. Ends itself and its process group when its own
standard input closes, so that no evaluation outlives a search that was killed.

    python -m archwalk.execution.worker module:function [ARCHITECTURE]
    python -m archwalk.execution.worker --json module:function MAPPING
    python -m archwalk.execution.worker --task TASK ...  the same of a function that takes a task, too
    python -m archwalk.execution.worker -- COMMAND    a command instead, which ends in the same way
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import threading

from archwalk.calling import MAPPING, NO_TASK, asks_for_mapping, metrics_of, takes_task
from archwalk.ending import end_group


def _end_with_parent(pipe: int) -> None:
    while os.read(pipe, 1):  # b"" when the parent closes the pipe or dies; sys.stdin's lock would hinder exit
        pass
    end_group(0)


def _set_apart() -> tuple[int, int]:
    """Keep the first two streams for this module: the function gets an empty input, and standard error as its
    output, also below Python. Returns the pipe that says whether the parent lives, and where results go."""
    pipe, channel = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    os.close(empty)
    return pipe, channel


def _step_back() -> None:
    """Go on in a child. Who kills a process with its children, but not theirs, gets the parent; the child
    then sees the pipe close, and ends the whole group."""
    if not hasattr(os, "fork"):  # Windows
        return
    child = os.fork()
    if child:
        os._exit(_status(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))


def _status(code: int) -> int:
    """As a shell would say it: 128 and the signal's number for who was killed."""
    return code if code >= 0 else 128 - code


def main() -> None:
    """Evaluate; exit status 2 if the function cannot be had."""
    words = sys.argv[1:]
    tasks, words = (words[1:2], words[2:]) if words[0] == "--task" else ([], words)
    as_json = words[0] == "--json"
    name, *given = words[1:] if as_json else words
    _step_back()
    pipe, channel = (0, 1) if name == "--" else _set_apart()
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    if name == "--":
        sys.exit(_status(subprocess.run(given, stdin=subprocess.DEVNULL).returncode))
    with contextlib.redirect_stdout(sys.stderr):
        module, _, function = name.partition(":")
        try:
            evaluate = getattr(importlib.import_module(module), function)
            if not callable(evaluate):
                raise TypeError(f"{name} is not callable")
            if tasks and not takes_task(evaluate):
                raise TypeError(f"{name} {NO_TASK}")
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(2)
        if given:
            answer = metrics_of(evaluate(json.loads(given[0]) if as_json else given[0], *tasks))
        else:
            answer = {MAPPING: float(asks_for_mapping(evaluate))}
    with os.fdopen(channel, "w") as out:
        out.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
