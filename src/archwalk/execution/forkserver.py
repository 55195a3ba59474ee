"""A process that imports a user's function once, and forks for each evaluation.

In: ``module:function``; then a line of JSON an evaluation on standard input. Out: a line of JSON each on
standard output. Importing is paid once; otherwise an evaluation is as in a process of its own: it finds the
module as it was after its import, nothing that it changes stays, and a crash or a time-out ends its group of
processes alone. Ends itself, and what it is at, when its input ends. Next: ``served`` asks.

    python -m archwalk.execution.forkserver [--task TASK] module:function

A module that has begun to use a GPU while it was imported is refused: no forked process could use that.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from archwalk.calling import metrics_of

REFUSED = "refused"  # the first answer of a server that cannot fork; otherwise it is "ready"
_GLANCE = 60.0  # seconds; nothing depends on it


def can_fork() -> bool:
    """Whether this system forks safely and says when a child has ended."""
    return sys.platform == "linux" and hasattr(os, "fork") and hasattr(os, "pidfd_open")


def main() -> None:
    """Serve until the input ends; exit status 2 if the function cannot be had."""
    words = sys.argv[1:]
    tasks, (name,) = (words[1:2], words[2:]) if words[0] == "--task" else ([], words)
    orders, channel = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    os.close(empty)
    try:
        module, _, function = name.partition(":")
        evaluate = getattr(importlib.import_module(module), function)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
    _write(channel, REFUSED if _on_gpu() else "ready")
    while line := orders.readline():
        given, limit = json.loads(line)
        _write(channel, _served(evaluate, (given, *tasks), limit, orders))


def _on_gpu() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def _write(channel: BinaryIO, value: Any) -> None:
    try:
        channel.write(json.dumps(value).encode() + b"\n")
    except BrokenPipeError:
        os._exit(0)


def _served(
    evaluate: Callable[..., Any], arguments: tuple[Any, ...], limit: float | None, orders: BinaryIO
) -> dict[str, Any]:
    """One evaluation in a child.

    Returns:
        ``answer``: its metrics; or ``timeout``; or ``code`` and ``complaint``: how it ended without one.
    """
    result, answers = os.pipe()
    lives, life = os.pipe()  # closes when this process ends, however it does
    with tempfile.TemporaryFile() as complaint:
        child = os.fork()
        if not child:
            orders.close()
            os.close(result)
            os.close(life)
            os.dup2(complaint.fileno(), 2)
            os.dup2(2, 1)
            _work(evaluate, arguments, answers, lives)
        os.close(answers)
        os.close(lives)
        with contextlib.suppress(OSError):
            os.setpgid(child, child)
        try:
            answer, late = _awaited(child, result, limit, orders)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # children that outlived it, too
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os.close(result)
            os.close(life)
        if answer is not None:
            return {"answer": answer}
        if late:
            return {"timeout": True}
        size = complaint.seek(0, os.SEEK_END)
        complaint.seek(max(0, size - 100_000))
        code = code if code >= 0 else 128 - code  # as a shell would say it
        return {"code": code, "complaint": complaint.read().decode(errors="replace")}


def _awaited(child: int, result: int, limit: float | None, orders: BinaryIO) -> tuple[Any, bool]:
    """What a child answers, None if it ends without; and whether its time was up. Ends this process with the
    input."""
    ended, received = os.pidfd_open(child), b""
    until = None if limit is None else time.monotonic() + limit
    try:
        with selectors.DefaultSelector() as selector:
            for file in (result, ended, orders.fileno()):
                selector.register(file, selectors.EVENT_READ)
            while True:
                left = _GLANCE if until is None else until - time.monotonic()
                if left <= 0:
                    return None, True
                ready = {key.fd for key, _ in selector.select(min(left, _GLANCE))}
                if result in ready:
                    received += (part := os.read(result, 65_536))
                    if received.endswith(b"\n"):
                        return json.loads(received), False
                    if not part:  # closed without an answer
                        selector.unregister(result)
                if ended in ready and result not in ready:
                    return None, False
                if orders.fileno() in ready:  # nobody asks again before there is an answer: it has closed
                    os.killpg(child, signal.SIGKILL)
                    os._exit(0)
    finally:
        os.close(ended)


def _work(evaluate: Callable[..., Any], arguments: tuple[Any, ...], answers: int, lives: int) -> None:
    """The child: evaluate, answer, end."""
    code = 1
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        threading.Thread(target=_end_with_server, args=(lives,), daemon=True).start()
        with contextlib.redirect_stdout(sys.stderr):
            metrics = metrics_of(evaluate(*arguments))
        os.write(answers, json.dumps(metrics).encode() + b"\n")
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        if code and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(Exception):
        sys.stderr.flush()
    os._exit(code)


def _end_with_server(lives: int) -> None:
    while os.read(lives, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
