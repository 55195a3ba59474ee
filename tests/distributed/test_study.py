"""A study on two real nodes: the same bits as on one machine, through deaths of node and command."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import polars as pl
import pytest

import archwalk
from archwalk.config import RaySettings
from archwalk.execution.cluster import load_ray
from archwalk.studies.folder import CURVES, RESULTS, StudyDir
from archwalk.studies.plan import Job
from archwalk.studies.worker import Event
from archwalk.training.rundir import CHECKPOINT, WEIGHTS, RunDir
from tests.conftest import small_settings, two_tasks
from tests.distributed.conftest import PATIENCE, Nodes

TASKS = ("one", "two")
SETTINGS = small_settings(
    training={"trained_steps": 2_048, "fine_tune_steps": 300, "checkpoint_every": 256, "evaluate_every": 256}
)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_tasks().save(tmp_path_factory.mktemp("table") / "two.parquet")


@pytest.fixture(scope="module")
def whole(table: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """The study on one machine."""
    return archwalk.study(table, TASKS, tmp_path_factory.mktemp("whole") / "s", seeds=1, preset=SETTINGS)


def same(one: Path, two: Path) -> bool:
    """Both tables without wall time, and all weights."""
    tables = [[pl.read_parquet(f / n).drop("seconds") for n in (RESULTS, CURVES)] for f in (one, two)]
    weights = [
        {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob(WEIGHTS)}
        for folder in (one, two)
    ]
    return all(a.equals(b) for a, b in zip(*tables, strict=True)) and weights[0] == weights[1]


def test_it_runs_on_both_nodes_with_the_bits_of_one_machine(
    nodes: Nodes, both: RaySettings, whole: StudyDir, table: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    made = archwalk.study(
        table,
        TASKS,
        tmp_path / "s",
        seeds=1,
        preset=SETTINGS,
        executor="ray",
        ray=both,
        on_event=events.append,
    )
    assert same(whole.path, made.path)
    assert len({event.node for event in events if event.kind == "done"}) == 2
    assert sorted(str(e.job) for e in events if e.kind == "done") == sorted(map(str, made.plan().jobs()))
    assert made.run(Job("one", "two", 0)).spec() == whole.run(Job("one", "two", 0)).spec()
    archwalk.study(table, TASKS, tmp_path / "s", seeds=1, preset=SETTINGS)  # on one machine: all is done


def test_node_and_command_die_and_nothing_is_lost_or_doubled(
    nodes: Nodes, both: RaySettings, whole: StudyDir, table: Path, tmp_path: Path
) -> None:
    toml, folder = tmp_path / "s.toml", StudyDir(tmp_path / "s")
    toml.write_text(SETTINGS.to_toml())
    words = ["study", "--benchmark", table, "--tasks", "one,two", "--preset", toml, "--seeds", 1]
    words += ["--run-dir", folder.path, "--executor", "ray", "--ray.address", nodes.address]
    code = "import sys; from archwalk.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *map(str, words)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while not list(folder.path.rglob(CHECKPOINT)) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert folder.missing()
    right = next(node["NodeID"] for node in load_ray().nodes() if "right" in node["Resources"])
    lost, made_on = [], defaultdict(set)

    def on_event(event: Event) -> None:
        made_on[event.job].add(event.node)
        begun = event.kind == "row" and (folder.run(event.job).path / CHECKPOINT).exists()
        if begun and event.node == right and not lost:
            lost.append(event.job)
            nodes.kill("right")

    made = archwalk.study(
        table, TASKS, folder.path, seeds=1, preset=SETTINGS, executor="ray", ray=both, on_event=on_event
    )
    assert len(made_on[lost[0]]) == 2  # begun on the one, gone on with on the other
    assert same(whole.path, made.path)
    for job in made.plan().jobs():
        steps = [row["trained_steps"] for row in RunDir(made.run(job).path).rows()]
        assert steps == sorted(set(steps))


def test_an_agent_that_cannot_be_placed_is_refused(both: RaySettings, table: Path, tmp_path: Path) -> None:
    with pytest.raises(archwalk.errors.ClusterError, match=r"room for 1 agent of 64 CPU each") as caught:
        archwalk.study(
            table, TASKS, tmp_path / "s", seeds=1, preset=SETTINGS, executor="ray",
            ray=both.model_copy(update={"task_cpus": 64.0}),
        )  # fmt: skip
    assert "lower --ray.task-cpus" in caught.value.remedy
    assert not (tmp_path / "s").exists()
