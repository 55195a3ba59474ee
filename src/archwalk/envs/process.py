"""The decision process: stand at an architecture, be offered its neighbours, step to one or stop.

In: a process. Out: reset and step for a whole batch of walks. Action 0 keeps the current architecture, which
ends the walk; action k takes the k-th neighbour offered. Next: ``tabular`` and ``open`` are the two kinds of
process; ``archwalk.agents`` act in either.

A walk is an episode. A state is an int64 id of an architecture; what an offer holds is the process's own
affair, but for padding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor


class SearchProcess(ABC):
    """A deterministic decision process over architectures, with the ledger of what was evaluated in it.

    Attributes:
        actions: columns of an offer, at most 1 + max_neighbours.
        step_limit: steps after which a walk is truncated.
        offers_all: every neighbour is offered at every step, so that an offer is a function of the state.
        features: length of a token.
        evaluated: states whose reward counts as an evaluation, [states].
    """

    actions: int
    step_limit: int
    offers_all: bool
    features: int
    evaluated: Bool[Tensor, " states"]

    @abstractmethod
    def __len__(self) -> int:
        """States that have an id: all, or those met so far."""

    @abstractmethod
    def draw(self, wanted: Bool[Tensor, " walks"], generator: torch.Generator) -> Int64[Tensor, " walks"]:
        """A start for each walk that wants one, uniform over the architectures; the others get any state.

        The random stream does not depend on how many are wanted.
        """

    @abstractmethod
    def offer(
        self, state: Int64[Tensor, " walks"], generator: torch.Generator
    ) -> Int64[Tensor, "walks actions"]:
        """What is offered at each state; ``PAD`` marks an action that does not exist.

        Where an architecture has more neighbours than are offered, a uniform sample without replacement is
        drawn; random numbers are consumed only if any architecture of the process may have.
        """

    @abstractmethod
    def observe(
        self,
        state: Int64[Tensor, " walks"],
        offered: Int64[Tensor, "walks actions"],
        generator: torch.Generator,
    ) -> UInt8[Tensor, "walks actions features"] | Float32[Tensor, "walks actions features"]:
        """The tokens of what is offered, the current architecture's first. ``generator`` draws their
        padding."""

    @abstractmethod
    def arrive(
        self,
        state: Int64[Tensor, " walks"],
        offered: Int64[Tensor, "walks actions"],
        action: Int64[Tensor, " walks"],
    ) -> Int64[Tensor, " walks"]:
        """Where actions lead. A masked one leads nowhere and must not be taken."""

    @abstractmethod
    def reward(self, state: Int64[Tensor, " n"]) -> Float32[Tensor, " n"]:
        """Reward of arriving at each state."""

    @abstractmethod
    def known(
        self, state: Int64[Tensor, " walks"], offered: Int64[Tensor, "walks actions"]
    ) -> Int64[Tensor, "walks actions"]:
        """States of what is offered; ``PAD`` where there is none, or none that has an id."""

    @property
    @abstractmethod
    def choices(self) -> Int64[Tensor, "states choices"]:
        """Each state, then all of its neighbours that have an id; ``PAD`` fills up."""

    @abstractmethod
    def standardise(self, sample: Int64[Tensor, " sample"]) -> None:
        """From now on rewards are less the mean, divided by the standard deviation, of those of a sample.

        Since every step is rewarded and no end cuts a value off, this changes no optimal policy. The sample
        is evaluated, so it counts.
        """

    @abstractmethod
    def states(self, architectures: Sequence[str]) -> Int64[Tensor, " n"]:
        """States of architecture strings. Raises ``ArchitectureError`` or ``BenchmarkError`` for a
        stranger."""

    @abstractmethod
    def names(self, state: Int64[Tensor, " n"]) -> list[str]:
        """Architecture strings of states."""

    def mark(self, state: Int64[Tensor, " n"]) -> None:
        """Count states as evaluated."""
        self.evaluated[state] = True

    def state_dict(self) -> dict[str, Tensor]:
        """What a continuation needs."""
        return {"evaluated": self.evaluated}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        self.evaluated = state["evaluated"]


@dataclass
class Walks:
    """A batch of walks under way.

    Attributes:
        architecture: the state of each, [walks].
        age: steps taken, [walks].
    """

    architecture: Int64[Tensor, " walks"]
    age: Int64[Tensor, " walks"]


class Outcome(NamedTuple):
    """What one step of every walk led to, each [walks].

    ``terminated``: the current architecture was kept. ``truncated``: the step limit was reached otherwise.
    Neither cuts the value off: targets bootstrap from ``architecture`` in both cases (partial-episode
    bootstrapping, Pardo et al. 2018).
    """

    architecture: Int64[Tensor, " walks"]
    reward: Float32[Tensor, " walks"]
    terminated: Bool[Tensor, " walks"]
    truncated: Bool[Tensor, " walks"]


def start(process: SearchProcess, walks: int, generator: torch.Generator) -> Walks:
    """New walks from starts drawn uniformly over the architectures."""
    where = process.draw(torch.ones(walks, dtype=torch.bool), generator)
    return Walks(where, torch.zeros_like(where))


def take(
    process: SearchProcess,
    walks: Walks,
    offered: Int64[Tensor, "walks actions"],
    action: Int64[Tensor, " walks"],
) -> Outcome:
    """One step of every walk; ``walks`` moves on in place.

    Args:
        process: the process.
        walks: where the walks stand.
        offered: what was offered to them.
        action: an action that exists for each walk.
    """
    architecture = process.arrive(walks.architecture, offered, action)
    age = walks.age + 1
    terminated = action == 0
    truncated = (age >= process.step_limit) & ~terminated
    walks.architecture, walks.age = architecture, age
    return Outcome(architecture, process.reward(architecture), terminated, truncated)


def restart(
    process: SearchProcess, walks: Walks, ended: Bool[Tensor, " walks"], generator: torch.Generator
) -> None:
    """Put walks that ended at new uniform starts, in place."""
    fresh = process.draw(ended, generator)
    walks.architecture = torch.where(ended, fresh, walks.architecture)
    walks.age = torch.where(ended, 0, walks.age)
