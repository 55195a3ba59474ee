"""A function that is imported once and forked for: the same isolation as a process of its own each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from archwalk.execution.executor import Stopped
from archwalk.execution.forkserver import can_fork
from archwalk.execution.served import ServedEvaluator, make_ready, served
from archwalk.tasks.evaluators import CommandEvaluator, make_evaluator
from archwalk.tasks.ledger import EvaluationFailed

pytestmark = pytest.mark.skipif(not can_fork(), reason="this system does not fork")

MODULE = """
import os, subprocess, sys, time
state = []
def evaluate(architecture):
    print("noise", flush=True)
    state.append(architecture)
    open("log", "a").write(f"{os.getpid()} {os.getppid()}\\n")
    if architecture == "crash": os.kill(os.getpid(), 11)
    if architecture == "exit": sys.exit(3)
    if architecture == "raise": raise ValueError("no such width")
    if architecture == "text": return "nothing"
    if architecture == "leave": os._exit(0)
    if architecture == "hang":
        child = subprocess.Popen(["sleep", "50"])
        open("child", "w").write(str(child.pid))
        time.sleep(50)
    if architecture == "read": return {"read": float(len(sys.stdin.read()))}
    return {"length": len(architecture), "calls": len(state)}
"""


@pytest.fixture
def evaluator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandEvaluator:
    (tmp_path / "served_here.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    made = make_evaluator("served_here:evaluate", None, 1.0, 0)
    assert isinstance(made, CommandEvaluator)
    return made


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_one_import_for_all_and_every_evaluation_apart(evaluator: CommandEvaluator) -> None:
    found = served(evaluator, 1)
    assert isinstance(found, ServedEvaluator)
    make_ready(found)
    try:
        assert [found(a) for a in ("ab", "abc")] == [{"length": 2, "calls": 1}, {"length": 3, "calls": 1}]
        assert found("read") == {"read": 0.0}
        for architecture, status, says in [
            ("crash", "failed", "exit status 139"),
            ("exit", "failed", "exit status 3"),
            ("raise", "failed", "no such width"),
            ("text", "failed", "a number or a mapping"),
            ("leave", "failed", "exit status 0"),
            ("hang", "timeout", "killed after 1 s"),
        ]:
            with pytest.raises(EvaluationFailed, match=says) as told:
                found(architecture)
            assert told.value.status == status
        assert is_gone(int(Path("child").read_text()))
        assert found("abcd") == {"length": 4, "calls": 1}  # whatever happened before
        pids, servers = zip(*(line.split() for line in Path("log").read_text().splitlines()), strict=True)
        assert len({*pids}) == len(pids) == 10
        (server,) = {*servers}
        os.kill(int(server), signal.SIGKILL)
        assert is_gone(int(server))
        with pytest.raises(EvaluationFailed, match="ended with status"):
            found("a")
        assert found("a") == {"length": 1, "calls": 1}  # by another one
    finally:
        found.close()
    with pytest.raises(Stopped):
        found("a")


def test_what_is_under_way_ends_when_it_is_closed(evaluator: CommandEvaluator) -> None:
    endless = served(CommandEvaluator(evaluator.command), 2)
    assert isinstance(endless, ServedEvaluator)
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            endless("hang")
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not (Path("child").exists() and Path("child").read_text()):
        time.sleep(0.02)
    endless.close()
    thread.join(10)
    assert [type(error) for error in ended] == [Stopped]
    assert is_gone(int(Path("child").read_text()))


def test_nothing_outlives_a_search_that_is_killed(evaluator: CommandEvaluator) -> None:
    code = (
        "from archwalk.tasks.evaluators import *; from archwalk.execution.served import served\n"
        "served(make_evaluator('served_here:evaluate', None, None, 0), 1)('hang')"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (Path("child").exists() and Path("child").read_text()):
        time.sleep(0.02)
    process.kill()
    process.wait()
    ours = [int(pid) for line in Path("log").read_text().splitlines() for pid in line.split()]
    assert all(is_gone(pid) for pid in [*ours, int(Path("child").read_text())])
