"""``Processes``: work in worker processes on this machine, which live on between works.

In: works, a number of processes. Out: events. A process that dies is noticed, and its work begun anew in
another. Next: whoever submitted the works; ``ray`` runs one such process a task.

    python -m archwalk.execution.processes

is the worker: it takes a root and a work a line on standard input, and answers with lines of JSON on standard
output. When its input ends, it ends at once, whatever it is at: so nothing outlives a command, even one that
was killed. What the work prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Generic

from archwalk import errors
from archwalk.errors import ArchwalkError, RunError, SettingsError
from archwalk.execution.executor import LOSSES, Event, Executor, K, Work

UNHEARD = 256  # lines that workers may be ahead of who listens; then they wait
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # else they fight over the cores


class Processes(Executor[K]):
    """Worker processes, one thread each, begun when there is work for them.

    Args:
        root: folder of the work.
        size: most of them.
        losses: how often the same work may be lost.
        environment: variables for them.

    Raises:
        SettingsError: none of them.
    """

    size = 1

    def __init__(
        self, root: Path, size: int, losses: int = LOSSES, environment: Mapping[str, str] | None = None
    ) -> None:
        if size < 1:
            raise SettingsError("at least one worker process", f"{size} jobs", "ask for as many as cores")
        super().__init__(root, losses)
        self.size, self._environment = size, os.environ | ONE_THREAD | dict(environment or {})
        self._workers: list[_Worker[K]] = []
        self._heard: queue.Queue[Any] = queue.Queue(UNHEARD)  # of workers and lines

    def _begin(self, key: K, work: Work) -> None:
        worker = next((w for w in self._workers if not w.at), None)
        if worker is None:
            worker = _Worker(self._environment, self._heard)
            self._workers.append(worker)
        worker.at = [key]
        worker.order(f"{json.dumps(str(self.root))}\t{work.to_json()}\n")

    def _listen(self, seconds: float) -> list[Event[K]]:
        heard: list[Event[K]] = []
        with suppress(queue.Empty):
            while True:  # what has come by then, and the first that comes if nothing has
                worker, line = self._heard.get(not heard and seconds > 0, seconds)
                heard += self._event(worker, line)
        return heard

    def _event(self, worker: _Worker[K], line: bytes) -> list[Event[K]]:
        at = worker.at
        if not line:
            self._workers.remove(worker)
            return [Event(key, "lost", f"its end, with status {worker.end()}") for key in at]
        kind, value, files = json.loads(line)
        if kind == "error":
            name, *parts = value
            raise getattr(errors, name, RunError)(*parts)
        if kind != "said":
            worker.at = []
        return [Event(key, kind, value, tuple(files)) for key in at]

    def stop(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.end()
            until = time.monotonic() + 1.0  # a child of the worker may keep the pipe open
            while worker.thread.is_alive() and time.monotonic() < until:  # it may wait for a listener
                with suppress(queue.Empty):
                    self._heard.get_nowait()
                worker.thread.join(0.001)
        self._workers.clear()


class _Worker(Generic[K]):
    """One worker process.

    Attributes:
        at: key of the work that it is at, if there is one.
    """

    def __init__(self, environment: Mapping[str, str], heard: queue.Queue[Any]) -> None:
        self.at: list[K] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "archwalk.execution.processes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._input = self.process.stdin
        # A thread, since Windows cannot wait for several pipes at once.
        self.thread = threading.Thread(target=self._read, args=(self.process.stdout, heard), daemon=True)
        self.thread.start()

    def order(self, line: str) -> None:
        with suppress(OSError):  # it has died: its last line says so
            self._input.write(line.encode())
            self._input.flush()

    def _read(self, output: BinaryIO, heard: queue.Queue[Any]) -> None:
        """Pass on every whole line, and at the end an empty one."""
        with output:
            for line in output:
                if line.endswith(b"\n"):
                    heard.put((self, line))
        heard.put((self, b""))

    def end(self) -> int:
        """Its exit status, once it has ended."""
        with suppress(OSError):
            self._input.close()
        return self.process.wait()


def main() -> None:
    """Work until the input ends."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches all; the command then ends its workers
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(orders,), daemon=True).start()

    def answer(kind: str, value: Any, files: Sequence[str] = ()) -> None:
        _write(out, json.dumps([kind, value, list(files)]))

    def say(value: Any, files: Sequence[str]) -> None:
        answer("said", value, files)

    while True:
        root, _, work = orders.get().partition(b"\t")
        try:
            answer(*Work.from_json(work).perform(Path(json.loads(root)), say))
        except ArchwalkError as error:
            answer("error", [type(error).__name__, error.expected, error.got, error.remedy])
        except Exception as error:
            traceback.print_exc()
            got = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
            answer("error", ["RunError", "a worker process to do its work", got, "see above where it failed"])


def _receive(orders: queue.SimpleQueue[bytes]) -> None:
    while line := sys.stdin.buffer.readline():
        orders.put(line)
    os._exit(0)  # who gave the orders has ended


def _write(out: BinaryIO, line: str) -> None:
    try:
        out.write(line.encode() + b"\n")
        out.flush()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
