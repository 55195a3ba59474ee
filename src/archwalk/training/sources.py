"""From finished runs to a transfer: what a method is given, checked before anything is written.

In: a method's name and options, run folders, a target. Out: ``Moved``. Next: ``runner`` has its agent
prepared by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from archwalk.agents.base import Agent
from archwalk.agents.multitask import weights_on
from archwalk.errors import RunError
from archwalk.spaces.matching import identical
from archwalk.tasks.registry import AnyBenchmark
from archwalk.tasks.several import AnyTasks
from archwalk.training.rundir import RunDir, laid_out
from archwalk.training.spec import named_in
from archwalk.transferring.base import Schedule, Source, Target, TransferMethod, parse_options
from archwalk.transferring.registry import find_transfer


@dataclass(frozen=True)
class Moved:
    """A transfer about to be made.

    Attributes:
        method: how.
        sources: what from.
        target: where to.
    """

    method: TransferMethod
    sources: tuple[Source, ...]
    target: Target

    @property
    def zero_shot_steps(self) -> int:
        """Trained steps before the agent can be used at all."""
        return self.method.zero_shot_steps(self.sources, self.target)

    def weights(self) -> dict[str, Tensor] | None:
        """The network to begin with; None for a fresh one."""
        return self.method.weights(self.sources, self.target)

    def prepare(self, agent: Agent) -> Schedule:
        """``TransferMethod.prepare``."""
        return self.method.prepare(agent, self.sources, self.target)


def load_weights(run: RunDir, task: str, benchmark: AnyTasks) -> dict[str, Tensor]:
    """A finished run's weights, of an ordinary network; of a run on several tasks those for one task.

    Args:
        run: the run.
        task: one that it was trained on, or another one, which has the mean embedding.
        benchmark: where the task is.
    """
    spec = run.spec()
    task = named_in(spec, benchmark, task)
    place = spec.tasks.index(task) if task in spec.tasks else None
    return weights_on(run.weights(), spec.told_tasks, place)


def make_source(run: RunDir, target: Target) -> Source:
    """What a finished run is as a source of a transfer.

    Raises:
        RunError: it is not finished, or knows the target's space with slots in another order.
    """
    spec, foreign = run.spec(), False
    try:
        seen = laid_out(target.benchmark, spec, str(run.path))
    except RunError:
        foreign = True
    else:
        if not identical(seen.space.describe(), target.benchmark.space.describe()):
            raise RunError(
                "sources that know slots and choices in one order",
                f"{run.path}, which knows them in another one than the first source",
                "name sources trained on one table",
            )
    steps = spec.source_trained_steps + run.costs().trained_steps
    weights = load_weights(run, target.task, target.benchmark)

    def open_own() -> AnyBenchmark:
        if spec.tasks:
            raise RunError(
                "a source trained on one task, whose space is another one",
                f"{run.path}, trained on {spec.task}",
                "use a source trained on one of them",
            )
        return run.benchmark()

    return Source(
        str(run.path),
        spec.task,
        run.weights_digest(),
        steps,
        spec.settings,
        spec.algorithm,
        weights,
        open_own,
        foreign,
        spec.shaped,
    )


def moved_by(
    name: str, options: Mapping[str, Any], runs: Sequence[RunDir], target: Target, algorithm: str
) -> Moved:
    """A transfer by a method's name, checked.

    Args:
        name: of the method.
        options: of it; those left out have their defaults.
        runs: the sources.
        target: where to.
        algorithm: of the agent.

    Raises:
        ArchwalkError: an unknown method or option, or what it cannot serve.
    """
    kind = find_transfer(name)
    method = kind(parse_options(kind, options))
    sources = tuple(make_source(run, target) for run in runs)
    for source in sources:
        if source.foreign and not method.across:
            raise RunError(
                f"a source of the space {target.benchmark.space.name!r}, for --transfer {name}",
                f"{source.name}, of another space, with {source.settings.observation.tokens} tokens",
                "use --transfer mapping; or train the source with --observation.tokens encoded",
            )
    method.check(sources, target, algorithm)
    return Moved(method, sources, target)
