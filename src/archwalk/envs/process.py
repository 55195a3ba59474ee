"""Reset and step for a whole batch of walks, as tensor operations on index arrays.

In: a benchmark's neighbour table and the shaped rewards. Out: what is offered, and what a step leads to.
Action 0 keeps the current architecture, which ends the walk; action k takes the k-th neighbour offered.
Next: ``gym`` wraps this for other libraries, ``archwalk.agents`` acts in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from archwalk.config import WalkSettings
from archwalk.spaces.base import PAD
from archwalk.tasks.table import Benchmark


@dataclass(frozen=True)
class WalkProcess:
    """A deterministic decision process over architecture indices.

    Attributes:
        choices: the current architecture, then all its neighbours, [architectures, 1 + K], ``PAD`` = -1
            where there are fewer.
        rewards: reward of arriving at each architecture, [architectures].
        actions: columns offered at a step, at most 1 + max_neighbours.
        step_limit: steps after which a walk is truncated.
    """

    choices: Int64[Tensor, "architectures choices"]
    rewards: Float32[Tensor, " architectures"]
    actions: int
    step_limit: int

    @property
    def offers_all(self) -> bool:
        """Whether every neighbour is offered at every step, so that an offer is a function of the state."""
        return self.actions == self.choices.shape[1]

    def __len__(self) -> int:
        return len(self.choices)


@dataclass
class Walks:
    """A batch of walks under way.

    Attributes:
        architecture: where each stands, [walks].
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


def make_process(
    benchmark: Benchmark, rewards: Float32[Tensor, " architectures"], settings: WalkSettings
) -> WalkProcess:
    """The process over a benchmark's architectures with given rewards."""
    choices = torch.from_numpy(benchmark.choices)
    actions = min(1 + settings.max_neighbours, choices.shape[1])
    return WalkProcess(choices, rewards, actions, settings.step_limit)


def start(process: WalkProcess, walks: int, generator: torch.Generator) -> Walks:
    """New walks from starts drawn uniformly over the architectures."""
    device = process.choices.device
    where = torch.randint(len(process), (walks,), generator=generator, device=device)
    return Walks(where, torch.zeros_like(where))


def offer(
    process: WalkProcess, architecture: Int64[Tensor, " walks"], generator: torch.Generator
) -> Int64[Tensor, "walks actions"]:
    """Architectures each action leads to, [walks, actions]; ``PAD`` marks an action that does not exist.

    Where an architecture has more neighbours than are offered, a uniform sample without replacement is
    drawn; random numbers are consumed only if any architecture of the process has.
    """
    choices = process.choices[architecture]
    if process.offers_all:
        return choices
    neighbours = choices[:, 1:]
    key = torch.rand(neighbours.shape, generator=generator, device=neighbours.device)
    drawn = key.masked_fill(neighbours == PAD, -1.0).topk(process.actions - 1, dim=1).indices
    return torch.cat([choices[:, :1], neighbours.gather(1, drawn)], dim=1)


def take(
    process: WalkProcess,
    walks: Walks,
    offered: Int64[Tensor, "walks actions"],
    action: Int64[Tensor, " walks"],
) -> Outcome:
    """One step of every walk; ``walks`` moves on in place.

    Args:
        process: the process.
        walks: where the walks stand.
        offered: what ``offer`` returned for them.
        action: an action that exists for each walk; a masked one leads nowhere and must not be taken.
    """
    architecture = offered.gather(1, action[:, None]).squeeze(1)
    age = walks.age + 1
    terminated = action == 0
    truncated = (age >= process.step_limit) & ~terminated
    walks.architecture, walks.age = architecture, age
    return Outcome(architecture, process.rewards[architecture], terminated, truncated)


def restart(
    process: WalkProcess, walks: Walks, ended: Bool[Tensor, " walks"], generator: torch.Generator
) -> None:
    """Put walks that ended at new uniform starts, in place.

    A start is drawn for every walk and used where one ended, so that the random stream does not depend on
    how many did.
    """
    fresh = torch.randint(len(process), ended.shape, generator=generator, device=ended.device)
    walks.architecture = torch.where(ended, fresh, walks.architecture)
    walks.age = torch.where(ended, 0, walks.age)
