"""Prioritised replay against the plain version, and Tianshou's where it is installed.

    python benchmarks/replay.py --threads 1

A round is what an update asks of it: 256 transitions come in, 256 are drawn with their importance weights,
and get new priorities. The plain version draws with `numpy.random.choice(p=...)`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch

from archwalk.agents.dqn.replay import Replay, Transitions
from archwalk.config import ReplaySettings

BATCH = 256


def some_transitions(n: int) -> Transitions:
    """Made-up ones."""
    whole, empty = torch.randint(4_096, (n,)), torch.zeros(n, 0, dtype=torch.long)
    return Transitions(whole, empty, whole % 19, torch.rand(n), torch.ones(n), whole, empty)


def ours(capacity: int) -> Callable[[], None]:
    """The package's."""
    replay = Replay(ReplaySettings(capacity=capacity), columns=0)
    replay.add(some_transitions(capacity), torch.rand(capacity))
    new, draws = some_transitions(BATCH), torch.Generator().manual_seed(0)

    def cycle() -> None:
        replay.add(new, torch.rand(BATCH))
        replay.set_errors(replay.sample(BATCH, draws).slots, torch.rand(BATCH))

    return cycle


def plain(capacity: int) -> Callable[[], None]:
    """As one would write it in numpy."""
    draws, at = np.random.default_rng(0), [0]
    fields = [draws.integers(4_096, size=capacity) for _ in range(3)]
    fields += [draws.random(capacity) for _ in range(2)]
    priority = draws.random(capacity)

    def cycle() -> None:
        slots = (at[0] + np.arange(BATCH)) % capacity
        at[0] += BATCH
        for field in fields:
            field[slots] = 0
        priority[slots] = draws.random(BATCH)
        mass = priority**0.6
        p = mass / mass.sum()
        drawn = draws.choice(capacity, BATCH, p=p)
        weight = (capacity * p[drawn]) ** -0.4
        _ = [field[drawn] for field in fields], weight / weight.max()
        priority[drawn] = draws.random(BATCH)

    return cycle


def tianshou(capacity: int) -> Callable[[], None]:
    """Tianshou's buffer over a sum tree compiled by numba; 256 walks add one transition each."""
    from tianshou.data import Batch, PrioritizedVectorReplayBuffer

    buffer = PrioritizedVectorReplayBuffer(capacity, BATCH, alpha=0.6, beta=0.4)
    no, draws = np.zeros(BATCH, dtype=bool), np.random.default_rng(0)
    new = Batch(
        obs=np.zeros(BATCH, int),
        act=np.zeros(BATCH, int),
        rew=np.zeros(BATCH),
        terminated=no,
        truncated=no,
        obs_next=np.zeros(BATCH, int),
        info=Batch(),
    )
    for _ in range(capacity // BATCH):
        buffer.add(new)

    def cycle() -> None:
        buffer.add(new)
        _, slots = buffer.sample(BATCH)
        buffer.update_weight(slots, draws.random(BATCH))

    return cycle


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=300)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    makers = {"archwalk": ours, "plain": plain}
    if find_spec("tianshou"):
        makers["tianshou"] = tianshou
    print("| capacity | " + " | ".join(f"{name}, ms" for name in makers) + " |")
    print("|---|" + "---|" * len(makers))
    for capacity in (25_000, 200_000):
        cycles = {name: make(capacity) for name, make in makers.items()}
        taken: dict[str, list[float]] = {name: [] for name in cycles}
        for _ in range(args.rounds):
            for name, cycle in cycles.items():
                began = time.perf_counter()
                cycle()
                taken[name].append(time.perf_counter() - began)
        medians = (f"{1e3 * sorted(times)[len(times) // 2]:.2f}" for times in taken.values())
        print(f"| {capacity:,} | " + " | ".join(medians) + " |")


if __name__ == "__main__":
    main()
