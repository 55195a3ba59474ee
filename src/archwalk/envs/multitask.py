"""``MultiTaskProcess``: several tasks of one table, or of several, as one process, their disjoint union.

In: a table or several, some of their tasks, ``Settings``. Out: a ``SearchProcess`` in which every walk is on
one task. Next: ``archwalk.agents`` act in it as in any other; ``agents.multitask`` has the agent on one of
the tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.nn import functional as F

from archwalk.config import Settings
from archwalk.envs.reward import shaped_rewards, standardised
from archwalk.envs.tabular import TabularProcess
from archwalk.envs.tokens import table_tokens
from archwalk.errors import SettingsError
from archwalk.spaces.base import PAD
from archwalk.spaces.matching import identical
from archwalk.spaces.tokens import TokenTable
from archwalk.tasks.several import Tables, places_of
from archwalk.tasks.table import Benchmark


class MultiTaskProcess(TabularProcess):
    """A copy of its table for each task, without steps between them.

    Architecture i of the t-th task's table is state ``first[t]`` + i, so walks, replay, targets, plans and
    the ledger of evaluations keep the tasks apart by themselves. Walks start uniformly over the tasks, and
    over the architectures of each. An evaluation is of an architecture on a task. Where a table's
    architectures have fewer neighbours than another's, padding fills up.

    Args:
        benchmark: the table, or several.
        tasks: at least two of its tasks, in the order of the copies.
        settings: limits, shaping, tokens, scale of the rewards, and whether the network is told the task.

    Attributes:
        tasks: as given.
        places: the table of each task, and its name there.
        first: the state at which the copy of each task begins, and the number of states.

    Raises:
        BenchmarkError: an unknown task, or missing rewards.
        SettingsError: shaping that the rewards do not allow, no scale, or tokens of tables that differ.
    """

    def __init__(self, benchmark: Benchmark | Tables, tasks: tuple[str, ...], settings: Settings) -> None:
        self.tasks, self._scale = tasks, settings.multitask.scale
        self.places = places_of(benchmark, tasks)
        rewards = [shaped_rewards(table, task, settings.reward) for table, task in self.places]
        if self._scale == "table":
            rewards = [standardised(one, torch.arange(len(one))) for one in rewards]
        elif not settings.reward.standardise:
            raise SettingsError(
                "rewards of several tasks that are made comparable",
                "multitask.scale 'starts' with reward.standardise off",
                "use --reward.standardise True, or --multitask.scale table",
            )
        self._walk = settings.walk
        self._plain = self._tokens_of_tables(settings)
        told = settings.multitask.form == "embedding"
        plain = [self._plain[table.name] for table, _ in self.places]
        self._sizes = [len(table) for table, _ in self.places]
        self.first = [sum(self._sizes[:t]) for t in range(len(tasks) + 1)]
        table = self.places[0].table
        super().__init__(table, torch.cat(rewards), settings.walk, joined_tokens(plain, told))
        each = [torch.from_numpy(table.choices) for table, _ in self.places]
        self._choices = joined_choices(each)
        self.actions = min(1 + settings.walk.max_neighbours, self._choices.shape[1])
        self.offers_all = self.actions == self._choices.shape[1]

    def _tokens_of_tables(self, settings: Settings) -> dict[str, TokenTable]:
        """Tokens by name of the table, made once each."""
        tables = {table.name: table for table, _ in self.places}
        space = self.places[0].table.space
        for table in tables.values():
            alike = identical(table.space.describe(), space.describe())
            if settings.observation.tokens != "encoded" and not alike:
                raise SettingsError(
                    "tokens that mean the same in every space, for tasks of several spaces",
                    f"{settings.observation.tokens} tokens for {space.name!r} and {table.space.name!r}",
                    "use --observation.tokens encoded with --observation.encoder",
                )
        return {name: table_tokens(table, settings.observation) for name, table in tables.items()}

    def alone(self, task: str) -> TabularProcess:
        """The process of a task's table, without rewards, in which an agent walks on that task."""
        table = self.places[self.tasks.index(task)].table
        return TabularProcess(table, torch.zeros(len(table)), self._walk, self._plain[table.name])

    def of(self, state: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
        """The place of each state's task among the tasks."""
        return torch.searchsorted(torch.tensor(self.first[1:]), state, right=True)

    def draw(self, wanted: Bool[Tensor, " walks"], generator: torch.Generator) -> Int64[Tensor, " walks"]:
        """A start for every walk: a task, then an architecture of its table."""
        if len(set(self._sizes)) == 1:
            return super().draw(wanted, generator)
        task = torch.randint(len(self.tasks), wanted.shape, generator=generator)
        u = torch.rand(wanted.shape, generator=generator, dtype=torch.float64)
        return torch.tensor(self.first)[task] + (u * torch.tensor(self._sizes)[task]).long()

    def standardise(self, sample: Int64[Tensor, " sample"]) -> None:
        """Each task by its own part of the sample; nothing where the whole table has been the scale.

        Raises:
            SettingsError: fewer than two of the sample on a task.
        """
        if self._scale == "table":
            return
        of = self.of(sample)
        least = int(torch.bincount(of, minlength=len(self.tasks)).min())
        if least < 2:
            raise SettingsError(
                "at least two first starts on every task, to scale its rewards by",
                f"{least} on one of {len(self.tasks)} tasks, with {len(sample)} walks",
                "use more walks (--exploration.walks-per-actor), or --multitask.scale table",
            )
        self.mark(sample)
        parts = self._measured.split(self._sizes)
        own = [sample[of == t] - self.first[t] for t in range(len(self.tasks))]
        self.rewards = torch.cat([standardised(r, at) for r, at in zip(parts, own, strict=True)])

    def names(self, state: Int64[Tensor, " n"]) -> list[str]:
        """Strings of the tables, without the task."""
        of = self.of(state).tolist()
        at = [s - self.first[t] for s, t in zip(state.tolist(), of, strict=True)]
        return [self.places[t].table.architectures[i] for t, i in zip(of, at, strict=True)]


def joined_choices(each: Sequence[Tensor]) -> Int64[Tensor, "states choices"]:
    """Neighbours within each copy, [states, most choices]; padding stays padding, and fills up.

    Args:
        each: of every copy, [architectures, choices].
    """
    widest, first, parts = max(one.shape[1] for one in each), 0, []
    for one in each:
        moved = torch.where(one == PAD, PAD, one + first)
        parts.append(F.pad(moved, (0, widest - one.shape[1]), value=PAD))
        first += len(one)
    return torch.cat(parts)


def joined_tokens(each: Sequence[TokenTable], told: bool) -> TokenTable:
    """The tokens of every copy; where the task is told, followed by its one-hot vector.

    What the network's first layer makes of that vector is the learned embedding of the task: a column of its
    weights, added to what it makes of the architecture.

    Args:
        each: of every task's table.
        told: tokens are [features + tasks], else [features].
    """
    rows = torch.cat([one.rows for one in each])
    if told:
        sizes = torch.tensor([len(one.rows) for one in each])
        task = torch.eye(len(each), dtype=rows.dtype).repeat_interleave(sizes, 0)
        rows = torch.cat([rows, task], dim=1)
    before = [sum(len(one.rows) for one in each[:t]) for t in range(len(each))]
    first = torch.cat([one.first + b for one, b in zip(each, before, strict=True)])
    return replace(each[0], rows=rows, first=first, count=torch.cat([one.count for one in each]))
