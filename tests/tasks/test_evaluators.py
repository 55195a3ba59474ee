"""Functions and commands in processes of their own: answers, crashes, hangs, and what is refused."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from archwalk.calling import metrics_of
from archwalk.errors import SearchError
from archwalk.tasks.evaluators import CommandEvaluator, answer_in, make_evaluator
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
    code = "import sys, archwalk.execution.worker; print('numpy' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize("kind", ["command", "function"])
def test_a_killed_search_leaves_nothing_running(kind: str, tmp_path: Path) -> None:
    """Neither the user's program nor its children, which write their process ids."""
    shell = f"sleep 1000 & echo $! $$ > {tmp_path}/pids; wait"
    (tmp_path / "hang.py").write_text(f"import os\ndef hang(a):\n    os.system({shell!r})\n")
    chosen = ("hang:hang", None) if kind == "function" else (None, shlex.join(["sh", "-c", shell]))
    code = f"from archwalk.tasks.evaluators import make_evaluator\nmake_evaluator(*{chosen!r}, None, 0)('x')"
    search = subprocess.Popen([sys.executable, "-c", code])
    file, deadline = tmp_path / "pids", time.monotonic() + 60
    while not (file.exists() and file.read_text().strip()):
        assert search.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pids = [int(pid) for pid in file.read_text().split()]
    assert len(pids) == 2
    assert all(map(alive, pids))
    search.kill()
    search.wait()
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, pids))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


LOUD = """
import atexit, os, sys, time
def late_line(architecture):
    atexit.register(os.write, 1, b"run finished, 1 file uploaded\\n")
    return {"top1": 34.0, "device": "cuda:0", "curve": [1.0, 2.0], "note": None}
def half_line(architecture):
    os.write(1, b"epoch 1/1 100%")
    print("100%", end="")
    return {"top1": 34.0}
def decoy(architecture):
    atexit.register(os.write, 1, b'\\n{"top1": 99.0}\\n')
    print('{"top1": 98.0}')
    return {"top1": 34.0}
def bad_end(architecture):
    atexit.register(os._exit, 3)
    return {"top1": 34.0}
def slow_end(architecture):
    atexit.register(time.sleep, 60)
    return {"top1": 34.0}
def reads(architecture):
    return {"top1": 34.0 + len(sys.stdin.read()) + len(os.read(0, 10))}
def long_reason(architecture):
    raise RuntimeError("size mismatch: " + "x" * 100_000)
"""


@pytest.mark.parametrize("name", ["late_line", "half_line", "decoy", "bad_end", "slow_end", "reads"])
def test_a_function_that_has_answered_has_finished(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    monkeypatch.chdir(tmp_path)
    limit = 3.0 if name == "slow_end" else None
    assert make_evaluator(f"loud:{name}", None, limit, 0)("abc") == {"top1": 34.0}


def test_the_reason_of_a_failure_is_kept_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EvaluationFailed, match="RuntimeError: size mismatch") as caught:
        make_evaluator("loud:long_reason", None, None, 0)("abc")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ('{"acc": 1.5}', {"acc": 1.5}),
        ('noise\n{\n  "acc": 1.5,\n  "curve": [\n    {\n"acc": 9}\n  ]\n}\n', {"acc": 1.5}),
        ('{"acc": 0.1}\n{"acc": 1.5}\nrun finished, 1 file uploaded\n', {"acc": 1.5}),
        ('epoch 1/1 100%{"acc": 1.5}', {"acc": 1.5}),
        ('{"acc": 0.1}\n100%{"acc": 1.5}\n', {"acc": 1.5}),
        ('{"acc": 1.5}\nsaved with {"lr": 0.1}\n', {"acc": 1.5}),
        ("{'acc': 1.5, 'ok': True}\n", {"acc": 1.5, "ok": 1.0}),
        ("loss 3\n1.5\n\n", {"": 1.5}),
        ('{broken\n{"acc": 1.5}', {"acc": 1.5}),
        ('{"acc": 1.5, "device": "cuda:0", "t": null}', {"acc": 1.5}),
        ('{"acc": "1.5"}', {"acc": 1.5}),
    ],
)
def test_the_answer_in_what_a_command_prints(output: str, answer: dict[str, float]) -> None:
    assert metrics_of(answer_in(output)) == answer


@pytest.mark.parametrize(
    "output", ["", "done\n", "[1, 2]\n", '{"note": "bad"}', '{"acc": 1}\n{}\n', "3 of 4\n"]
)
def test_what_is_no_answer(output: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        metrics_of(answer_in(output))


@pytest.mark.parametrize(
    "value",
    [1.5, np.float32(1.5), np.array(1.5), np.array([1.5]), torch.tensor(1.5), torch.tensor([1.5]),
     Decimal("1.5"), Fraction(3, 2), "1.5"],
)  # fmt: skip
def test_numbers_however_they_are_wrapped(value: object) -> None:
    others = {"text": "x", "list": [1.0], "none": None, "big": 10**400, "two": np.array([1.0, 2.0])}
    assert metrics_of({"acc": value} | others) == {"acc": 1.5}
    if not isinstance(value, str):
        assert metrics_of(value) == {"": 1.5}
