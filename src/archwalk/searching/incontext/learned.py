"""What an agent can learn from: benchmarks, earlier searches, and spaces of which nothing is measured.

In: names and files as a user gives them. Out: ``Pool``s, and what they hold for the card. Next: ``fitting``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.errors import SearchError, unknown
from archwalk.searching.asktell import rewards_of
from archwalk.searching.experience.past import CACHE, JOINT, joint_tasks, space_of_ledger
from archwalk.searching.incontext.opinion import small
from archwalk.searching.incontext.tasks import Pool, make_pool
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.spaces.registry import open_space
from archwalk.tasks.ledger import read_evaluations, read_identity
from archwalk.tasks.metrics import metric_for
from archwalk.tasks.registry import load_table

MOST = 50_000  # architectures of a pool; of more a random part is taken
FEWEST = 24  # evaluations of an earlier search that make a task
UNMEASURED = 4_000  # architectures drawn of a space of which nothing is measured


def pools_of_benchmark(
    place: str, left_out: Sequence[str] = (), seed: int = 0
) -> tuple[Pool, list[dict[str, Any]], SearchSpace]:
    """A pool of a table's tasks.

    Args:
        place: name or file, with ``@PROTOCOL`` and ``:task,task`` behind it where they are wanted.
        left_out: tasks that are not to be learned from.
        seed: chooses the part of a large table.

    Raises:
        ArchwalkError: no such table or task, or rewards with gaps.
    """
    name, _, tasks = place.partition(":") if not Path(place).exists() else (place, "", "")
    table = load_table(name)
    wanted = tasks.split(",") if tasks else [task for task in table.tasks if task not in left_out]
    for task in wanted:
        if task not in table.tasks:
            raise SearchError(*unknown(f"task of {table.name!r}", task, table.tasks))
    rows = np.arange(len(table))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), MOST, replace=False))
    codes = table.space.codes[table.rows[rows]].astype(np.int16)
    pool = make_pool(table.space, codes, [table.reward(task)[rows] for task in wanted])
    said = [
        {
            "space": table.space.name,
            "task": task,
            "architectures": len(rows),
            "benchmark": table.name,
            "checksum": table.checksum,
        }
        for task in wanted
    ]
    return pool, said, table.space


def pools_of_searches(folder: str | Path) -> list[tuple[Pool, dict[str, Any], SearchSpace]]:
    """A pool for each task of an earlier search, or of several tasks searched together.

    Raises:
        SearchError: no such folder, a ledger of a space that is not known here, or too few evaluations.
    """
    path = Path(folder)
    if (path / JOINT).exists():
        return [one for task in joint_tasks(path) for one in pools_of_searches(path / task)]
    file = path / CACHE
    if not file.exists():
        raise SearchError("the folder of an earlier search", f"{path}, without {CACHE}", "check the path")
    there = read_identity(file)
    space = space_of_ledger(there["space"], file)
    name, direction = there["metrics"][0]
    evaluations = read_evaluations(file)
    rewards = rewards_of(evaluations, replace(metric_for(name), direction=direction))
    kept = np.flatnonzero(np.isfinite(rewards))
    if len(kept) < FEWEST:
        raise SearchError(
            f"at least {FEWEST} evaluations that succeeded, to learn from",
            f"{len(kept)} in {path}",
            "leave it out",
        )
    codes = space.rows([evaluations[i].architecture for i in kept.tolist()])
    said = {
        "space": space.name,
        "task": path.name,
        "architectures": len(kept),
        "benchmark": "",
        "checksum": "",
    }
    return [(make_pool(space, codes, [rewards[kept]]), said, space)]


def pool_of_space(given: str | SearchSpace, seed: int = 0) -> tuple[Pool, SearchSpace]:
    """A pool of a space of which nothing is known: all its tasks are made up."""
    space = open_space(given)
    if (all_of := small(space)) is not None:
        codes: Codes = all_of.codes.astype(np.int16)
    else:
        codes = np.unique(space.sample(UNMEASURED, np.random.default_rng(seed)), axis=0)
    return make_pool(space, codes, []), space
