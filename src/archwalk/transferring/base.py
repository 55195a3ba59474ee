"""``TransferMethod``: from agents trained elsewhere to an agent made ready, and a ``Schedule``.

In: an agent about to be trained, ``Source``s, a ``Target``. Out: the agent prepared, and what is still done
while it is trained. Next: ``registry`` has the methods by name, ``archwalk.training.loop`` carries a schedule
out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from archwalk.agents.base import Agent, Update, Walked
from archwalk.agents.registry import form_of
from archwalk.agents.values import QFunction, make_values
from archwalk.config import Settings
from archwalk.envs.process import SearchProcess
from archwalk.envs.tabular import TabularProcess
from archwalk.errors import RunError, SettingsError, reason
from archwalk.tasks.base import Predicted
from archwalk.tasks.table import Benchmark

APEX, DISTRIBUTIONAL = "ape-x", "distributional"


class Options(BaseModel):
    """Settings of a transfer method: ``--option NAME=VALUE``. This one has none."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True)
class Source:
    """An agent trained elsewhere.

    Attributes:
        name: where its run is, for messages.
        task: what it was trained on.
        digest: SHA-256 of its weights file.
        trained_steps: that went into it, and into whatever it began with.
        settings: of its run.
        algorithm: that trained it.
        weights: of its network, as an ordinary one of one task.
        open_own: opens its own benchmark.
        foreign: its architectures are others than the target's, and its tokens mean nothing there.
        shaped: its Q-values are less a potential (transfer method ``shaping``).
    """

    name: str
    task: str
    digest: str
    trained_steps: int
    settings: Settings
    algorithm: str
    weights: Mapping[str, Tensor]
    open_own: Callable[[], Benchmark | Predicted]
    foreign: bool = False
    shaped: bool = False

    def values(self, process: SearchProcess) -> QFunction:
        """Its network, frozen, in a process whose tokens it knows."""
        values = make_values(process, self.settings, 0, form=form_of(self.algorithm))
        try:
            values.network.load_state_dict(dict(self.weights))
        except (RuntimeError, TypeError) as error:
            raise RunError(
                "a source whose network sees tokens such as the target's", f"{self.name}: {reason(error)}",
                "use a source trained on this space, or --transfer mapping",
            ) from error  # fmt: skip
        values.network.requires_grad_(False)
        return values


@dataclass(frozen=True)
class Target:
    """Where the agent will be trained.

    Attributes:
        benchmark: a table, or what values any architecture.
        task: of it.
        settings: of the run.
        seed: of the run.
    """

    benchmark: Benchmark | Predicted
    task: str
    settings: Settings
    seed: int


class Schedule:
    """What a transfer still does while the agent is trained; this one does nothing.

    Attributes:
        walked: steps walked on the target while the agent was prepared, which count as others do.
    """

    def __init__(self) -> None:
        self.walked: list[Walked] = []

    def preparing(self, trained_steps: int) -> bool:
        """Whether the next update still belongs to the preparation, for which nothing need be walked."""
        del trained_steps
        return False

    def update(self, agent: Agent) -> tuple[Update, list[Walked]]:
        """One update, as ``Agent.update``."""
        return agent.update()

    def report(self) -> dict[str, float]:
        """Columns of its own in a row of metrics."""
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """What a continuation needs beyond what is prepared anew."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        return


class TransferMethod(ABC):
    """A way to use sources.

    Attributes:
        name: by which it is chosen.
        options: the class of its settings.
        algorithms: those it can serve; empty for all.
        many: it can use several sources.
        across: it can use a source of another space.
        listed: it needs a target space that is listed, all of whose neighbours are offered.
        given: its settings.
    """

    name: ClassVar[str]
    options: ClassVar[type[Options]] = Options
    algorithms: ClassVar[tuple[str, ...]] = ()
    many: ClassVar[bool] = False
    across: ClassVar[bool] = False
    listed: ClassVar[bool] = False

    def __init__(self, given: Options) -> None:
        self.given = given

    def check(self, sources: Sequence[Source], target: Target, algorithm: str) -> None:
        """Refuse what cannot be done, before any work.

        Raises:
            SettingsError: an algorithm, several sources, or a target that the method cannot serve.
        """
        if self.algorithms and algorithm not in self.algorithms:
            raise SettingsError(
                f"an algorithm that --transfer {self.name} can serve: {', '.join(self.algorithms)}",
                algorithm,
                "train the source with --algorithm ape-x, or use --transfer initialise",
            )
        if len(sources) > 1 and not self.many:
            raise SettingsError(
                f"one source, all that --transfer {self.name} can use",
                ", ".join(source.name for source in sources),
                "name one, or use --transfer policy-reuse, successor-features or shaping",
            )
        if self.listed and not isinstance(target.benchmark, Benchmark):
            raise SettingsError(
                f"a table, whose architectures are listed, for --transfer {self.name}",
                f"{target.benchmark.name} over the space {target.benchmark.space.name!r}, which is not",
                "use --transfer initialise, demonstrations or policy-reuse",
            )
        if self.listed and isinstance(target.benchmark, Benchmark):
            most, neighbours = target.settings.walk.max_neighbours, target.benchmark.choices.shape[1] - 1
            if neighbours > most:
                raise SettingsError(
                    f"all {neighbours} neighbours offered at every step, for --transfer {self.name}",
                    f"walk.max_neighbours = {most}",
                    f"train the source with --walk.max-neighbours {neighbours}, or use another method",
                )

    def weights(self, sources: Sequence[Source], target: Target) -> dict[str, Tensor] | None:
        """The network to begin with; None for one drawn from the run's seed."""
        del target
        return dict(sources[0].weights)

    def zero_shot_steps(self, sources: Sequence[Source], target: Target) -> int:
        """Trained steps that the agent needs before it can be used at all; 0 if it is the first source's
        agent as it is."""
        del sources, target
        return 0

    @abstractmethod
    def prepare(self, agent: Agent, sources: Sequence[Source], target: Target) -> Schedule:
        """Make an agent ready. What is read of the target's rewards is marked as evaluated.

        Args:
            agent: just made, with ``weights``.
            sources: what is known, ``check``ed.
            target: what the agent will be trained on.
        """


Prepare = Callable[[Agent], Schedule]


def parse_options(method: type[TransferMethod], given: Mapping[str, Any]) -> Options:
    """The settings of a method from names and values, texts among them.

    Raises:
        SettingsError: an unknown name, or a value out of range; says which there are.
    """
    try:
        return method.options.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        known = []
        for name, field in method.options.model_fields.items():
            said = " ".join((field.description or "").split()).rstrip(".")
            known.append(f"{name} ({said}; {field.default!r} by default)")
        raise SettingsError(
            f"options of --transfer {method.name}: {'; '.join(known) or 'it has none'}",
            f"{'.'.join(map(str, first['loc']))} = {first.get('input')!r}: {first['msg']}",
            "correct it, or leave it out",
        ) from error


def source_q(source: Source, process: TabularProcess, seed: int) -> Tensor:
    """A source's Q-values at every architecture of a table, all neighbours offered, [states, choices]; -inf
    where there is none. Costs no evaluation."""
    generator = torch.Generator().manual_seed(seed)
    return source.values(process).sweep(generator)
