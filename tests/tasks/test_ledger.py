"""Evaluations are counted, kept, claimed, and never repeated, whatever happens to the process."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from archwalk.errors import SearchError
from archwalk.tasks.identity import Identity
from archwalk.tasks.ledger import BudgetSpent, EvaluationFailed, Ledger, read_evaluations
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


def test_a_missing_key_is_asked_for_once_and_the_evaluation_kept() -> None:
    answers = Counting(a={"loss": 1.0}, b={"loss": 2.0}, c={"acc": 3.0, "loss": 1.0}, d={"loss": 2.0})
    ledger = Ledger(answers, ("acc",))
    with pytest.raises(SearchError, match=r"'acc'[^$]*'loss' for 'a'[^$]*--metric"):
        ledger.evaluate("a", "a", 4)
    assert [e.status for e in ledger.evaluations()] == ["invalid"]
    assert ledger.pending() == []
    assert [ledger.evaluate(a, a, 4).status for a in "bcd"] == ["invalid", "ok", "invalid"]
    assert [e.metrics for e in ledger.evaluations()] == [{}, {}, {"acc": 3.0, "loss": 1.0}, {}]
    assert "'loss'" in ledger.evaluations()[3].message
    ledger.close()


def test_what_was_evaluated_counts_under_the_name_that_was_meant(tmp_path: Path) -> None:
    path, answers = tmp_path / "e.sqlite", Counting(a={"accuracy": 1.0}, b={"accuracy": 2.0})
    first = Ledger(answers, ("acc",), identity("t"), path)
    with pytest.raises(SearchError, match="accuracy"):
        first.evaluate("a", "a", 4)
    first.close()
    meant = replace(identity("t"), metrics=(Metric("accuracy", "max", ""),))
    second = Ledger(answers, ("accuracy",), meant, path)
    assert [(e.status, e.metrics) for e in second.evaluations()] == [("ok", {"accuracy": 1.0})]
    assert second.evaluate("a", "a", 4).metrics == {"accuracy": 1.0}  # not made again
    second.evaluate("b", "b", 4)
    second.close()
    with pytest.raises(SearchError, match="metrics"):  # with a result there is no turning round
        Ledger(answers, ("acc",), identity("t"), path)


def test_failed_evaluations_can_be_forgotten() -> None:
    ledger = Ledger(Counting(a={"acc": float("nan")}, b={"acc": 1.0}), ("acc",))
    ledger.evaluate("a", "a", 3)
    ledger.evaluate("b", "b", 3)
    assert ledger.forget_failed() == 1
    assert [e.architecture for e in ledger.evaluations()] == ["b"]
    ledger._evaluator = Counting(a={"acc": 5.0})
    assert ledger.evaluate("a", "a", 3).metrics == {"acc": 5.0}
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
from archwalk.tasks.identity import Identity
from archwalk.tasks.ledger import Ledger
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


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"evaluator": "u"}, "evaluator"),
        ({"checksum": "abc"}, "checksum"),
        ({"metrics": (Metric("acc", "min", ""),)}, r"metrics\.acc \"min\""),
        ({"metrics": (Metric("top1", "max", ""),)}, "metrics"),
        ({"metrics": (ACC, Metric("params", "min", ""))}, "metrics"),
        ({"space": {"name": "s", "slots": {"op": ["x", "y"], "k": ["1", "5"]}}}, r"space\.slots\.k"),
        ({"space": {"name": "s", "slots": {"k": ["1", "3"], "op": ["x", "y"]}}}, r"space\.slots"),
        ({"space": {"name": "s", "slots": {"op": ["x", "y", "z"], "k": ["1", "3"]}}}, r"space\.slots\.op"),
        ({"space": {"name": "r", "slots": SPACE["slots"]}}, r"space\.name \"r\""),
    ],
)
def test_what_may_not_change_midway(tmp_path: Path, change: dict, says: str) -> None:
    path = tmp_path / "e.sqlite"
    first = Ledger(Counting(), ("acc",), identity(), path)
    first.evaluate("a", "a", 1)
    first.close()
    before = read_evaluations(path)
    with pytest.raises(SearchError, match=says):
        Ledger(Counting(), ("acc",), identity(**change), path)
    assert read_evaluations(path) == before
    Ledger(Counting(), ("acc",), identity(), path).close()


def test_the_order_in_which_choices_were_met_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    Ledger(Counting(), ("acc",), identity(), path).close()
    turned = {"slots": {"op": ["y", "x"], "k": ["3", "1"]}, "name": "s"}
    Ledger(Counting(), ("acc",), identity(space=turned), path).close()


FIRST_FORMAT = """
CREATE TABLE identity (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE looks (
  position INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE NOT NULL, architecture TEXT NOT NULL,
  owner TEXT, status TEXT, metrics TEXT, message TEXT, seconds REAL);
INSERT INTO identity VALUES ('format', '1'), ('space', '"a"'), ('architectures', '3'), ('evaluator', '"t"'),
  ('metrics', '["acc"]');
INSERT INTO looks (key, architecture, status, metrics, message, seconds)
  VALUES ('a', 'a', 'ok', '{"acc": 4.0}', '', 1.5), ('c', 'c', 'failed', '{}', 'boom', 0.5);
"""


def test_a_file_of_the_first_format_is_taken_over_if_all_of_it_fits(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(FIRST_FORMAT)
    old = read_evaluations(path)
    assert [(e.architecture, e.status) for e in old] == [("a", "ok"), ("c", "failed")]
    for wrong in (
        {},
        {"first": ("b", 3), "architectures": "abc"},
        {"first": ("a", 4), "architectures": "abcd"},
        {"first": ("a", 3), "architectures": "abd"},  # equal first and number, but not these
        {"first": ("a", 3), "architectures": "abc", "evaluator": "u"},
    ):
        with pytest.raises(SearchError, match="another --out"):
            Ledger(Counting(), ("acc",), identity(**wrong), path)  # type: ignore[arg-type]
        assert read_evaluations(path) == old
    ledger = Ledger(Counting(), ("acc",), identity(first=("a", 3), architectures="abc"), path)
    assert ledger.evaluations() == old
    assert ledger.evaluate("b", "b", 3).status == "ok"
    ledger.close()
    Ledger(Counting(), ("acc",), identity(), path).close()
    with pytest.raises(SearchError, match="checksum"):
        Ledger(Counting(), ("acc",), identity(checksum="x"), path)


def test_one_number_is_the_one_metric() -> None:
    ledger = Ledger(lambda architecture: {"": 3.0}, ("loss",))
    assert ledger.evaluate("a", "a", 1).metrics == {"loss": 3.0}
    ledger.close()
    ledger = Ledger(lambda architecture: {"": 3.0}, ("loss", "params"))
    with pytest.raises(SearchError, match="'loss', 'params'"):
        ledger.evaluate("a", "a", 1)
    ledger.close()


def test_a_write_that_was_torn_is_undone(tmp_path: Path) -> None:
    """The file and its log as a crash may leave them: all that was kept before the torn write is there."""
    first = Ledger(Counting(), ("acc",), identity(), tmp_path / "e.sqlite")
    sizes = []
    for architecture in "abcdef":
        first.evaluate(architecture, architecture, 9)
        sizes.append((tmp_path / "e.sqlite-wal").stat().st_size)
    content, log = (tmp_path / "e.sqlite").read_bytes(), (tmp_path / "e.sqlite-wal").read_bytes()
    first.close()
    for cut in (0, 1, 100, len(log) - sizes[3] + 1):
        torn = tmp_path / f"torn{cut}.sqlite"
        torn.write_bytes(content)
        torn.with_name(f"{torn.name}-wal").write_bytes(log[: len(log) - cut])
        again = Ledger(Counting(), ("acc",), identity(), torn)
        kept = [e.architecture for e in again.evaluations()]
        assert kept == list("abcdef")[: len(kept)]
        assert len(kept) == {0: 6, 1: 5, 100: 5}.get(cut, 3)
        again.evaluate("g", "g", 9)
        again.close()
        assert [e.architecture for e in read_evaluations(torn)] == [*kept, "g"]
