"""A Ray cluster of two real nodes on this machine, with ports, folders and resources of their own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archwalk.config import RaySettings
from archwalk.execution.cluster import load_ray

os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # and no file in the home
PATIENCE = 120  # seconds that a slow machine is given for anything


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Nodes:
    """``ray start`` twice: a head with the resource "left", a worker with the resource "right".

    Args:
        cpus: of each node.
    """

    def __init__(self, cpus: int = 2) -> None:
        self.cpus, self.port = cpus, free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="aw"))  # Ray's sockets need short paths
        self.processes: dict[str, subprocess.Popen] = {}
        self.killed: set[str] = set()  # ids of nodes, which the cluster takes for alive a while longer

    @property
    def address(self) -> str:
        return f"{load_ray().util.get_node_ip_address()}:{self.port}"

    def start(self, name: str) -> None:
        where = ["--address", self.address]
        if name == "left":
            where = ["--head", "--port", str(self.port), "--include-dashboard", "false"]
            where += ["--temp-dir", str(self.folder), "--disable-usage-stats"]
        options = ["--num-cpus", self.cpus, "--resources", f'{{"{name}": 100}}', "--block"]
        options += ["--object-store-memory", 100 * 2**20]
        options += ["--min-worker-port", 0, "--max-worker-port", 0]
        quick = {"RAY_health_check_period_ms": "1000", "RAY_health_check_timeout_ms": "5000"}
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", *where, *map(str, options)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | quick | {"OMP_NUM_THREADS": "1"},
        )

    def wait(self, count: int) -> None:
        """Until the cluster knows of so many living nodes, and of no killed one. Needs a connection."""
        deadline = time.monotonic() + PATIENCE
        while True:
            alive = {node["NodeID"] for node in load_ray().nodes() if node["Alive"]}
            if len(alive) == count and not alive & self.killed:
                return
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def reachable(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                host, port = self.address.split(":")
                return socket.create_connection((host, int(port)), 1).close()
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def kill(self, name: str) -> None:
        """SIGKILL to everything that the node started, as if its machine had lost power."""
        process = self.processes.pop(name)
        if load_ray().is_initialized():
            self.killed |= {node["NodeID"] for node in load_ray().nodes() if name in node["Resources"]}
        for pid in descendants(process.pid):
            with_signal(pid)
        process.wait()

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)


def with_signal(pid: int, number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """A process and all below it; children first sought, so that none is missed."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def alive(pids: list[int]) -> list[int]:
    """Which processes are there, zombies left out."""
    there = []
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                there.append(pid)
        except OSError:
            continue
    return there


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    pytest.importorskip("ray")
    cluster = Nodes()
    try:
        cluster.start("left")
        cluster.reachable()
        cluster.start("right")
        yield cluster
    finally:
        if load_ray().is_initialized():
            load_ray().shutdown()
        cluster.stop()


@pytest.fixture
def both(nodes: Nodes) -> Iterator[RaySettings]:
    """Connected to both nodes; a node that an earlier test has killed is there again."""
    ray = load_ray()
    if "right" not in nodes.processes:
        nodes.start("right")
    ray.init(address=nodes.address, logging_level="ERROR", log_to_driver=False)
    nodes.wait(2)
    yield RaySettings(address=nodes.address, actor_cpus=0.5, task_cpus=0.5)
    ray.shutdown()
