"""What executors on this machine promise: answers, order, errors, losses, locks, and that nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from archwalk.errors import BenchmarkError, RunError, SettingsError
from archwalk.execution.executor import LOSSES, Executor, Work, run
from archwalk.execution.inline import Inline
from archwalk.execution.processes import Processes
from archwalk.execution.ray import changed_files
from archwalk.files import hold

HERE = "tests.execution.work"
Make = Callable[[Path], Executor]


@pytest.fixture(params=["inline", "processes"])
def make(request: pytest.FixtureRequest) -> Make:
    return Inline if request.param == "inline" else lambda root: Processes(root, 2)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_everything_is_done_and_what_is_said_comes_in_order(make: Make, tmp_path: Path) -> None:
    works = {number: Work(f"{HERE}:double", (number,)) for number in range(5)}
    heard: dict[int, list] = {number: [] for number in works}
    with make(tmp_path) as executor:
        for event in run(executor, works):
            heard[event.key].append((event.kind, event.value, event.files))
    for number, events in heard.items():
        assert events == [
            ("said", {"half": number / 2}, ()),
            ("said", [tmp_path.name, number], ("a",)),
            ("done", 2 * number, ()),
        ]


def test_nothing_begins_before_what_it_needs(make: Make, tmp_path: Path) -> None:
    needs = {"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": []}
    works = {name: Work(f"{HERE}:mark", (name, others)) for name, others in needs.items()}
    with make(tmp_path) as executor:
        done = {e.key: e.value for e in run(executor, works, needs.__getitem__) if e.kind == "done"}
    assert done == needs


def test_errors_are_raised_here(make: Make, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    with make(tmp_path) as executor, pytest.raises(BenchmarkError, match="a chair") as caught:
        list(run(executor, {0: Work(f"{HERE}:refuse")}))
    assert caught.value.remedy == "sit elsewhere"
    with Processes(tmp_path, 1) as processes, pytest.raises(RunError, match="ZeroDivisionError: by zero"):
        list(run(processes, {0: Work(f"{HERE}:fail")}))
    assert "in fail" in capfd.readouterr().err


def test_what_another_command_is_at_is_left_to_it_and_then_looked_at(make: Make, tmp_path: Path) -> None:
    works = {0: Work(f"{HERE}:double", (1,), lock=tmp_path / "lock"), 1: Work(f"{HERE}:double", (1,))}
    kinds: dict[int, list[str]] = {0: [], 1: []}
    with hold(tmp_path / "lock"), make(tmp_path) as executor:
        for event in run(executor, works):
            kinds[event.key].append(event.kind)
            if event.kind == "busy":
                break
        assert kinds[0] == ["busy"]
    with make(tmp_path) as executor:
        assert [e.kind for e in run(executor, {0: works[0]})] == ["said", "said", "done"]


def test_two_commands_share_the_work(tmp_path: Path) -> None:
    works = {name: Work(f"{HERE}:alone", (name,), tmp_path / f"{name}.lock") for name in "abc"}
    done: list[str] = []

    def command() -> None:
        with Processes(tmp_path, 2) as executor:
            done.extend(event.key for event in run(executor, works) if event.kind == "done")

    threads = [threading.Thread(target=command) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list("aabbcc")


def test_workers_live_on(tmp_path: Path) -> None:
    with Processes(tmp_path, 1) as executor:
        pids = {e.value for e in run(executor, {number: Work(f"{HERE}:pid") for number in range(4)})}
    assert len(pids) == 1
    assert not alive(pids.pop())
    with pytest.raises(SettingsError, match="at least one worker process"):
        Processes(tmp_path, 0)


def test_a_killed_worker_is_noticed_and_its_work_begun_anew_but_not_for_ever(tmp_path: Path) -> None:
    with Processes(tmp_path, 1) as executor:
        kinds = [(e.kind, e.value) for e in run(executor, {0: Work(f"{HERE}:die", (LOSSES,))})]
    assert kinds == [("lost", "its end, with status -9")] * LOSSES + [("done", LOSSES)]
    for file in tmp_path.glob("death-*"):
        file.unlink()
    with Processes(tmp_path, 1) as executor, pytest.raises(RunError, match=f"time {LOSSES + 1}.*status -9"):
        list(run(executor, {"the work": Work(f"{HERE}:die", (LOSSES + 1,))}))


def test_an_idle_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with Processes(tmp_path, 1) as executor:
        first = [e.value for e in run(executor, {0: Work(f"{HERE}:pid")})]
        os.kill(first[0], signal.SIGKILL)
        while alive(first[0]):
            time.sleep(0.01)
        second = [e.value for e in run(executor, {0: Work(f"{HERE}:pid")}) if e.kind == "done"]
    assert first != second


def test_who_is_not_listened_to_waits(tmp_path: Path) -> None:
    with Processes(tmp_path, 1) as executor:
        executor.submit(0, Work(f"{HERE}:double", (1,)))
        while not any(e.kind == "done" for e in executor.events(1.0)):
            pass
        executor.submit(0, Work(f"{HERE}:shout", (3_000,)))
        time.sleep(0.5)
        assert not (tmp_path / "shouted").exists()
        said = []
        while not (events := executor.events(1.0)) or events[-1].kind != "done":
            said += [event.value[0] for event in events]
        said += [event.value[0] for event in events[:-1]]
    assert said == list(range(3_000))


def test_files_that_travel_are_read_last_to_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that rows which a checkpoint counts on are there, though both are written anew meanwhile."""
    names, sent, version = ("rows", "checkpoint"), {}, 0
    (tmp_path / "rows").write_text("0")
    (tmp_path / "checkpoint").write_text("0")
    plain = Path.read_bytes

    def read(path: Path) -> bytes:
        nonlocal version
        content = plain(path)
        version += 1
        for name in names:
            (tmp_path / name).write_text(str(version))
        return content

    monkeypatch.setattr(Path, "read_bytes", read)
    found = changed_files(tmp_path, names, sent)
    assert list(found) == ["rows", "checkpoint"]
    assert int(found["checkpoint"]) <= int(found["rows"])
    monkeypatch.undo()
    (tmp_path / "rows").write_bytes(found["rows"])
    assert changed_files(tmp_path, names, sent) == {"checkpoint": b"2"}


def test_stopping_ends_what_is_under_way(tmp_path: Path) -> None:
    with Processes(tmp_path, 2) as executor:
        for number in range(2):
            executor.submit(number, Work(f"{HERE}:sleep"))
        pids: list[int] = []
        while len(pids) < 2:
            pids += [event.value for event in executor.events(1.0)]
        assert all(map(alive, pids))
    assert not any(map(alive, pids))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_ended_leaves_nothing_running(number: signal.Signals, tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
import signal
from archwalk.execution.executor import Work, run
from archwalk.execution.processes import Processes
signal.signal(signal.SIGINT, signal.default_int_handler)
with Processes(Path({str(tmp_path)!r}), 2) as executor:
    for event in run(executor, {{n: Work("{HERE}:sleep") for n in range(2)}}):
        print(event.value, flush=True)
"""
    command = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert command.stdout
    pids = [int(command.stdout.readline()) for _ in range(2)]
    assert all(map(alive, pids))
    command.send_signal(number)
    command.wait()
    command.stdout.close()
    deadline = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in pids if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
