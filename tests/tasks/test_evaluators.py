"""Functions and commands in processes of their own: answers, crashes, hangs, and what is refused."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from archwalk.errors import SearchError
from archwalk.tasks.evaluators import CommandEvaluator, make_evaluator
from archwalk.tasks.ledger import EvaluationFailed

MODULE = """
import sys, time
print("noise on import")
value = 3
def good(architecture):
    print("noise")
    return {"acc": len(architecture)}
def bad(architecture):
    raise ValueError("no such layer")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("module")
def test_a_function() -> None:
    assert make_evaluator("mine:good", None, None, 0)("abc") == {"acc": 3.0}
    with pytest.raises(EvaluationFailed, match="no such layer"):
        make_evaluator("mine:bad", None, None, 0)("abc")


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize("name", ["nowhere:f", "mine:missing", "mine:value", "mine"])
def test_functions_that_are_refused(name: str) -> None:
    with pytest.raises(SearchError, match="can be imported"):
        make_evaluator(name, None, None, 0)


def test_other_refusals() -> None:
    for function, command, limit, retries, says in [
        (None, None, None, 0, "neither"),
        ("a:b", "true", None, 0, "both"),
        (None, "no-such-program-anywhere", None, 0, "program exists"),
        (None, "true", 0.0, 0, "time limit"),
        (None, "true", None, -1, "retries"),
    ]:
        with pytest.raises(SearchError, match=says):
            make_evaluator(function, command, limit, retries)


def test_commands() -> None:
    assert make_evaluator(None, """sh -c 'echo hello; echo "{\\"acc\\": 4}"' {}""", None, 0)("x") == {
        "acc": 4
    }
    with pytest.raises(EvaluationFailed, match="JSON object"):
        CommandEvaluator(("echo", "done"))("x")
    with pytest.raises(EvaluationFailed, match="exit status 3: oh"):
        CommandEvaluator(("sh", "-c", "echo oh >&2; exit 3"))("x")


def test_retries_are_one_evaluation(tmp_path: Path) -> None:
    script = f"""echo x >> {tmp_path}/n; [ $(wc -l < {tmp_path}/n) -ge 3 ] && echo '{{"acc": 1}}'"""
    assert CommandEvaluator(("sh", "-c", script), retries=2)("x") == {"acc": 1.0}
    (tmp_path / "n").unlink()
    with pytest.raises(EvaluationFailed):
        CommandEvaluator(("sh", "-c", script), retries=1)("x")


def test_a_hang_is_killed_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    evaluator = CommandEvaluator(("sh", "-c", f"(sleep 2; touch {mark}) & sleep 60"), time_limit=0.5)
    with pytest.raises(EvaluationFailed, match=r"killed after 0\.5 s") as caught:
        evaluator("x")
    assert caught.value.status == "timeout"
    time.sleep(2.2)
    assert not mark.exists()


def test_the_worker_imports_nothing_heavy() -> None:
    import subprocess

    code = "import sys, archwalk.execution.worker; print('numpy' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
