"""Lanes on a device: trained steps a second of the whole loop, all lanes together.

    python benchmarks/device.py --preset paper --lanes 16 --device cuda --seconds 120
    python benchmarks/device.py --preset laptop --lanes 4 --device cpu

Trains on the formula table, acting included, for some seconds after the first copies; says what that makes of
the preset's length (an extrapolation), and the most memory of a GPU.
"""

from __future__ import annotations

import argparse
import time

import torch

from archwalk.benchmark import load_benchmark
from archwalk.config import load_preset
from archwalk.training.lanes import Lane, Lanes
from archwalk.training.making import find_device

parser = argparse.ArgumentParser()
parser.add_argument("--preset", default="laptop")
parser.add_argument("--lanes", type=int, default=4)
parser.add_argument("--device", default="auto")
parser.add_argument("--seconds", type=float, default=20.0)
args = parser.parse_args()

device, settings = find_device(args.device), load_preset(args.preset)
length, never = settings.training.trained_steps, 10**12
period = max(settings.learner.target_period, settings.training.actor_period)
settings = settings.replace(training={"trained_steps": never, "log_every": period, "evaluate_every": never})
table = load_benchmark("synthetic")
program = Lanes([Lane(table, "alpha", settings, seed) for seed in range(args.lanes)], device)
rows = program.run()
next(rows)  # a row is read from the device, so that everything before it is done
first, began = program.counters.trained_steps, time.perf_counter()
for _ in rows:
    seconds = time.perf_counter() - began
    if seconds >= args.seconds:
        break
steps = program.counters.trained_steps - first
rate = args.lanes * steps / seconds
print(f"{args.preset}, {args.lanes} lanes on {device}: {rate:,.0f} trained steps/s in all")
print(f"{length:,} steps a lane would take {args.lanes * length / rate / 60:,.1f} min (extrapolated)")
if device.type == "cuda":
    print(f"most memory: {torch.cuda.max_memory_allocated(device) / 1e9:.1f} GB")
