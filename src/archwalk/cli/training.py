"""Agents, trained and moved: ``train``, ``evaluate``, ``transfer``, ``study``.

In: arguments. Out: calls to ``archwalk.api``, printed by
``console``. Heavy imports happen inside the functions. ``commands`` puts the command line together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from archwalk.cli.arguments import under
from archwalk.cli.console import print_evaluation, print_forecast, print_json
from archwalk.cli.progress import Reporter, StudyReporter
from archwalk.config import RaySettings, Settings, check_own_groups, load_preset
from archwalk.errors import SettingsError


def train(
    benchmark: str,
    task: str,
    run_dir: Path,
    settings: Annotated[Settings, tyro.conf.arg(name="")] = Settings(),  # noqa: B008 - frozen
    preset: str = "laptop",
    seed: int = 0,
    init: Path | None = None,
    steps: int | None = None,
    executor: Literal["inline", "ray"] = "inline",
    ray: RaySettings = RaySettings(),  # noqa: B008 - frozen
    device: str = "auto",
    protocol: str | None = None,
    init_part: Literal["all", "body"] = "all",
    algorithm: str = "ape-x",
) -> None:
    """Train an agent on a task, or on several at once. The same command again resumes.

    Args:
        benchmark: Name (see 'archwalk data list') or file; several tables as a.parquet,b.parquet@PROTOCOL.
        protocol: Published protocol that says what the reward is; the file's own reward by default.
        task: One of the benchmark's tasks, or several as a,b,c: one agent, every walk on one of them. Of
            several tables TABLE:TASK,TABLE:TASK.
        run_dir: Folder of the run.
        settings: Every setting of the preset can be overridden.
        preset: paper, laptop, quick, or a TOML file; gives the defaults of all settings below.
        seed: Of every random generator.
        init: A finished run whose weights to begin with.
        steps: Trained steps instead of the preset's.
        executor: ray: walks and replay as processes on a Ray cluster (needs archwalk[ray]).
        ray: Which cluster, and how its resources are shared out.
        device: auto (a GPU if there is one), cpu, cuda, or cuda:N.
        init_part: Of the weights of --init: all, or the body alone, with a fresh embedding and fresh heads.
        algorithm: ape-x, ppo, distributional, model-based (docs/algorithms.md), or one of a package.
    """
    from archwalk import api

    check_own_groups(settings, load_preset(preset), (algorithm,))
    with Reporter(steps or settings.training.trained_steps) as reporter:
        run = api.train(
            under(benchmark, protocol),
            task,
            run_dir,
            preset=settings,
            seed=seed,
            init=init,
            steps=steps,
            executor=executor,
            ray=ray,
            device=device,
            on_row=reporter,
            init_part=init_part,
            algorithm=algorithm,
        )
    print(f"finished: {run.path}    next: archwalk evaluate {run.path}")


def evaluate(
    run: tyro.conf.Positional[Path],
    task: str | None = None,
    split: str | None = None,
    benchmark: str | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Walk greedily from every start, and say how good the agent is and what it cost.

    Args:
        run: Folder of a finished run.
        task: Another task than the run's own: how good the agent is there as it is. Of a run on several
            tasks: one of them, or another; by default it is evaluated on each.
        split: Split of mean, oracle and regret; test, or the reward's own where nothing was tested.
        benchmark: Another benchmark of the same space, by name or file.
        json: Print one JSON object.
    """
    from archwalk import api

    result = api.evaluate(run, task=task, split=split, benchmark=benchmark)
    if json:
        print_json(result)
    else:
        for one in [result] if "task" in result else result.values():
            print_evaluation(one)


def transfer(
    source: Annotated[tuple[str, ...], tyro.conf.UseAppendAction],
    task: str,
    regime: Literal["zero-shot", "fine-tune", "retrain"],
    run_dir: Path,
    benchmark: str | None = None,
    seed: int | None = None,
    steps: int | None = None,
    device: str = "auto",
    part: Literal["all", "body"] = "all",
    frozen_body_steps: int = 0,
    transfer: str = "initialise",
    option: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Move a finished run's agent to another task, then evaluate it there.

    Args:
        source: Folder of the finished source run; may be repeated, or a,b, where the method can use several.
        task: The target task.
        regime: zero-shot: as it is; fine-tune: trained on briefly; retrain: trained on at full length.
        run_dir: Folder of the new run.
        benchmark: Name or file; the source's own by default. One of another space needs a source that sees
            encoded tokens, or --part body.
        seed: The source's own by default.
        steps: Trained steps instead of the regime's.
        device: auto (a GPU if there is one), cpu, cuda, or cuda:N.
        part: all weights, or the body alone, the transformer, with a fresh embedding and fresh heads.
        frozen_body_steps: Trained steps during which the body keeps the source's weights.
        transfer: How the source is used: initialise, shaping, demonstrations, policy-reuse, mapping,
            successor-features, frozen-body (docs/transfer-methods.md).
        option: A setting of that method, as NAME=VALUE; may be repeated. A wrong one lists those there are.
        json: Print one JSON object.
    """
    from archwalk import api
    from archwalk.training.ordering import sources_of
    from archwalk.training.rundir import RunDir

    options = dict(_pair(text) for text in option)
    training = RunDir(sources_of(source)[0]).spec().settings.training
    total = steps or (training.fine_tune_steps if regime == "fine-tune" else training.trained_steps)
    with Reporter(total) as reporter:
        api.transfer(
            source,
            task,
            regime,
            run_dir,
            benchmark=benchmark,
            seed=seed,
            steps=steps,
            device=device,
            on_row=reporter,
            part=part,
            frozen_body_steps=frozen_body_steps,
            transfer=transfer,
            options=options,
        )
    result = api.evaluate(run_dir)
    print_json(result) if json else print_evaluation(result)


def _pair(text: str) -> tuple[str, str]:
    """NAME=VALUE in two."""
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError("an option as NAME=VALUE", repr(text), "correct --option")
    return name, value


def study(
    benchmark: str,
    tasks: str,
    run_dir: Path,
    settings: Annotated[Settings, tyro.conf.arg(name="")] = Settings(),  # noqa: B008 - frozen
    seeds: int = 5,
    preset: str = "laptop",
    jobs: int = 1,
    device: str = "auto",
    executor: Literal["inline", "ray"] = "inline",
    ray: RaySettings = RaySettings(),  # noqa: B008 - frozen
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False,
    protocol: str | None = None,
    multi_task: tyro.conf.FlagCreatePairsOff[bool] = False,
    algorithms: str = "ape-x",
    transfers: str = "initialise",
) -> None:
    """Train an agent a task, move each to every other task, evaluate every regime. The same command again
    resumes; run twice at once, both share the work.

    Args:
        benchmark: Name (see 'archwalk data list') or file.
        protocol: Published protocol that says what the reward is; the file's own reward by default.
        tasks: At least two of its tasks, as a,b,c.
        run_dir: Folder of the study.
        settings: Every setting of the preset can be overridden.
        seeds: Seeds, 0 and up; more may be asked for later.
        preset: paper, laptop, quick, or a TOML file; gives the defaults of all settings below.
        jobs: Worker processes, one thread each; as many as cores.
        device: auto (a GPU if there is one), cpu, cuda, or cuda:N; on Ray of every node, and auto is cpu.
        executor: ray: agents as tasks on a Ray cluster, as many at once as it has room for.
        ray: Which cluster, and what an agent takes of it.
        dry_run: Print the plan with estimated steps and time, and do nothing.
        multi_task: Also agents of all tasks, and of all but each, which move to the one left out.
        algorithms: What trains the agents, as ape-x,ppo: every agent by each; more may be asked for later.
        transfers: Transfer methods, as initialise,shaping: every agent by each; likewise.
    """
    from dataclasses import replace

    from archwalk.studies.folder import StudyDir
    from archwalk.studies.plan import make_plan
    from archwalk.studies.study import forecast, run_study

    where = under(benchmark, protocol)
    dimensions = algorithms.split(","), transfers.split(",")
    check_own_groups(settings, load_preset(preset), dimensions[0])
    plan = make_plan(where, tasks.split(","), seeds, settings, multi_task, *dimensions)
    plan = replace(plan, preset=preset)
    if dry_run:
        print_forecast(plan, forecast(plan, run_dir, jobs, device), jobs)
        return
    done = sum(StudyDir(run_dir).done(job) for job in plan.jobs())
    with StudyReporter(plan, done) as reporter:
        run_study(
            plan,
            run_dir,
            jobs=jobs,
            device=device,
            executor=executor,
            ray=ray,
            on_event=reporter,
        )
    print(f"finished: {run_dir}    next: archwalk report {run_dir}")
