"""The commands, one a verb: their flags, and nothing else of substance. Heavy imports happen inside them.

In: arguments. Out: calls to ``archwalk.api``, ``archwalk.tasks`` and ``archwalk.spaces``, printed by
``console``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from pydantic import ValidationError

from archwalk.cli.agents import agents_app
from archwalk.cli.console import (
    FitReporter,
    Reporter,
    SearchReporter,
    StudyReporter,
    print_benchmark,
    print_comparison,
    print_evaluation,
    print_fit,
    print_forecast,
    print_json,
    print_methods,
    print_proxies,
    print_search,
    print_step,
    print_surrogate,
)
from archwalk.cli.encoder import encoder_app
from archwalk.cli.spaces import spaces_app
from archwalk.cli.verbs import Verbs
from archwalk.config import (
    LatencySettings,
    RaySettings,
    Settings,
    SkeletonSettings,
    check_own_groups,
    invalid,
    load_preset,
)
from archwalk.errors import SettingsError

if TYPE_CHECKING:
    from archwalk.tasks.surrogates.task import SurrogateTask
    from archwalk.tasks.table import Benchmark

DESCRIPTION = "Train agents that search for neural architectures, and move them from task to task."


def run_command(arguments: Sequence[str]) -> None:
    """Parse and run one command; exits with status 2 on arguments that do not parse."""
    try:
        command_line(load_preset(_value_of("--preset", arguments) or "laptop")).run(arguments, "archwalk")
    except ValidationError as error:  # the parser passes on those of a command's own settings
        raise invalid(error, "the arguments", f"archwalk {arguments[0]} --help") from error


def command_line(preset: Settings) -> Verbs:
    """Every command; the preset holds the defaults of those that train agents."""
    importing = Verbs("Turn measurements into a benchmark file.")
    importing.add("transnas-bench", import_transnas_bench)
    importing.add("nasbench101", import_nasbench101)
    importing.add("table", import_table)
    importing.add("nasbench301", import_nasbench301)
    data = Verbs("Benchmarks: list, check, import.")
    data.add("list", data_list)
    data.add("check", data_check)
    data.add("import", importing)
    data.add("fit-surrogate", fit_surrogate)
    data.add("export", data_export)
    digits = Verbs("The embedded benchmark: measure it, check it, draw its card.")
    digits.add("build", digits_build)
    digits.add("verify", digits_verify)
    digits.add("card", digits_card)
    app = Verbs(DESCRIPTION)
    app.add("data", data)
    app.add("spaces", spaces_app())
    app.add("agents", agents_app())
    app.add("encoder", encoder_app())
    app.add("train", partial(train, settings=preset))
    app.add("evaluate", evaluate)
    app.add("transfer", transfer)
    app.add("fit", fit)
    app.add("search", search)
    app.add("watch", watch)
    app.add("draw", draw)
    app.add("compare", compare)
    app.add("methods", methods)
    app.add("export", export)
    app.add("latency", latency)
    app.add("proxies", proxies)
    app.add("digits", digits)
    app.add("study", partial(study, settings=preset))
    app.add("report", report)
    return app


def _value_of(flag: str, arguments: Sequence[str]) -> str | None:
    """The last value given for a flag: the preset decides the defaults of all others."""
    value = None
    for i, argument in enumerate(arguments):
        if argument == flag and i + 1 < len(arguments):
            value = arguments[i + 1]
        elif argument.startswith(f"{flag}="):
            value = argument.partition("=")[2]
    return value


def _under(benchmark: str, protocol: str | None) -> str:
    if protocol is None:
        return benchmark
    from archwalk.tasks.several import split_benchmarks

    return ",".join(f"{one}@{protocol}" for one in split_benchmarks(benchmark))


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
            _under(benchmark, protocol),
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
    from archwalk.training.rundir import RunDir

    options = dict(_pair(text) for text in option)
    training = RunDir(api.sources_of(source)[0]).spec().settings.training
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


def fit(
    data: tyro.conf.Positional[Path],
    out: Path,
    minutes: float = 60.0,
    kind: Literal["images", "vectors", "series"] | None = None,
    task: Literal["classification", "regression"] | None = None,
    target: str | None = None,
    image_size: int | None = None,
    flip: tyro.conf.FlagCreatePairsOff[bool] = False,
    metric: str | None = None,
    space: str | None = None,
    method: str = "agent",
    experience: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    seed: int = 0,
    device: str = "auto",
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Find a network for labelled data and train it, within a budget of minutes. The same command goes on.

    Args:
        data: A folder of images by class, an .npz or a Parquet file (docs/fit.md).
        out: Folder of weights, source, ONNX, model card and all trainings.
        minutes: In all, from reading the data to the model card.
        kind: What inputs of three axes are.
        task: What whole numbers as targets are.
        target: Name of the array or column of targets, if none of label, labels, target, targets, y.
        image_size: Largest side in pixels that images of a folder are scaled to; 64 by default.
        flip: Mirrored images mean the same: mirror half of them in training.
        metric: accuracy, balanced_accuracy, macro_f1 or log_loss; rmse, mae or r2.
        space: Name or declaration file of a space; by default by the kind of data.
        method: One of 'archwalk methods', or module:function; agent is the shipped default.
        experience: What is known of other tasks, as for 'archwalk search'; may be repeated. none: begin
            without.
        seed: Of splits and search, and the first of three final seeds.
        device: auto (a GPU if there is one), cpu, cuda, or cuda:N.
        json: Print one JSON object.
    """
    from archwalk.fitting import verbs

    with FitReporter() as reporter:
        result = verbs.fit(
            data,
            out,
            minutes=minutes,
            kind=kind,
            task=task,
            target=target,
            image_size=image_size,
            flip=flip,
            metric=metric,
            space=space,
            method=method,
            experience=experience or None,
            seed=seed,
            device=device,
            on_progress=reporter,
            say=print_step,
        )
    print_json(result.to_json()) if json else print_fit(result)


def search(
    out: Path,
    agent: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = (),
    experience: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    evaluator: str | None = None,
    command: str | None = None,
    budget: int = 50,
    method: str = "agent",
    space: str | None = None,
    task: str | None = None,
    tasks: str = "",
    metric: str | None = None,
    cost: str = "",
    limit: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    known: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    latency: LatencySettings = LatencySettings(),  # noqa: B008 - frozen
    skeleton: SkeletonSettings = SkeletonSettings(),  # noqa: B008 - frozen
    minimise: str = "",
    maximise: str = "",
    time_limit: float | None = None,
    retries: int = 0,
    seed: int = 0,
    jobs: int = 1,
    log: Literal["tensorboard"] | None = None,
    executor: Literal["inline", "ray"] = "inline",
    ray: RaySettings = RaySettings(),  # noqa: B008 - frozen
    benchmark: str | None = None,
    retry_failed: tyro.conf.FlagCreatePairsOff[bool] = False,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Search on a task of your own, within a budget of evaluations. The same command again goes on.

    Args:
        out: Folder of the evaluations and the result.
        agent: A finished run on another task, or one of 'archwalk agents' (box:NAME, or a file); may be
            repeated. none: not even an agent that comes with the package.
        experience: What is known of other tasks: the OUT of an earlier search, a CSV of trials, a benchmark
            (digits, FILE:task@PROTOCOL), a finished run; may be repeated. none: begin without.
        evaluator: module:function, called with an architecture, returns a dictionary of metrics or a number.
        command: Instead: prints the metrics as JSON on its last line; {} becomes the architecture.
        budget: Evaluations in all, failures included.
        method: One of 'archwalk methods', or module:function; agent is the shipped default.
        space: Name or declaration file of a space, a benchmark whose architectures to choose from, or a .task
            file, which also answers; the agent's by default.
        task: Of a .task file with several, or of the benchmark, which then answers if there is no evaluator.
        tasks: Instead: several, as a,b,c, searched together within one budget; the evaluator gets the task's
            name as its second argument, a command in the place of {task}.
        metric: To improve; that of the agent's task by default.
        cost: More metrics to improve, as params or a,b; the result then has a Pareto front.
        limit: What an architecture must keep to, as 'params <= 1e6' or 'latency_ms <= 5'; may be repeated.
            No evaluation is spent on what is known to break one.
        known: What else is known before training: a column of the table that answers, or a CSV with columns
            architecture and NAME; may be repeated.
        latency: How latency_ms is measured; its image is that of flops and macs, too.
        skeleton: What stands around the cells that are counted and timed.
        minimise: Metrics of which less is better, as a,b; known and declared ones know their direction.
        maximise: Metrics of which more is better, as a,b.
        time_limit: Seconds an evaluation.
        retries: Tries after a crash or time-out, within one evaluation.
        seed: Of the search.
        jobs: Evaluations at once on this machine.
        log: Write event files to OUT/tensorboard (needs archwalk[tensorboard]).
        executor: ray: evaluations at once, as tasks on a Ray cluster (needs archwalk[ray]).
        ray: Which cluster, and what an evaluation takes of it.
        benchmark: Where the agents' benchmark is now, if it is no longer where they found it.
        retry_failed: Forget the evaluations that failed, so that they can be made again.
        json: Print one JSON object.
    """
    from archwalk.searching import verbs
    from archwalk.searching.limiting import Sizes

    with SearchReporter(budget) as reporter:
        result = verbs.search(
            evaluator,
            out,
            command=command,
            agent=agent,
            experience=experience,
            space=space,
            method=method,
            budget=budget,
            task=task,
            tasks=[part.strip() for part in tasks.split(",")] if tasks else (),
            metric=metric,
            cost=_parts(cost),
            limits=limit,
            known=known,
            sizes=Sizes(skeleton, latency),
            minimise=_parts(minimise),
            maximise=_parts(maximise),
            time_limit=time_limit,
            retries=retries,
            seed=seed,
            jobs=jobs,
            log=log,
            executor=executor,
            ray=ray,
            benchmark=benchmark,
            retry_failed=retry_failed,
            on_evaluation=reporter,
            say=print_step,
        )
    print_json(result) if json else print_search(result)
    found = result["tasks"].values() if tasks else [result]
    if all(one["architecture"] is None for one in found):
        raise SystemExit(1)


def _parts(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def methods(json: tyro.conf.FlagCreatePairsOff[bool] = False) -> None:
    """List the search methods: name, what each needs, the publication it comes from.

    Args:
        json: Print one JSON list, an object a method.
    """
    from archwalk.searching.registry import describe_methods

    rows = describe_methods()
    print_json(rows) if json else print_methods(rows)


def compare(
    benchmark: str,
    out: Path,
    target: str | None = None,
    targets: str = "",
    sources: str = "",
    source_evaluations: int | None = None,
    source_sample: Literal["search", "random"] = "search",
    methods: str = "random,local,evolution,reinforce,forest,gp,agent",
    budgets: str = "0,10,25,50,100",
    seeds: int = 10,
    jobs: int = 1,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
    protocol: str | None = None,
) -> None:
    """Compare search methods on tasks, by rank after some evaluations. The same command again goes on.

    Args:
        benchmark: Name (see 'archwalk data list') or file.
        protocol: Published protocol that says what the reward is; the file's own reward by default.
        target: The task to search.
        targets: Instead: several, as a,b,c; each gets a folder in OUT.
        out: Folder of the runs and curves.
        sources: What is known beforehand, as a,b,c: tasks of the benchmark, FILE:TASK of another one over the
            same architectures, or rest, all other tasks of the benchmark. The lines gp, source-walk and
            clairvoyant are then always there.
        source_evaluations: How many architectures of each source are known; the complete tables by default.
        source_sample: Which: search: those that a search by gp would have evaluated there; random: any.
        methods: Of 'archwalk methods', as a,b,c; or module:function.
        budgets: Numbers of evaluations to report on, as 0,10,50; 0 is the suggestion before any.
        seeds: Searches a method.
        jobs: Searches at once, one thread each; as many as cores.
        json: Print one JSON list, an object a target, method and budget.
    """
    from archwalk.reporting.search_figures import draw_comparisons
    from archwalk.searching import verbs

    try:
        counts = [int(part) for part in budgets.split(",")]
    except ValueError:
        raise SettingsError("--budgets as 0,10,50", repr(budgets), "write whole numbers") from None
    if (target is None) == (not targets):
        raise SettingsError(
            "one of --target and --targets", "both" if targets else "neither", "name the task to search"
        )
    rows = verbs.compare(
        _under(benchmark, protocol),
        _parts(targets) if target is None else target,
        out,
        sources=_parts(sources),
        source_evaluations=source_evaluations,
        source_sample=source_sample,
        methods=_parts(methods),
        budgets=counts,
        seeds=seeds,
        jobs=jobs,
        say=print_step,
    )
    draw_comparisons(out)
    print_json(rows) if json else print_comparison(rows)


def export(
    architecture: tyro.conf.Positional[str],
    out: Path,
    space: str | None = None,
    skeleton: Annotated[SkeletonSettings, tyro.conf.arg(name="")] = SkeletonSettings(),  # noqa: B008 - frozen
    weights: Path | None = None,
    size: int = 32,
    seed: int = 0,
) -> None:
    """Write an architecture's network as PyTorch source (.py) or as ONNX (.onnx).

    Args:
        architecture: A cell or a chain of modules, as the space writes it.
        out: File to write; its ending decides the form.
        space: Name of a space whose architectures are networks; found by the architecture by default.
        skeleton: What stands around the cells; the published skeleton by default.
        weights: For .onnx: trained weights (safetensors); untrained ones by default.
        size: For .onnx: height and width of the images.
        seed: For .onnx: of the untrained weights.
    """
    from archwalk.files import write_atomically
    from archwalk.networks import export as exporting
    from archwalk.networks.build import build_network

    options = skeleton.model_dump()
    if out.suffix == ".py":
        write_atomically(out, exporting.network_code(space, architecture, **options).encode())
    elif out.suffix == ".onnx":
        network = build_network(space, architecture, seed=seed, **options)
        if weights:
            exporting.load_weights(network, weights)
        exporting.export_onnx(network, out, (skeleton.inputs, size, size))
    else:
        raise SettingsError("a file that ends in .py or .onnx", f"--out {out}", "choose one of the two")
    print(f"written: {out}")


def latency(
    architectures: tyro.conf.Positional[tuple[str, ...]] = (),
    space: str | None = None,
    sample: int = 0,
    latency: Annotated[LatencySettings, tyro.conf.arg(name="")] = LatencySettings(),  # noqa: B008 - frozen
    skeleton: SkeletonSettings = SkeletonSettings(),  # noqa: B008 - frozen
    seed: int = 0,
    out: Path | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Measure how long networks take on this device, one after the other.

    Args:
        architectures: Cells or chains of modules, as the space writes them.
        space: Name of a space whose architectures are networks; found by the architecture by default.
        sample: Instead: so many random architectures of the space.
        latency: How it is measured.
        skeleton: What stands around the cells; the published skeleton by default.
        seed: Of the sample.
        out: A CSV to write as well: a column for 'search --known'.
        json: Print one JSON list, an object an architecture.
    """
    from archwalk.searching.timing import measure, write_latencies

    rows = measure(architectures, space, sample, seed, skeleton, latency)
    found = []
    for text, one in rows:
        found.append((text, one))
        if not json:
            print(f"{text}  {one}", flush=True)
    if json:
        print_json([{"architecture": text} | one.to_json() for text, one in found])
    if out is not None:
        write_latencies(found, out)
        print_step(f"written: {out}")


def proxies(
    architecture: tyro.conf.Positional[str],
    space: str | None = None,
    data: str = "random",
    metrics: str = "",
    batch: int = 64,
    size: int = 32,
    skeleton: Annotated[SkeletonSettings, tyro.conf.arg(name="")] = SkeletonSettings(),  # noqa: B008 - frozen
    seed: int = 0,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Training-free metrics of an architecture's untrained network: synflow, snip, params and the like.

    Args:
        architecture: A cell or a chain of modules, as the space writes it.
        space: Name of a space whose architectures are networks; found by the architecture by default.
        data: Images that the network sees: random, digits (scikit-learn's) or digits:TASK.
        metrics: Which ones, with commas; all by default.
        batch: Images.
        size: Of random images, height and width.
        skeleton: What stands around the cells; the published skeleton by default. Inputs and classes are for
            random images alone.
        seed: Of the first weights and of random images.
        json: Print one JSON object; a metric that is not defined for the network is null.
    """
    import time

    from archwalk.proxies.measures import PROXIES
    from archwalk.proxies.measuring import measure_proxies, named_batch

    if skeleton.classes is None:
        raise SettingsError("networks with scores", "no classes", "leave --classes none out")
    given = named_batch(data, batch, seed, skeleton.inputs, size, skeleton.classes)
    names = metrics.split(",") if metrics else list(PROXIES)
    began = time.perf_counter()
    found = measure_proxies(space, architecture, given, names, seed=seed, **skeleton.model_dump())
    result = {
        "architecture": architecture,
        "data": given.name,
        "batch": batch,
        "seed": seed,
        "proxies": found,
        "seconds": time.perf_counter() - began,
    }
    print_json(result) if json else print_proxies(result)


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

    where = _under(benchmark, protocol)
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


def report(run_dir: tyro.conf.Positional[Path], benchmark: str | None = None) -> None:
    """Make the report of a study, a search or a comparison, finished or not: report.html and its figures and
    tables in the folder.

    Args:
        run_dir: Folder of the study, search or comparison.
        benchmark: Of a study: name or file, if the benchmark is no longer where the study found it.
    """
    from archwalk.reporting.html import kind_of
    from archwalk.reporting.html import report as make_report
    from archwalk.studies.folder import StudyDir

    file = make_report(run_dir, benchmark=benchmark)
    if kind_of(run_dir) == "study":
        missing = len(StudyDir(run_dir).missing())
        print(f"unfinished: {missing} agents are missing" if missing else "every agent is done")
    print(f"written: {file}")


def watch(out: tyro.conf.Positional[Path], port: int = 0) -> None:
    """Follow a running search or study in a browser on this machine; Ctrl-C ends it. It only reads.

    Args:
        out: Folder of the search or study.
        port: Of the loopback address; any free one by default.
    """
    from archwalk.reporting.watching.server import Watch

    page = Watch(out, port)
    print(f"watching {out} at {page.url}    (Ctrl-C ends it)", flush=True)
    try:
        page.serve()
    except KeyboardInterrupt:
        print("ended")


def draw(architecture: tyro.conf.Positional[str], space: str | None = None, out: Path | None = None) -> None:
    """Draw an architecture: its graph with the operations in colour, or a table of its choices.

    Args:
        architecture: Its string.
        space: Name or declaration file of its space, or a table or .task file of that space; found by the
            architecture by default.
        out: File to write, .svg or .png; by default the SVG is printed.
    """
    from archwalk.reporting.draw import draw as make_drawing

    drawing = make_drawing(architecture, space, out)
    print(drawing.svg if out is None else f"written: {out}", end="" if out is None else "\n")


def digits_build(
    out: Path = Path("digits.parquet"),
    work_dir: Path = Path("runs/digits"),
    tasks: str | None = None,
    jobs: int = 1,
    device: str | None = None,
    seeds: int = 1,
    limit: int | None = None,
) -> None:
    """Train and score all cells on all tasks; resumes where it was stopped.

    Args:
        out: The table's file.
        work_dir: Results as they come; several processes may share it.
        tasks: Some tasks only, as a,b.
        jobs: Processes.
        device: cpu or cuda; cuda where there is one.
        seeds: Seeds for the first 104 groups of cells that compute one function.
        limit: Measure this many groups only.
    """
    from archwalk.datasets.digits.build import build

    chosen = tasks.split(",") if tasks else None
    benchmark = build(
        out, work_dir=work_dir, tasks=chosen, jobs=jobs, device=device, seeds=seeds, limit=limit
    )
    print_benchmark(benchmark)
    print(f"written: {out}")


def digits_verify(sample: int = 5, seed: int = 0) -> None:
    """Train random rows of the shipped table again and compare; exit status 1 if they disagree.

    Args:
        sample: How many rows.
        seed: Which rows.
    """
    from archwalk.datasets.digits.verify import verify

    report = verify(sample, seed=seed)
    print(report)
    if not report.agrees:
        raise SystemExit(1)


def digits_card(out: Path = Path("docs/images")) -> None:
    """Draw the data card's figures and print its numbers.

    Args:
        out: Folder for the figures.
    """
    from archwalk.datasets.digits.card import make_card

    print(make_card(out))


def data_list() -> None:
    """The benchmarks that are known by name."""
    from archwalk.tasks.registry import benchmark_names, load_table

    for name in benchmark_names():
        benchmark = load_table(name)
        print(f"{name:12} {len(benchmark):>7,} of {benchmark.space.name:16} {', '.join(benchmark.tasks)}")
        print(f"{'':12} {benchmark.source}")


def data_check(benchmark: tyro.conf.Positional[str]) -> None:
    """Read a benchmark, verify its checksum, and say what is in it.

    Args:
        benchmark: Name or file.
    """
    from archwalk.tasks.registry import load_benchmark, load_table
    from archwalk.tasks.surrogates.task import SurrogateTask

    found = load_benchmark(benchmark)
    print_surrogate(found) if isinstance(found, SurrogateTask) else print_benchmark(load_table(found))


def data_export(
    search: tyro.conf.Positional[Path], to: str, out: Path | None = None, name: str | None = None
) -> None:
    """Write what a search has evaluated as a CSV, or into an Optuna storage, which its dashboard shows.

    Args:
        search: OUT of the search.
        to: csv, or optuna:FILE.
        out: The CSV's file; evaluations.csv in the search's folder by default.
        name: Of the Optuna study; the folder's by default.
    """
    from archwalk.searching.exporting import export as write

    print(f"written: {write(search, to, out, name)}")


def import_transnas_bench(
    file: tyro.conf.Positional[Path], out: Path, space: str = "transnas-micro", name: str | None = None
) -> None:
    """Read the official TransNAS-Bench-101 release (.pth), without executing anything in it.

    Args:
        file: transnas-bench_v10141024.pth.
        out: Benchmark file to write.
        space: transnas-micro or transnas-macro.
        name: Of the benchmark; the space's by default.
    """
    from archwalk.tasks import importers

    _save(importers.import_transnas_bench(file, space, name=name), out)


def import_nasbench101(file: tyro.conf.Positional[Path], out: Path, name: str | None = None) -> None:
    """Read the official NAS-Bench-101 release (.tfrecord), without TensorFlow and without executing anything.

    Args:
        file: nasbench_only108.tfrecord or nasbench_full.tfrecord.
        out: Benchmark file to write.
        name: Of the benchmark; nasbench101 by default.
    """
    from archwalk.tasks import importers_nasbench101 as importers

    _save(importers.import_nasbench101(file, name=name), out)


def import_table(
    file: tyro.conf.Positional[Path],
    space: str,
    out: Path,
    slots: str | None = None,
    name: str | None = None,
    reward: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    minimise: str | None = None,
    maximise: str | None = None,
    source: str = "",
) -> None:
    """Read any tidy or wide CSV or Parquet table; docs/own-data.md shows both forms.

    Args:
        file: The table.
        space: A name (see 'archwalk spaces list'), a file that declares one, or slots.
        out: Benchmark file to write.
        slots: Columns that make an architecture, as op0,op1,... (space slots).
        name: Of the benchmark; the file's stem by default.
        reward: task=metric/split/epoch, where the reward is not certain or another one is wanted; may be
            repeated.
        minimise: Metrics that are better when smaller, as a,b.
        maximise: Metrics that are better when larger although their names speak of a cost, as a,b.
        source: Where the numbers come from, and how to cite them.
    """
    from archwalk.tasks import importers

    rewards = {}
    for entry in reward:
        task, equals, address = entry.partition("=")
        if not (task and equals and address):
            raise SettingsError("--reward task=metric/split/epoch", repr(entry), "write it so")
        rewards[task] = address
    benchmark = importers.import_table(
        file,
        space,
        slots=slots.split(",") if slots else (),
        name=name,
        rewards=rewards,
        minimise=_listed(minimise),
        maximise=_listed(maximise),
        source=source,
    )
    _save(benchmark, out)


def import_nasbench301(
    file: tyro.conf.Positional[Path], out: Path, epoch: int = 98, name: str | None = None
) -> None:
    """Read the published surrogate of NAS-Bench-301 (plain weights) as a task over the space darts.

    Args:
        file: surrogate_weights.npz.
        out: Task file to write, ending in .task.
        epoch: After how many epochs of training, 1 to 98.
        name: Of the task file; nasbench301 by default.
    """
    from archwalk.tasks.surrogates.nasbench301 import import_nasbench301

    _save(import_nasbench301(file, epoch=epoch, name=name or "nasbench301"), out)


def fit_surrogate(
    sample: tyro.conf.Positional[Path],
    space: str,
    task: str,
    out: Path,
    metric: str | None = None,
    metrics: str | None = None,
    minimise: str | None = None,
    maximise: str | None = None,
    models: str = "trees,networks",
    folds: int = 5,
    seed: int = 0,
    name: str | None = None,
    source: str = "",
) -> None:
    """Fit models to a sample of measured architectures: a task over a space that nobody lists.

    Args:
        sample: CSV or Parquet, one row an architecture; docs/surrogates.md shows the form.
        space: Name of a space, or a .toml or .json file that declares one.
        task: Name of the task.
        out: Task file to write, ending in .task.
        metric: The reward; needed where the sample has no single obvious metric.
        metrics: Further metrics to predict, such as limits and costs, as a,b,c.
        minimise: Metrics that are better when smaller, as a,b.
        maximise: Metrics that are better when larger although their names speak of a cost, as a,b.
        models: Families of models that compete in cross-validation: trees, networks.
        folds: Of the cross-validation.
        seed: Of the folds and the fits.
        name: Of the task file; the sample's stem by default.
        source: Where the numbers come from, and how to cite them.
    """
    from archwalk.tasks.surrogates import fit
    from archwalk.tasks.surrogates.task import check_path

    check_path(out)
    wanted = ([metric] if metric else []) + [m for m in _listed(metrics) if m != metric]
    tasks = fit.fit_surrogate(
        sample,
        space,
        task,
        metrics=wanted,
        minimise=_listed(minimise),
        maximise=_listed(maximise),
        families=_listed(models),
        folds=folds,
        seed=seed,
        name=name,
        source=source,
        say=print_step,
    )
    _save(tasks, out)


def _listed(names: str | None) -> list[str]:
    """Names written as a,b,c."""
    return names.split(",") if names else []


def _save(benchmark: Benchmark | SurrogateTask, out: Path) -> None:
    from archwalk.tasks.surrogates.task import SurrogateTask

    benchmark.save(out)
    print_surrogate(benchmark) if isinstance(benchmark, SurrogateTask) else print_benchmark(benchmark)
    print(f"written: {out}")
