"""``Runner``: the one place where a run is put together: spec, benchmark, algorithm, device and folder.

In: a ``RunSpec`` and where. Out: the folder, finished; killed at any moment and run again, it goes on from
its last checkpoint. Next: ``archwalk.api``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from archwalk.agents.base import MakeAgent
from archwalk.agents.networks import is_body
from archwalk.agents.registry import DEFAULT, find_algorithm, form_of
from archwalk.agents.values import CPU, QFunction, make_values
from archwalk.config import Settings
from archwalk.envs.build import greedy_process
from archwalk.errors import BenchmarkError, RunError, SettingsError, reason
from archwalk.files import json_text, write_atomically
from archwalk.seeding import make_generator
from archwalk.tasks.base import Predicted
from archwalk.tasks.several import AnyTasks, Tables, places_of
from archwalk.tasks.table import Benchmark
from archwalk.training.loop import Loop, Row
from archwalk.training.rundir import (
    CHECKPOINT,
    CUT,
    METRICS,
    SETTINGS,
    TIMING,
    WEIGHTS,
    Costs,
    RunDir,
    read_lines,
    read_tensors,
)
from archwalk.training.sources import Moved, load_weights
from archwalk.training.spec import RunSpec

OnRow = Callable[[Row, float], None]


def find_device(asked: str) -> torch.device:
    """Where to train: ``auto`` is a GPU if there is one.

    Args:
        asked: ``auto``, ``cpu``, ``cuda``, or ``cuda:1`` for the second GPU.

    Raises:
        SettingsError: no such device here.
    """
    gpus = torch.cuda.device_count()
    if asked == "auto":
        return torch.device("cuda") if gpus else CPU
    kind, _, index = asked.partition(":")
    if asked == "cpu" or (kind == "cuda" and (not index or index.isdigit()) and int(index or 0) < gpus):
        return torch.device(asked)
    raise SettingsError(
        "auto, cpu, cuda, or cuda:N with N below the number of GPUs",
        f"device {asked!r}, with {gpus} GPUs that this PyTorch can use",
        "choose --device cpu, or install PyTorch for the GPU",
    )


@dataclass(frozen=True)
class Runner:
    """One run to be made.

    Attributes:
        run: its folder.
        spec: what it is.
        benchmark: what the spec names.
        initial: weights to begin with; drawn from the seed if None.
        on_row: called with each new row of metrics and the seconds so far.
        moved: how sources are used beyond those weights; None if not at all.
    """

    run: RunDir
    spec: RunSpec
    benchmark: AnyTasks
    initial: dict[str, Tensor] | None = None
    on_row: OnRow | None = None
    moved: Moved | None = None

    def make(self, device: torch.device = CPU, make_agent: MakeAgent | None = None) -> RunDir:
        """Run to the end, from the last checkpoint if there is one.

        Killed at any moment and called again, it goes on, in one process with the same bits in weights and
        metrics. A folder whose run has the same spec but fewer trained steps is continued. A zero-shot run
        has its source's weights and costs nothing, unless its transfer method has something to prepare.

        Args:
            device: where the network is.
            make_agent: what makes the agent, in place of the spec's algorithm in this process.

        Raises:
            RunError: the folder belongs to another run, is in use, damaged, or cannot be written.
        """
        as_it_is = self.moved is None or not self.moved.zero_shot_steps
        if self.spec.regime == "zero-shot" and as_it_is and self.initial is not None:
            self.run.adopt(self.spec, self.initial)
            return self.run
        spec = self.run.settled(self.spec, device)
        loop = Loop(  # checks before any write
            self.benchmark,
            spec.task,
            spec.settings,
            spec.seed,
            self.initial,
            spec.cut_steps,
            device,
            make_agent or find_algorithm(spec.algorithm),
            self.moved.prepare if self.moved else None,
        )
        with closing(loop), self.run.claimed(spec), threads(spec.settings.training.threads):
            keeper = _Keeper(self.run, spec, loop, self.on_row)
            if not keeper.done:
                keeper.begin()
                for row in loop.run():
                    keeper.keep(row)
                keeper.finish()
        return self.run


def with_body(
    weights: Mapping[str, Tensor], features: int, settings: Settings, seed: int, algorithm: str = DEFAULT
) -> dict[str, Tensor]:
    """A network with the body of another one; embedding and heads are drawn from the seed, as for a run from
    scratch (paper, section 5.2: body swapping).

    Args:
        weights: of the other network, whose body has the same sizes.
        features: length of the tokens that the new one sees.
        settings: sizes.
        seed: of what is drawn.
        algorithm: whose network it is.
    """
    fresh = (
        form_of(algorithm).network(features, settings, make_generator(seed, "weights"), False).state_dict()
    )
    return fresh | {name: value for name, value in weights.items() if is_body(name)}


def load_values(run: RunDir, benchmark: Benchmark | Predicted, task: str) -> QFunction:
    """A finished run's network, in a process over a benchmark of the same space, to walk greedily on a task.

    Raises:
        RunError: the run is not finished, or its weights do not fit.
    """
    spec, weights = run.spec(), load_weights(run, task, benchmark)
    process, form = greedy_process(benchmark, spec.settings), form_of(spec.algorithm)
    values = make_values(process, spec.settings, spec.seed, form=form)
    try:
        values.network.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        raise RunError(
            f"weights of a network for the space {benchmark.space.name!r}",
            f"{run.path}: {reason(error)}",
            "use a benchmark of the space that the run was trained on",
        ) from error
    return values


class _Keeper:
    """Writes one run down while it is made.

    Args:
        run: its folder, which is claimed.
        spec: what it is.
        loop: what trains; brought to the last checkpoint, and what was written after that is cut off.
        on_row: called with each new row of metrics and the seconds so far.

    Attributes:
        done: nothing is left to train.

    Raises:
        RunError: damaged files.
    """

    def __init__(self, run: RunDir, spec: RunSpec, loop: Loop, on_row: OnRow | None) -> None:
        self.run, self.spec, self.loop = run, spec, loop
        self._on_row = on_row
        self._rows, self._spent = self._restore()
        trained = loop.counters.trained_steps
        self.done = run.finished and trained >= spec.settings.training.trained_steps
        self._began, self._saved = time.monotonic(), self._checkpoints()

    def _checkpoints(self) -> int:
        return self.loop.counters.trained_steps // self.spec.settings.training.checkpoint_every

    @property
    def seconds(self) -> float:
        """Wall time that the run has taken."""
        return self._spent + time.monotonic() - self._began

    def begin(self) -> None:
        """The folder is that of a run under way from now on."""
        (self.run.path / WEIGHTS).unlink(missing_ok=True)
        write_atomically(self.run.path / SETTINGS, self.spec.to_toml().encode())
        self._began = time.monotonic()

    def keep(self, row: Row) -> None:
        """Write a row, and whatever is due with it."""
        path, seconds = self.run.path, self.seconds
        self._rows += 1
        _append_line(path / METRICS, row)
        _append_line(path / TIMING, {"trained_steps": row["trained_steps"], "seconds": round(seconds, 3)})
        if self.loop.at_cut:
            RunDir(path / CUT).adopt(self.spec.cut(), self._weights(), self._costs())
        if self._on_row:
            self._on_row(row, seconds)
        if self._checkpoints() != self._saved:
            self._saved = self._checkpoints()
            self._checkpoint()

    def finish(self) -> None:
        """The last checkpoint, the weights and the costs."""
        self._checkpoint()
        self.run.finish(self._weights(), self._costs())

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.to(CPU) for name, value in self.loop.agent.values.network.state_dict().items()}

    def _costs(self) -> Costs:
        counters, seen = self.loop.counters, self.loop.process.evaluated
        hours = _evaluation_hours(self.loop)
        return Costs(
            counters.trained_steps, counters.sampled_steps, int(seen.sum()), round(self.seconds, 3), hours
        )

    def _checkpoint(self) -> None:
        for name in (METRICS, TIMING):  # the rows that the checkpoint counts must outlast it
            try:
                with (self.run.path / name).open("rb") as file:
                    os.fsync(file)
            except OSError as error:
                raise _unwritable(self.run.path / name, error) from error
        tensors = {k: v.contiguous().clone() for k, v in self.loop.state_dict().items()}
        header = {"rows": str(self._rows), "seconds": repr(self.seconds)}
        write_atomically(self.run.path / CHECKPOINT, save(tensors, metadata=header))

    def _restore(self) -> tuple[int, float]:
        """Load the checkpoint if there is one, and cut what was written after it. Rows and seconds so far."""
        path, rows, seconds = self.run.path, 0, 0.0
        file = path / CHECKPOINT
        if file.exists():
            try:
                self.loop.load_state_dict(read_tensors(file))
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise RunError(
                    f"a checkpoint of this version of archwalk in {file}",
                    f"one that does not fit: {reason(error)}",
                    "start again in another folder; finished weights stay usable",
                ) from error
            with safetensors.safe_open(file, framework="pt") as opened:
                header = opened.metadata()
            rows, seconds = int(header["rows"]), float(header["seconds"])
        for name in (METRICS, TIMING):
            kept = read_lines(path / name)[:rows]
            if len(kept) < rows:
                raise RunError(
                    f"{rows} rows in {path / name}, as the checkpoint says",
                    f"{len(kept)}",
                    "restore the file, or start again in another folder",
                )
            if (path / name).exists():  # no file of a run may be there before its settings are
                content = "".join(json.dumps(row) + "\n" for row in kept)
                write_atomically(path / name, content.encode())
        return rows, seconds


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads of the tensor library meanwhile; 0 leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _evaluation_hours(loop: Loop) -> float | None:
    benchmark = loop.benchmark
    if not isinstance(benchmark, Benchmark | Tables):
        return None
    places = places_of(benchmark, loop.tasks)
    try:
        seconds = [table.values(task, "none", "time_elapsed") for table, task in places]
    except BenchmarkError:
        return None
    return float(np.nansum(np.concatenate(seconds)[loop.process.evaluated.numpy()]) / 3600)


def _append_line(file: Path, row: Row) -> None:
    try:
        with file.open("a", encoding="utf-8") as out:
            out.write(json_text(row, None) + "\n")
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(file: Path, error: OSError) -> RunError:
    remedy = "free space, then run the same command again: it resumes"
    return RunError(f"to write {file}", str(error.strerror), remedy)
