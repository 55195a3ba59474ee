"""How speed and memory grow with the number of architectures, at equal numbers of neighbours.

    python benchmarks/growth.py --threads 2 --seconds-per-round 10 --rounds 8

Formula tables over products of slots with about 4,096, 15,625 and 423,624 architectures (never fewer), with
equally many neighbours, under the preset `laptop` as shipped and without planning. 18 neighbours reach
262,144 architectures at most, so the largest table has 50 only. Each system runs in a process of its own, in
turns; a slice is a whole number of copies to actors and target. Evaluations are timed apart: a row of metrics
has one, and it grows with the number of its starts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rounds import System, Turns, endless, peak, periods

from archwalk.config import load_preset
from archwalk.memory import resident_bytes
from archwalk.spaces import make_space
from archwalk.tasks.synthetic import make_synthetic
from archwalk.tasks.table import open_benchmark
from archwalk.training.loop import Loop

VARIANTS: dict[str, dict[str, Any]] = {"laptop": {}, "no planning": {"learner": {"planning": False}}}


def slot_sizes(least: int, neighbours: int) -> tuple[int, ...] | None:
    """Slots whose product is little more than ``least``, with exactly so many neighbours; None if none are.

    One edit changes one slot, so the sizes less one add up to the neighbours: products by their sum.
    """
    products: list[dict[int, tuple[int, ...]]] = [{1: ()}, *({} for _ in range(neighbours))]
    for total in range(neighbours):
        for product, sizes in products[total].items():
            for size in range(sizes[-1] if sizes else 2, neighbours - total + 2):
                if product * size <= 2 * least:
                    products[total + size - 1].setdefault(product * size, (*sizes, size))
    enough = [product for product in products[neighbours] if product >= least]
    return products[neighbours][min(enough)] if enough else None


class Grown(System):
    """A table of a given size, opened from a file as a user would, and a trainer on it."""

    def __init__(self, sizes: tuple[int, ...], variant: str) -> None:
        slots = {f"s{i}": [str(choice) for choice in range(size)] for i, size in enumerate(sizes)}
        settings = endless(load_preset("laptop").replace(**VARIANTS[variant]))
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            file = make_synthetic(make_space("slots", slots)).save(Path(folder) / "table.parquet")
            made = time.perf_counter()
            benchmark = open_benchmark(file)
            opened = time.perf_counter()
        self.loop = Loop(benchmark, "alpha", settings, seed=0)
        self.facts = {
            "architectures": len(benchmark),
            "neighbours": benchmark.neighbours.shape[1],
            "make_seconds": made - began,
            "open_seconds": opened - made,
            "trainer_seconds": time.perf_counter() - opened,
        }
        self.periods = periods(self.loop)
        next(self.periods)

    def train(self, seconds: float) -> tuple[int, float]:
        steps, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            steps += next(self.periods)
        return steps, time.perf_counter() - began

    def end(self) -> dict[str, Any]:
        sizes = sum(of.nbytes for of in {of.data_ptr(): of for of in tensors(self.loop)}.values())
        facts = {"tensors": sizes, "rss": resident_bytes(), "seen": int(self.loop.process.evaluated.sum())}
        began = time.perf_counter()
        self.loop._evaluate()
        return facts | {"evaluate_seconds": time.perf_counter() - began, "peak": peak()}


def tensors(of: Any, seen: set[int] | None = None) -> Iterator[torch.Tensor]:
    """Every tensor that a trainer reaches through its attributes."""
    seen = set() if seen is None else seen
    if id(of) in seen:
        return
    seen.add(id(of))
    if isinstance(of, torch.Tensor):
        yield of
    elif isinstance(of, Mapping):
        for value in of.values():
            yield from tensors(value, seen)
    elif isinstance(of, list | tuple):
        for value in of:
            yield from tensors(value, seen)
    elif type(of).__module__.startswith(("archwalk.", "torch.nn", "torch.optim")):
        yield from tensors(vars(of), seen)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="4096,15625,423624")
    parser.add_argument("--neighbours", default="18,50")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds-per-round", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    groups: dict[tuple[int, str], list[Turns]] = {}
    for neighbours in map(int, args.neighbours.split(",")):
        for least in map(int, args.sizes.split(",")):
            if sizes := slot_sizes(least, neighbours):
                for variant in args.variants.split(","):
                    turns = Turns(Grown, args.threads, sizes, variant)
                    groups.setdefault((neighbours, variant), []).append(turns)
            else:
                print(f"No product of slots has {least:,} architectures and {neighbours} neighbours.")
    everyone = [turns for group in groups.values() for turns in group]
    for _ in range(args.rounds):
        for turns in everyone:
            turns.turn(args.seconds_per_round)
    for turns in everyone:
        turns.end()

    print(f"\n{args.threads} thread(s), {args.rounds} rounds of at least {args.seconds_per_round:g} s")
    print("| neighbours | settings | architectures | trained steps/s, mean (range) | step, × smallest |")
    print("|---|---|---|---|---|")
    for (neighbours, variant), group in groups.items():
        for turns in group:
            size, slower = turns.facts["architectures"], group[0].mean / turns.mean
            print(f"| {neighbours} | {variant} | {size:,} | {turns.range()} | {slower:.2f} |")
    print("\n| neighbours | settings | architectures | open, s | trainer, s | evaluate, s ", end="")
    print("| tensors, MB | in memory, MB | peak, MB | bytes an architecture beyond the smallest |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for (neighbours, variant), group in groups.items():
        for turns in group:
            f, least = turns.facts, group[0].facts
            more = f["architectures"] - least["architectures"]
            grown = f"{(f['rss'] - least['rss']) / more:,.0f}" if more else "-"
            seconds = " | ".join(
                f"{f[k]:.2f}" for k in ("open_seconds", "trainer_seconds", "evaluate_seconds")
            )
            memory = " | ".join(f"{f[k] / 1e6:,.0f}" for k in ("tensors", "rss", "peak"))
            size = f["architectures"]
            print(f"| {neighbours} | {variant} | {size:,} | {seconds} | {memory} | {grown} |")
    if args.json:
        rows = [
            {"variant": variant, "rates": turns.rates, **turns.facts}
            for (_, variant), group in groups.items()
            for turns in group
        ]
        args.json.write_text(json.dumps({"threads": args.threads, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
