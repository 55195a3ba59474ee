"""What it costs to train where nothing is listed: against a table with as many neighbours, and as the space
grows.

    python benchmarks/open_space.py speed  --file nb301.task      # DARTS cells, 120 neighbours, 50 offered
    python benchmarks/open_space.py growth                        # declared spaces of 10^4 to 10^40
    architectures

The network and the settings are those of the preset; the table has a formula's values over three slots of 41
choices. ``growth`` has spaces of 4 to 40 slots of 10 choices, and a table is beside the smallest. Systems
take turns, each in a process of its own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rounds import Facts, System, Turns, endless, peak, periods

from archwalk.config import Settings, load_preset
from archwalk.spaces import make_listed
from archwalk.spaces.base import Codes
from archwalk.spaces.declaration import read_declaration
from archwalk.spaces.declared import DeclaredSpace
from archwalk.tasks import Benchmark, load_benchmark
from archwalk.tasks.base import Predicted
from archwalk.tasks.metrics import METRICS, Column
from archwalk.tasks.table import make_benchmark
from archwalk.training.loop import Loop


def formula(codes: Codes) -> np.ndarray:
    """A smooth value with interactions of neighbouring slots, [n]."""
    x = np.sin(codes + np.arange(codes.shape[1]))
    return 50 + 10 * x.mean(1) + 5 * (x * np.roll(x, 1, axis=1)).mean(1)


class Formula:
    """The formula as a task of a declared space."""

    name, split, epoch, source, checksum, tasks = "formula", "valid", "final", "", "0" * 64, ("main",)

    def __init__(self, slots: int) -> None:
        choices = [str(c) for c in range(10)]
        declared = {"name": "grown", "slots": {f"s{i}": {"choices": choices} for i in range(slots)}}
        self.space, self.rewards = DeclaredSpace(read_declaration(declared)), {"main": METRICS["acc"]}

    def values(self, task: str, codes: Codes, metric: str | None = None) -> np.ndarray:
        return formula(codes)


def table(sizes: list[int]) -> Benchmark:
    """The formula over a product of slots, listed."""
    slots = {f"s{i}": [str(c) for c in range(size)] for i, size in enumerate(sizes)}
    space = make_listed("slots", slots)
    reward = Column("main", "acc", "valid", "final")
    values = {reward: formula(space.codes.astype(np.int16))}
    rows = np.arange(len(space))
    return make_benchmark("formula", space, rows, values, {"acc": METRICS["acc"]}, {"main": reward})


class Training(System):
    """A loop that goes on for ever."""

    def __init__(self, kind: str, file: str, settings: Settings) -> None:
        if kind == "darts":
            found = load_benchmark(file)
            assert isinstance(found, Predicted)
            tasks: Benchmark | Predicted = found
        else:
            name, _, sizes = kind.partition(":")
            tasks = Formula(int(sizes)) if name == "open" else table([int(s) for s in sizes.split(",")])
        self.loop = Loop(tasks, tasks.tasks[0], settings, seed=0)
        self.periods = periods(self.loop)
        next(self.periods)
        size = tasks.space.size or 0
        self.facts = {"size": size, "neighbours": tasks.space.max_neighbours}

    def train(self, seconds: float) -> tuple[int, float]:
        import time

        began, steps = time.perf_counter(), 0
        while (taken := time.perf_counter() - began) < seconds:
            steps += next(self.periods)
        return steps, taken

    def end(self) -> Facts:
        evaluated = int(self.loop.process.evaluated.sum())
        return {"peak": peak(), "evaluated": evaluated, "trained": self.loop.counters.trained_steps}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["speed", "growth"])
    parser.add_argument("--file", type=Path, default=Path("nb301.task"))
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--seconds-per-round", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=6)
    args = parser.parse_args()
    settings = endless(load_preset(args.preset))
    if args.what == "speed":
        kinds = ["table:41,41,41", "darts"]
    else:
        kinds = ["table:10,10,10,10", "open:4", "open:11", "open:18", "open:40"]
    turns = {kind: Turns(Training, 1, kind, str(args.file), settings) for kind in kinds}
    for _ in range(args.rounds):
        for turn in turns.values():
            turn.turn(args.seconds_per_round)
    columns = ("task", "architectures", "neighbours", "trained steps/s, mean (range)", "of the table")
    print("| " + " | ".join([*columns, "peak MB", "evaluated"]) + " |")
    print("|---|---|---|---|---|---|---|")
    first = turns[kinds[0]]
    for kind, turn in turns.items():
        turn.end()
        share = np.mean(np.array(turn.rates) / np.array(first.rates))
        facts = turn.facts
        numbers = f"{facts['size']:.3g} | {facts['neighbours']} | {turn.range()} | {share:.2f}"
        print(f"| {kind} | {numbers} | {facts['peak'] / 1e6:,.0f} | {facts['evaluated']:,} |")


if __name__ == "__main__":
    main()
