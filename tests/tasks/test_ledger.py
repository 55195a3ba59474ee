"""Evaluations are counted, kept, claimed, and never repeated, whatever happens to the process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archwalk.errors import SearchError
from archwalk.tasks.ledger import BudgetSpent, EvaluationFailed, Identity, Ledger
from archwalk.tasks.metrics import Metric

ACC = Metric("acc", "max", "")
SPACE = {"name": "s", "slots": {"op": ["x", "y"], "k": ["1", "3"]}}


def identity(evaluator: str = "t", **other: object) -> Identity:
    about = {"space": SPACE, "checksum": None, "evaluator": evaluator, "metrics": (ACC,)} | other
    return Identity(**about)  # type: ignore[arg-type]


class Counting:
    """An evaluator that remembers what it was asked."""

    def __init__(self, **answers: dict[str, float] | Exception) -> None:
        self.asked: list[str] = []
        self.answers = answers

    def __call__(self, architecture: str) -> dict[str, float]:
        self.asked.append(architecture)
        answer = self.answers.get(architecture, {"acc": float(len(architecture))})
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_counts_caches_and_stops() -> None:
    evaluator = Counting(
        b=EvaluationFailed("failed", "boom"), c=EvaluationFailed("timeout", "slow"), d={"acc": float("nan")}
    )
    ledger = Ledger(evaluator, ("acc",))
    statuses = [ledger.evaluate(a, a, 4).status for a in "abcd"]
    assert statuses == ["ok", "failed", "timeout", "invalid"]
    assert ledger.evaluate("a", "a", 4).metrics == {"acc": 1.0}  # known: costs nothing
    assert ledger.evaluate("a'", "a", 4).architecture == "a"  # the same key
    assert ledger.evaluate("b", "b", 4).message == "boom"  # a failure is not tried again either
    with pytest.raises(BudgetSpent):
        ledger.evaluate("e", "e", 4)
    assert evaluator.asked == ["a", "b", "c", "d"]
    assert [e.architecture for e in ledger.evaluations()] == ["a", "b", "c", "d"]
    ledger.close()


def test_wrong_keys_end_the_search_and_are_not_counted() -> None:
    ledger = Ledger(Counting(a={"loss": 1.0}), ("acc",))
    with pytest.raises(SearchError, match="'acc'"):
        ledger.evaluate("a", "a", 4)
    assert ledger.evaluations() == []
    assert ledger.pending() == []
    ledger.close()


def test_two_holders_share_one_file(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    first = Ledger(Counting(), ("acc",), identity("t"), path)
    seen: list[object] = []

    def nested(architecture: str) -> dict[str, float]:
        seen.extend(second.pending())
        with pytest.raises(BudgetSpent):
            second.evaluate(architecture, architecture, 9)
        return {"acc": 2.0}

    second = Ledger(Counting(), ("acc",), identity("t"), path)
    first._evaluator = nested
    first.evaluate("a", "a", 9)
    assert seen == ["a"]
    assert second.evaluate("a", "a", 9).metrics == {"acc": 2.0}
    first.close()
    second.close()
    assert [p.name for p in tmp_path.iterdir()] == ["e.sqlite"]


KILLED = """
import json, sys, time
from pathlib import Path
from archwalk.tasks.ledger import Identity, Ledger
from archwalk.tasks.metrics import Metric
def evaluate(a):
    with open(sys.argv[2], "a") as log: log.write(a + "\\n")
    if a == "c": time.sleep(60)
    return {"acc": 1.0}
task = Identity(json.loads(sys.argv[3]), None, "t", (Metric("acc", "max", ""),))
ledger = Ledger(evaluate, ("acc",), task, Path(sys.argv[1]))
for a in "abcde": ledger.evaluate(a, a, 5)
"""


def test_sigkill_loses_and_repeats_nothing(tmp_path: Path) -> None:
    path, log = tmp_path / "e.sqlite", tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(log), json.dumps(SPACE)])
    deadline = time.monotonic() + 50
    while not (log.exists() and "c" in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    evaluator = Counting()
    ledger = Ledger(evaluator, ("acc",), identity("t"), path)
    assert [e.architecture for e in ledger.evaluations()] == ["a", "b"]
    assert ledger.pending() == []  # the dead process's claim holds nobody up
    for architecture in "abcde":
        ledger.evaluate(architecture, architecture, 5)
    assert evaluator.asked == ["c", "d", "e"]
    with pytest.raises(BudgetSpent):
        ledger.evaluate("f", "f", 5)
    ledger.close()


def test_files_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    Ledger(Counting(), ("acc",), identity("t"), path).close()
    with pytest.raises(SearchError, match="another --out"):
        Ledger(Counting(), ("acc",), identity("u"), path)
    path.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    with pytest.raises(SearchError, match="intact cache"):
        Ledger(Counting(), ("acc",), identity("t"), path)
