"""What a user says of limits and of what is known before training, as ``Limits`` of a search.

In: ``--limit`` and ``--known`` as a user gives them, a ``Setting``. Out: the setting with its limits; its
evaluator also reports the quantities that limits and costs are about. Everything that can be refused is
refused here. Next: ``verbs`` and ``asking`` run it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.calling import ONLY
from archwalk.config import LatencySettings, SkeletonSettings
from archwalk.errors import ArchwalkError, SearchError, unknown
from archwalk.searching.experience.trials import architectures_of, numbers
from archwalk.searching.inputs import Setting
from archwalk.searching.limits import Limit, Limits, parse_limit
from archwalk.searching.quantities import Column, Counted, Measured, Quantity, given
from archwalk.spaces.base import SearchSpace
from archwalk.tasks.base import Predicted
from archwalk.tasks.evaluators import PredictedEvaluator
from archwalk.tasks.frames import read_frame
from archwalk.tasks.ledger import Evaluator, Metrics
from archwalk.tasks.metrics import Metric, find_meant, words
from archwalk.tasks.table import Benchmark

LATENCY = "latency_ms"
_BEFORE = re.compile(r"param|flop|mac|latenc|inference|energ|memor")  # words of what needs no training
Known = Sequence[str | Path] | Mapping[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How a network is counted and timed.

    Attributes:
        skeleton: what stands around the cells.
        latency: how it is measured; its image is also that of the operations counted.
    """

    skeleton: SkeletonSettings = field(default_factory=SkeletonSettings)
    latency: LatencySettings = field(default_factory=LatencySettings)


@dataclass(frozen=True)
class WithKnown:
    """An evaluator that also reports what is known before training, unless it says so itself.

    Attributes:
        evaluator: asked first.
        quantities: what else is reported.
        metric: what a bare number is.
    """

    evaluator: Evaluator
    quantities: tuple[Quantity, ...]
    metric: str | None

    def __call__(self, architecture: str) -> Metrics:
        """The metrics of both."""
        metrics = {**self.evaluator(architecture)}
        if set(metrics) == {ONLY} and self.metric is not None:
            metrics = {self.metric: metrics[ONLY]}
        return {q.name: q.value(architecture) for q in self.quantities} | metrics


def limited(setting: Setting, texts: Sequence[str], known: Known, sizes: Sizes) -> Setting:
    """A setting with limits.

    Args:
        setting: see ``inputs.make_settings``.
        texts: limits, as ``params <= 1e6``.
        known: what is known before training, beside what the package can count and measure: names of metrics
            of the table or task that answers; files with a column of that name; or a mapping, name → function
            or mapping, architecture → number.
        sizes: how networks are counted and timed.

    Raises:
        ArchwalkError: a limit that cannot be read or means nothing here, or what is not there.
    """
    if not texts and not known:
        return setting
    quantities = _Quantities(setting, known, sizes)
    before, after = [], []
    for limit in map(parse_limit, texts):
        quantity = quantities.find(limit.name)
        if quantity is not None:
            before.append((replace_name(limit, quantity), quantity))
        else:
            after.append(_after(limit, setting))
    reported = {quantity.name: quantity for _, quantity in before} | quantities.asked
    limits = Limits(before, after, [*reported.values()])
    names = tuple(dict.fromkeys(limit.name for limit in after))
    identity = replace(setting.identity, limits=tuple(map(str, limits.all)))
    evaluator = setting.evaluator
    if names and isinstance(evaluator, PredictedEvaluator):
        evaluator = replace(evaluator, metrics=tuple(dict.fromkeys([*evaluator.metrics, *names])))
    if reported:
        metric = setting.metric.name if identity.bare and len(identity.metrics) == 1 and not names else None
        evaluator = WithKnown(evaluator, tuple(reported.values()), metric)
    return replace(setting, limits=limits, required=names, evaluator=evaluator, identity=identity)


def replace_name(limit: Limit, quantity: Quantity) -> Limit:
    """The limit under the name that its quantity has."""
    return replace(limit, name=quantity.name)


def _after(limit: Limit, setting: Setting) -> Limit:
    """A limit on what only an evaluation can tell; refused where it is known that none will."""
    answering = setting.answering
    if answering is None:
        return limit
    there: Sequence[str]
    if isinstance(answering, Benchmark):
        task = str(setting.task)
        there = [answering.reward_column(task).metric]
        there += [c.metric for c in sorted(answering.columns) if c.task == task and c.split == "none"]
    else:
        metrics = answering.metrics(str(setting.task)) if hasattr(answering, "metrics") else ()
        there = list(dict.fromkeys([setting.metric.name, *(m.name for m in metrics)]))
    meant = find_meant(limit.name, there)
    if meant is None:
        expected, got, remedy = unknown("metric for a limit", limit.name, there)
        raise SearchError(expected, got, f"{remedy}; --known names a file that has it")
    return replace(limit, name=meant)


class _Quantities:
    """Everything that is known before training, by name."""

    def __init__(self, setting: Setting, known: Known, sizes: Sizes) -> None:
        self._setting, self._space, self._sizes = setting, setting.problem.space, sizes
        self.asked: dict[str, Quantity] = {}
        if isinstance(known, Mapping):
            self.asked = {str(name): given(str(name), what, self._space) for name, what in known.items()}
        else:
            for one in known:
                self._read(str(one))

    def find(self, name: str) -> Quantity | None:
        """The quantity of a name; None if only an evaluation can tell."""
        meant = find_meant(name, self.asked)
        if meant is not None:
            return self.asked[meant]
        if any(_BEFORE.match(word) for word in words(name)):
            return self._column(name) or self._counted(name)
        return None

    def _read(self, one: str) -> None:
        """A file of columns, or the name of one that the table has or the package can tell."""
        if Path(one).suffix in (".csv", ".parquet") or Path(one).exists():
            frame = read_frame(Path(one))
            codes, rest = architectures_of(frame, Path(one), self._space)
            for name in rest:
                values = numbers(frame[name])
                if np.isfinite(values).any():
                    where = f"column of {Path(one).name}, {np.isfinite(values).sum():,} architectures"
                    self.asked[name] = Column(name, "as in the file", where, self._space, codes, values)
            return
        found = self._column(one) or self._predicted(one) or self._counted(one)
        if found is None:
            raise SearchError(
                f"what is known before training: a file, a column of the table without a split, or one of "
                f"params, flops, macs and {LATENCY} of a space of networks",
                repr(one),
                "check its spelling, or give a CSV with the columns architecture and " + one,
            )
        self.asked[found.name] = found

    def _column(self, name: str) -> Quantity | None:
        """A column without a split of the table."""
        table = self._setting.table
        if not isinstance(table, Benchmark):
            return None
        tasks = [self._setting.task] if self._setting.answering is not None else list(table.tasks)
        columns = [c for c in sorted(table.columns) if c.split == "none" and c.task in tasks]
        meant = find_meant(name, dict.fromkeys(c.metric for c in columns))
        columns = [c for c in columns if c.metric == meant]
        if meant is None or len(columns) > 1:  # of several tasks, and nobody says which
            return None
        codes = table.space.codes[table.rows].astype(np.int16)
        unit = table.metrics[meant].unit or "no unit declared"
        where = f"column of {table.name}"
        return Column(meant, unit, where, self._space, codes, table.columns[columns[0]])

    def _predicted(self, name: str) -> Quantity | None:
        """A metric of a task that predicts."""
        tasks, task = self._setting.answering, self._setting.task
        if not isinstance(tasks, Predicted) or task is None or not hasattr(tasks, "metrics"):
            return None
        metric: Metric | None = next((m for m in tasks.metrics(task) if m.name == name), None)
        if metric is None:
            return None
        count = partial(tasks.values, task, metric=name)
        return Counted(name, metric.unit or "no unit", f"predicted by {tasks.name}", self._space, count)

    def _counted(self, name: str) -> Quantity | None:
        """What can be counted or measured of the space's networks."""
        from archwalk.networks.counting import COUNTS, cell_counts, count_network
        from archwalk.networks.latency import latency_of

        skeleton, settings = self._sizes.skeleton, self._sizes.latency
        name = find_meant(name, [*COUNTS, LATENCY]) or ""
        if not name or not builds_networks(self._space):
            return None
        shrunk = skeleton.model_dump(exclude_defaults=True)
        of = "the published skeleton" if not shrunk else "the skeleton " + _named(shrunk)
        if name == LATENCY:

            def measure(text: str) -> float:
                return latency_of(self._space, text, skeleton, settings).milliseconds

            image = f"batch {settings.batch}, image {settings.size}"
            on = f"{image}, {settings.threads} thread(s), {settings.device}"
            where = f"measured on this machine, median of {settings.passes}, {on}, {of}"
            return Measured(name, "milliseconds", where, self._space, measure)
        size = "" if name == "params" else f", image {settings.size}"
        where = f"counted in {of}{size}"
        every = cell_counts(self._space, skeleton, settings.size)
        if every is not None:
            return Counted(name, COUNTS[name], where, self._space, lambda codes: every(codes)[name])

        def count(text: str) -> float:
            return count_network(self._space, text, skeleton, settings.size)[name]

        return Measured(name, COUNTS[name], where, self._space, count)


@cache
def builds_networks(space: SearchSpace) -> bool:
    """Whether the architectures of a space are networks that this package can build."""
    from archwalk.networks.build import plan_network

    text = space.format(space.sample(1, np.random.default_rng(0))[0].tolist())
    try:
        plan_network(space, text, SkeletonSettings())
    except ArchwalkError:
        return False
    return True


def _named(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())


def check_limits(setting: Setting, ledger: Path) -> str:
    """See that limits can be met, before anything is written; not again where a search goes on.

    Returns:
        How many architectures keep to them, for people.

    Raises:
        SearchError: none does, as far as can be found.
    """
    if setting.limits is None or (ledger.exists() and not all(q.exact for _, q in setting.limits.before)):
        return ""
    return setting.limits.check(setting.problem)


def known_metrics(known: Known) -> dict[str, Metric]:
    """What is known before training, by name, as metrics of which less is better; files aside."""
    names = [*known] if isinstance(known, Mapping) else [str(k) for k in known if not Path(str(k)).suffix]
    units = {"params": "count", "flops": "count", "macs": "count", LATENCY: "milliseconds"}
    return {name: Metric(name, "min", units[name], 0) for name in names if name in units}


def inner(evaluator: Evaluator) -> Evaluator:
    """The user's own evaluator."""
    return evaluator.evaluator if isinstance(evaluator, WithKnown) else evaluator


def around(evaluator: Evaluator, other: Evaluator) -> Evaluator:
    """Another evaluator in the place of the user's own."""
    return replace(evaluator, evaluator=other) if isinstance(evaluator, WithKnown) else other
