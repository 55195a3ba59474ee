"""Connecting: what is refused, with which remedy, and how soon; nothing of Ray is imported unasked."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import archwalk
from archwalk.config import RaySettings
from archwalk.errors import ClusterError, RunError, SettingsError
from archwalk.execution import cluster
from archwalk.execution.cluster import bundle, connected, load_ray, raised, room
from tests.conftest import small_settings, tiny_benchmark
from tests.distributed.conftest import Nodes, alive, descendants, free_port, with_signal


def enter(settings: RaySettings) -> None:
    with connected(settings):
        pass


def test_without_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "ray":
            raise ModuleNotFoundError("No module named 'ray'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    with pytest.raises(ClusterError, match=r"pip install 'archwalk\[ray\]'"):
        archwalk.train("synthetic", "alpha", tmp_path / "r", preset="quick", executor="ray")
    assert not (tmp_path / "r").exists()


def test_nothing_of_ray_is_imported_unasked() -> None:
    code = "import sys, archwalk.api, archwalk.studies.study, archwalk.searching.verbs\n"
    code += "import archwalk.cli.commands\n"
    code += "import archwalk.training.apex.agent, archwalk.searching.remote, archwalk.execution.ray\n"
    code += "print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_processors_that_may_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cluster, "_control_groups", lambda: [tmp_path, tmp_path / "above"])
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 4, 5})
    assert cluster.usable_cpus() == 4
    (tmp_path / "above").mkdir()
    for text, count in (("max 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("nonsense", 4)):
        (tmp_path / "above" / "cpu.max").write_text(text)
        assert cluster.usable_cpus() == count
    (tmp_path / "above" / "cpu.max").unlink()
    for quota, count in (("-1", 4), ("300000", 3)):  # the first version of control groups
        (tmp_path / "cpu.cfs_quota_us").write_text(quota)
        (tmp_path / "cpu.cfs_period_us").write_text("100000")
        assert cluster.usable_cpus() == count
    monkeypatch.undo()
    assert 1 <= cluster.usable_cpus() <= (os.cpu_count() or 1)


def test_a_path_too_long_for_a_socket_is_told_from_a_full_machine() -> None:
    error = OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /long")
    assert "RAY_TMPDIR" in cluster._refused(None, error).remedy
    assert "RAY_TMPDIR" not in cluster._refused(None, OSError("no space left on device")).remedy
    assert "the reason" in cluster._refused(None, OSError("x" * 9_000 + " the reason")).got


def test_an_unknown_executor(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean 'ray'"):
        archwalk.train("synthetic", "alpha", tmp_path / "r", preset="quick", executor="rya")  # type: ignore


def test_no_cluster_at_the_address_is_told_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(ClusterError, match=r"a Ray cluster at 127\.0\.0\.1:\d+.*\n.*refused") as caught:
        enter(RaySettings(address=f"127.0.0.1:{free_port()}"))
    assert time.monotonic() - began < 30
    assert "ray start --head" in caught.value.remedy
    for nonsense in ("somewhere", "ray://h:1", "h:x"):
        with pytest.raises(ClusterError, match="host:port"):
            enter(RaySettings(address=nonsense))


def test_other_versions_are_refused_by_name(nodes: Nodes) -> None:
    """In a process that believes to be another release."""
    code = f"""
import ray, sys
ray.__version__ = "2.0.99"
from archwalk.config import RaySettings
from archwalk.execution.cluster import connected
from archwalk.errors import ClusterError
try:
    with connected(RaySettings(address={nodes.address!r})): pass
except ClusterError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "2.0.99" in done.stdout, done.stderr
    assert "install the same versions" in done.stdout


def test_what_a_node_raises_is_told_as_if_raised_here() -> None:
    fail = load_ray().exceptions.RayTaskError
    full = RunError("to write", "No space left", "free space")
    assert raised(fail("f", "trace", full)) is full
    missing = raised(fail("f", "trace", ModuleNotFoundError("No module named 'archwalk'")))
    assert isinstance(missing, ClusterError)
    assert "pip install" in missing.remedy
    bug = fail("f", "trace", ZeroDivisionError())
    assert raised(bug) is bug


def test_a_cluster_that_was_joined_stays(both: RaySettings) -> None:
    enter(both)
    assert load_ray().is_initialized()
    assert room(bundle(0.5, 0, {})) == 8
    assert room(bundle(0.5, 0, {"left": 50.0})) == 2
    assert room(bundle(0, 0, {})) > 1_000


def test_a_cluster_started_here_ends_with_the_command_however_it_ends(tmp_path: Path) -> None:
    """SIGKILL to a run on a cluster of its own leaves no process behind; Ray's two agents of a node look up
    once a minute, and go then."""
    table = tiny_benchmark().save(tmp_path / "tiny.parquet")
    toml = tmp_path / "s.toml"
    toml.write_text(small_settings(exploration={"actors": 1}, training={"trained_steps": 10**7}).to_toml())
    words = ["train", "--benchmark", table, "--task", "main", "--preset", toml, "--run-dir", tmp_path / "r"]
    words += ["--executor", "ray", "--ray.cpus", 1, "--ray.shards", 1, "--ray.object-store-mb", 100]
    code = "import sys; from archwalk.cli import main; main(sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "r" / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    begun = descendants(process.pid)
    agents = [p for p in begun if Path(f"/proc/{p}/cmdline").read_bytes().rstrip(b"\0 ").endswith(b"Agent")]
    assert len(begun) - len(agents) > 4
    process.kill()
    process.wait()
    while set(alive(begun)) - set(agents) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert set(alive(begun)) <= set(agents)
    for pid in agents:
        with_signal(pid)
