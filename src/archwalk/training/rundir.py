"""One folder a run: settings, metrics, checkpoints; resume.

In: a plan, and where. Out: the folder, complete or resumable at any moment:

    settings.toml         what was asked: benchmark, task, seed, where the weights came from, every setting
    metrics.jsonl         one row a line; a function of the settings and the seed alone
    timing.jsonl          wall time beside each row
    checkpoint.safetensors  everything a bit-exact continuation needs
    weights.safetensors   the final weights: there when the run has finished
    costs.json            what it cost: trained and sampled steps, evaluations, seconds
    fine-tune/            of a retraining run: the run cut off after ``fine_tune_steps``, a run folder too

Next: ``making`` fills it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from archwalk.agents.networks import resolved_precision
from archwalk.config import Settings, parse_settings
from archwalk.errors import BenchmarkError, RunError, SettingsError
from archwalk.files import hold, write_atomically
from archwalk.tasks.registry import benchmark_names, load_benchmark
from archwalk.tasks.table import Benchmark
from archwalk.training.loop import Row

SETTINGS, METRICS, TIMING = "settings.toml", "metrics.jsonl", "timing.jsonl"
CHECKPOINT, WEIGHTS, COSTS = "checkpoint.safetensors", "weights.safetensors", "costs.json"
CUT = "fine-tune"
Regime = str  # "scratch", "zero-shot", "fine-tune" or "retrain"


@dataclass(frozen=True)
class Plan:
    """What a run folder is for; two runs with equal plans compute the same.

    Attributes:
        benchmark: name or path of the benchmark.
        checksum: of its content, which is what counts.
        space: description of its search space (``SearchSpace.describe``).
        task: the task trained on, the target.
        seed: of every generator.
        regime: scratch, zero-shot, fine-tune or retrain.
        settings: everything else.
        source_task: task of the run the weights came from; empty for scratch.
        source_weights: SHA-256 of those weights; empty for scratch.
        source_trained_steps: trained steps that went into them.
        executor: ``inline``, which repeats itself bit for bit, or what ran elsewhere, and how.
    """

    benchmark: str
    checksum: str
    space: dict[str, Any]
    task: str
    seed: int
    regime: Regime
    settings: Settings
    source_task: str = ""
    source_weights: str = ""
    source_trained_steps: int = 0
    executor: str = "inline"

    @property
    def cut_steps(self) -> int:
        """Trained steps at which the run, cut off, is the fine-tuned one; 0 if it is none of retraining."""
        return self.settings.training.fine_tune_steps if self.regime == "retrain" else 0

    def cut(self) -> Plan:
        """The fine-tuning that a retraining run begins with."""
        settings = self.settings.replace(training={"trained_steps": self.cut_steps})
        return replace(self, regime="fine-tune", settings=settings)

    def to_toml(self) -> str:
        """Every field, the settings as tables."""
        values = asdict(self) | {"settings": self.settings.model_dump()}
        return tomli_w.dumps(
            {"run": {k: v for k, v in values.items() if k != "settings"}} | values["settings"]
        )

    def identity(self) -> dict[str, Any]:
        """What must agree for a folder to be continued: all but where the benchmark lies, how long the run
        is, and how often it reports."""
        values = tomllib.loads(self.to_toml())
        del values["run"]["benchmark"], values["training"]["trained_steps"], values["training"]["threads"]
        return values


@dataclass(frozen=True)
class Costs:
    """What a run cost, beyond what went into its source.

    Attributes:
        trained_steps: transitions trained on.
        sampled_steps: steps walked.
        evaluations: distinct architectures looked up on the task.
        seconds: wall time.
        evaluation_hours: simulated training time of those architectures, in hours, where the benchmark
            records ``time_elapsed``; None elsewhere.
    """

    trained_steps: int
    sampled_steps: int
    evaluations: int
    seconds: float
    evaluation_hours: float | None


FREE = Costs(0, 0, 0, 0.0, None)


class RunDir:
    """A run folder on disk.

    Args:
        path: the folder; made when the run begins.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def finished(self) -> bool:
        """Whether the final weights are there."""
        return (self.path / WEIGHTS).exists()

    def plan(self) -> Plan:
        """What the folder is for. Raises ``RunError`` if it holds no readable run."""
        file = self.path / SETTINGS
        try:
            values = tomllib.loads(file.read_text())
            run = values.pop("run")
            return Plan(**run, settings=parse_settings(values, str(file)))
        except (OSError, KeyError, TypeError, ValueError, SettingsError) as error:
            got = "no such file" if isinstance(error, OSError) else str(error).splitlines()[0]
            raise RunError(
                "a run folder made by 'archwalk train' or 'archwalk transfer'",
                f"{self.path}: {SETTINGS}: {got}",
                "check the path",
            ) from error

    def costs(self) -> Costs:
        """What the finished run cost."""
        return Costs(**json.loads(self._finished_file(COSTS).read_text()))

    def weights(self) -> dict[str, Tensor]:
        """The final weights."""
        return read_tensors(self._finished_file(WEIGHTS))

    def weights_digest(self) -> str:
        """SHA-256 of the weights file."""
        return hashlib.sha256(self._finished_file(WEIGHTS).read_bytes()).hexdigest()

    def rows(self) -> list[Row]:
        """The metrics so far."""
        return read_lines(self.path / METRICS)

    def benchmark(self, name_or_path: str | Path | None = None) -> Benchmark:
        """The benchmark the run was made on, or another one for the same space.

        Raises:
            BenchmarkError: not found, or another benchmark than the run's where none was named.
        """
        plan = self.plan()
        benchmark = load_benchmark(name_or_path or plan.benchmark)
        if name_or_path is None and benchmark.checksum != plan.checksum:
            raise BenchmarkError(
                f"the benchmark that {self.path} was made on (checksum {plan.checksum[:12]}…)",
                f"{plan.benchmark} with checksum {benchmark.checksum[:12]}…",
                "name the benchmark to use with --benchmark",
            )
        return benchmark

    def _finished_file(self, name: str) -> Path:
        if not self.finished:
            raise RunError(
                f"a finished run in {self.path}",
                f"no {WEIGHTS} there",
                "run the command that made the folder again: it resumes",
            )
        return self.path / name

    def settled(self, plan: Plan, device: torch.device) -> Plan:
        """The plan with ``auto`` precision decided: as the folder's run began, else as the device would."""
        if plan.settings.training.precision != "auto":
            return plan
        there = (self.path / SETTINGS).exists()
        began = self.plan().settings.training.precision if there else "auto"
        precision = resolved_precision(began, plan.settings.network.width, device)
        return replace(plan, settings=plan.settings.replace(training={"precision": precision}))

    def adopt(self, plan: Plan, weights: dict[str, Tensor], costs: Costs = FREE) -> None:
        """A run that needs no training of its own: zero-shot, at no cost, or one cut off another."""
        with self.claimed(plan):
            write_atomically(self.path / SETTINGS, plan.to_toml().encode())
            self.finish(weights, costs)

    def finish(self, weights: dict[str, Tensor], costs: Costs) -> None:
        """Write what makes the run a finished one."""
        write_atomically(self.path / COSTS, json.dumps(asdict(costs), indent=2).encode())
        write_atomically(self.path / WEIGHTS, save(weights))

    @contextmanager
    def claimed(self, plan: Plan) -> Iterator[None]:
        """Check that the folder may hold the plan, and hold it alone meanwhile."""
        check_free(self.path, SETTINGS)
        if (self.path / SETTINGS).exists():
            self._check_same(plan)
        with hold(self.path / ".lock"):
            for name in (SETTINGS, METRICS, TIMING, CHECKPOINT, WEIGHTS, COSTS):
                for file in self.path.glob(f".{name}.*"):  # half-written by a process that was killed
                    file.unlink()
            yield

    def _check_same(self, plan: Plan) -> None:
        there = self.plan()
        old, new = there.identity(), plan.identity()
        if there.settings.training.trained_steps > plan.settings.training.trained_steps:
            old["training"]["trained_steps"] = there.settings.training.trained_steps
            new["training"]["trained_steps"] = plan.settings.training.trained_steps
        check_same(self.path, old, new)


def check_same(path: Path, there: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse a folder made with other settings, naming the first that differ.

    Args:
        path: the folder.
        there: group → field → value, as the folder has them.
        asked: the same, as now wanted.

    Raises:
        RunError: any field differs.
    """
    changed = [
        f"{group}.{name}: {there[group].get(name)!r} there, {asked[group].get(name)!r} asked"
        for group in asked
        for name in sorted({*there[group], *asked[group]})
        if there[group].get(name) != asked[group].get(name)
    ]
    if changed:
        raise RunError(
            f"the settings that {path} was made with", "; ".join(changed[:4]), "choose another --run-dir"
        )


def check_free(path: Path, marker: str) -> None:
    """Refuse a path that is a file, or a folder that holds files but no ``marker``.

    Hidden ones are locks, or what a killed writer left.

    Raises:
        RunError: as said.
    """
    if path.exists() and not path.is_dir():
        raise RunError("a folder to work in", f"{path}, which is a file", "choose another --run-dir")
    if path.exists() and not (path / marker).exists() and any(p.name[0] != "." for p in path.iterdir()):
        raise RunError(
            "an empty or new folder, or one of an earlier run of the same settings",
            f"{path}, which holds other files",
            "choose another --run-dir",
        )


def describe_benchmark(name_or_path: str | Path) -> str:
    """How a plan names a benchmark: a built-in name as it is, a file by its absolute path."""
    text = str(name_or_path)
    return text if text in benchmark_names() else str(Path(text).resolve())


def read_tensors(file: Path) -> dict[str, Tensor]:
    """A safetensors file. Raises ``RunError`` if it is not there or damaged."""
    try:
        return load(file.read_bytes())
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"an intact safetensors file {file}", str(error), "restore it, or start again in another folder"
        ) from error


def read_lines(file: Path) -> list[Row]:
    """Whole lines only: the last one may have been cut by a crash."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
