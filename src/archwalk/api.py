"""The verbs of one agent: ``train``, ``transfer``, ``evaluate``, ``load_agent``.

In: names, paths and settings. Out: finished run folders, and what is to be said about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archwalk.agents.registry import DEFAULT, find_algorithm, form_of
from archwalk.agents.values import QFunction
from archwalk.config import (
    ExecutorName,
    ObservationSettings,
    RaySettings,
    Settings,
    WalkSettings,
    load_preset,
    ray_settings,
)
from archwalk.envs.build import greedy_process
from archwalk.envs.tokens import check_plain, same_tokens, settled, token_length
from archwalk.errors import RunError, SettingsError, unknown
from archwalk.files import json_text, write_atomically
from archwalk.results import EvaluationResult
from archwalk.seeding import make_generator
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.correspondence import rewritten
from archwalk.spaces.matching import identical, same_space
from archwalk.spaces.tokens import PlainKind
from archwalk.tasks.base import check_task, split_tasks
from archwalk.tasks.registry import AnyBenchmark, load_benchmark
from archwalk.tasks.several import Tables, load_tasks, one_of, places_of
from archwalk.tasks.table import Benchmark
from archwalk.training.evaluation import Evaluation, evaluate_agent, evaluate_walks, greedy_walks
from archwalk.training.policies import Policy, policy_walks
from archwalk.training.rundir import RunDir, laid_out
from archwalk.training.runner import OnRow, Runner, find_device, load_values, with_body
from archwalk.training.sources import load_weights, moved_by
from archwalk.training.spec import Regime, RunSpec, describe_benchmark, named_in
from archwalk.transferring.base import Source, Target, parse_options
from archwalk.transferring.registry import INITIALISE, find_transfer

__all__ = [
    "Step",
    "WalkingAgent",
    "evaluate",
    "evaluate_policy",
    "load_agent",
    "train",
    "transfer",
]

PARTS = ("all", "body")
REGIMES = ("zero-shot", "fine-tune", "retrain")
if TYPE_CHECKING:
    Moved = Literal["zero-shot", "fine-tune", "retrain"]
    Part = Literal["all", "body"]
else:
    Moved = str  # ``order_transfer`` refuses a wrong one with a remedy
    Part = str


@dataclass(frozen=True)
class Step:
    """One architecture of a walk.

    Attributes:
        architecture: its string.
        valid: its value in the reward's column, in the table's unit.
    """

    architecture: str
    valid: float


class WalkingAgent:
    """A trained agent, ready to walk.

    Attributes:
        values: its network, in a process over the benchmark.
        benchmark: what it walks over.
        task: whose metric ``improve`` reports.
        written: the space in which architectures are written, whose slots may stand in another order.
    """

    def __init__(
        self, values: QFunction, benchmark: AnyBenchmark, task: str, written: SearchSpace | None = None
    ) -> None:
        self.values, self.benchmark, self.task = values, benchmark, task
        self.written = written or benchmark.space

    def improve(self, architecture: str, *, seed: int = 0) -> list[Step]:
        """The greedy walk from an architecture: the start, every step, the architecture it ends on.

        Args:
            architecture: of the space, and measured where the benchmark is a table.
            seed: of the tokens' padding, and of the offers where not all neighbours are offered.

        Raises:
            ArchitectureError, BenchmarkError: not in the space, or not measured.
        """
        process, space = self.values.process, self.benchmark.space
        reordered = not identical(self.written.describe(), space.describe())
        if reordered:
            architecture = rewritten(architecture, self.written, space)
        at = process.states([architecture])
        path = greedy_walks(self.values, at, make_generator(seed, "improve"))[:, 0]
        if len(path) > 1 and path[-1] == path[-2]:  # the step that kept the architecture ends the walk
            path = path[:-1]
        names = process.names(path)
        if isinstance(self.benchmark, Benchmark):
            valid = self.benchmark.columns[self.benchmark.reward_column(self.task)][path.numpy()]
        else:
            valid = self.benchmark.values(self.task, self.benchmark.space.rows(names))
        if reordered:
            names = [rewritten(name, space, self.written) for name in names]
        return [Step(name, float(value)) for name, value in zip(names, valid, strict=True)]


def train(
    benchmark: str | Path | AnyBenchmark,
    task: str,
    run_dir: str | Path,
    *,
    preset: str | Path | Settings = "laptop",
    seed: int = 0,
    init: str | Path | None = None,
    steps: int | None = None,
    executor: ExecutorName = "inline",
    ray: RaySettings | None = None,
    device: str = "auto",
    on_row: OnRow | None = None,
    init_part: Part = "all",
    algorithm: str = DEFAULT,
) -> RunDir:
    """Train an agent on a task, from scratch or from another run's weights. Called again, it resumes.

    Args:
        benchmark: name, file or object: a table, or a task of a space that nobody lists; several tables as
            ``a.parquet,b.parquet``.
        task: one of the benchmark's tasks, or several at once as ``a,b,c``: one network, every walk on one
            of them. Of several tables ``TABLE:TASK,TABLE:TASK``.
        run_dir: the run's folder.
        preset: name, TOML file, or settings.
        seed: of every generator, at least 0.
        init: a finished run whose weights to begin with; the run then counts as retraining.
        steps: trained steps instead of the preset's.
        executor: ``inline``: in this process; ``ray``: walks and replay on a Ray cluster.
        ray: which cluster, and how its resources are shared out; used with ``ray`` alone.
        device: where the network is: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        on_row: called with each row of metrics and the seconds so far.
        init_part: of the weights of ``init``: ``all``, or the ``body``, as for ``transfer``.
        algorithm: what trains it (docs/algorithms.md); ``init`` must be of the same.

    Returns:
        The finished run.

    Raises:
        ArchwalkError: anything wrong with benchmark, task, settings, source or folder, before any work.
    """
    where = ray_settings(executor, ray)
    if where is not None and algorithm != DEFAULT:
        raise SettingsError(
            f"algorithm {DEFAULT}, the only one with walks and replay on Ray",
            algorithm,
            "leave --executor out",
        )
    runner = order_training(benchmark, task, run_dir, preset, seed, init, steps, on_row, init_part, algorithm)
    if where is None:
        return runner.make(find_device(device))
    if runner.spec.tasks:
        raise SettingsError("one task with executor ray", task, "leave --executor out, or name one task")
    if device != "auto":
        raise SettingsError(
            "device auto with executor ray", device, "leave --device out, or train on the GPU without Ray"
        )
    from archwalk.execution.cluster import connected
    from archwalk.training.apex.agent import ApexAgent, describe_executor

    with connected(where):
        runner = replace(runner, spec=replace(runner.spec, executor=describe_executor(where)))
        return runner.make(make_agent=partial(ApexAgent, ray=where))


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
    """What ``train`` will do, checked; nothing is written yet."""
    settings = preset if isinstance(preset, Settings) else load_preset(preset)
    if steps is not None:
        settings = settings.replace(training={"trained_steps": steps})
    regime: Regime = "scratch" if init is None else "retrain"
    sources = () if init is None else (init,)
    return _order(benchmark, task, run_dir, settings, seed, sources, regime, on_row, init_part, algorithm)


Sources = str | Path | Sequence[str | Path]


def transfer(
    source: Sources,
    task: str,
    regime: Moved,
    run_dir: str | Path,
    *,
    benchmark: str | Path | AnyBenchmark | None = None,
    seed: int | None = None,
    steps: int | None = None,
    device: str = "auto",
    on_row: OnRow | None = None,
    part: Part = "all",
    frozen_body_steps: int = 0,
    transfer: str = INITIALISE,
    options: Mapping[str, Any] | None = None,
) -> RunDir:
    """Move a finished run's agent to another task, with the source's settings (paper, section 4).

    Args:
        source: the finished run, or several where the method can use them; with other settings than the
            first one's where those do not say what its network is and sees.
        task: the target task.
        regime: ``zero-shot`` uses the agent as it is; ``fine-tune`` trains on for ``fine_tune_steps``;
            ``retrain`` for ``trained_steps``. A retraining run keeps the fine-tuned one, which is the same
            run cut off, in its subfolder ``fine-tune``.
        run_dir: the new run's folder.
        benchmark: name, file or object; the source's own by default. One of another space needs a source that
            sees encoded tokens, or ``part`` body.
        seed: the source's own by default.
        steps: trained steps instead of the regime's.
        device: as for ``train``.
        on_row: called with each row of metrics and the seconds so far.
        part: ``all`` weights, or the ``body`` alone, the transformer, with a fresh embedding and fresh heads:
            for any space and tokens (paper, section 5.2).
        frozen_body_steps: trained steps during which the body keeps the source's weights.
        transfer: how the source is used: ``initialise`` (the paper's), ``shaping``, ``demonstrations``,
            ``policy-reuse``, ``mapping``, ``successor-features``, ``frozen-body``, or one that was registered
            (docs/transfer-methods.md).
        options: settings of that method, by name.

    Returns:
        The finished run.

    Raises:
        ArchwalkError: anything wrong with source, benchmark, task or folder, before any work.
    """
    runner = order_transfer(
        source,
        task,
        regime,
        run_dir,
        benchmark,
        seed,
        steps,
        on_row,
        part,
        frozen_body_steps,
        transfer,
        options,
    )
    return runner.make(find_device(device))


def order_transfer(
    source: Sources,
    task: str,
    regime: Moved,
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
    """What ``transfer`` will do, checked; nothing is written yet."""
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
    where = spec.benchmark if benchmark is None else benchmark
    used_seed = spec.seed if seed is None else seed
    return _order(
        where,
        task,
        run_dir,
        settings,
        used_seed,
        sources,
        regime,
        on_row,
        part,
        spec.algorithm,
        transfer,
        how,
    )


def sources_of(given: Sources) -> tuple[str | Path, ...]:
    """Run folders from one, several, or a text with commas between them."""
    if isinstance(given, str | Path):
        split = isinstance(given, str) and "," in given and not Path(given).exists()
        return tuple(str(given).split(",")) if split else (given,)
    if not given:
        raise SettingsError("at least one source", "none", "name a finished run with --source")
    return tuple(one for each in given for one in sources_of(each))


def _order(
    benchmark: str | Path | AnyBenchmark,
    task: str,
    run_dir: str | Path,
    settings: Settings,
    seed: int,
    sources: Sequence[str | Path],
    regime: Regime,
    on_row: OnRow | None,
    part: Part = "all",
    algorithm: str = DEFAULT,
    transfer: str = INITIALISE,
    options: Mapping[str, Any] | None = None,
) -> Runner:
    find_algorithm(algorithm)
    if seed < 0:
        raise SettingsError("a seed of at least 0", str(seed), "choose another")
    source = sources[0] if sources else None
    _check_part(part, source, regime, settings, algorithm, transfer)
    across = find_transfer(transfer).across
    settings, opened = settled(settings.only(algorithm)), load_tasks(benchmark)
    tasks = split_tasks(task, opened.tasks)
    if isinstance(opened, Tables) and len(tasks) == 1:
        opened, task = opened.place(task)
        benchmark, tasks = one_of(benchmark, opened), (task,)
    if source is not None and part == "all" and not isinstance(opened, Tables):
        try:
            opened = laid_out(opened, RunDir(source).spec(), str(source))
        except RunError:
            if not across:
                raise
    if isinstance(opened, Benchmark | Tables):
        for table, name in places_of(opened, tasks):
            table.reward(name)  # complete
    run = RunDir(run_dir)
    origin: dict[str, Any] = {}
    weights, moved = None, None
    if source is not None:
        source_run = RunDir(source)
        source_spec = source_run.spec()
        whole = len(tasks) > 1 or part == "body"
        weights = source_run.weights() if whole else load_weights(source_run, task, opened)
        if run.path.resolve() == source_run.path.resolve():
            raise RunError("another folder than the source's", str(run.path), "choose another --run-dir")
        _check_source(source_run, source_spec, settings, part, algorithm)
        if source_spec.shaped and regime == "zero-shot":
            raise SettingsError(
                "a source whose Q-values are those of its task, for an agent used as it is",
                f"{source}, whose values are less a potential (--transfer shaping)",
                "train on, or see how good it is with 'archwalk evaluate --task'",
            )
        if part == "body":
            told = len(tasks) if len(tasks) > 1 and settings.multitask.form == "embedding" else 0
            space = opened.tables[0].space if isinstance(opened, Tables) else opened.space
            features = token_length(space, settings.observation) + told
            weights = with_body(weights, features, settings, seed, algorithm)
        elif len(tasks) > 1:
            _check_same_tasks(source_run, source_spec, tasks, settings, regime)
        origin = {
            "source_task": source_spec.task,
            "source_weights": source_run.weights_digest(),
            "source_trained_steps": source_spec.source_trained_steps + source_run.costs().trained_steps,
            "source_part": "" if part == "all" else part,
        }
        if transfer != INITIALISE or len(sources) > 1:
            if isinstance(opened, Tables) or len(tasks) > 1:
                raise SettingsError(
                    f"one task, to train on with --transfer {transfer}", task, "name one of them"
                )
            runs = [RunDir(one) for one in sources]
            for other in runs[1:]:
                _check_source(other, other.spec(), settings, part, algorithm)
            target = Target(opened, tasks[0], settings, seed)
            moved = moved_by(transfer, options or {}, runs, target, algorithm)
            if regime == "zero-shot" and moved.zero_shot_steps:
                settings = settings.replace(training={"trained_steps": moved.zero_shot_steps})
                moved = replace(moved, target=replace(target, settings=settings))
            if part == "all":
                as_it_is = regime == "zero-shot" and not moved.zero_shot_steps
                weights = dict(moved.sources[0].weights) if as_it_is else moved.weights()
            origin |= {
                "source_task": "+".join(one.task for one in moved.sources),
                "source_weights": "+".join(one.digest for one in moved.sources),
                "source_trained_steps": sum(one.trained_steps for one in moved.sources),
                "transfer": transfer,
                "transfer_options": moved.method.given.model_dump(),
                "sources": identified(moved.sources) if len(sources) > 1 else (),
            }
        elif options:
            parse_options(find_transfer(transfer), options)  # it has none
    spec = RunSpec(
        benchmark=describe_benchmark(benchmark),
        checksum=opened.checksum,
        space=opened.describe_space() if isinstance(opened, Tables) else opened.space.describe(),
        task=",".join(tasks),
        seed=seed,
        regime=regime,
        settings=settings,
        tasks=tasks if len(tasks) > 1 else (),
        algorithm=algorithm,
        **origin,
    )
    return Runner(run, spec, opened, weights, on_row, moved)


def identified(sources: Sequence[Source]) -> tuple[dict[str, Any], ...]:
    """What tells sources apart, for a spec."""
    return tuple(
        {"task": one.task, "weights": one.digest, "trained_steps": one.trained_steps} for one in sources
    )


def _check_part(
    part: Part,
    source: str | Path | None,
    regime: str,
    settings: Settings,
    algorithm: str,
    transfer: str,
) -> None:
    """What is moved must be there, and be of use as it is where nothing is trained."""
    if part not in PARTS:
        raise SettingsError(*unknown("part", part, PARTS))
    if part == "all":
        return
    if transfer not in (INITIALISE, "frozen-body"):
        raise SettingsError(
            "--transfer initialise or frozen-body, for a part of the weights", transfer, "move all of them"
        )
    remedy = "move all, or train on: fine-tune, retrain"
    if source is None:
        raise SettingsError("a source, whose body is to be moved", "none", "name one with --init")
    if regime == "zero-shot":
        raise SettingsError("training, for a body with a fresh embedding and fresh heads", regime, remedy)
    if not form_of(algorithm).body:
        raise SettingsError(
            "an algorithm whose network has a body", f"{algorithm}, which has no body of its own", "move all"
        )
    if not settings.network.layers:
        raise SettingsError("a network with transformer layers, which are its body", "none", remedy)


def _check_source(run: RunDir, spec: RunSpec, settings: Settings, part: Part, algorithm: str) -> None:
    """A source must have been trained by the same algorithm, and have seen its space through the same tokens
    with the same network; a body sees none."""
    if spec.algorithm != algorithm:
        raise RunError(
            f"a source trained by {algorithm}, whose network this is",
            f"{run.path}, trained by {spec.algorithm}",
            f"train with --algorithm {spec.algorithm}, or begin with an agent trained by {algorithm}",
        )
    for group in ("observation", "network"):
        there, asked = getattr(spec.settings, group), getattr(settings, group)
        alike = there == asked or (group == "observation" and (part == "body" or same_tokens(there, asked)))
        if not alike:
            raise RunError(
                f"a source run with the same {group} settings ({getattr(settings, group)})",
                f"{run.path} with {getattr(spec.settings, group)}",
                "use the preset that the source was trained with",
            )


def _check_same_tasks(
    run: RunDir, spec: RunSpec, tasks: tuple[str, ...], settings: Settings, regime: str
) -> None:
    """Several tasks begin with weights of the same tasks only, whose embeddings they have."""
    form = settings.multitask.form
    if regime == "zero-shot" or spec.tasks != tasks or spec.settings.multitask.form != form:
        raise RunError(
            f"weights of a run on {','.join(tasks)} with multitask.form {form!r}, to train on there",
            f"{run.path}, on {spec.task} with {spec.settings.multitask.form!r}, for regime {regime}",
            "name one task, or train on several from scratch",
        )


def load_agent(
    run_dir: str | Path, *, benchmark: str | Path | AnyBenchmark | None = None, task: str | None = None
) -> WalkingAgent:
    """The agent of a finished run.

    Args:
        run_dir: the run.
        benchmark: name, file or object of a benchmark of the same space; the run's own by default.
        task: what it walks on, and whose metric its walks report; the run's own by default. An agent of
            several tasks needs one; on a task that it was not trained on it has the mean of their embeddings.

    Raises:
        ArchwalkError: a run that is not finished or does not fit, an unknown task, or none of several.
    """
    run = RunDir(run_dir)
    spec = run.spec()
    if task is None and spec.tasks:
        raise RunError("one task to walk on", f"a run on {spec.task}", "name one of them, or another task")
    name = task or spec.task
    written, task = run.place(name, benchmark)
    opened = laid_out(written, spec, str(run.path))
    check_task(task, opened.tasks)
    return WalkingAgent(load_values(run, opened, task), opened, task, written.space)


def evaluate(
    run_dir: str | Path,
    *,
    task: str | None = None,
    split: str | None = None,
    benchmark: str | Path | AnyBenchmark | None = None,
) -> EvaluationResult | dict[str, EvaluationResult]:
    """How good a finished run's agent is on a task, and what it cost (method: greedy walks from every start,
    or from random ones where the space is not listed).

    Args:
        run_dir: the run.
        task: the run's own by default; another one evaluates the agent there as it is. A run on several
            tasks is evaluated on each by default.
        split: of ``mean``, ``std``, ``oracle`` and ``regret_mean``; test by default, or the reward's own
            where there is no test value of every architecture.
        benchmark: name, file or object; the run's own by default.

    Returns:
        The fields of ``Evaluation``, the ``epoch`` of the split's column, a ``note`` where it is not the test
        split for want of test values, ``benchmark`` and the ``protocol`` whose reward counts (empty: the
        file's own), where the agent comes from (``source_task, regime, seed, algorithm, transfer``), and its
        costs on its own task (``Costs``); on another task or in another space than it, ``evaluations`` is 0.
        Of a run on several tasks: the costs are those of all of them together; without ``task`` all this by
        task.
    """
    if task is None and RunDir(run_dir).spec().tasks:
        each = RunDir(run_dir).spec().tasks
        return {name: _evaluate(run_dir, name, split, benchmark) for name in each}
    return _evaluate(run_dir, task, split, benchmark)


def _evaluate(
    run_dir: str | Path, task: str | None, split: str | None, benchmark: str | Path | AnyBenchmark | None
) -> EvaluationResult:
    walking = load_agent(run_dir, benchmark=benchmark, task=task)
    run = RunDir(run_dir)
    spec, costs = run.spec(), run.costs()
    result = evaluate_agent(
        walking.values,
        walking.benchmark,
        walking.task,
        split=split,
        most_starts=spec.settings.training.evaluation_starts,
        generator=make_generator(spec.seed, "evaluation"),
    )
    opened = walking.benchmark
    # Else a task of the same name is another one.
    name = named_in(spec, opened, walking.task)
    here = opened.checksum in spec.checksum.split(",") or same_space(walking.written.describe(), spec.space)
    prepared = spec.regime != "zero-shot" or costs.trained_steps > 0
    own = here and name in spec.each_task and prepared
    moved = bool(spec.source_task) and (own or spec.regime == "zero-shot")
    found = _result(
        opened,
        result,
        split,
        source_task=spec.source_task if moved else spec.task,
        regime=spec.regime if own else "zero-shot",
        seed=spec.seed,
        algorithm=spec.algorithm,
        transfer=spec.transfer if moved else "",
        trained_steps=costs.trained_steps,
        sampled_steps=costs.sampled_steps,
        evaluations=costs.evaluations if own else 0,
        evaluation_hours=costs.evaluation_hours if own else None,
        source_trained_steps=spec.source_trained_steps,
        seconds=costs.seconds,
    )
    return EvaluationResult(found | {"task": name})


def _result(benchmark: AnyBenchmark, found: Evaluation, asked: str | None, **whose: Any) -> EvaluationResult:
    """An evaluation with where it was made and whose it is."""
    if isinstance(benchmark, Benchmark):
        protocol, epoch = benchmark.protocol, benchmark.column(found.task, found.split).epoch
        untested = benchmark.untested(found.task) if asked is None else ""
    else:
        protocol, epoch, untested = "", benchmark.epoch, ""
    note = f"{untested}: of {found.split} instead" if untested else ""
    where = {"benchmark": benchmark.name, "protocol": protocol, "epoch": epoch, "note": note}
    return EvaluationResult(where | whose | found.to_json())


def evaluate_policy(
    policy: Policy,
    benchmark: str | Path | AnyBenchmark,
    task: str,
    *,
    batched: bool = False,
    split: str | None = None,
    most_starts: int = 20_000,
    tokens: PlainKind = "slots",
    walk: WalkSettings | None = None,
    seed: int = 0,
    out: str | Path | None = None,
) -> EvaluationResult:
    """The same of any policy, such as another library's network: walks from every start, as it steps.

    Args:
        policy: called with an observation and a mask as ``make_env`` shows them, float32 [actions, features]
            and bool [actions]; returns an action that exists. Action 0 keeps the architecture, which
            ends the walk.
        benchmark: name, file or object.
        task: one of its tasks.
        batched: the policy is called with all walks at once, [walks, actions, features] and [walks, actions],
            and returns an action for each: much faster for a network.
        split: as for ``evaluate``.
        most_starts: of more architectures a uniform sample.
        tokens: what the policy was trained on, as for ``make_env``.
        walk: likewise; the published limits by default.
        seed: of starts, offers and padding.
        out: JSON file for the result, too; ``STUDY/policies/NAME-SEED.json`` is shown in a study's report.

    Returns:
        As ``evaluate``, with regime ``policy`` and no costs, which only the policy's own library knows.

    Raises:
        ArchwalkError: an unknown benchmark, task or split, or an action that does not exist.
    """
    check_plain(tokens)
    opened = load_benchmark(benchmark)
    check_task(task, opened.tasks)
    settings = Settings(walk=walk or WalkSettings(), observation=ObservationSettings(tokens=tokens))
    process = greedy_process(opened, settings)
    found = evaluate_walks(
        partial(policy_walks, policy, batched, process),
        process,
        opened,
        task,
        split=split,
        most_starts=most_starts,
        generator=make_generator(seed, "evaluation"),
    )
    costs = (
        "trained_steps",
        "sampled_steps",
        "evaluations",
        "evaluation_hours",
        "source_trained_steps",
        "seconds",
    )
    whose = {"source_task": "", "regime": "policy", "seed": seed, "algorithm": "", "transfer": ""}
    result = _result(opened, found, split, **whose, **dict.fromkeys(costs))
    if out is not None:
        write_atomically(Path(out), json_text(result | {"checksum": opened.checksum}).encode())
    return result
