"""One update against the time that its matrix products alone would take.

    python benchmarks/update.py --preset paper --threads 2
    python benchmarks/update.py --preset laptop --precision float32,bfloat16 --threads 1
    python benchmarks/update.py --preset paper --compile

An update is all of it: a batch from replay, targets, forward and backward pass, clipping, Adam, new
priorities. Its products are counted by the tensor library's flop counter; the peak is the median rate of
square products of 2,048 in the same precision, measured in turns with the updates. Targets look up Q-values
of the last copy, as in training; the copies themselves are in `loop.py`. With `--compile` the network is
compiled by torch.compile first, and the time of that is told.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from archwalk.agents.dqn.agent import DQNAgent
from archwalk.agents.dqn.planner import Planner
from archwalk.config import load_preset
from archwalk.tasks import load_benchmark
from archwalk.training.loop import Loop

SIDE = 2_048  # of the square products


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--precision", default="float32,bfloat16")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)

    print(f"preset {args.preset}, {torch.get_num_threads()} thread(s), medians of {args.rounds} rounds\n")
    print("| precision | update, ms | products, GFLOP | peak, GFLOP/s | update at peak, ms | share of peak |")
    print("|---|---|---|---|---|---|")
    notes = []
    for precision in args.precision.split(","):
        settings = load_preset(args.preset).replace(training={"precision": precision})
        loop = Loop(load_benchmark("synthetic"), "alpha", settings, seed=0)
        made = loop.agent
        assert isinstance(made, DQNAgent)
        while len(made.replay) < settings.replay.warmup:
            loop._count(made.act())
        if isinstance(made.target, Planner):
            made.target.refresh()

        def update(agent: DQNAgent = made, batch: int = settings.learner.batch_size) -> None:
            sample = agent.replay.sample(batch, agent.generators["replay"])
            found = agent.learner.update(sample, agent.target)
            agent.replay.set_errors(sample.slots, found.error)

        update()  # the target's Q-values are looked up for the first time
        with FlopCounterMode(display=False) as counter:
            update()
        flops = counter.get_total_flops()
        if args.compile:
            network = loop.agent.values.network
            network.forward = torch.compile(network.forward)  # type: ignore[method-assign]
            first = seconds(update)
            notes.append(f"{precision}: compiled in {first:.1f} s")
        a = torch.randn(SIDE, SIDE).to(getattr(torch, precision))
        for call in (update, lambda a=a: a @ a):
            for _ in range(2):
                call()
        updates, products = [], []
        for _ in range(args.rounds):
            updates.append(seconds(update))
            products.append(seconds(lambda a=a: a @ a))
        taken = sorted(updates)[len(updates) // 2]
        peak = 2 * SIDE**3 / sorted(products)[len(products) // 2]
        print(
            f"| {precision} | {1e3 * taken:.1f} | {flops / 1e9:.1f} | {peak / 1e9:.0f} "
            f"| {1e3 * flops / peak:.1f} | {100 * flops / peak / taken:.0f} % |"
        )
    print(*("", *notes), sep="\n")


if __name__ == "__main__":
    main()
