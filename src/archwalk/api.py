"""The verbs of one agent: ``train``, ``transfer``, ``evaluate``, ``load_agent``.

In: names, paths and settings. Out: finished run folders, and what is to be said about them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from archwalk.agents.base import Agent
from archwalk.config import RaySettings, Settings, load_preset, ray_settings
from archwalk.errors import RunError, SettingsError, unknown
from archwalk.seeding import make_generator
from archwalk.tasks.registry import load_benchmark
from archwalk.tasks.table import Benchmark
from archwalk.training.evaluation import evaluate_agent, greedy_walks
from archwalk.training.loop import make_agent
from archwalk.training.making import OnRow, Order, find_device, make_run
from archwalk.training.rundir import Plan, RunDir, describe_benchmark

REGIMES = ("zero-shot", "fine-tune", "retrain")
Executor = str  # "inline" or "ray"


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
        agent: network, tokens and process.
        benchmark: what it walks over.
        task: whose metric ``improve`` reports.
    """

    def __init__(self, agent: Agent, benchmark: Benchmark, task: str) -> None:
        self.agent, self.benchmark, self.task = agent, benchmark, task

    def improve(self, architecture: str, *, seed: int = 0) -> list[Step]:
        """The greedy walk from an architecture: the start, every step, the architecture it ends on.

        Args:
            architecture: a measured architecture of the benchmark.
            seed: of the tokens' padding, where there is any.

        Raises:
            ArchitectureError, BenchmarkError: not in the space, or not measured.
        """
        at = torch.tensor([self.benchmark.index(architecture)])
        path = greedy_walks(self.agent, at, make_generator(seed, "improve"))[:, 0].tolist()
        if len(path) > 1 and path[-1] == path[-2]:  # the step that kept the architecture ends the walk
            path.pop()
        valid = self.benchmark.columns[self.benchmark.reward_column(self.task)]
        return [Step(self.benchmark.architectures[i], float(valid[i])) for i in path]


def train(
    benchmark: str | Path,
    task: str,
    run_dir: str | Path,
    *,
    preset: str | Path | Settings = "laptop",
    seed: int = 0,
    init: str | Path | None = None,
    steps: int | None = None,
    executor: Executor = "inline",
    ray: RaySettings | None = None,
    device: str = "auto",
    on_row: OnRow | None = None,
) -> RunDir:
    """Train an agent on a task, from scratch or from another run's weights. Called again, it resumes.

    Args:
        benchmark: name or file.
        task: one of the benchmark's tasks.
        run_dir: the run's folder.
        preset: name, TOML file, or settings.
        seed: of every generator, at least 0.
        init: a finished run whose weights to begin with; the run then counts as retraining.
        steps: trained steps instead of the preset's.
        executor: ``inline``: in this process; ``ray``: walks and replay on a Ray cluster.
        ray: which cluster, and how its resources are shared out; used with ``ray`` alone.
        device: ``auto``: a GPU if there is one; ``cpu``, ``cuda`` or
            ``cuda:N``.
        on_row: called with each row of metrics and the seconds so far.

    Returns:
        The finished run.

    Raises:
        ArchwalkError: anything wrong with benchmark, task, settings, source or folder, before any work.
    """
    where = ray_settings(executor, ray)
    order, table = order_training(benchmark, task, run_dir, preset, seed, init, steps, on_row)
    if where is None:
        make_run(order, table, device=find_device(device))
        return order.run
    if device != "auto":
        raise SettingsError(
            "device auto with executor ray", device, "leave --device out, or train on the GPU without Ray"
        )
    from archwalk.execution.cluster import connected
    from archwalk.training.apex.loop import RayLoop, describe_executor

    with connected(where):
        order = replace(order, plan=replace(order.plan, executor=describe_executor(where)))
        make_run(order, table, partial(RayLoop, ray=where))
    return order.run


def order_training(
    benchmark: str | Path,
    task: str,
    run_dir: str | Path,
    preset: str | Path | Settings = "laptop",
    seed: int = 0,
    init: str | Path | None = None,
    steps: int | None = None,
    on_row: OnRow | None = None,
) -> tuple[Order, Benchmark]:
    """What ``train`` will do, checked; nothing is written yet."""
    settings = preset if isinstance(preset, Settings) else load_preset(preset)
    if steps is not None:
        settings = settings.replace(training={"trained_steps": steps})
    regime = "scratch" if init is None else "retrain"
    return _order(benchmark, task, run_dir, settings, seed, init, regime, on_row)


def transfer(
    source: str | Path,
    task: str,
    regime: str,
    run_dir: str | Path,
    *,
    benchmark: str | Path | None = None,
    seed: int | None = None,
    steps: int | None = None,
    device: str = "auto",
    on_row: OnRow | None = None,
) -> RunDir:
    """Move a finished run's agent to another task, with the source's settings (paper, section 4).

    Args:
        source: the finished run.
        task: the target task.
        regime: ``zero-shot`` uses the agent as it is; ``fine-tune`` trains on for ``fine_tune_steps``;
            ``retrain`` for ``trained_steps``. A retraining run keeps the fine-tuned one, which is the same
            run cut off, in its subfolder ``fine-tune``.
        run_dir: the new run's folder.
        benchmark: name or file; the source's own by default.
        seed: the source's own by default.
        steps: trained steps instead of the regime's.
        device: as for ``train``.
        on_row: called with each row of metrics and the seconds so far.

    Returns:
        The finished run.

    Raises:
        ArchwalkError: anything wrong with source, benchmark, task or folder, before any work.
    """
    order, table = order_transfer(source, task, regime, run_dir, benchmark, seed, steps, on_row)
    if order.plan.regime == "zero-shot" and order.initial is not None:
        order.run.adopt(order.plan, order.initial)
    else:
        make_run(order, table, device=find_device(device))
    return order.run


def order_transfer(
    source: str | Path,
    task: str,
    regime: str,
    run_dir: str | Path,
    benchmark: str | Path | None = None,
    seed: int | None = None,
    steps: int | None = None,
    on_row: OnRow | None = None,
) -> tuple[Order, Benchmark]:
    """What ``transfer`` will do, checked; nothing is written yet."""
    if regime not in REGIMES:
        raise SettingsError(*unknown("regime", regime, REGIMES))
    plan = RunDir(source).plan()
    settings = plan.settings
    lengths = {"fine-tune": settings.training.fine_tune_steps, "retrain": settings.training.trained_steps}
    if regime != "zero-shot":
        settings = settings.replace(training={"trained_steps": steps or lengths[regime]})
    where = plan.benchmark if benchmark is None else benchmark
    used_seed = plan.seed if seed is None else seed
    return _order(where, task, run_dir, settings, used_seed, source, regime, on_row)


def _order(
    benchmark: str | Path,
    task: str,
    run_dir: str | Path,
    settings: Settings,
    seed: int,
    source: str | Path | None,
    regime: str,
    on_row: OnRow | None,
) -> tuple[Order, Benchmark]:
    if seed < 0:
        raise SettingsError("a seed of at least 0", str(seed), "choose another")
    table = load_benchmark(benchmark)
    table.reward(task)  # known, and complete
    run = RunDir(run_dir)
    origin: dict[str, Any] = {}
    weights = None
    if source is not None:
        source_run = RunDir(source)
        source_plan, weights = source_run.plan(), source_run.weights()
        if run.path.resolve() == source_run.path.resolve():
            raise RunError("another folder than the source's", str(run.path), "choose another --run-dir")
        _check_source(source_run, source_plan, table, settings)
        origin = {
            "source_task": source_plan.task,
            "source_weights": source_run.weights_digest(),
            "source_trained_steps": source_plan.source_trained_steps + source_run.costs().trained_steps,
        }
    plan = Plan(
        benchmark=describe_benchmark(benchmark),
        checksum=table.checksum,
        space=table.space.describe(),
        task=task,
        seed=seed,
        regime=regime,
        settings=settings,
        **origin,
    )
    return Order(run, plan, weights, on_row), table


def _check_source(run: RunDir, plan: Plan, benchmark: Benchmark, settings: Settings) -> None:
    """A source must have seen the same space through the same tokens with the same network."""
    if plan.space != benchmark.space.describe():
        raise RunError(
            f"a source run made for the space {benchmark.space.name!r}",
            f"{run.path}, made for {plan.space['name']!r}",
            "train a source agent on a benchmark of the same space",
        )
    for group in ("observation", "network"):
        if getattr(plan.settings, group) != getattr(settings, group):
            raise RunError(
                f"a source run with the same {group} settings ({getattr(settings, group)})",
                f"{run.path} with {getattr(plan.settings, group)}",
                "use the preset that the source was trained with",
            )


def load_agent(
    run_dir: str | Path, *, benchmark: str | Path | None = None, task: str | None = None
) -> WalkingAgent:
    """The agent of a finished run.

    Args:
        run_dir: the run.
        benchmark: name or file of a benchmark of the same space; the run's own by default.
        task: whose metric its walks report; the run's own by default.
    """
    run = RunDir(run_dir)
    plan, table = run.plan(), run.benchmark(benchmark)
    if benchmark is not None:
        _check_source(run, plan, table, plan.settings)
    task = task or plan.task
    table.reward_column(task)
    agent = make_agent(table, plan.settings, plan.seed)
    agent.network.load_state_dict(run.weights())
    return WalkingAgent(agent, table, task)


def evaluate(
    run_dir: str | Path,
    *,
    task: str | None = None,
    split: str = "test",
    benchmark: str | Path | None = None,
) -> dict[str, Any]:
    """How good a finished run's agent is on a task, and what it cost (method: greedy walks from every start).

    Args:
        run_dir: the run.
        task: the run's own by default; another one evaluates the agent there as it is.
        split: of ``mean``, ``std``, ``oracle`` and ``regret_mean``.
        benchmark: name or file; the run's own by default.

    Returns:
        The fields of ``Evaluation``, where the agent comes from (``source_task, regime, seed``), and its
        costs on its own task (``Costs``); on another task than that, ``evaluations`` is 0.
    """
    walking = load_agent(run_dir, benchmark=benchmark, task=task)
    run = RunDir(run_dir)
    plan, costs = run.plan(), run.costs()
    result = evaluate_agent(
        walking.agent,
        walking.benchmark,
        walking.task,
        split=split,
        most_starts=plan.settings.training.evaluation_starts,
        generator=make_generator(plan.seed, "evaluation"),
    )
    own = walking.task == plan.task and plan.regime != "zero-shot"
    moved = bool(plan.source_task) and (own or plan.regime == "zero-shot")
    return {
        "benchmark": walking.benchmark.name,
        "source_task": plan.source_task if moved else plan.task,
        "regime": plan.regime if own else "zero-shot",
        "seed": plan.seed,
        **result.to_json(),
        "trained_steps": costs.trained_steps,
        "sampled_steps": costs.sampled_steps,
        "evaluations": costs.evaluations if own else 0,
        "evaluation_hours": costs.evaluation_hours if own else None,
        "source_trained_steps": plan.source_trained_steps,
        "seconds": costs.seconds,
    }
