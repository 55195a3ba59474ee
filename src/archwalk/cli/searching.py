"""Searches, and what networks cost: ``fit``, ``search``, ``compare``, ``methods``, ``latency``, ``proxies``.

In: arguments. Out: calls to ``archwalk.api`` and ``archwalk.searching``, printed by
``console``. Heavy imports happen inside the functions. ``commands`` puts the command line together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from archwalk.cli.arguments import listed, under
from archwalk.cli.console import (
    print_comparison,
    print_fit,
    print_json,
    print_methods,
    print_proxies,
    print_search,
)
from archwalk.cli.progress import FitReporter, SearchReporter, print_step
from archwalk.config import LatencySettings, RaySettings, SkeletonSettings
from archwalk.errors import SettingsError


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
            cost=listed(cost),
            limits=limit,
            known=known,
            sizes=Sizes(skeleton, latency),
            minimise=listed(minimise),
            maximise=listed(maximise),
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
        under(benchmark, protocol),
        listed(targets) if target is None else target,
        out,
        sources=listed(sources),
        source_evaluations=source_evaluations,
        source_sample=source_sample,
        methods=listed(methods),
        budgets=counts,
        seeds=seeds,
        jobs=jobs,
        say=print_step,
    )
    draw_comparisons(out)
    print_json(rows) if json else print_comparison(rows)


def methods(json: tyro.conf.FlagCreatePairsOff[bool] = False) -> None:
    """List the search methods: name, what each needs, the publication it comes from.

    Args:
        json: Print one JSON list, an object a method.
    """
    from archwalk.searching.registry import describe_methods

    rows = describe_methods()
    print_json(rows) if json else print_methods(rows)


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
