"""``Agent``: what the training loop asks of an algorithm.

In: a process and settings. Out: walks, updates, Q-values to walk greedily by, state. The loop does not know
which algorithm runs; ``registry`` finds it by name. Next: ``archwalk.training.loop``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from archwalk.agents.values import Q_FORM, Form, QFunction
from archwalk.config import Settings
from archwalk.envs.process import SearchProcess, Walks, start
from archwalk.seeding import Generators

__all__ = [
    "Agent",
    "Update",
    "Walked",
]


class Walked(NamedTuple):
    """What some steps of the walks were.

    Attributes:
        architecture: states arrived at: what was evaluated.
        steps: steps taken.
        ended: walks that ended.
        ended_steps: steps of those, in all.
    """

    architecture: Int64[Tensor, " n"]
    steps: int
    ended: int
    ended_steps: int


class Update(NamedTuple):
    """What an update reports.

    Attributes:
        trained_steps: transitions trained on.
        metrics: named scalars; rows of metrics have their means.
    """

    trained_steps: int
    metrics: dict[str, Tensor]


class Agent(ABC):
    """An algorithm in training.

    Attributes:
        values: the network in the process: what is trained, and what greedy walks go by.
        metrics: names that every ``Update`` has, in the order of the rows.
        form: the kind of its network, which a finished run is opened with; a Q-network unless it says.
    """

    form: ClassVar[Form] = Q_FORM
    values: QFunction
    metrics: tuple[str, ...]

    def begin(self) -> None:
        """Called once before the first step of a sitting: start whatever runs elsewhere."""
        return

    @abstractmethod
    def act(self) -> list[Walked]:
        """Some more steps of the walks, remembered; nothing if none was possible just now."""

    @abstractmethod
    def ready(self, sampled_steps: int) -> bool:
        """Whether enough has been walked, in all ``sampled_steps``, to learn from."""

    @abstractmethod
    def update(self) -> tuple[Update, list[Walked]]:
        """One update of the network; and steps that had to be walked for it, if any had to."""

    def report(self) -> dict[str, int]:
        """Columns of its own in a row of metrics."""
        return {}

    def close(self) -> None:
        """Let go of whatever runs elsewhere."""
        return

    @abstractmethod
    def parts(self) -> dict[str, dict[str, Tensor]]:
        """Everything with state, by part."""

    @abstractmethod
    def load_parts(self, parts: dict[str, dict[str, Tensor]]) -> None:
        """The inverse of ``parts``; others are left alone."""


def begin_walks(process: SearchProcess, settings: Settings, count: int, generators: Generators) -> Walks:
    """The first walks of a run, from drawn starts; rewards are standardised by theirs if the settings say so.

    Args:
        process: where the walks are.
        settings: of the run.
        count: walks.
        generators: of the run.
    """
    walks = start(process, count, generators["starts"])
    if settings.reward.standardise:
        process.standardise(walks.architecture)
    return walks


Weights = Mapping[str, Tensor] | None
MakeAgent = Callable[[SearchProcess, Settings, Generators, torch.device, Weights], Agent]
