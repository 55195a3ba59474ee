"""``MultiTaskProcess``: several tasks of one table as one process, their disjoint union.

In: a table, some of its tasks, ``Settings``. Out: a ``SearchProcess`` in which every walk is on one task.
Next: ``archwalk.agents`` act in it as in any other; ``agents.multitask`` has the agent on one of the tasks.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Int64
from torch import Tensor

from archwalk.config import Settings
from archwalk.envs.reward import shaped_rewards, standardised
from archwalk.envs.tabular import TabularProcess
from archwalk.errors import SettingsError
from archwalk.spaces.base import PAD
from archwalk.spaces.tokens import TokenTable, make_tokens
from archwalk.tasks.table import Benchmark


class MultiTaskProcess(TabularProcess):
    """A copy of the table for each task, without steps between them.

    State t · N + i is architecture i of N on the t-th task, so walks, replay, targets, plans and the ledger
    of evaluations keep the tasks apart by themselves. Walks start uniformly over all states, so uniformly
    over the tasks. An evaluation is of an architecture on a task.

    Args:
        benchmark: the table.
        tasks: at least two of its tasks, in the order of the copies.
        settings: limits, shaping, tokens, scale of the rewards, and whether the network is told the task.

    Attributes:
        tasks: as given.
        table: the process of the table alone, without rewards, in which an agent walks on one of the tasks.

    Raises:
        BenchmarkError: an unknown task, or missing rewards.
        SettingsError: shaping that the rewards do not allow, or no scale.
    """

    def __init__(self, benchmark: Benchmark, tasks: tuple[str, ...], settings: Settings) -> None:
        self.tasks, self._scale = tasks, settings.multitask.scale
        rewards = [shaped_rewards(benchmark, task, settings.reward) for task in tasks]
        if self._scale == "table":
            every = torch.arange(len(benchmark))
            rewards = [standardised(one, every) for one in rewards]
        elif not settings.reward.standardise:
            raise SettingsError(
                "rewards of several tasks that are made comparable",
                "multitask.scale 'starts' with reward.standardise off",
                "use --reward.standardise True, or --multitask.scale table",
            )
        plain = make_tokens(benchmark.space, settings.observation.tokens, benchmark.rows)
        told = settings.multitask.form == "embedding"
        super().__init__(
            benchmark, torch.cat(rewards), settings.walk, copies_of_tokens(plain, len(tasks), told)
        )
        self._choices = copies_of_choices(self._choices, len(tasks))
        self.table = TabularProcess(benchmark, torch.zeros(len(benchmark)), settings.walk, plain)

    def standardise(self, sample: Int64[Tensor, " sample"]) -> None:
        """Each task by its own part of the sample; nothing where the whole table has been the scale.

        Raises:
            SettingsError: fewer than two of the sample on a task.
        """
        if self._scale == "table":
            return
        of = sample // len(self.benchmark)
        least = int(torch.bincount(of, minlength=len(self.tasks)).min())
        if least < 2:
            raise SettingsError(
                "at least two first starts on every task, to scale its rewards by",
                f"{least} on one of {len(self.tasks)} tasks, with {len(sample)} walks",
                "use more walks (--exploration.walks-per-actor), or --multitask.scale table",
            )
        self.mark(sample)
        parts = self._measured.split(len(self.benchmark))
        own = [sample[of == t] % len(self.benchmark) for t in range(len(self.tasks))]
        self.rewards = torch.cat([standardised(r, at) for r, at in zip(parts, own, strict=True)])

    def names(self, state: Int64[Tensor, " n"]) -> list[str]:
        """Strings of the table, without the task."""
        return super().names(state % len(self.benchmark))


def copies_of_choices(
    choices: Int64[Tensor, "architectures choices"], tasks: int
) -> Int64[Tensor, "states choices"]:
    """Neighbours within each copy, [tasks · architectures, choices]; padding stays padding."""
    n = len(choices)
    return torch.cat([torch.where(choices == PAD, PAD, choices + t * n) for t in range(tasks)])


def copies_of_tokens(tokens: TokenTable, tasks: int, told: bool) -> TokenTable:
    """The same tokens in every copy; where the task is told, followed by its one-hot vector.

    What the network's first layer makes of that vector is the learned embedding of the task: a column of its
    weights, added to what it makes of the architecture.

    Args:
        tokens: of the table's architectures.
        tasks: number of copies.
        told: tokens are [features + tasks], else [features].
    """
    n = len(tokens.rows)
    rows = tokens.rows.repeat(tasks, 1)
    if told:
        task = torch.eye(tasks, dtype=torch.uint8).repeat_interleave(n, 0)
        rows = torch.cat([rows, task], dim=1)
    first = torch.cat([tokens.first + t * n for t in range(tasks)])
    return replace(tokens, rows=rows, first=first, count=tokens.count.repeat(tasks))
