"""From a task and settings to its decision process, in a table or in an open space.

In: a benchmark, a task, ``Settings``. Out: a ``SearchProcess``. Next: ``archwalk.agents`` act in it.
"""

from __future__ import annotations

from typing import NoReturn

import torch

from archwalk.config import Settings
from archwalk.envs.multitask import MultiTaskProcess
from archwalk.envs.open import OpenProcess
from archwalk.envs.process import SearchProcess
from archwalk.envs.reward import shaped_evaluator, shaped_rewards
from archwalk.envs.tabular import TabularProcess
from archwalk.envs.tokens import open_tokens, table_tokens
from archwalk.errors import BenchmarkError
from archwalk.spaces.base import Codes
from archwalk.tasks.base import Predicted
from archwalk.tasks.several import Tables
from archwalk.tasks.table import Benchmark


def task_process(benchmark: Benchmark | Predicted, task: str, settings: Settings) -> SearchProcess:
    """The process of a task.

    Args:
        benchmark: a table, whose process answers from arrays, or anything that can value any architecture.
        task: one of its tasks.
        settings: limits, shaping, tokens, and whether values will be planned.

    Raises:
        BenchmarkError: an unknown task, or missing rewards.
        SettingsError: shaping that the rewards do not allow.
    """
    seen = settings.observation
    if isinstance(benchmark, Benchmark):
        rewards = shaped_rewards(benchmark, task, settings.reward)
        return TabularProcess(benchmark, rewards, settings.walk, table_tokens(benchmark, seen))
    evaluate = shaped_evaluator(benchmark, task, settings.reward)
    tokens = open_tokens(benchmark.space, seen)
    return OpenProcess(benchmark.space, evaluate, settings.walk, tokens, linked=settings.learner.planning)


def run_process(
    benchmark: Benchmark | Predicted | Tables, tasks: tuple[str, ...], settings: Settings
) -> SearchProcess:
    """The process that a run trains in: of one task, or of several at once.

    Args:
        benchmark: as for ``task_process``; for several tasks a table, or several.
        tasks: one or more of its tasks.
        settings: as for ``task_process``.

    Raises:
        BenchmarkError, SettingsError: as ``task_process`` and ``MultiTaskProcess``.
    """
    if len(tasks) == 1:
        assert not isinstance(benchmark, Tables)
        return task_process(benchmark, tasks[0], settings)
    if not isinstance(benchmark, Benchmark | Tables):
        raise BenchmarkError(
            "a table, for a run on several tasks",
            f"{benchmark.name}, whose space {benchmark.space.name!r} is not listed",
            "name one task, or a benchmark file",
        )
    return MultiTaskProcess(benchmark, tasks, settings)


def greedy_process(benchmark: Benchmark | Predicted, settings: Settings) -> SearchProcess:
    """The process without rewards, in which trained agents walk greedily: no task is needed, nothing is
    evaluated.

    Args:
        benchmark: gives the architectures.
        settings: limits and tokens.
    """
    seen = settings.observation
    if isinstance(benchmark, Benchmark):
        rewards = torch.zeros(len(benchmark))
        return TabularProcess(benchmark, rewards, settings.walk, table_tokens(benchmark, seen))
    return OpenProcess(benchmark.space, _nothing, settings.walk, open_tokens(benchmark.space, seen))


def _nothing(codes: Codes) -> NoReturn:
    raise AssertionError(f"{len(codes)} rewards were asked for in a process without rewards")
