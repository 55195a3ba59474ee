"""A process and all that it started, ended together, on every system.

In: how a process is to be started, later its id. Out: nothing that it started lives on. Next:
``tasks.evaluators`` runs users' commands so, ``execution.worker`` ends itself so.

Where the system has process groups (``os.killpg``) the group is ended, and with it children whose parent is
gone. Windows has none: there the children that can still be traced from the process are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import Any


def set_apart() -> dict[str, Any]:
    """Arguments for ``subprocess.Popen``: the process leads a group that Ctrl-C does not reach."""
    if hasattr(os, "killpg"):
        return {"start_new_session": True}
    return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}


def end_group(leader: int) -> None:
    """End a process started with ``set_apart``, and its children. Nothing happens where none is left.

    Args:
        leader: its id; 0 for the process that calls this, which ends, too.
    """
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)
        return
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(leader or os.getpid())
        for one in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
