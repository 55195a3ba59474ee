"""Run folders: resume after SIGKILL at any moment, refusals that change nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import archwalk
from archwalk.config import Settings
from archwalk.errors import ArchwalkError, RunError
from archwalk.training.rundir import CHECKPOINT, COSTS, METRICS, SETTINGS, WEIGHTS, RunDir
from tests.conftest import small_settings, tiny_benchmark

RUN = """
import sys
from pathlib import Path
import archwalk
archwalk.train(sys.argv[1], "main", sys.argv[2], preset=Path(sys.argv[3]), seed=3)
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_benchmark().save(tmp_path_factory.mktemp("table") / "tiny.parquet")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def train(table: Path, folder: Path, settings: Settings | None = None, **options: object) -> RunDir:
    return archwalk.train(table, "main", folder, preset=settings or small_settings(), **options)  # type: ignore


@pytest.mark.parametrize(("most", "planning"), [(50, False), (4, False), (50, True)])
def test_killed_at_any_moment_it_ends_with_the_same_bits(
    table: Path, tmp_path: Path, most: int, planning: bool
) -> None:
    settings = small_settings(
        walk={"max_neighbours": most},
        learner={"planning": planning},
        training={"checkpoint_every": 256, "trained_steps": 4_096},
    )
    toml = tmp_path / "settings.toml"
    toml.write_text(settings.to_toml())
    whole = train(table, tmp_path / "whole", settings, seed=3)
    killed, waits, kills = tmp_path / "killed", random.Random(most), 0
    metrics = killed / METRICS
    while True:
        before = metrics.stat().st_mtime_ns if metrics.exists() else 0
        process = subprocess.Popen([sys.executable, "-c", RUN, table, killed, toml])
        while process.poll() is None and not (metrics.exists() and metrics.stat().st_mtime_ns != before):
            time.sleep(0.005)  # until it has begun to work
        time.sleep(waits.uniform(0.0, 0.3))
        if kills == (4 if planning else 2) or process.poll() is not None:
            assert process.wait() == 0
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= 2
    for name in (WEIGHTS, METRICS, CHECKPOINT):
        if name == CHECKPOINT:  # its header holds the seconds
            from safetensors.torch import load_file

            one, two = load_file(whole.path / name), load_file(killed / name)
            assert one.keys() == two.keys()
            assert all((one[k] == two[k]).all() for k in one)
        else:
            assert (whole.path / name).read_bytes() == (killed / name).read_bytes(), name
    assert [p.name for p in killed.iterdir() if p.name.startswith(".")] == [".lock"]


def test_a_finished_run_is_not_run_again(table: Path, tmp_path: Path) -> None:
    train(table, tmp_path / "r")
    before = contents(tmp_path / "r")
    rows: list[dict] = []
    train(table, tmp_path / "r", on_row=lambda row, seconds: rows.append(row))
    after = contents(tmp_path / "r")
    assert not rows
    assert before == after


def test_a_shorter_run_goes_on_to_the_same_weights(table: Path, tmp_path: Path) -> None:
    train(table, tmp_path / "once")
    train(table, tmp_path / "twice", steps=1_024)
    train(table, tmp_path / "twice")
    assert (tmp_path / "once" / WEIGHTS).read_bytes() == (tmp_path / "twice" / WEIGHTS).read_bytes()
    with pytest.raises(RunError, match="trained_steps"):
        train(table, tmp_path / "twice", steps=512)


def test_the_folder_says_what_was_done(table: Path, tmp_path: Path) -> None:
    run = train(table, tmp_path / "r", seed=7)
    plan, costs, rows = run.spec(), run.costs(), run.rows()
    assert (plan.task, plan.seed, plan.regime) == ("main", 7, "scratch")
    assert plan.settings == small_settings().only(plan.algorithm)
    assert costs.trained_steps == 2_048
    assert costs.evaluations == rows[-1]["evaluations"] <= 54
    assert costs.seconds > 0
    assert [r["trained_steps"] for r in rows] == list(range(256, 2_049, 256))
    assert [r["trained_steps"] for r in rows if "greedy_validation_score" in r] == [512, 1024, 1536, 2048]
    documented = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    assert all(f"`{name}`" in documented for row in rows for name in row)
    assert all(f"`{name}`" in documented for name in archwalk.evaluate(run.path))


def test_a_run_keeps_the_precision_it_began_with(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = small_settings(training={"precision": "auto"})
    monkeypatch.setattr("archwalk.agents.networks.BFLOAT16_WIDTH", 16)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    run = train(table, tmp_path / "r", auto, steps=1_024)
    assert run.spec().settings.training.precision == "bfloat16"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {})
    train(table, tmp_path / "r", auto)
    assert run.spec().settings.training.precision == "bfloat16"
    assert run.costs().trained_steps == 2_048
    with pytest.raises(RunError, match=r"training.precision: 'bfloat16' there, 'float32' asked"):
        train(table, tmp_path / "r", steps=4_096)
    other = train(table, tmp_path / "other", auto)
    assert other.spec().settings.training.precision == "float32"


def test_another_settings_folder_is_refused_untouched(table: Path, tmp_path: Path) -> None:
    train(table, tmp_path / "r")
    before = contents(tmp_path / "r")
    other = small_settings(learner={"discount": 0.5})
    with pytest.raises(RunError, match=r"learner.discount: 0.9 there, 0.5 asked"):
        train(table, tmp_path / "r", other)
    with pytest.raises(RunError, match=r"run.seed: 0 there, 1 asked"):
        train(table, tmp_path / "r", seed=1)
    assert contents(tmp_path / "r") == before


def test_folders_that_are_no_run(table: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="other files"):
        train(table, tmp_path / "full")
    assert contents(tmp_path / "full") == {"thesis.txt": b"years of work"}
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="which is a file"):
        train(table, tmp_path / "file")
    with pytest.raises(RunError, match="choose another"):
        train(table, tmp_path / "file" / "below")
    with pytest.raises(RunError, match="no such file"):
        archwalk.evaluate(tmp_path / "nowhere")


def test_an_unfinished_or_damaged_run(table: Path, tmp_path: Path) -> None:
    run = train(table, tmp_path / "r")
    (run.path / WEIGHTS).unlink()
    with pytest.raises(RunError, match="finished run"):
        archwalk.evaluate(run.path)
    train(table, run.path)  # mends it from the checkpoint
    archwalk.evaluate(run.path)
    (run.path / WEIGHTS).write_bytes(b"nonsense")
    with pytest.raises(RunError, match="intact safetensors"):
        archwalk.evaluate(run.path)
    (run.path / SETTINGS).write_text("[run]\n")
    with pytest.raises(RunError, match="run folder"):
        archwalk.evaluate(run.path)


def test_what_a_killed_process_half_wrote_is_swept_away(table: Path, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / f".{SETTINGS}.x1y2").write_text("half of it")
    train(table, tmp_path / "r")
    assert [p.name for p in (tmp_path / "r").iterdir() if p.name.startswith(".")] == [".lock"]


def test_a_folder_in_use_is_refused(table: Path, tmp_path: Path) -> None:
    import fcntl

    train(table, tmp_path / "r")
    with open(tmp_path / "r" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process"):
            train(table, tmp_path / "r", steps=4_096)


def test_a_full_disk_stops_cleanly_and_the_run_resumes(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(table, tmp_path / "whole")
    real, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 9:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left"):
        train(table, tmp_path / "r")
    monkeypatch.undo()
    train(table, tmp_path / "r")
    assert (tmp_path / "whole" / WEIGHTS).read_bytes() == (tmp_path / "r" / WEIGHTS).read_bytes()
    assert not [p.name for p in (tmp_path / "r").iterdir() if p.name.startswith(f".{CHECKPOINT}")]


def test_a_moved_or_changed_benchmark(table: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.parquet"
    mine.write_bytes(table.read_bytes())
    run = train(mine, tmp_path / "r")
    tiny_benchmark(seed=9).save(mine)
    with pytest.raises(ArchwalkError, match="--benchmark"):
        archwalk.evaluate(run.path)
    mine.unlink()
    with pytest.raises(ArchwalkError, match="No such file"):
        archwalk.evaluate(run.path)
    assert archwalk.evaluate(run.path, benchmark=table)["task"] == "main"


def test_costs_are_json(table: Path, tmp_path: Path) -> None:
    run = train(table, tmp_path / "r")
    assert json.loads((run.path / COSTS).read_text())["trained_steps"] == 2_048
