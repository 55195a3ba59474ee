"""Making runs: a loop beside its folder.

In: ``Order``s: which folder, for which plan, from which weights. Out: the folders, finished; killed at any
moment and ordered again, they go on from their last checkpoints. Next: ``archwalk.api``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from archwalk.config import Settings
from archwalk.errors import BenchmarkError, RunError, SettingsError
from archwalk.files import write_atomically
from archwalk.tasks.table import Benchmark
from archwalk.training.loop import CPU, Loop, Row, Trainer
from archwalk.training.rundir import (
    CHECKPOINT,
    CUT,
    METRICS,
    SETTINGS,
    TIMING,
    WEIGHTS,
    Costs,
    Plan,
    RunDir,
    read_lines,
    read_tensors,
)

MakeLoop = Callable[[Benchmark, str, Settings, int, dict[str, Tensor] | None, int], Loop]
OnRow = Callable[[Row, float], None]


@dataclass(frozen=True)
class Order:
    """One run to be made.

    Attributes:
        run: its folder.
        plan: what to do.
        initial: weights to begin with; drawn from the seed if None.
        on_row: called with each new row of metrics and the seconds so far.
    """

    run: RunDir
    plan: Plan
    initial: dict[str, Tensor] | None = None
    on_row: OnRow | None = None


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


def make_run(
    order: Order, benchmark: Benchmark, make_loop: MakeLoop | None = None, device: torch.device = CPU
) -> None:
    """Run a plan to its end, from the last checkpoint if there is one.

    Killed at any moment and called again, it goes on, inline with the same bits in weights and metrics. A
    folder whose run has the same plan but fewer trained steps is continued.

    Args:
        order: what to make.
        benchmark: the plan's benchmark.
        make_loop: what trains, called with the arguments of ``Loop``; in this process by default.
        device: where the network is, in this process.

    Raises:
        RunError: the folder belongs to another plan, is in use, damaged, or cannot be written.
    """
    plan = order.run.settled(order.plan, device)
    make_loop = make_loop or partial(Trainer, device=device)
    # checks before any write
    loop = make_loop(benchmark, plan.task, plan.settings, plan.seed, order.initial, plan.cut_steps)
    with closing(loop), order.run.claimed(plan), threads(plan.settings.training.threads):
        keeper = Keeper(order.run, plan, loop, order.on_row)
        if keeper.done:
            return
        keeper.begin()
        for row in loop.run():
            keeper.keep(row)
        keeper.finish()


class Keeper:
    """Writes one run down while it is made.

    Args:
        run: its folder, which is claimed.
        plan: what it is for.
        loop: what trains; brought to the last checkpoint, and what was written after that is cut off.
        on_row: called with each new row of metrics and the seconds so far.

    Attributes:
        done: nothing is left to train.

    Raises:
        RunError: damaged files.
    """

    def __init__(self, run: RunDir, plan: Plan, loop: Loop, on_row: OnRow | None) -> None:
        self.run, self.plan, self.loop = run, plan, loop
        self._on_row = on_row
        self._rows, self._spent = self._restore()
        trained = loop.counters.trained_steps
        self.done = run.finished and trained >= plan.settings.training.trained_steps
        self._began, self._saved = time.monotonic(), self._checkpoints()

    def _checkpoints(self) -> int:
        return self.loop.counters.trained_steps // self.plan.settings.training.checkpoint_every

    @property
    def seconds(self) -> float:
        """Wall time that the run has taken."""
        return self._spent + time.monotonic() - self._began

    def begin(self) -> None:
        """The folder is that of a run under way from now on."""
        (self.run.path / WEIGHTS).unlink(missing_ok=True)
        write_atomically(self.run.path / SETTINGS, self.plan.to_toml().encode())
        self._began = time.monotonic()

    def keep(self, row: Row) -> None:
        """Write a row, and whatever is due with it."""
        path, seconds = self.run.path, self.seconds
        self._rows += 1
        _append_line(path / METRICS, row)
        _append_line(path / TIMING, {"trained_steps": row["trained_steps"], "seconds": round(seconds, 3)})
        if self.loop.at_cut:
            RunDir(path / CUT).adopt(self.plan.cut(), self._weights(), self._costs())
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
        return dict(self.loop.agent.network.state_dict())

    def _costs(self) -> Costs:
        counters, seen = self.loop.counters, self.loop.evaluated
        hours = _evaluation_hours(self.loop)
        return Costs(
            counters.trained_steps, counters.sampled_steps, int(seen.sum()), round(self.seconds, 3), hours
        )

    def _checkpoint(self) -> None:
        for name in (METRICS, TIMING):  # the rows that the checkpoint counts must outlast it
            with (self.run.path / name).open("rb") as file:
                os.fsync(file)
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
                    f"one that does not fit: {str(error).splitlines()[0]}",
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
    benchmark, task = loop.benchmark, loop.task
    try:
        seconds = benchmark.values(task, "none", "time_elapsed")
    except BenchmarkError:
        return None
    return float(np.nansum(seconds[loop.evaluated.numpy()]) / 3600)


def _append_line(file: Path, row: Row) -> None:
    try:
        with file.open("a") as out:
            out.write(json.dumps(row) + "\n")
    except OSError as error:
        raise RunError(
            f"to write {file}", str(error.strerror), "free space, then run the same command again: it resumes"
        ) from error
