"""Making runs: a loop beside its folder, or many in lanes beside theirs.

In: ``Order``s: which folder, for which plan, from which weights. Out: the folders, finished; killed at any
moment and ordered again, they go on from their last checkpoints. Next: ``archwalk.api``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from archwalk.benchmark.table import Benchmark
from archwalk.config import Settings
from archwalk.errors import BenchmarkError, RunError, SettingsError
from archwalk.files import write_atomically
from archwalk.training.lanes import Lane, Lanes, check_lanes
from archwalk.training.loop import Loop, Row, Trainer
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

CPU = torch.device("cpu")
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


def make_runs(orders: Sequence[Order], benchmark: Benchmark, device: torch.device = CPU) -> None:
    """Make one run, or several at once in lanes; all of them on a GPU are lanes.

    Args:
        orders: with plans for this benchmark.
        benchmark: what is looked up.
        device: where.

    Raises:
        RunError: as ``make_run``.
        SettingsError: lanes cannot do what is asked.
    """
    if len(orders) == 1 and device.type == "cpu":
        make_run(orders[0], benchmark)
    else:
        make_lanes(orders, benchmark, device)


def make_run(order: Order, benchmark: Benchmark, make_loop: MakeLoop = Trainer) -> None:
    """Run a plan to its end, from the last checkpoint if there is one.

    Killed at any moment and called again, it goes on, inline with the same bits in weights and metrics. A
    folder whose run has the same plan but fewer trained steps is continued.

    Args:
        order: what to make.
        benchmark: the plan's benchmark.
        make_loop: what trains, called with the arguments of ``Loop``.

    Raises:
        RunError: the folder belongs to another plan, is in use, damaged, or cannot be written.
    """
    plan = order.run.settled(order.plan, CPU)
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


def make_lanes(orders: Sequence[Order], benchmark: Benchmark, device: torch.device) -> None:
    """``make_run`` for several at once, as lanes of one program.

    Those that stand at the same point go on together, one group after the other.

    Raises:
        RunError: as ``make_run``.
        SettingsError: as ``check_lanes``.
    """
    plans = [order.run.settled(order.plan, device) for order in orders]
    for plan in plans:
        check_lanes(plan.settings, benchmark)
    lanes = [
        Lane(benchmark, plan.task, plan.settings, plan.seed, order.initial, plan.cut_steps)
        for order, plan in zip(orders, plans, strict=True)
    ]
    with ExitStack() as claims:
        for order, plan in zip(orders, plans, strict=True):
            claims.enter_context(order.run.claimed(plan))
        claims.enter_context(threads(plans[0].settings.training.threads))
        left: list[tuple[Keeper, Lane]] = []
        for order, plan, lane in zip(orders, plans, lanes, strict=True):
            keeper = Keeper(order.run, plan, lane, order.on_row)
            if not keeper.done:
                left.append((keeper, lane))
        while left:
            together = [(k, lane) for k, lane in left if _stands(lane) == _stands(left[0][1])]
            left = [pair for pair in left if pair not in together]
            _advance(together, device)


def _stands(lane: Lane) -> tuple[object, ...]:
    """Where a lane stands: lanes of one program stand at the same point of the same course."""
    c = lane.counters
    return c.trained_steps, c.sampled_steps, c.updates, c.owed, lane.cut, lane.settings


def _advance(together: Sequence[tuple[Keeper, Lane]], device: torch.device) -> None:
    keepers = [keeper for keeper, _ in together]
    program = Lanes([lane for _, lane in together], device)
    for keeper in keepers:
        keeper.share = 1 / len(keepers)
        keeper.begin()
    for rows in program.run():
        for keeper, row in zip(keepers, rows, strict=True):
            keeper.keep(row)
    for keeper in keepers:
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
        share: of the time that passes, how much this run costs; less than one if several are made at once.

    Raises:
        RunError: damaged files.
    """

    def __init__(self, run: RunDir, plan: Plan, loop: Loop, on_row: OnRow | None) -> None:
        self.run, self.plan, self.loop, self.share = run, plan, loop, 1.0
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
        return self._spent + self.share * (time.monotonic() - self._began)

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
