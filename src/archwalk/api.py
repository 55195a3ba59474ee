"""The verbs of one agent: ``train``, ``transfer``, ``evaluate``, ``load_agent``.

In: names, paths and settings. Out: finished run folders, and what is to be said about them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from archwalk.agents.registry import DEFAULT
from archwalk.agents.values import QFunction
from archwalk.config import (
    ExecutorName,
    ObservationSettings,
    RaySettings,
    Settings,
    WalkSettings,
    ray_settings,
)
from archwalk.envs.build import greedy_process
from archwalk.envs.tokens import check_plain
from archwalk.errors import RunError, SettingsError
from archwalk.files import json_text, write_atomically
from archwalk.results import EvaluationResult
from archwalk.seeding import make_generator
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.correspondence import rewritten
from archwalk.spaces.matching import identical, same_space
from archwalk.spaces.tokens import PlainKind
from archwalk.tasks.base import check_task
from archwalk.tasks.registry import AnyBenchmark, load_benchmark
from archwalk.tasks.table import Benchmark
from archwalk.training.evaluation import Evaluation, evaluate_agent, evaluate_walks, greedy_walks
from archwalk.training.ordering import MovedRegime, Part, Sources, order_training, order_transfer
from archwalk.training.policies import Policy, policy_walks
from archwalk.training.rundir import RunDir, laid_out
from archwalk.training.runner import OnRow, find_device, load_values
from archwalk.training.spec import named_in
from archwalk.transferring.registry import INITIALISE

__all__ = [
    "Step",
    "WalkingAgent",
    "evaluate",
    "evaluate_policy",
    "load_agent",
    "train",
    "transfer",
]


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


def transfer(
    source: Sources,
    task: str,
    regime: MovedRegime,
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
