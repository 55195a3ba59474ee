"""Walk dynamics alone: steps a second of a batch, against a plain Python walker of one walk.

python benchmarks/walk.py [--walks 1024] [--seconds 3]
"""

from __future__ import annotations

import argparse
import random
import time

import torch

from archwalk.config import RewardSettings, WalkSettings
from archwalk.envs import make_process, restart, shaped_rewards, start, take
from archwalk.seeding import make_generator
from archwalk.tasks import load_benchmark

parser = argparse.ArgumentParser()
parser.add_argument("--walks", type=int, default=1_024)
parser.add_argument("--seconds", type=float, default=3.0)
parser.add_argument("--threads", type=int, default=1)
args = parser.parse_args()
torch.set_num_threads(args.threads)

benchmark = load_benchmark("synthetic")
process = make_process(benchmark, shaped_rewards(benchmark, "alpha", RewardSettings()), WalkSettings())


def batched() -> float:
    g = make_generator(0, "bench")
    walks = start(process, args.walks, g)
    actions = torch.randint(process.actions, (64, args.walks), generator=g)
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < args.seconds:
        for action in actions:
            offered = process.offer(walks.architecture, g)
            outcome = take(process, walks, offered, action)
            restart(process, walks, outcome.terminated | outcome.truncated, g)
        steps += actions.numel()
    return steps / (time.perf_counter() - began)


def plain() -> float:
    choices, rewards = process.choices.tolist(), process.rewards.tolist()
    at, age, total, steps, began = 0, 0, 0.0, 0, time.perf_counter()
    while time.perf_counter() - began < args.seconds:
        for _ in range(1_000):
            action = random.randrange(process.actions)
            at, age = choices[at][action], age + 1
            total += rewards[at]
            if action == 0 or age == process.step_limit:
                at, age = random.randrange(len(choices)), 0
        steps += 1_000
    return steps / (time.perf_counter() - began)


fast, slow = batched(), plain()
print(f"walk dynamics, {args.walks:,} walks, {args.threads} thread(s): {fast / 1e6:.1f} million steps/s")
print(f"plain Python walker: {slow / 1e6:.2f} million steps/s; ratio {fast / slow:.1f}")
