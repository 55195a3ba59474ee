"""Many evaluations at once on this machine; what is written while a search is under way; logs."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import archwalk
from archwalk.cli import main
from archwalk.errors import SearchError
from archwalk.spaces.registry import make_listed
from archwalk.tasks.ledger import Evaluation, read_evaluations
from archwalk.tasks.tfrecord import read_records
from tests.conftest import two_tasks

SPACE = make_listed("slots", {"op": [f"o{i}" for i in range(8)], "k": ["x", "y"]})
MODULE = """
import os, time
def evaluate(architecture):
    open("log", "a").write(f"{os.getppid()} {time.monotonic()} {architecture}\\n")
    time.sleep(0.2)
    if architecture.startswith("o3"): os._exit(3)
    return {"acc": len(architecture) + int(architecture[1])}
"""


def test_two_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "two_at_once.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    SPACE_ARGUMENT = "slots:op=o0|o1|o2|o3,k=x|y"
    given = [
        "search",
        "--space",
        SPACE_ARGUMENT,
        "--method",
        "random",
        "--metric",
        "acc",
        "--out",
        "s",
        "--json",
    ]
    command = """sh -c 'echo "{\\"acc\\": ${#0}}"' {}"""
    main([*given, "--command", command, "--budget", "6", "--jobs", "3"])
    result = json.loads(capsys.readouterr().out)
    assert (result["ok"], result["finished"], result["budget"]) == (6, True, 6)
    assert len({e["architecture"] for e in result["looks"]}) == 6
    counts: list[int] = []
    options: dict[str, Any] = {"space": SPACE, "metric": "acc", "method": "gp", "jobs": 2}
    found = archwalk.search(
        "two_at_once:evaluate", "t", budget=16, on_evaluation=lambda e, n: counts.append(n), **options
    )
    assert (found["evaluations"], found["failed"]) == (16, 2)
    assert counts == list(range(1, 17))
    lines = [line.split() for line in Path("log").read_text().splitlines()]
    assert len({server for server, _, _ in lines}) == 2  # one import a job
    assert sorted(text for _, _, text in lines) == sorted(SPACE.architectures)


def test_a_callable_is_called_in_threads_and_what_fails_ends_all(tmp_path: Path) -> None:
    met = threading.Barrier(2, timeout=20)

    def together(architecture: str) -> dict[str, float]:
        met.wait()
        return {"acc": 1.0}

    options: dict[str, Any] = {"space": SPACE, "metric": "acc", "method": "random", "jobs": 2}
    assert archwalk.search(together, tmp_path / "s", budget=4, **options)["ok"] == 4

    def buggy(architecture: str) -> float:
        raise ValueError("always")

    with pytest.raises(SearchError, match="same way"):
        archwalk.search(buggy, tmp_path / "t", budget=16, **options)
    assert not json.loads((tmp_path / "t" / "result.json").read_text())["finished"]
    for change, says in [
        ({"jobs": 0}, "at least one job"),
        ({"executor": "ray"}, "no --jobs"),
        ({"space": two_tasks(), "task": "one"}, "no --jobs"),
        ({"space": two_tasks(), "tasks": ["one", "two"]}, "no --jobs"),
        ({"log": "wandb"}, "a log among: tensorboard"),
    ]:
        given = None if "task" in change or "tasks" in change else buggy
        with pytest.raises(SearchError, match=says):
            archwalk.search(given, tmp_path / "u", budget=2, **(options | change))
    assert not (tmp_path / "u").exists()


def test_the_result_is_there_while_a_search_is_under_way(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    asked: list[str] = []
    ends: list[dict[str, Any]] = []

    def tell(evaluation: Evaluation, count: int) -> None:
        file = tmp_path / "s" / "result.json"
        seen.append(json.loads(file.read_text()))
        time.sleep(30 * 0.01)  # so that writing is less than a twentieth of the time

    result = archwalk.search(
        lambda a: {"acc": float(len(asked))},
        tmp_path / "s",
        space=SPACE,
        metric="acc",
        method="random",
        budget=3,
        on_suggest=lambda architecture, count: asked.append(architecture),
        on_evaluation=tell,
        on_end=ends.append,
    )
    assert [r["finished"] for r in seen] == [False] * 3
    assert seen[0]["evaluations"] == 1
    assert seen[0]["looks"][0]["architecture"] == asked[0]
    assert ends == [result]
    assert result["finished"]
    assert asked == [e["architecture"] for e in result["looks"]]


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    options: dict[str, Any] = {"space": SPACE, "metric": "loss", "method": "random", "log": "tensorboard"}

    def loss(architecture: str) -> dict[str, float]:
        if architecture.startswith("o3"):
            raise ValueError("no")
        return {"loss": sum(map(ord, architecture)) % 7 / 4, "params": 3.0}

    archwalk.search(loss, tmp_path / "s", budget=5, **options)
    archwalk.search(loss, tmp_path / "s", budget=9, **options)
    points: dict[str, dict[int, float]] = {}
    for file in (tmp_path / "s" / "tensorboard").iterdir():
        for record in read_records(file):
            event = Event.FromString(record)
            for value in event.summary.value:
                points.setdefault(value.tag, {})[event.step] = value.simple_value
    evaluations = read_evaluations(tmp_path / "s" / "evaluations.sqlite")
    good = {i: e.metrics["loss"] for i, e in enumerate(evaluations, 1) if e.status == "ok"}
    assert points["metrics/loss"] == pytest.approx(good)
    best = {i: min(v for j, v in good.items() if j <= i) for i in range(min(good), 10)}
    assert points["best/loss"] == pytest.approx(best)
    assert points["metrics/params"] == dict.fromkeys(good, 3.0)
    assert sorted(points["evaluation/failed"]) == list(range(1, 10))
