"""A Ray cluster: joined by its address, or started here for as long as a command runs.

In: ``RaySettings``. Out: a connection, what fits on the nodes, and errors that say what to do. Next: ``ray``
runs tasks on it, ``archwalk.training.apex`` places actors.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from archwalk.config import RaySettings
from archwalk.errors import ArchwalkError, ClusterError, reason
from archwalk.execution.executor import GLANCE as GLANCE

_ANSWER = 5.0  # seconds that an address has to answer
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
Bundle = Mapping[str, float]


def load_ray() -> Any:
    """The package. Raises ``ClusterError`` if it is not installed."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise ClusterError(
            "the package ray, which --executor ray needs", str(error), "pip install 'archwalk[ray]'"
        ) from error
    return ray


@contextmanager
def connected(settings: RaySettings) -> Iterator[None]:
    """A cluster for a while. One that was started here ends with the block; a connection that was there
    before is used and stays.

    Raises:
        ClusterError: no Ray, no cluster at the address, or one of other versions.
    """
    ray = load_ray()
    if ray.is_initialized():
        yield
        return
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        if settings.address is None:
            _start(settings, quiet)
        else:
            _check_answer(settings.address)
            ray.init(address=settings.address, **quiet)
    except ArchwalkError:
        raise
    except Exception as error:
        ray.shutdown()
        raise _refused(settings.address, error) from error
    try:
        yield
    finally:
        ray.shutdown()


def _start(settings: RaySettings, quiet: dict[str, Any]) -> None:
    """Ray gives its own processes 30 seconds to begin, which is too little on a machine that is very busy."""
    ray = load_ray()
    for left in range(2, -1, -1):
        try:
            ray.init(
                address="local",
                num_cpus=settings.cpus or usable_cpus(),
                object_store_memory=settings.object_store_mb * 2**20,
                include_dashboard=False,
                **quiet,
            )
            return
        except Exception as error:
            ray.shutdown()
            if not left or "timed out during startup" not in str(error):
                raise


def usable_cpus() -> int:
    """Processors that this process may use, which affinity or a control group may limit."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [_quota(folder) for folder in _control_groups()]
    return max(1, int(min([float(count), *(limit for limit in limits if limit)])))


def _control_groups() -> list[Path]:
    """Folders of this process's control group and those above it, where the system has any."""
    root, found = Path("/sys/fs/cgroup"), []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            folder = root / ("cpu" if controllers else "") / path.lstrip("/")
            found += [folder, *(p for p in folder.parents if root in (p, *p.parents))]
    return found or [root]


def _quota(folder: Path) -> float | None:
    """Processors' worth of time that a control group has; None if it has no limit."""
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else float(quota) / float(period)
    with suppress(OSError, ValueError):
        used, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return None if float(used) <= 0 else float(used) / float(period)
    return None


def _check_answer(address: str) -> None:
    """An address where nothing listens is told at once; Ray itself would try for a long time."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise ClusterError("an address host:port, or auto", repr(address), "write what 'ray start' prints")
    try:
        socket.create_connection((host, int(port)), _ANSWER).close()
    except OSError as error:
        raise _refused(address, error) from error


def _refused(address: str | None, error: Exception) -> ClusterError:
    text = " ".join(str(error).split())
    if address is None:
        remedy = "free processors, memory and space in /tmp, or join a cluster with --ray.address"
        if "AF_UNIX" in text or "socket" in text:
            remedy = "set RAY_TMPDIR to a folder with a short path, such as /tmp: sockets need one"
        return ClusterError("to start a Ray cluster here", reason(text), remedy)
    if "ersion mismatch" in text:
        return ClusterError(
            f"the cluster at {address} to run the Ray and Python of this process",
            reason(text),
            "install the same versions of both here and there",
        )
    return ClusterError(
        f"a Ray cluster at {address}, with a node on this machine",
        reason(text),
        "run 'ray start --head' there and 'ray start --address=...' here, with the same RAY_AUTH_TOKEN if it "
        "wants one; or leave the address out",
    )


def bundle(cpus: float, gpus: float, resources: Bundle) -> dict[str, float]:
    """What one process takes, without what it does not."""
    wanted = {"CPU": cpus, "GPU": gpus, **resources}
    return {name: amount for name, amount in wanted.items() if amount > 0}


def options(wanted: Bundle) -> dict[str, Any]:
    """A bundle as Ray's options, spread over the nodes."""
    own = {name: amount for name, amount in wanted.items() if name not in ("CPU", "GPU")}
    return {
        "num_cpus": wanted.get("CPU", 0),
        "num_gpus": wanted.get("GPU", 0),
        "resources": own or None,
        "scheduling_strategy": "SPREAD",
    }


def nodes() -> list[dict[str, float]]:
    """The resources of every living node, in use or not."""
    return [dict(node["Resources"]) for node in load_ray().nodes() if node["Alive"]]


def room(wanted: Bundle, among: list[dict[str, float]] | None = None) -> int:
    """How many bundles fit on the nodes at once, if nothing else is there; many if a bundle takes nothing."""
    if not wanted:
        return 10_000
    total = 0
    for node in nodes() if among is None else among:
        total += int(min(node.get(name, 0.0) / amount + 1e-9 for name, amount in wanted.items()))
    return total


def check_room(wanted: Bundle, count: int, what: str, remedy: str) -> None:
    """Refuse what would wait for ever.

    Raises:
        ClusterError: fewer than ``count`` bundles fit.
    """
    fits = room(wanted)
    if fits < count:
        each = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
        total: dict[str, float] = {}
        for node in nodes():
            for name in wanted:
                total[name] = total.get(name, 0.0) + node.get(name, 0.0)
        has = ", ".join(f"{total.get(name, 0.0):g} {name}" for name in wanted)
        raise ClusterError(
            f"room for {count} {what} of {each} each", f"room for {fits}: {has} in all", remedy
        )


def task_bundle(settings: RaySettings) -> dict[str, float]:
    """What a task takes: an agent of a study, or an evaluation."""
    return bundle(settings.task_cpus, settings.task_gpus, settings.resources)


def raised(error: Any) -> Exception:
    """What a task or actor raised, as if it had been raised here.

    Args:
        error: a ``RayTaskError``.
    """
    cause, text = error.cause, str(error)
    if isinstance(cause, ArchwalkError):
        return cause
    if isinstance(cause, ImportError) or "failed to import" in text or "No module named" in text:
        return ClusterError(
            "archwalk, of the same version, on every node",
            reason(text),
            "pip install 'archwalk[ray]' there, in the Python that Ray was started with",
        )
    problem: Exception = error
    return problem


def lost(what: str, times: int, last: BaseException) -> ClusterError:
    """The error when something has died too often."""
    return ClusterError(
        f"{what} to live",
        f"its death, time {times}: {reason(last)}",
        "look at the memory of the nodes and at Ray's logs, then run the same command again: it resumes",
    )


def silent(seconds: float) -> ClusterError:
    """The error when nothing has been heard for too long."""
    return ClusterError(
        "a sign of life from the cluster",
        f"none for {seconds:g} s: nodes lost, or too few resources for what is left",
        "start nodes, or raise --ray.patience; then run the same command again: it resumes",
    )
