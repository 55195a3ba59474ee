"""``TabularProcess``: the process where every architecture is listed: index arrays and caches.

In: a benchmark's neighbour table, rewards and tokens. Out: a ``SearchProcess`` whose states are positions in
the benchmark. Next: ``gym`` wraps it for other libraries, ``archwalk.agents`` act in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float32, Float64, Int64, UInt8
from torch import Tensor

from archwalk.config import WalkSettings
from archwalk.envs.process import SearchProcess
from archwalk.envs.reward import standardised
from archwalk.spaces.base import PAD
from archwalk.spaces.tokens import TokenTable
from archwalk.tasks.table import Benchmark


class TabularProcess(SearchProcess):
    """Walks over a table.

    An offer holds states.

    Args:
        benchmark: gives neighbours and names.
        rewards: of arriving at each architecture, [architectures].
        settings: limits.
        tokens: what architectures look like; None where nobody looks.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        rewards: Float32[Tensor, " architectures"] | Float64[Tensor, " architectures"],
        settings: WalkSettings,
        tokens: TokenTable | None = None,
    ) -> None:
        self.benchmark, self.step_limit = benchmark, settings.step_limit
        self._measured, self.rewards = rewards.double(), rewards.float()  # cast once all has been computed
        self._choices = torch.from_numpy(benchmark.choices)
        self.actions = min(1 + settings.max_neighbours, self._choices.shape[1])
        self.offers_all = self.actions == self._choices.shape[1]
        self._tokens = tokens
        self.features = tokens.features if tokens else 0
        self.evaluated = torch.zeros(len(rewards), dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._choices)

    @property
    def choices(self) -> Int64[Tensor, "states choices"]:
        """The current architecture, then all its neighbours."""
        return self._choices

    @property
    def tokens(self) -> TokenTable:
        """What architectures look like."""
        if self._tokens is None:
            raise ValueError("this process was made without tokens")
        return self._tokens

    def draw(self, wanted: Bool[Tensor, " walks"], generator: torch.Generator) -> Int64[Tensor, " walks"]:
        """A start for every walk."""
        return torch.randint(len(self), wanted.shape, generator=generator)

    def offer(
        self, state: Int64[Tensor, " walks"], generator: torch.Generator
    ) -> Int64[Tensor, "walks actions"]:
        """The states that actions lead to."""
        choices = self._choices[state]
        if self.offers_all:
            return choices
        neighbours = choices[:, 1:]
        drawn = draw_offers(neighbours != PAD, self.actions - 1, generator)
        return torch.cat([choices[:, :1], neighbours.gather(1, drawn)], dim=1)

    def observe(
        self,
        state: Int64[Tensor, " walks"],
        offered: Int64[Tensor, "walks actions"],
        generator: torch.Generator,
    ) -> UInt8[Tensor, "walks actions features"] | Float32[Tensor, "walks actions features"]:
        """Rows of the token table."""
        del state
        return self.tokens.rows[self.tokens.draw(offered, generator)]

    def arrive(
        self,
        state: Int64[Tensor, " walks"],
        offered: Int64[Tensor, "walks actions"],
        action: Int64[Tensor, " walks"],
    ) -> Int64[Tensor, " walks"]:
        """What was offered under the action."""
        del state
        return offered.gather(1, action[:, None]).squeeze(1)

    def reward(self, state: Int64[Tensor, " n"]) -> Float32[Tensor, " n"]:
        """From the table."""
        return self.rewards[state]

    def known(
        self, state: Int64[Tensor, " walks"], offered: Int64[Tensor, "walks actions"]
    ) -> Int64[Tensor, "walks actions"]:
        """The offer itself."""
        del state
        return offered

    def standardise(self, sample: Int64[Tensor, " sample"]) -> None:
        """See ``SearchProcess``."""
        self.mark(sample)
        self.rewards = standardised(self._measured, sample)

    def states(self, architectures: Sequence[str]) -> Int64[Tensor, " n"]:
        """Positions in the benchmark."""
        return torch.tensor([self.benchmark.index(text) for text in architectures])

    def names(self, state: Int64[Tensor, " n"]) -> list[str]:
        """Strings of the benchmark."""
        return [self.benchmark.architectures[i] for i in state.tolist()]


def draw_offers(
    exists: Bool[Tensor, "walks neighbours"], count: int, generator: torch.Generator
) -> Int64[Tensor, "walks count"]:
    """Columns of a uniform sample without replacement among the neighbours that exist, those first."""
    key = torch.rand(exists.shape, generator=generator)
    return key.masked_fill(~exists, -1.0).topk(count, dim=1).indices


def make_process(
    benchmark: Benchmark,
    rewards: Float32[Tensor, " architectures"] | Float64[Tensor, " architectures"],
    settings: WalkSettings,
    tokens: TokenTable | None = None,
) -> TabularProcess:
    """The process over a benchmark's architectures with given rewards."""
    return TabularProcess(benchmark, rewards, settings, tokens)
