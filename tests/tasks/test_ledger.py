"""Looks are counted, kept, claimed, and never repeated, whatever happens to the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archwalk.errors import SearchError
from archwalk.tasks.ledger import BudgetSpent, EvaluationFailed, Evaluations


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
    evaluations = Evaluations(evaluator, ("acc",))
    statuses = [evaluations.look(a, a, 4).status for a in "abcd"]
    assert statuses == ["ok", "failed", "timeout", "invalid"]
    assert evaluations.look("a", "a", 4).metrics == {"acc": 1.0}  # known: costs nothing
    assert evaluations.look("a'", "a", 4).architecture == "a"  # the same key
    assert evaluations.look("b", "b", 4).message == "boom"  # a failure is not tried again either
    with pytest.raises(BudgetSpent):
        evaluations.look("e", "e", 4)
    assert evaluator.asked == ["a", "b", "c", "d"]
    assert [look.architecture for look in evaluations.looks()] == ["a", "b", "c", "d"]
    evaluations.close()


def test_wrong_keys_end_the_search_and_are_not_counted() -> None:
    evaluations = Evaluations(Counting(a={"loss": 1.0}), ("acc",))
    with pytest.raises(SearchError, match="'acc'"):
        evaluations.look("a", "a", 4)
    assert evaluations.looks() == []
    assert evaluations.under_way() == []
    evaluations.close()


def test_two_holders_share_one_file(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    first = Evaluations(Counting(), ("acc",), {"task": "t"}, path)
    seen: list[object] = []

    def nested(architecture: str) -> dict[str, float]:
        seen.extend(second.under_way())
        with pytest.raises(BudgetSpent):
            second.look(architecture, architecture, 9)
        return {"acc": 2.0}

    second = Evaluations(Counting(), ("acc",), {"task": "t"}, path)
    first._evaluator = nested
    first.look("a", "a", 9)
    assert seen == ["a"]
    assert second.look("a", "a", 9).metrics == {"acc": 2.0}
    first.close()
    second.close()
    assert [p.name for p in tmp_path.iterdir()] == ["e.sqlite"]


KILLED = """
import sys, time
from pathlib import Path
from archwalk.tasks.ledger import Evaluations
def evaluate(a):
    with open(sys.argv[2], "a") as log: log.write(a + "\\n")
    if a == "c": time.sleep(60)
    return {"acc": 1.0}
e = Evaluations(evaluate, ("acc",), {"task": "t"}, Path(sys.argv[1]))
for a in "abcde": e.look(a, a, 5)
"""


def test_sigkill_loses_and_repeats_nothing(tmp_path: Path) -> None:
    path, log = tmp_path / "e.sqlite", tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(log)])
    deadline = time.monotonic() + 50
    while not (log.exists() and "c" in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    evaluator = Counting()
    evaluations = Evaluations(evaluator, ("acc",), {"task": "t"}, path)
    assert [look.architecture for look in evaluations.looks()] == ["a", "b"]
    assert evaluations.under_way() == []  # the dead process's claim holds nobody up
    for architecture in "abcde":
        evaluations.look(architecture, architecture, 5)
    assert evaluator.asked == ["c", "d", "e"]
    with pytest.raises(BudgetSpent):
        evaluations.look("f", "f", 5)
    evaluations.close()


def test_files_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    Evaluations(Counting(), ("acc",), {"task": "t"}, path).close()
    with pytest.raises(SearchError, match="another --out"):
        Evaluations(Counting(), ("acc",), {"task": "u"}, path)
    path.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    with pytest.raises(SearchError, match="intact cache"):
        Evaluations(Counting(), ("acc",), {"task": "t"}, path)
