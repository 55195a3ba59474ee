"""Trained steps a second: archwalk beside the frameworks that a user would otherwise take.

    pip install -c constraints.txt -e '.[frameworks,dev]'
    python benchmarks/frameworks.py --network laptop --threads 2 --seconds-per-round 5 --rounds 5
    python benchmarks/frameworks.py --network paper --threads 2 --seconds-per-round 15 --rounds 3

The same task, walks, network, batches of 256 and sampled steps a trained step for all; `contenders.py` says
what each trains. Each system runs in a process of its own and they take turns. A slice ends with what is
under way: archwalk's with the next copy to actors and target, so that each slice pays for whole copies.
archwalk multiplies in bfloat16 where the CPU does, the frameworks in float32, as a user would find them; rows
of their own have archwalk in float32, and without keeping the Q-values of a copy. The last row is the preset
as it is shipped: its own ratio, and n-step double Q-learning or planning.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from contenders import (
    BATCH,
    CAPACITY,
    EPSILON,
    WALKS,
    Archwalk,
    Plain,
    Problem,
    RLlib,
    StableBaselines3,
    Tianshou,
)
from matplotlib.figure import Figure
from rounds import System, Turns

from archwalk.config import load_preset
from archwalk.tasks import load_benchmark


class Entry(NamedTuple):
    """A row: what makes the system, the module it needs, what to install, and what it cannot do."""

    make: Callable[..., System]
    module: str
    install: str
    lacks: str


SYSTEMS = {
    "archwalk": Entry(Archwalk, "archwalk", "", "-"),
    "plain": Entry(Plain, "torch", "", "what is not written: priorities, n-step targets, resuming"),
    "sb3": Entry(
        StableBaselines3,
        "stable_baselines3",
        "stable-baselines3",
        "no action masks, priorities or double targets; all walks explore at the same steps",
    ),
    "tianshou": Entry(
        Tianshou,
        "tianshou",
        "tianshou",
        "with Huber loss the importance weights are dropped; masks not in targets without double",
    ),
    "rllib": Entry(
        RLlib,
        "ray.rllib",
        "'ray[rllib]'",
        "n-step: the last n - 1 steps of a walk are never trained, nor walks shorter than n",
    ),
    "archwalk, float32": Entry(partial(Archwalk, precision="float32"), "archwalk", "", "-"),
    "archwalk, float32, no reuse": Entry(
        partial(Archwalk, precision="float32", reuse=False), "archwalk", "", "-"
    ),
    "archwalk as shipped": Entry(partial(Archwalk, shipped=True), "archwalk", "", "-"),
}


def missing(module: str) -> bool:
    """Whether a module cannot be imported."""
    try:
        return find_spec(module) is None
    except ModuleNotFoundError:
        return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", choices=["laptop", "paper"], default="laptop")
    parser.add_argument("--ratio", type=float, help="sampled steps a trained step")
    parser.add_argument("--benchmark", default="synthetic", help="a file, digits or synthetic")
    parser.add_argument("--task", help="the first one by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds-per-round", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=";".join(SYSTEMS), help="names with ; between them")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="a PNG of the table")
    args = parser.parse_args()

    shipped = load_preset(args.network)
    ratio = args.ratio or (1.0 if args.network == "laptop" else 2.5)
    settings = shipped.replace(
        exploration={"walks_per_actor": WALKS // 8, "schedule": "linear"}
        | dict.fromkeys(("highest", "lowest"), EPSILON),
        reward={"standardise": False},
        replay={"capacity": CAPACITY},
        learner={"planning": False, "double": False, "n_step": 1, "batch_size": BATCH, "halving_steps": 0},
        training={"sampled_per_trained": ratio},
    )
    task = args.task or load_benchmark(args.benchmark).tasks[0]
    problem = Problem(args.benchmark, task, settings, shipped, ratio)

    running: dict[str, Turns] = {}
    for name in args.only.split(";"):
        entry = SYSTEMS[name]
        if missing(entry.module):
            print(f"{name} is left out: pip install -c constraints.txt {entry.install}")
            continue
        running[name] = Turns(entry.make, args.threads, problem)
    for _ in range(args.rounds):
        for turns in running.values():
            turns.turn(args.seconds_per_round)
    for turns in running.values():
        turns.end()

    n = settings.network
    network = f"width {n.width}, feed-forward {n.feedforward}, {n.layers} layer(s)"
    print(f"\n{args.benchmark}, {task}; {network}, {settings.observation.tokens} tokens")
    print(f"{ratio:g} sampled a trained step; {args.threads} thread(s); {args.rounds} rounds of ", end="")
    print(f"{args.seconds_per_round:g} s\n")
    print("| system | trained steps/s, mean (range) | archwalk is faster by × | cannot do |")
    print("|---|---|---|---|")
    own = running.get("archwalk")
    for name, turns in running.items():
        faster = f"{own.mean / turns.mean:.1f}" if own else "-"
        print(f"| {name} | {turns.range()} | {faster} | {SYSTEMS[name].lacks} |")
    if args.json:
        rows = [{"system": name, "rates": turns.rates} | turns.facts for name, turns in running.items()]
        about = {k: str(v) for k, v in vars(args).items()} | {"task": task, "ratio": ratio}
        args.json.write_text(json.dumps(about | {"rows": rows}, indent=1))
    if args.plot:
        title = f"Trained steps a second: {network}"
        draw({name: turns.rates for name, turns in running.items()}, title, args.plot)


def draw(rates: dict[str, list[float]], title: str, file: Path) -> None:
    """A bar a system from the mean of its rounds, a dot a round."""
    figure = Figure(figsize=(7.0, 0.45 * len(rates) + 1.0), layout="constrained")
    axes = figure.subplots()
    for row, (name, of) in enumerate(rates.items()):
        own = name.startswith("archwalk")
        axes.barh(row, sum(of) / len(of), color="#0072b2" if own else "#bbbbbb", height=0.7)
        axes.plot(of, [row] * len(of), ".", color="black", markersize=3)
    axes.set_yticks(range(len(rates)), list(rates))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10)
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    main()
