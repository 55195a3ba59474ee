"""One folder a run: settings, metrics, checkpoints; resume.

In: a spec, and where. Out: the folder, complete or resumable at any moment:

    settings.toml         what was asked: benchmark, task, seed, where the weights came from, every setting
    metrics.jsonl         one row a line; a function of the settings and the seed alone
    timing.jsonl          wall time beside each row
    checkpoint.safetensors  everything a bit-exact continuation needs
    weights.safetensors   the final weights: there when the run has finished
    costs.json            what it cost: trained and sampled steps, evaluations, seconds; checksums
    fine-tune/            of a retraining run: the run cut off after ``fine_tune_steps``, a run folder too

Next: ``runner`` fills it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from archwalk.agents.networks import resolved_precision
from archwalk.encoding.frozen import digest_of_place
from archwalk.errors import BenchmarkError, RunError, reason
from archwalk.files import hold, write_atomically
from archwalk.spaces.matching import same_space
from archwalk.tasks.arranging import arranged
from archwalk.tasks.registry import AnyBenchmark, load_benchmark
from archwalk.tasks.several import AnyTasks, Tables, load_tasks
from archwalk.training.loop import Row
from archwalk.training.spec import RunSpec, read_spec

__all__ = [
    "Costs",
    "RunDir",
]

SETTINGS, METRICS, TIMING = "settings.toml", "metrics.jsonl", "timing.jsonl"
CHECKPOINT, WEIGHTS, COSTS = "checkpoint.safetensors", "weights.safetensors", "costs.json"
CUT = "fine-tune"
DIGESTS = "sha256"  # in the file of costs: of settings and weights


@dataclass(frozen=True)
class Costs:
    """What a run cost, beyond what went into its source.

    Attributes:
        trained_steps: transitions trained on.
        sampled_steps: steps walked.
        evaluations: distinct architectures evaluated on the task; of several tasks the sum.
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
        elsewhere: benchmarks among which its own may be, where it is no longer where the run found it.
    """

    def __init__(self, path: str | Path, elsewhere: Sequence[str | Path | AnyBenchmark] = ()) -> None:
        self.path, self._elsewhere = Path(path), tuple(elsewhere)

    @property
    def finished(self) -> bool:
        """Whether the final weights are there."""
        return (self.path / WEIGHTS).exists()

    def spec(self) -> RunSpec:
        """What the folder is for. Raises ``RunError`` if it holds no readable run."""
        return read_spec(self.path / SETTINGS)

    def costs(self) -> Costs:
        """What the finished run cost."""
        file = self._finished_file(COSTS)
        try:
            values = json.loads(file.read_text("utf-8"))
            return Costs(**{name: value for name, value in values.items() if name != DIGESTS})
        except (OSError, ValueError, TypeError) as error:
            raise RunError(
                f"an intact file {file}", reason(error), "restore it, or run the command that made it again"
            ) from error

    def weights(self) -> dict[str, Tensor]:
        """The final weights. Raises ``RunError`` if they or the settings were changed after the run."""
        weights = read_tensors(self._finished_file(WEIGHTS))
        self.costs()
        kept = json.loads((self.path / COSTS).read_text("utf-8")).get(DIGESTS)  # runs of 0.1 have none
        for name in (SETTINGS, WEIGHTS) if kept is not None else ():
            if not isinstance(kept, dict) or kept.get(name) != self._digest(name):
                raise RunError(
                    f"{self.path / name} as the run left it",
                    "a file that has changed since",
                    "restore it, or run the command that made it again in another folder",
                )
        return weights

    def _digest(self, name: str) -> str:
        """SHA-256 of a file; of the settings without where benchmark and encoder lie, which may move."""
        content = (self.path / name).read_bytes()
        if name == SETTINGS:
            values = tomllib.loads(content.decode())
            values.get("run", {}).pop("benchmark", None)
            seen = values.get("observation", {})
            if seen.get("encoder"):
                seen["encoder"] = digest_of_place(seen["encoder"])
            content = json.dumps(values, sort_keys=True).encode()
        return hashlib.sha256(content).hexdigest()

    def weights_digest(self) -> str:
        """SHA-256 of the weights file."""
        return hashlib.sha256(self._finished_file(WEIGHTS).read_bytes()).hexdigest()

    def rows(self) -> list[Row]:
        """The metrics so far."""
        return read_lines(self.path / METRICS)

    def benchmark(self, given: str | Path | AnyBenchmark | None = None) -> AnyBenchmark:
        """The benchmark the run was made on, or another one, as ``laid_out``.

        Raises:
            BenchmarkError: not found, or another benchmark than the run's where none was named.
            RunError: one of another space.
        """
        return laid_out(self.opened(given), self.spec(), str(self.path))

    def opened(self, given: str | Path | AnyBenchmark | None = None) -> AnyBenchmark:
        """The same as it is in its file, with its own order of slots and choices."""
        opened = self._own(self.spec()) if given is None else load_benchmark(given)
        if isinstance(opened, Tables):
            raise RunError(
                "a run on one table", f"{self.path}, on tasks of {opened.name}", "name one of its tables"
            )
        return opened

    def place(self, task: str, given: str | Path | AnyBenchmark | None = None) -> tuple[AnyBenchmark, str]:
        """``opened``, of one task where there are several tables; and the name that the task has there."""
        opened = self._own(self.spec()) if given is None else load_tasks(given)
        return opened.place(task) if isinstance(opened, Tables) else (opened, task)

    def _own(self, spec: RunSpec) -> AnyTasks:
        """The run's own benchmark, by its checksum, wherever it is."""
        missing: BenchmarkError | None = None
        for where in (spec.benchmark, *self._elsewhere):
            try:
                benchmark = load_tasks(where)
            except BenchmarkError as error:
                missing = missing or error
                continue
            if benchmark.checksum == spec.checksum:
                return benchmark
            missing = missing or BenchmarkError(
                f"the benchmark that {self.path} was made on (checksum {spec.checksum[:12]}…)",
                f"{spec.benchmark} with checksum {benchmark.checksum[:12]}…",
                "name the benchmark to use with --benchmark",
            )
        assert missing is not None
        raise BenchmarkError(
            f"the benchmark of the run {self.path}, {spec.benchmark}",
            missing.got,
            "say with --benchmark where it is now",
        ) from missing

    def _finished_file(self, name: str) -> Path:
        if not self.finished:
            raise RunError(
                f"a finished run in {self.path}",
                f"no {WEIGHTS} there",
                "run the command that made the folder again: it resumes",
            )
        return self.path / name

    def settled(self, spec: RunSpec, device: torch.device) -> RunSpec:
        """The spec with ``auto`` precision decided: as the folder's run began, else as the device would."""
        if spec.settings.training.precision != "auto":
            return spec
        there = (self.path / SETTINGS).exists()
        began = self.spec().settings.training.precision if there else "auto"
        precision = resolved_precision(began, spec.settings.network.width, device)
        return replace(spec, settings=spec.settings.replace(training={"precision": precision}))

    def adopt(self, spec: RunSpec, weights: dict[str, Tensor], costs: Costs = FREE) -> None:
        """A run that needs no training of its own: zero-shot, at no cost, or one cut off another."""
        with self.claimed(spec):
            write_atomically(self.path / SETTINGS, spec.to_toml().encode())
            self.finish(weights, costs)

    def finish(self, weights: dict[str, Tensor], costs: Costs) -> None:
        """Write what makes the run a finished one."""
        content = save(weights)
        digests = {SETTINGS: self._digest(SETTINGS), WEIGHTS: hashlib.sha256(content).hexdigest()}
        values = asdict(costs) | {DIGESTS: digests}
        write_atomically(self.path / COSTS, json.dumps(values, indent=2).encode())
        write_atomically(self.path / WEIGHTS, content)

    @contextmanager
    def claimed(self, spec: RunSpec) -> Iterator[None]:
        """Check that the folder may hold the spec, and hold it alone meanwhile."""
        check_free(self.path, SETTINGS)
        if (self.path / SETTINGS).exists():
            self._check_same(spec)
        with hold(self.path / ".lock"):
            for name in (SETTINGS, METRICS, TIMING, CHECKPOINT, WEIGHTS, COSTS):
                for file in self.path.glob(f".{name}.*"):  # half-written by a process that was killed
                    file.unlink()
            yield

    def _check_same(self, spec: RunSpec) -> None:
        there = self.spec()
        old, new = there.identity(), spec.identity()
        if there.settings.training.trained_steps > spec.settings.training.trained_steps:
            old["training"]["trained_steps"] = there.settings.training.trained_steps
            new["training"]["trained_steps"] = spec.settings.training.trained_steps
        check_same(self.path, old, new)


def laid_out(benchmark: AnyBenchmark, spec: RunSpec, whose: str) -> AnyBenchmark:
    """A benchmark as a run's agent knows its space; one of another space as it is, if the agent sees vectors
    of an encoder, which mean the same in every space.

    Args:
        benchmark: any.
        spec: of the run.
        whose: where the run is, for the message.

    Raises:
        RunError: one of another space, if the agent sees anything else.
    """
    encoded = spec.settings.observation.tokens == "encoded"
    if encoded and not same_space(benchmark.space.describe(), spec.space):
        return benchmark
    try:
        return arranged(benchmark, spec.space, whose)
    except RunError as error:
        if encoded:  # a predicting task whose slots stand in another order
            return benchmark
        across = (
            "agents with --observation.tokens encoded move across spaces, and of any the body (--part body) "
            "and the values (--transfer mapping)"
        )
        raise RunError(error.expected, error.got, f"{error.remedy}; {across}") from error


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
        f"{group}.{name}: {there.get(group, {}).get(name)!r} there, {asked[group].get(name)!r} asked"
        for group in asked
        for name in sorted({*there.get(group, {}), *asked[group]})
        if there.get(group, {}).get(name) != asked[group].get(name)
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


def read_tensors(file: Path) -> dict[str, Tensor]:
    """A safetensors file. Raises ``RunError`` if it is not there or damaged."""
    try:
        return load(file.read_bytes())
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"an intact safetensors file {file}",
            reason(error),
            "restore it, or start again in another folder",
        ) from error


def read_lines(file: Path) -> list[Row]:
    """Whole lines only: the last one may have been cut by a crash."""
    if not file.exists():
        return []
    try:
        lines = file.read_text("utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]
    except (OSError, ValueError) as error:
        raise RunError(
            f"one JSON object a line in {file}", reason(error), "restore it, or start again in another folder"
        ) from error
