"""``OpenProcess``: the process in a space that nobody lists: states are numbered as they are met.

In: a space, and what evaluates architectures. Out: a ``SearchProcess`` whose memory grows with what was met,
not with the space. Next: ``archwalk.agents`` act in it as in a table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from archwalk.config import WalkSettings
from archwalk.envs.process import SearchProcess
from archwalk.envs.tabular import draw_offers
from archwalk.spaces.base import PAD, Codes, SearchSpace
from archwalk.spaces.index import CodeIndex
from archwalk.spaces.tokens import Tokens

LINKED_AT_ONCE = 10_000  # states after a restart: their neighbours must fit into memory
Evaluate = Callable[[Codes], NDArray[np.float64]]


class OpenProcess(SearchProcess):
    """Walks in a space of any size.

    An offer holds numbers: 0 is the current architecture, k its k-th neighbour as ``SearchSpace.neighbours``
    has them. A state's reward is asked for once, when it is first needed.

    Args:
        space: the space.
        evaluate: shaped rewards of architectures, [n, slots] → [n]; larger is better.
        settings: limits.
        tokens: what architectures look like.
        linked: keep which of the states met are neighbours (``choices``), which planning needs.
    """

    def __init__(
        self,
        space: SearchSpace,
        evaluate: Evaluate,
        settings: WalkSettings,
        tokens: Tokens,
        linked: bool = False,
    ) -> None:
        self.space, self.step_limit, self._evaluate = space, settings.step_limit, evaluate
        self.actions = 1 + min(settings.max_neighbours, space.max_neighbours)
        self.offers_all = self.actions == 1 + space.max_neighbours
        self.tokens, self.features = tokens, tokens.features
        self.evaluated = torch.zeros(0, dtype=torch.bool)
        self._index = CodeIndex(len(space.slot_sizes))
        self._raw = np.empty(0)  # reward of each state, NaN where not asked for
        self._mean, self._spread = 0.0, 1.0
        self._links = _Links() if linked else None
        self._around: tuple[Tensor, Codes] = (torch.empty(0, dtype=torch.long), np.empty(0, dtype=np.int16))

    def __len__(self) -> int:
        return len(self._index)

    @property
    def codes(self) -> Codes:
        """Of every state met, [states, slots]."""
        return self._index.codes

    def fresh(self) -> OpenProcess:
        """The same process with nothing met yet, and without links."""
        settings = WalkSettings(max_neighbours=max(self.actions - 1, 1), step_limit=self.step_limit)
        return OpenProcess(self.space, self._evaluate, settings, self.tokens.fresh())

    def intern(self, codes: Codes) -> Int64[Tensor, " n"]:
        """States of architectures, [n, slots] → [n]; those not met before get ids."""
        before = len(self)
        ids = self._index.add(codes)
        if len(self) > before:
            new = len(self) - before
            self._raw = _extended(self._raw, np.full(new, np.nan), before)
            self.evaluated = torch.cat([self.evaluated, torch.zeros(new, dtype=torch.bool)])
            if self._links is not None:
                self._link(before)
        return torch.from_numpy(ids)

    def _link(self, first: int) -> None:
        """Note the neighbours of the states from ``first`` on, which are new."""
        assert self._links is not None
        a, b = self._neighbours_met(first, len(self))
        old = b < first  # among the new ones each is found from both sides
        self._links.extend(len(self))
        self._links.add(np.concatenate([a, b[old]]), np.concatenate([b, a[old]]))

    def _neighbours_met(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """States from ``first`` up to ``last`` and their neighbours that have ids, pair by pair, [pairs]
        each."""
        around = self.space.neighbours(self.codes[first:last])
        found = self._index.find(around.reshape(-1, around.shape[2])).reshape(around.shape[:2])
        row, column = np.nonzero(found != PAD)
        return row + first, found[row, column]

    @property
    def choices(self) -> Int64[Tensor, "states choices"]:
        """Each state, then those of its neighbours that have been met."""
        if self._links is None:
            raise ValueError("this process was made without links between its states")
        return torch.from_numpy(self._links.table(len(self)))

    def draw(self, wanted: Bool[Tensor, " walks"], generator: torch.Generator) -> Int64[Tensor, " walks"]:
        """Starts from the space's own ``sample``."""
        seed = int(torch.randint(2**62, (1,), generator=generator))
        state = torch.zeros(wanted.shape, dtype=torch.long)
        if bool(wanted.any()):
            codes = self.space.sample(len(wanted), np.random.default_rng(seed))
            state[wanted] = self.intern(codes[wanted.numpy()])
        return state

    def _choices_of(self, state: Int64[Tensor, " walks"]) -> Codes:
        """Codes of each state and of all its neighbours, [walks, 1 + K, slots]; the last answer is kept."""
        if not torch.equal(state, self._around[0]):
            here = self.codes[state.numpy()]
            self._around = state.clone(), np.concatenate([here[:, None], self.space.neighbours(here)], 1)
        return self._around[1]

    def offer(
        self, state: Int64[Tensor, " walks"], generator: torch.Generator
    ) -> Int64[Tensor, "walks actions"]:
        """Numbers of neighbours, ascending where all are offered."""
        exists = torch.from_numpy((self._choices_of(state) >= 0).any(2))
        numbers = torch.arange(exists.shape[1]).expand(exists.shape)
        if not self.offers_all:
            drawn = 1 + draw_offers(exists[:, 1:], self.actions - 1, generator)
            numbers = torch.cat([numbers[:, :1], drawn], 1)
            exists = exists.gather(1, numbers)
        return torch.where(exists, numbers, PAD)

    def _candidates(self, state: Tensor, offered: Tensor) -> Codes:
        """Codes of what is offered, [walks, actions, slots]; anything where there is nothing."""
        rows = np.arange(len(state))[:, None]
        return self._choices_of(state)[rows, offered.clamp(min=0).numpy()]

    def observe(
        self,
        state: Int64[Tensor, " walks"],
        offered: Int64[Tensor, "walks actions"],
        generator: torch.Generator,
    ) -> UInt8[Tensor, "walks actions features"] | Float32[Tensor, "walks actions features"]:
        """Tokens made on the spot."""
        codes = self._candidates(state, offered).reshape(offered.numel(), len(self.space.slot_sizes))
        u = torch.rand(offered.numel(), generator=generator).numpy() if self.tokens.random else None
        return torch.from_numpy(self.tokens.encode(codes, u)).view(*offered.shape, self.features)

    def arrive(
        self,
        state: Int64[Tensor, " walks"],
        offered: Int64[Tensor, "walks actions"],
        action: Int64[Tensor, " walks"],
    ) -> Int64[Tensor, " walks"]:
        """The architectures that actions lead to, with ids from now on."""
        number = offered.gather(1, action[:, None])
        return self.intern(self._candidates(state, number)[:, 0])

    def raw_reward(self, state: Int64[Tensor, " n"]) -> NDArray[np.float64]:
        """Shaped, not standardised."""
        at = state.numpy()
        unknown = np.unique(at[np.isnan(self._raw[at])])
        if len(unknown):
            self._raw[unknown] = self._evaluate(self.codes[unknown])
        return self._raw[at]

    def reward(self, state: Int64[Tensor, " n"]) -> Float32[Tensor, " n"]:
        """Evaluated where it has not been before."""
        return torch.from_numpy((self.raw_reward(state) - self._mean) / self._spread).float()

    def known(
        self, state: Int64[Tensor, " walks"], offered: Int64[Tensor, "walks actions"]
    ) -> Int64[Tensor, "walks actions"]:
        """Found by their codes."""
        codes = self._candidates(state, offered).reshape(offered.numel(), len(self.space.slot_sizes))
        ids = torch.from_numpy(self._index.find(codes)).view(offered.shape)
        return torch.where(offered == PAD, PAD, ids)

    def standardise(self, sample: Int64[Tensor, " sample"]) -> None:
        """See ``SearchProcess``."""
        self.mark(sample)
        seen = self.raw_reward(sample)
        self._mean, self._spread = float(seen.mean()), float(seen.std(ddof=1))
        smallest = 1e-8 * min(1.0, float(np.abs(seen).max()) or 1.0)
        self._spread = max(self._spread, smallest)

    def states(self, architectures: Sequence[str]) -> Int64[Tensor, " n"]:
        """Ids of architectures of the space."""
        return self.intern(self.space.rows(architectures))

    def names(self, state: Int64[Tensor, " n"]) -> list[str]:
        """Strings of the space."""
        return [self.space.format(code) for code in self.codes[state.numpy()].tolist()]

    def state_dict(self) -> dict[str, Tensor]:
        """Codes and rewards of the states met."""
        return (
            super().state_dict()
            | self.tokens.state_dict()
            | {
                "codes": torch.from_numpy(self._index.state()),
                "raw": torch.from_numpy(self._raw[: len(self)].copy()),
                "standard": torch.tensor([self._mean, self._spread], dtype=torch.float64),
            }
        )

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        super().load_state_dict(state)
        self.tokens.load_state_dict(state)
        self._index.load(state["codes"].numpy())
        self._raw = state["raw"].numpy().copy()
        self._mean, self._spread = state["standard"].tolist()
        self._around = (self._around[0][:0], self._around[1])
        if self._links is not None:
            self._links = _Links()
            for first in range(0, len(self), LINKED_AT_ONCE):
                last = min(first + LINKED_AT_ONCE, len(self))
                self._links.extend(last)
                self._links.add(*self._neighbours_met(first, last))


class _Links:
    """Which states are neighbours: a table of short rows that grows both ways."""

    def __init__(self) -> None:
        self._table = np.full((1_024, 9), PAD, dtype=np.int64)
        self._table[:, 0] = np.arange(1_024)
        self._filled = np.ones(1_024, dtype=np.int64)

    def table(self, count: int) -> NDArray[np.int64]:
        return self._table[:count]

    def extend(self, count: int) -> None:
        """Room for so many states."""
        have = len(self._table)
        if count > have:
            more = max(count, 2 * have) - have
            rows = np.full((more, self._table.shape[1]), PAD, dtype=np.int64)
            rows[:, 0] = np.arange(have, have + more)
            self._table = np.concatenate([self._table, rows])
            self._filled = np.concatenate([self._filled, np.ones(more, dtype=np.int64)])

    def add(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
        """State b is a neighbour of a, [links]; no link is added twice."""
        order = np.argsort(a, kind="stable")
        a, b = a[order], b[order]
        begins = np.searchsorted(a, a)  # the first link of the same state
        column = self._filled[a] + np.arange(len(a)) - begins
        if len(a) and column.max() >= self._table.shape[1]:
            wider = np.full((len(self._table), max(int(column.max()) + 1, 2 * self._table.shape[1])), PAD)
            wider[:, : self._table.shape[1]] = self._table
            self._table = wider
        self._table[a, column] = b
        np.add.at(self._filled, a, 1)


def _extended(values: NDArray[np.float64], more: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Values with more behind the first ``count``, in an array that has room to spare."""
    if count + len(more) > len(values):
        grown = np.full(max(count + len(more), 2 * len(values), 1_024), np.nan)
        grown[:count] = values[:count]
        values = grown
    values[count : count + len(more)] = more
    return values
