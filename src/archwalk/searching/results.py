"""The result of a search, also of one that is under way.

In: evaluations, metrics, limits. Out: a plain dictionary, and ``result.json``, written whole after
evaluations. Next: ``archwalk.cli`` prints it, ``archwalk.reporting`` draws it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.files import json_text, write_atomically
from archwalk.searching.asktell import rewards_of
from archwalk.searching.inputs import Setting
from archwalk.searching.loop import best_of
from archwalk.searching.pareto import pareto_front
from archwalk.tasks.ledger import STATUSES, Evaluation

RESULT = "result.json"
_SHARE = 20  # writing takes at most one part in so many of the time, unless it is the last one


def make_result(
    setting: Setting, evaluations: Sequence[Evaluation], budget: int, finished: bool
) -> dict[str, Any]:
    """What a search has found.

    Args:
        setting: what was searched.
        evaluations: in order.
        budget: evaluations that may be made.
        finished: whether no more will be made.

    Returns:
        See ``verbs.search``.
    """
    goal, limits = setting.metric, setting.limits
    rewards = rewards_of(evaluations, goal)
    good = np.isfinite(rewards) if limits is None else limits.feasible(evaluations)
    best = best_of(np.where(good, rewards, np.nan)) if len(evaluations) else None
    count = {status: sum(e.status == status for e in evaluations) for status in STATUSES}
    result: dict[str, Any] = {
        "architecture": None if best is None else evaluations[best].architecture,
        "value": None if best is None else evaluations[best].metrics[goal.name],
        "metric": goal.name,
        "evaluations": len(evaluations),
        **count,
        "seconds": sum(e.seconds for e in evaluations),
        "budget": budget,
        "finished": finished,
        "looks": [
            {"architecture": e.architecture, "status": e.status, "message": e.message} | e.metrics
            for e in evaluations
        ],
    }
    if limits is not None and limits.all:
        result["limits"] = [str(limit) for limit in limits.all]
        result["infeasible"] = count["ok"] - int(good.sum())
    if setting.costs:
        each = np.stack([rewards, *(rewards_of(evaluations, cost) for cost in setting.costs)], 1)
        front = pareto_front(np.where(good[:, None], each, np.nan))
        result["front"] = [e for e, on in zip(result["looks"], front, strict=True) if on]
    return result


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """``result.json``, whole or not at all."""
    write_atomically(folder / RESULT, json_text(result).encode())


class Keeper:
    """Writes what has been found so far after an evaluation, unless that would take more than a twentieth of
    the time.

    Args:
        write: does it.
    """

    def __init__(self, write: Callable[[], object]) -> None:
        self._write, self._lock, self._next = write, threading.Lock(), 0.0

    def __call__(self) -> None:
        """After an evaluation."""
        with self._lock:
            began = time.monotonic()
            if began >= self._next:
                self._write()
                ended = time.monotonic()
                self._next = ended + _SHARE * (ended - began)
