"""Making an agent from whatever is at hand, and saying what an agent is.

In: names of benchmarks, folders of searches, spaces. Out: a file with an ``InContextAgent``; plain values for
people. Next: the command line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from archwalk.errors import SearchError, SettingsError
from archwalk.searching.incontext.agent import NAMES, Card, InContextAgent
from archwalk.searching.incontext.box import PREFIX, boxed, open_agent
from archwalk.searching.incontext.fitting import Training, train
from archwalk.searching.incontext.learned import pool_of_space, pools_of_benchmark, pools_of_searches
from archwalk.searching.incontext.tasks import Pool
from archwalk.spaces.base import SearchSpace

__all__ = ["describe_agents", "train_agent"]


def train_agent(
    out: str | Path,
    *,
    benchmarks: Sequence[str] = (),
    searches: Sequence[str | Path] = (),
    spaces: Sequence[str | SearchSpace] = (),
    left_out: Sequence[str] = (),
    training: Training | None = None,
    name: str = "",
    summary: str = "",
    good: str = "",
    bad: str = "",
    command: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> InContextAgent:
    """Train an agent for the method ``in-context``, and write it. Killed and called again, it goes on.

    Args:
        out: the file, which ends in ``.safetensors``; it must not be there.
        benchmarks: tables by name or file, with ``@PROTOCOL`` and ``:task,task`` behind them where wanted.
        searches: folders of earlier searches.
        spaces: spaces of which nothing is measured, whose tasks are all made up.
        left_out: tasks of the benchmarks that it must not learn from.
        training: how.
        name: of the agent; the file's by default.
        summary: what it is for.
        good: what it is good at, as measured.
        bad: what it is bad at.
        command: repeats the training; for the card.
        say: told how it goes.

    Raises:
        ArchwalkError: nothing to learn from, or something that cannot be learned from; before any training.
        RunError: the file cannot be written.
    """
    path, settings = Path(out), training or Training()
    name = name or path.stem
    if path.suffix != ".safetensors" or path.exists() or not NAMES.fullmatch(name):
        raise SettingsError(
            "--out with a new file NAME.safetensors, of letters, digits, '.', '_' and '-'",
            f"{path}{', which is there' if path.exists() else ''}",
            "choose another --out",
        )
    pools: list[Pool] = []
    tasks: list[dict[str, Any]] = []
    described: list[dict[str, Any]] = []
    for place in benchmarks:
        pool, said, space = pools_of_benchmark(place, left_out, settings.seed)
        pools, tasks, described = [*pools, pool], [*tasks, *said], [*described, space.describe()]
    for folder in searches:
        for pool, one, space in pools_of_searches(folder):
            pools, tasks, described = [*pools, pool], [*tasks, one], [*described, space.describe()]
    for given in spaces:
        pool, space = pool_of_space(given, settings.seed)
        pools, described = [*pools, pool], [*described, space.describe()]
    if not pools:
        raise SearchError(
            "benchmarks, searches or spaces to learn from",
            "none",
            "name some: 'archwalk agents train --help'",
        )
    say(f"{len(tasks)} measured tasks and made-up ones, in {len(pools)} sets of architectures")
    begun = time.monotonic()
    partial = path.with_name(f".{path.name}.partial")
    network = train(pools, settings, say, partial)
    seconds = time.monotonic() - begun
    distinct = [space for i, space in enumerate(described) if space not in described[:i]]
    agent = InContextAgent(
        network.requires_grad_(False),
        Card(
            name,
            summary or f"Trained on {len(tasks)} tasks in {len(distinct)} spaces.",
            tuple(distinct),
            tuple(tasks),
            asdict(settings),
            command,
            good,
            bad,
            round(seconds, 1),
        ),
    )
    agent.save(path)
    partial.unlink(missing_ok=True)
    return agent


def describe_agents() -> list[dict[str, Any]]:
    """``name, summary, spaces, tasks, path, bytes`` of every agent in the box, plain values."""
    return [
        {
            "name": f"{PREFIX}{name}",
            "summary": (card := open_agent(path).card).summary,
            "spaces": [str(space.get("name")) for space in card.spaces],
            "tasks": len(card.tasks),
            "path": str(path),
            "bytes": path.stat().st_size,
        }
        for name, path in boxed().items()
    ]
