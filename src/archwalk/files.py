"""Writing files so that a reader, a crash or a full disk never sees half of one; JSON; folders in use."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archwalk.errors import InUseError, RunError

if TYPE_CHECKING:
    from filelock import BaseFileLock


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside the target, force to disk, rename over it. The folder is made if it is not there.

    Raises:
        RunError: the disk is full or the folder cannot be written; the old file, if any, is untouched.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise RunError(
            f"to write {path}",
            f"{error.strerror or error}",
            "free space or choose a writable folder, then rerun",
        ) from error


def json_text(value: Any, indent: int | None = 2) -> str:
    """A value as JSON, which knows neither NaN nor infinity: they become null."""
    return json.dumps(finite(value), indent=indent, allow_nan=False)


def finite(value: Any) -> Any:
    """The same in plain dictionaries and lists, with None for NaN and infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


@contextmanager
def hold(lock: Path) -> Iterator[None]:
    """Hold what a lock file stands for alone. The system lets go of it when the process ends, however.

    Raises:
        InUseError: another process holds it.
        RunError: the folder of the lock cannot be written.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = locked(lock)
    except OSError as error:
        raise RunError(
            f"to write to {lock.parent}", str(error.strerror), "choose another --run-dir"
        ) from error
    if held is None:
        raise InUseError(
            f"{lock.parent} to be free", "another process that is running it", "wait for it to end"
        )
    with held:
        yield


def locked(file: Path) -> BaseFileLock | None:
    """A file locked by this process until it is released, or the process ends; None if another one has it.

    Raises:
        OSError: the file cannot be written.
    """
    from filelock import FileLock, Timeout  # not for --help

    lock = FileLock(file, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock
