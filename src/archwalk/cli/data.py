"""``archwalk data`` and ``archwalk digits``: benchmarks, listed, checked, made.

In: arguments. Out: calls to ``archwalk.tasks`` and ``archwalk.datasets``, printed by
``console``. Heavy imports happen inside the functions. ``commands`` puts the command line together.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from archwalk.cli.console import print_benchmark, print_surrogate
from archwalk.cli.progress import print_step
from archwalk.cli.verbs import Verbs
from archwalk.errors import SettingsError

if TYPE_CHECKING:
    from archwalk.tasks.surrogates.task import SurrogateTask
    from archwalk.tasks.table import Benchmark


def data_app() -> Verbs:
    """The verbs below ``archwalk data``."""
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
    return data


def digits_app() -> Verbs:
    """The verbs below ``archwalk digits``."""
    digits = Verbs("The embedded benchmark: measure it, check it, draw its card.")
    digits.add("build", digits_build)
    digits.add("verify", digits_verify)
    digits.add("card", digits_card)
    return digits


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
    """Names written as a,b,c, with the empty ones, which whoever reads them refuses."""
    return names.split(",") if names else []


def _save(benchmark: Benchmark | SurrogateTask, out: Path) -> None:
    from archwalk.tasks.surrogates.task import SurrogateTask

    benchmark.save(out)
    print_surrogate(benchmark) if isinstance(benchmark, SurrogateTask) else print_benchmark(benchmark)
    print(f"written: {out}")
