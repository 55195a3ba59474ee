"""Without process groups, fork and file locks of Unix, as on Windows: every module is imported, every verb
starts, and evaluations, locks and worker processes work. A simulation: what Windows lacks is taken away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Of a file that every Python process here reads first. Libraries still find Linux named as their system:
# filelock and psutil have loaded their parts for it, as they would those for Windows; numpy asks os.uname.
WITHOUT = """
import os, sys
import filelock, psutil
LACKING = {"fcntl", "resource", "grp", "pwd", "termios", "tty", "pty", "syslog"}
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name in LACKING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
for name in LACKING:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Lacking())
for name in ("fork", "forkpty", "killpg", "getpgid", "setsid", "setpgrp", "sched_getaffinity"):
    vars(os).pop(name, None)
"""
EXTRAS = {"ray", "lightgbm", "onnx", "onnxscript", "optuna", "sklearn", "ConfigSpace"}

START = f"""
import importlib, io, os, pkgutil, sys
from contextlib import redirect_stdout
assert not hasattr(os, "fork")
import archwalk
from archwalk.cli import main
count = 0
for module in pkgutil.walk_packages(archwalk.__path__, "archwalk."):
    try:
        importlib.import_module(module.name)
        count += 1
    except ModuleNotFoundError as error:
        assert error.name.partition(".")[0] in {EXTRAS}, error
assert count > 150, count
for verb in ("train evaluate transfer search compare methods export study report data spaces digits").split():
    with redirect_stdout(io.StringIO()) as said:
        try:
            main([verb, "--help"])
        except SystemExit as stop:
            assert stop.code == 0
    assert "usage: archwalk " + verb in said.getvalue(), verb
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that lacks what Windows lacks, and whose children lack it, too."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT)
    path = os.pathsep.join([str(tmp_path / "site"), str(tmp_path), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path}


def run(code: str, environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout


def test_every_module_is_imported_and_every_verb_starts(elsewhere: dict[str, str], tmp_path: Path) -> None:
    run(START, elsewhere, tmp_path)


MINE = """
import os, subprocess, sys, time
def evaluate(architecture):
    assert not hasattr(os, "fork")
    return {"acc": float(len(set(architecture)))}
def slow(architecture):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    open("child", "w").write(str(child.pid))
    time.sleep(60)
"""
SEARCH = """
import json, os
import archwalk
from archwalk.files import hold
from archwalk.errors import InUseError
from pathlib import Path
found = archwalk.search("mine:evaluate", "out", space="digits", metric="acc", method="random", budget=1)
assert found["ok"] == 1, found
slow = archwalk.search("mine:slow", "slow", space="digits", metric="acc", method="random", budget=1,
                       time_limit=3)
assert slow["timeout"] == 1, slow
assert [p.name for p in Path("out").iterdir() if p.name.startswith(".")] == []
with hold(Path("lock")):
    try:
        with hold(Path("lock")):
            raise SystemExit("held twice")
    except InUseError:
        pass
rows = archwalk.compare("digits", "jigsaw", "c", methods=["random"], budgets=[5], seeds=2, jobs=2)
assert rows[0]["evaluations"] == 5, rows
"""


def test_evaluations_locks_and_workers(elsewhere: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    run(SEARCH, elsewhere, tmp_path)
    child = (tmp_path / "child").read_text()
    until = time.monotonic() + 5
    while _lives(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _lives(child)  # of an evaluation whose time was up


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
