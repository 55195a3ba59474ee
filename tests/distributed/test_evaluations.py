"""Evaluations on two real nodes: answers, refusals, hangs, deaths, and what is left behind."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

import archwalk
from archwalk.config import RaySettings
from archwalk.errors import RunError, SearchError
from archwalk.searching.experience.past import CACHE
from archwalk.searching.remote import RayEvaluator, make_work
from archwalk.tasks.evaluators import make_evaluator
from archwalk.tasks.ledger import EvaluationFailed
from tests.distributed.conftest import Nodes

MODULE = """
import os, sys, time
def good(architecture):
    time.sleep(0.2)
    return {"top1": float(len(architecture)) + hash(architecture) % 7}
def bad(architecture):
    raise ValueError("no such layer")
def hang(architecture):
    os.system("sleep 1000")
def nonsense(architecture):
    return {"other": 1.0}
def nan(architecture):
    return {"top1": float("nan")}
def once(architecture):  # its process dies the first time, with the task's
    mark = os.environ["MARK"]
    if not os.path.exists(mark):
        open(mark, "w").close()
        parent = open(f"/proc/{os.getppid()}/stat").read().rpartition(")")[2].split()[1]
        os.kill(int(parent), 9)
        time.sleep(60)
    return {"top1": 1.0}
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


def search(both: RaySettings, evaluator: str | None, **options: object) -> dict:
    wanted: dict = {"space": "nasbench201", "method": "random", "metric": "top1", "budget": 8} | options
    return archwalk.search(evaluator, "out", executor="ray", ray=both, **wanted)


def test_evaluations_are_made_at_once_on_both_nodes_and_counted_once(both: RaySettings) -> None:
    evaluator = RayEvaluator(make_work("mine:good", make_evaluator("mine:good", None, 60, 0)), both)
    assert evaluator.size == 8  # half a CPU each
    result = search(both, "mine:good", budget=12)
    assert result["evaluations"] == result["ok"] == 12
    assert len({e["architecture"] for e in result["looks"]}) == 12
    again = search(both, "mine:good", budget=12)
    assert again["looks"] == result["looks"]
    assert json.loads(Path("out/result.json").read_text())["architecture"] == result["architecture"]


def test_commands_and_nodes(both: RaySettings) -> None:
    command = make_evaluator(None, """sh -c 'echo "{\\"top1\\": 4}"' {}""", None, 0)
    evaluator = RayEvaluator(make_work(None, command), both)
    for _ in range(6):
        assert evaluator("x") == {"top1": 4.0}
    assert 1 <= len(evaluator.nodes) <= 2
    failing = make_evaluator(None, "sh -c 'echo oh >&2; exit 3'", None, 1)
    with pytest.raises(EvaluationFailed, match="exit status 3: oh"):
        RayEvaluator(make_work(None, failing), both)("x")


def test_what_raises_hangs_or_answers_nonsense(both: RaySettings) -> None:
    raising = search(both, "mine:bad", budget=2)
    assert raising["failed"] == 2
    assert "no such layer" in raising["looks"][0]["message"]
    os.rename("out", "bad")
    hanging = search(both, "mine:hang", budget=2, time_limit=1.0)
    assert hanging["timeout"] == 2
    assert not sleepers()
    os.rename("out", "hang")
    assert search(both, "mine:nan", budget=2)["invalid"] == 2
    os.rename("out", "nan")
    with pytest.raises(SearchError, match="metrics include 'top1'"):
        search(both, "mine:nonsense")
    kept = archwalk.tasks.ledger.read_evaluations(Path("out") / CACHE)  # finished, so not thrown away
    assert kept
    assert all(e.status == "invalid" and e.message == "no 'top1' in the answer: 'other'" for e in kept)


def test_an_evaluation_whose_process_dies_is_made_again(
    both: RaySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "mine.py").write_text(MODULE.replace('os.environ["MARK"]', repr(str(mark))))
    result = search(both, "mine:once", budget=1)
    assert mark.exists()
    assert result["ok"] == result["evaluations"] == 1


def test_a_node_that_cannot_do_it_ends_the_search(both: RaySettings, tmp_path: Path) -> None:
    """Each try kills the worker process of its task."""
    lines = MODULE.replace('os.environ["MARK"]', '"/no/such/mark"').replace('open(mark, "w").close()', "pass")
    (tmp_path / "mine.py").write_text(lines)
    with pytest.raises(RunError, match="time 2: its end, with status -9"):
        search(both.model_copy(update={"losses": 1}), "mine:once", budget=1)
    assert archwalk.tasks.ledger.read_evaluations(Path("out") / CACHE) == []


def test_an_interrupted_search_leaves_no_process_and_no_claim(both: RaySettings) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been switched off
    stop = threading.Timer(4.0, os.kill, (os.getpid(), signal.SIGINT))
    stop.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            search(both, "mine:hang", budget=2)
    finally:
        stop.cancel()
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while sleepers() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not sleepers()
    assert archwalk.tasks.ledger.read_evaluations(Path("out") / CACHE) == []


def test_a_function_that_is_not_there_on_the_node_ends_the_search(
    both: RaySettings, tmp_path: Path, nodes: Nodes
) -> None:
    command = make_evaluator("mine:good", None, None, 0)
    (tmp_path / "mine.py").unlink()
    with pytest.raises(SearchError, match="imported on the node"):
        RayEvaluator(make_work("mine:good", command), both)("x")


def sleepers() -> list[str]:
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().decode().replace("\0", " "))
        except OSError:
            continue
    return [line for line in lines if line.startswith("sleep 1000")]
