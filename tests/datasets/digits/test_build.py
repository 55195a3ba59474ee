import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from archwalk.datasets.digits import build as module
from archwalk.datasets.digits.build import build, do, work_of
from archwalk.datasets.digits.plan import plan, read_result, representatives, result_file
from archwalk.datasets.digits.tasks import TASKS
from archwalk.datasets.digits.training import Settings
from archwalk.errors import BenchmarkError, RunError, SettingsError
from archwalk.execution.executor import Work
from archwalk.execution.inline import Inline
from archwalk.files import hold
from archwalk.spaces import make_space
from archwalk.tasks import open_benchmark

# One batch size throughout: every new shape costs a compilation.
TINY = Settings(train=32, measured=32, valid=32, test=32, epochs=2, batch=32)
LIMIT = 30  # groups: two chunks
SPACE = make_space("digits-micro")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers run here: starting processes costs seconds, and one test below does it for real."""

    monkeypatch.setattr(module, "Processes", lambda root, size, environment: Inline(root))


def small(folder: Path, **more: object) -> object:
    options = {"tasks": ["jigsaw", "room_layout"], "limit": LIMIT, "settings": TINY, "device": "cpu"} | more
    return build(folder / "out.parquet", work_dir=folder / "work", progress=False, **options)  # type: ignore[arg-type]


def test_the_plan_has_every_group_once_a_task_and_seed() -> None:
    jobs = plan(tuple(TASKS), 3)
    for task in TASKS:
        cells = [c for job in jobs if job.task == task and job.seed == 0 for c in job.cells]
        assert sorted(cells) == sorted(representatives().tolist())
        for seed in (1, 2):
            repeated = [c for job in jobs if job.task == task and job.seed == seed for c in job.cells]
            assert len(set(repeated)) == len(repeated) == 104
    assert len({job.name for job in jobs}) == len(jobs)
    assert [job.seed > 0 for job in jobs] == sorted(job.seed > 0 for job in jobs)  # further seeds last


def test_a_table_of_some_groups(tmp_path: Path) -> None:
    built = small(tmp_path, seeds=2)
    table = open_benchmark(tmp_path / "out.parquet")
    assert table.checksum == built.checksum  # type: ignore[attr-defined]
    groups = SPACE.canonical_groups()
    assert len(np.unique(groups[table.rows])) == LIMIT
    assert set(groups[table.rows]) == {groups[c] for job in plan(["jigsaw"], 1, LIMIT) for c in job.cells}
    for column, values in table.columns.items():
        assert not np.isnan(values).any(), column
        for group in np.unique(groups[table.rows]):
            assert len(set(values[groups[table.rows] == group])) == 1
    assert {c.epoch for c in table.columns if c.metric == "top1"} == {"1", "final"}
    assert {c.metric for c in table.columns} == {"top1", "neg_loss", "params", "flops", "time_elapsed"}
    job = plan(["jigsaw"], 1, LIMIT)[1]
    result = read_result(tmp_path / "work", job)
    for k, cell in enumerate(job.cells):
        at = table.index(SPACE.architectures[cell])
        assert table.values("jigsaw", "test")[at] == pytest.approx(result.scores[-1, 2, k], rel=1e-4)
    seeds = pl.read_parquet(tmp_path / "seeds.parquet")
    assert seeds.height == 2 * 2 * LIMIT
    assert seeds.select("arch", "task", "seed").is_unique().all()


def test_a_build_killed_half_way_ends_with_the_same_rows(tmp_path: Path) -> None:
    """A real process is killed by signal 9 in the middle; a second build does the rest and nothing twice."""
    script = (
        "from pathlib import Path; from archwalk.datasets.digits.build import build\n"
        "from archwalk.datasets.digits.training import Settings\n"
        "if __name__ == '__main__':\n"
        f"    build(Path({str(tmp_path / 'out.parquet')!r}), work_dir=Path({str(tmp_path / 'work')!r}),\n"
        f"          tasks=['jigsaw', 'room_layout'], limit={LIMIT}, device='cpu', progress=False,\n"
        f"          settings={TINY!r})\n"
    )
    (tmp_path / "go.py").write_text(script)
    process = subprocess.Popen([sys.executable, tmp_path / "go.py"], start_new_session=True)
    results = tmp_path / "work" / "results"
    deadline = time.monotonic() + 300
    while not list(results.glob("*.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = {path.name: path.read_bytes() for path in results.glob("[!.]*.json")}
    assert not (tmp_path / "out.parquet").exists()
    resumed = small(tmp_path)
    for name, content in done.items():
        assert (results / name).read_bytes() == content  # kept, not done again
    whole = tmp_path / "whole"
    whole.mkdir()
    straight = small(whole)
    for column, values in straight.columns.items():  # type: ignore[attr-defined]
        if column.metric != "time_elapsed":
            np.testing.assert_array_equal(resumed.columns[column], values)  # type: ignore[attr-defined]


def test_a_job_that_somebody_is_doing_is_left_to_them(tmp_path: Path) -> None:
    job = plan(["jigsaw"], 1, LIMIT)[0]
    work = work_of(job, tmp_path, TINY, "cpu")
    assert work.lock
    with hold(work.lock):
        assert work.perform(tmp_path, print) == ("busy", None)
    assert not result_file(tmp_path, job).exists()
    work = Work.from_json(work.to_json())  # as it comes to a process
    assert work.perform(tmp_path, print) == ("done", None)
    made = result_file(tmp_path, job).stat()
    assert work.perform(tmp_path, print) == ("done", None)  # by somebody else, for all it knows
    assert result_file(tmp_path, job).stat() == made


def test_a_full_disk_stops_the_build_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, later, *_ = plan(["jigsaw"], 1, LIMIT)
    do(job, tmp_path / "work", TINY, "cpu")
    before = result_file(tmp_path / "work", job).read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        do(later, tmp_path / "work", TINY, "cpu")
    assert [p.name for p in (tmp_path / "work" / "results").iterdir()] == [f"{job.name}.json"]
    assert result_file(tmp_path / "work", job).read_bytes() == before


def test_results_of_other_settings_are_not_mixed_in(tmp_path: Path) -> None:
    small(tmp_path, tasks=["jigsaw"], limit=3)
    with pytest.raises(RunError, match="choose another folder"):
        small(tmp_path, tasks=["jigsaw"], limit=3, settings=Settings())


def test_a_result_of_other_cells_is_refused(tmp_path: Path) -> None:
    small(tmp_path, tasks=["jigsaw"], limit=3)
    (path,) = (tmp_path / "work" / "results").glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cells": [1, 2]}))
    with pytest.raises(RunError, match="other cells"):
        small(tmp_path, tasks=["jigsaw"], limit=3)
    shutil.rmtree(tmp_path / "work" / "results")
    small(tmp_path, tasks=["jigsaw"], limit=3)


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="did you mean 'jigsaw'"):
        small(tmp_path, tasks=["jigsav"])
    with pytest.raises(SettingsError, match="positive jobs"):
        small(tmp_path, jobs=0)
