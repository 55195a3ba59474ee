"""``SurrogateTask``: tasks over a space of any size, whose values come from fitted or published models.

In: models of one or more metrics a task, and what they were fitted on. Out: values of any architecture, how
sure the model is of them, and a warning where it extrapolates. Next: ``tasks.registry`` opens its file by
path; ``archwalk.envs`` makes a task of it a decision process.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import ArchwalkError, BenchmarkError, unknown
from archwalk.files import write_atomically
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.spaces.registry import make_space
from archwalk.tasks.metrics import Column, Metric
from archwalk.tasks.surrogates.file import SUFFIX, Arrays, damaged, identity, pack, unpack
from archwalk.tasks.surrogates.models import Floats, Model, make_model
from archwalk.tasks.surrogates.reach import Reach, make_reach


class ExtrapolationWarning(UserWarning):
    """A surrogate was asked about architectures unlike those that it was fitted on."""


class Estimate(NamedTuple):
    """What a surrogate says of some architectures.

    Attributes:
        values: in the metric's unit, [n].
        spread: standard deviation of the error as the model estimates it, [n]; NaN where it has no opinion.
        far: whether the model extrapolates there, [n].
    """

    values: Floats
    spread: Floats
    far: NDArray[np.bool_]


@dataclass(frozen=True)
class Output:
    """One metric of one task.

    Attributes:
        column: task, metric, split and epoch.
        metric: direction, unit and range.
        model: index of the model that predicts it.
        output: which of the model's numbers it is.
        statistics: of the sample and the fit, plain JSON values; empty for an imported model.
    """

    column: Column
    metric: Metric
    model: int
    output: int = 0
    statistics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """How well it was fitted, in one line; the family chosen has a star. Empty for an imported model."""
        s = self.statistics
        if not s:
            return ""
        scores = ", ".join(
            f"{'*' if family == s['chosen'] else ''}{family} {v['tau']:.3f} ± {v['tau_sd']:.3f} "
            f"(RMSE {v['rmse']:.4g} ± {v['rmse_sd']:.2g})"
            for family, v in s["families"].items()
        )
        return (
            f"{s['samples']:,} architectures, {s['low']:.4g} to {s['high']:.4g}; "
            f"Kendall's tau in {s['folds']} folds: {scores}"
        )


@dataclass(frozen=True, eq=False, repr=False)
class SurrogateTask:
    """Tasks whose values are predicted (``tasks.base.Predicted``).

    Attributes:
        name: how results refer to it.
        space: the search space, of any size.
        models: what predicts.
        outputs: every metric of every task.
        rewards: task → the metric whose values agents are rewarded with.
        reach: where the models do not extrapolate; None: not known.
        source: where the numbers come from, and how to cite them.
        notes: what else to know.

    Raises:
        BenchmarkError: no task, a metric twice, a reward that is not predicted, or rewards of several splits
            or epochs.
    """

    name: str
    space: SearchSpace
    models: tuple[Model, ...]
    outputs: tuple[Output, ...]
    rewards: Mapping[str, Metric]
    reach: Reach | None
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = [(o.column.task, o.metric.name) for o in self.outputs]
        wanted = {(task, metric.name) for task, metric in self.rewards.items()}
        addresses = {o.column[2:] for o in self.outputs if (o.column.task, o.metric.name) in wanted}
        tasks = {task for task, _ in known}
        if len(set(known)) < len(known) or not wanted <= set(known) or tasks != set(self.rewards):
            raise BenchmarkError(
                "each metric of a task once, and one of them as the task's reward",
                f"metrics {known}, rewards {sorted(wanted)}",
                "name the reward's metric first",
            )
        if len(addresses) != 1:
            raise BenchmarkError(
                "at least one task, and the same split and epoch for every reward",
                f"{sorted(addresses)}",
                "put them into separate files",
            )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, sorted."""
        return tuple(sorted(self.rewards))

    def metrics(self, task: str) -> tuple[Metric, ...]:
        """What can be predicted for a task, the reward's metric first. Raises ``BenchmarkError``."""
        reward = self._output(task, None).metric
        others = [o.metric for o in self.outputs if o.column.task == task and o.metric.name != reward.name]
        return reward, *others

    @property
    def split(self) -> str:
        """What the rewards stand for, as ``valid``."""
        return self._output(self.tasks[0], None).column.split

    @property
    def epoch(self) -> str:
        """What the rewards stand for, as ``final``."""
        return self._output(self.tasks[0], None).column.epoch

    def __repr__(self) -> str:
        size = "unknown size" if self.space.size is None else f"{self.space.size:.3g}"
        return f"<SurrogateTask {self.name}: {self.space.name} of {size}, tasks {', '.join(self.tasks)}>"

    def statistics(self, task: str, metric: str | None = None) -> Mapping[str, Any]:
        """Of the sample and the fit of a metric; empty if it was imported. Raises ``BenchmarkError``."""
        return self._output(task, metric).statistics

    def values(self, task: str, codes: Codes, metric: str | None = None) -> Floats:
        """A metric of architectures, in its own unit, [n].

        It does not look whether the models extrapolate, since this is called for every step of a training;
        ``estimate`` does, for what is reported or built in the end.

        Args:
            task: one of ``tasks``.
            codes: [n, slots].
            metric: one of ``metrics(task)``; the reward's by default.

        Raises:
            BenchmarkError: no such task or metric.
        """
        return self._predict(self._output(task, metric), codes)[0]

    def estimate(self, task: str, codes: Codes, metric: str | None = None) -> Estimate:
        """Values as ``values``, how sure the model is, and where it extrapolates; warns if it does.

        Raises:
            BenchmarkError: no such task or metric.
        """
        output = self._output(task, metric)
        far = self.reach.far(codes) if self.reach else np.zeros(len(codes), dtype=np.bool_)
        if far.any():
            warnings.warn(
                f"{self.name} extrapolates on {far.sum():,} of {len(far):,} architectures: {self.reach}",
                ExtrapolationWarning,
                stacklevel=2,
            )
        return Estimate(*self._predict(output, codes), far)

    def _predict(self, output: Output, codes: Codes) -> tuple[Floats, Floats]:
        values, spread = self.models[output.model].predict(codes, output.output)
        return np.clip(values, output.metric.low, output.metric.high), spread

    def _output(self, task: str, metric: str | None) -> Output:
        if task not in self.rewards:
            raise BenchmarkError(*unknown("task", task, self.tasks))
        of_task = {o.metric.name: o for o in self.outputs if o.column.task == task}
        name = metric or self.rewards[task].name
        if name not in of_task:
            raise BenchmarkError(*unknown("metric", name, of_task))
        return of_task[name]

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of everything that decides a value: the task's identity."""
        return identity(self._description(), self._arrays())

    def _description(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "space": self.space.describe(),
            "models": [{"kind": m.kind, "settings": m.settings()} for m in self.models],
            "outputs": [
                {
                    "column": list(o.column),
                    "metric": o.metric.to_json(),
                    "model": o.model,
                    "output": o.output,
                    "statistics": dict(o.statistics),
                }
                for o in self.outputs
            ],
            "rewards": {task: self.rewards[task].name for task in self.tasks},
            "reach": None if self.reach is None else {"kind": self.reach.kind} | self.reach.settings(),
            "source": self.source,
            "notes": list(self.notes),
        }

    def _arrays(self) -> Arrays:
        named = {f"{i}/{key}": a for i, m in enumerate(self.models) for key, a in m.arrays().items()}
        if self.reach is not None:
            named |= {f"reach/{key}": a for key, a in self.reach.arrays().items()}
        return named

    def save(self, path: str | Path) -> Path:
        """Write the file, whole or not at all. Returns its path, which must end in ``.task``."""
        path = check_path(path)
        write_atomically(path, pack(self._description(), self._arrays()))
        return path


def check_path(path: str | Path) -> Path:
    """The path of a file to write, if its ending will be known again. Raises ``BenchmarkError``."""
    path = Path(path)
    if path.suffix != SUFFIX:
        raise BenchmarkError(f"a file that ends in {SUFFIX}", str(path), "rename the output")
    return path


def open_task(path: str | Path) -> SurrogateTask:
    """Read a surrogate task's file. Nothing in it is executed.

    Raises:
        BenchmarkError: no such file, not the format, or damaged.
    """
    path = Path(path)
    header, arrays = unpack(path)
    try:
        space = make_space(**header["space"])
        models = tuple(
            make_model(space, m["kind"], m["settings"], _under(arrays, str(i)))
            for i, m in enumerate(header["models"])
        )
        outputs = tuple(
            Output(
                Column(*o["column"]),
                Metric.from_json(o["metric"]),
                int(o["model"]),
                int(o["output"]),
                o["statistics"],
            )
            for o in header["outputs"]
        )
        by_name = {(o.column.task, o.metric.name): o.metric for o in outputs}
        return SurrogateTask(
            name=str(header["name"]),
            space=space,
            models=models,
            outputs=outputs,
            rewards={task: by_name[task, metric] for task, metric in header["rewards"].items()},
            reach=make_reach(space, header["reach"], _under(arrays, "reach")),
            source=str(header["source"]),
            notes=tuple(header["notes"]),
        )
    except ArchwalkError:
        raise
    except Exception as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def _under(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(f"{prefix}/"): a for name, a in arrays.items() if name.startswith(f"{prefix}/")}
