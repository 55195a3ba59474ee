"""Where the time of the training loop goes: the network, or everything outside it.

    python benchmarks/loop.py --preset paper --updates 8
    python benchmarks/loop.py --preset laptop --updates 400

Times every call into the network (forward passes of acting, targets and sweeps, the backward pass, Adam)
within a run of the real loop; the rest is walk, replay, targets and bookkeeping.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from archwalk.agents.dqn.agent import DQNAgent
from archwalk.config import load_preset
from archwalk.tasks import load_benchmark
from archwalk.training.loop import Loop

parser = argparse.ArgumentParser()
parser.add_argument("--preset", default="paper")
parser.add_argument("--updates", type=int, default=8)
parser.add_argument("--threads", type=int, default=0)
args = parser.parse_args()
if args.threads:
    torch.set_num_threads(args.threads)

settings = load_preset(args.preset)
never = 10**12
settings = settings.replace(
    training={
        "trained_steps": args.updates * settings.learner.batch_size,
        "log_every": never,
        "evaluate_every": never,
    }
)
benchmark = load_benchmark("synthetic")
inside = 0.0
depth = 0


def timed(call: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*a: Any, **k: Any) -> Any:
        global inside, depth
        depth += 1
        began = time.perf_counter()
        try:
            return call(*a, **k)
        finally:
            depth -= 1
            if not depth:
                inside += time.perf_counter() - began

    return wrapped


loop = Loop(benchmark, "alpha", settings, seed=0)
assert isinstance(loop.agent, DQNAgent)
network = loop.agent.values.network
network.embed = timed(network.embed)  # type: ignore[method-assign]
network.judge = timed(network.judge)  # type: ignore[method-assign]
torch.Tensor.backward = timed(torch.Tensor.backward)  # type: ignore[method-assign]
loop.agent.learner.descent.optimiser.step = timed(loop.agent.learner.descent.optimiser.step)  # type: ignore[method-assign]
torch.nn.utils.clip_grad_norm_ = timed(torch.nn.utils.clip_grad_norm_)

inside, began = 0.0, time.perf_counter()
loop._evaluate = dict  # type: ignore[method-assign, assignment]  # the last row's evaluation is not the loop
for _ in loop.run():
    pass
total = time.perf_counter() - began
steps = loop.counters.trained_steps
print(f"preset {args.preset}, {torch.get_num_threads()} thread(s), {loop.counters.updates} updates")
ratio = loop.counters.sampled_steps / steps
print(f"{steps / total:,.0f} trained steps/s with {ratio:.2f} sampled a trained step")
print(f"outside the network: {100 * (1 - inside / total):.1f} % of {total:.1f} s")
