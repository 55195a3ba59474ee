"""From what a user asks for to a ``Runner``: everything is checked, nothing is written.

In: names, paths and settings. Out: ``Runner``. Next: ``archwalk.api`` has it make the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from archwalk.agents.registry import DEFAULT, find_algorithm, form_of
from archwalk.config import Settings, load_preset
from archwalk.envs.tokens import same_tokens, settled, token_length
from archwalk.errors import RunError, SettingsError, unknown
from archwalk.tasks.base import split_tasks
from archwalk.tasks.registry import AnyBenchmark
from archwalk.tasks.several import AnyTasks, Tables, load_tasks, one_of, places_of
from archwalk.tasks.table import Benchmark
from archwalk.training.rundir import RunDir, laid_out
from archwalk.training.runner import OnRow, Runner, with_body
from archwalk.training.sources import Moved, load_weights, moved_by
from archwalk.training.spec import Regime, RunSpec, describe_benchmark
from archwalk.transferring.base import Source, Target, parse_options
from archwalk.transferring.registry import INITIALISE, find_transfer

PARTS = ("all", "body")
REGIMES = ("zero-shot", "fine-tune", "retrain")
if TYPE_CHECKING:
    MovedRegime = Literal["zero-shot", "fine-tune", "retrain"]
    Part = Literal["all", "body"]
else:
    MovedRegime = str  # ``order_transfer`` refuses a wrong one with a remedy
    Part = str

Sources = str | Path | Sequence[str | Path]


def order_training(
    benchmark: str | Path | AnyBenchmark,
    task: str,
    run_dir: str | Path,
    preset: str | Path | Settings = "laptop",
    seed: int = 0,
    init: str | Path | None = None,
    steps: int | None = None,
    on_row: OnRow | None = None,
    init_part: Part = "all",
    algorithm: str = DEFAULT,
) -> Runner:
    """What ``archwalk.train`` will do with the same arguments."""
    settings = preset if isinstance(preset, Settings) else load_preset(preset)
    if steps is not None:
        settings = settings.replace(training={"trained_steps": steps})
    return _Order(
        benchmark=benchmark,
        task=task,
        run_dir=run_dir,
        settings=settings,
        seed=seed,
        sources=() if init is None else (init,),
        regime="scratch" if init is None else "retrain",
        on_row=on_row,
        part=init_part,
        algorithm=algorithm,
    ).checked()


def order_transfer(
    source: Sources,
    task: str,
    regime: MovedRegime,
    run_dir: str | Path,
    benchmark: str | Path | AnyBenchmark | None = None,
    seed: int | None = None,
    steps: int | None = None,
    on_row: OnRow | None = None,
    part: Part = "all",
    frozen_body_steps: int = 0,
    transfer: str = INITIALISE,
    options: Mapping[str, Any] | None = None,
) -> Runner:
    """What ``archwalk.transfer`` will do with the same arguments."""
    if regime not in REGIMES:
        raise SettingsError(*unknown("regime", regime, REGIMES))
    sources, how = sources_of(source), dict(options or {})
    if transfer == "frozen-body" and frozen_body_steps:
        how, frozen_body_steps = {"steps": frozen_body_steps, **how}, 0
    spec = RunDir(sources[0]).spec()
    settings = spec.settings
    lengths = {"fine-tune": settings.training.fine_tune_steps, "retrain": settings.training.trained_steps}
    if regime != "zero-shot":
        settings = settings.replace(
            training={"trained_steps": steps or lengths[regime]},
            learner={"frozen_body_steps": frozen_body_steps},
        )
    return _Order(
        benchmark=spec.benchmark if benchmark is None else benchmark,
        task=task,
        run_dir=run_dir,
        settings=settings,
        seed=spec.seed if seed is None else seed,
        sources=sources,
        regime=regime,
        on_row=on_row,
        part=part,
        algorithm=spec.algorithm,
        transfer=transfer,
        options=how,
    ).checked()


def sources_of(given: Sources) -> tuple[str | Path, ...]:
    """Run folders from one, several, or a text with commas between them."""
    if isinstance(given, str | Path):
        split = isinstance(given, str) and "," in given and not Path(given).exists()
        return tuple(str(given).split(",")) if split else (given,)
    if not given:
        raise SettingsError("at least one source", "none", "name a finished run with --source")
    return tuple(one for each in given for one in sources_of(each))


@dataclass(frozen=True, kw_only=True)
class _Order:
    """A run that is asked for."""

    benchmark: str | Path | AnyBenchmark
    task: str
    run_dir: str | Path
    settings: Settings
    seed: int
    sources: tuple[str | Path, ...]
    regime: Regime
    on_row: OnRow | None
    part: Part
    algorithm: str
    transfer: str = INITIALISE
    options: Mapping[str, Any] = field(default_factory=dict)

    def checked(self) -> Runner:
        """The run that is asked for, if it can be made.

        Raises:
            ArchwalkError: anything wrong with it.
        """
        find_algorithm(self.algorithm)
        find_transfer(self.transfer)
        if self.seed < 0:
            raise SettingsError("a seed of at least 0", str(self.seed), "choose another")
        self._check_part()
        settings = settled(self.settings.only(self.algorithm))
        named, opened, tasks = self._open()
        begun = self._begin(settings, opened, tasks) if self.sources else _Beginning(settings)
        spec = RunSpec(
            benchmark=describe_benchmark(named),
            checksum=opened.checksum,
            space=opened.describe_space() if isinstance(opened, Tables) else opened.space.describe(),
            task=",".join(tasks),
            seed=self.seed,
            regime=self.regime,
            settings=begun.settings,
            tasks=tasks if len(tasks) > 1 else (),
            algorithm=self.algorithm,
            **begun.origin,
        )
        return Runner(RunDir(self.run_dir), spec, opened, begun.weights, self.on_row, begun.moved)

    def _check_part(self) -> None:
        """What is moved must be there, and be of use as it is where nothing is trained."""
        if self.part not in PARTS:
            raise SettingsError(*unknown("part", self.part, PARTS))
        if self.part == "all":
            return
        if self.transfer not in (INITIALISE, "frozen-body"):
            raise SettingsError(
                "--transfer initialise or frozen-body, for a part of the weights",
                self.transfer,
                "move all of them",
            )
        remedy = "move all, or train on: fine-tune, retrain"
        if not self.sources:
            raise SettingsError("a source, whose body is to be moved", "none", "name one with --init")
        if self.regime == "zero-shot":
            raise SettingsError(
                "training, for a body with a fresh embedding and fresh heads", self.regime, remedy
            )
        if not form_of(self.algorithm).body:
            raise SettingsError(
                "an algorithm whose network has a body",
                f"{self.algorithm}, which has no body of its own",
                "move all",
            )
        if not self.settings.network.layers:
            raise SettingsError("a network with transformer layers, which are its body", "none", remedy)

    def _open(self) -> tuple[str | Path | AnyBenchmark, AnyTasks, tuple[str, ...]]:
        """The benchmark as the spec names it, laid out as the source knows it, and the tasks there."""
        opened, named = load_tasks(self.benchmark), self.benchmark
        tasks = split_tasks(self.task, opened.tasks)
        if isinstance(opened, Tables) and len(tasks) == 1:
            opened, task = opened.place(self.task)
            named, tasks = one_of(named, opened), (task,)
        if self.sources and self.part == "all" and not isinstance(opened, Tables):
            source = self.sources[0]
            try:
                opened = laid_out(opened, RunDir(source).spec(), str(source))
            except RunError:
                if not find_transfer(self.transfer).across:
                    raise
        if isinstance(opened, Benchmark | Tables):
            for table, name in places_of(opened, tasks):
                table.reward(name)  # complete
        return named, opened, tasks

    def _begin(self, settings: Settings, opened: AnyTasks, tasks: tuple[str, ...]) -> _Beginning:
        """What the agent has from its sources."""
        run = RunDir(self.sources[0])
        spec = run.spec()
        whole = len(tasks) > 1 or self.part == "body"
        weights = run.weights() if whole else load_weights(run, ",".join(tasks), opened)
        if Path(self.run_dir).resolve() == run.path.resolve():
            raise RunError("another folder than the source's", str(self.run_dir), "choose another --run-dir")
        self._check_source(run, spec, settings)
        if spec.shaped and self.regime == "zero-shot":
            raise SettingsError(
                "a source whose Q-values are those of its task, for an agent used as it is",
                f"{run.path}, whose values are less a potential (--transfer shaping)",
                "train on, or see how good it is with 'archwalk evaluate --task'",
            )
        if self.part == "body":
            told = len(tasks) if len(tasks) > 1 and settings.multitask.form == "embedding" else 0
            space = opened.tables[0].space if isinstance(opened, Tables) else opened.space
            features = token_length(space, settings.observation) + told
            weights = with_body(weights, features, settings, self.seed, self.algorithm)
        elif len(tasks) > 1:
            self._check_same_tasks(run, spec, tasks, settings)
        origin = {
            "source_task": spec.task,
            "source_weights": run.weights_digest(),
            "source_trained_steps": spec.source_trained_steps + run.costs().trained_steps,
            "source_part": "" if self.part == "all" else self.part,
        }
        begun = _Beginning(settings, weights, origin=origin)
        if self.transfer != INITIALISE or len(self.sources) > 1:
            return self._move(begun, opened, tasks)
        if self.options:
            parse_options(find_transfer(self.transfer), self.options)  # it has none
        return begun

    def _move(self, begun: _Beginning, opened: AnyTasks, tasks: tuple[str, ...]) -> _Beginning:
        """The same with a transfer method that does more than to begin with one source's weights."""
        if isinstance(opened, Tables) or len(tasks) > 1:
            raise SettingsError(
                f"one task, to train on with --transfer {self.transfer}", self.task, "name one of them"
            )
        settings, weights = begun.settings, begun.weights
        runs = [RunDir(one) for one in self.sources]
        for other in runs[1:]:
            self._check_source(other, other.spec(), settings)
        target = Target(opened, tasks[0], settings, self.seed)
        moved = moved_by(self.transfer, self.options, runs, target, self.algorithm)
        if self.regime == "zero-shot" and moved.zero_shot_steps:
            settings = settings.replace(training={"trained_steps": moved.zero_shot_steps})
            moved = replace(moved, target=replace(target, settings=settings))
        if self.part == "all":
            as_it_is = self.regime == "zero-shot" and not moved.zero_shot_steps
            weights = dict(moved.sources[0].weights) if as_it_is else moved.weights()
        origin = {
            "source_task": "+".join(one.task for one in moved.sources),
            "source_weights": "+".join(one.digest for one in moved.sources),
            "source_trained_steps": sum(one.trained_steps for one in moved.sources),
            "transfer": self.transfer,
            "transfer_options": moved.method.given.model_dump(),
            "sources": identified(moved.sources) if len(self.sources) > 1 else (),
        }
        return _Beginning(settings, weights, moved, begun.origin | origin)

    def _check_source(self, run: RunDir, spec: RunSpec, settings: Settings) -> None:
        """A source must have been trained by the same algorithm, and have seen its space through the same
        tokens with the same network; a body sees none."""
        if spec.algorithm != self.algorithm:
            raise RunError(
                f"a source trained by {self.algorithm}, whose network this is",
                f"{run.path}, trained by {spec.algorithm}",
                f"train with --algorithm {spec.algorithm}, or begin with an agent of {self.algorithm}",
            )
        for group in ("observation", "network"):
            there, asked = getattr(spec.settings, group), getattr(settings, group)
            alike = there == asked
            if group == "observation":
                alike = alike or self.part == "body" or same_tokens(there, asked)
            if not alike:
                raise RunError(
                    f"a source run with the same {group} settings ({asked})",
                    f"{run.path} with {there}",
                    "use the preset that the source was trained with",
                )

    def _check_same_tasks(
        self, run: RunDir, spec: RunSpec, tasks: tuple[str, ...], settings: Settings
    ) -> None:
        """Several tasks begin with weights of the same tasks only, whose embeddings they have."""
        form = settings.multitask.form
        if self.regime == "zero-shot" or spec.tasks != tasks or spec.settings.multitask.form != form:
            raise RunError(
                f"weights of a run on {','.join(tasks)} with multitask.form {form!r}, to train on there",
                f"{run.path}, on {spec.task} with {spec.settings.multitask.form!r}, for regime {self.regime}",
                "name one task, or train on several from scratch",
            )


@dataclass(frozen=True)
class _Beginning:
    """What an agent begins with, and how the spec says so."""

    settings: Settings
    weights: dict[str, Tensor] | None = None
    moved: Moved | None = None
    origin: dict[str, Any] = field(default_factory=dict)


def identified(sources: Sequence[Source]) -> tuple[dict[str, Any], ...]:
    """What tells sources apart, for a spec."""
    return tuple(
        {"task": one.task, "weights": one.digest, "trained_steps": one.trained_steps} for one in sources
    )
