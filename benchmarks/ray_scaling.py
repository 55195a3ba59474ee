"""What Ray costs and where it pays: evaluations at once, Ape-X against the inline loop, memory, learning.

    python benchmarks/ray_scaling.py evaluations --out runs/scaling   # sleeping evaluators, so on any machine
    python benchmarks/ray_scaling.py training                         # needs idle cores
    python benchmarks/ray_scaling.py memory --minutes 30
    python benchmarks/ray_scaling.py seeds --seeds 5                  # validation score, inline and on Ray

Each prints one JSON object a line. ``evaluations`` also writes ray-evaluations.svg and .png.
docs/performance.md has the model that the numbers are held against.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import archwalk
from archwalk.agents.dqn.agent import DQNAgent
from archwalk.config import RaySettings, load_preset
from archwalk.execution.cluster import connected, load_ray
from archwalk.tasks import load_benchmark
from archwalk.training.apex.agent import ApexAgent
from archwalk.training.apex.roles import to_arrays
from archwalk.training.loop import Loop

parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["evaluations", "training", "memory", "seeds"])
parser.add_argument("--out", type=Path, default=Path("runs/ray-scaling"))
parser.add_argument("--workers", default="2,4,8,16,32,64")
parser.add_argument("--durations", default="0.1,1,10,60", help="seconds an evaluation sleeps")
parser.add_argument("--rounds", type=int, default=2, help="evaluations a worker")
parser.add_argument("--preset", default="laptop")
parser.add_argument("--benchmark", default="digits")
parser.add_argument("--task", default="class_object")
parser.add_argument("--steps", type=int, default=20_480, help="trained steps")
parser.add_argument("--actors", type=int, default=8)
parser.add_argument("--shards", type=int, default=4)
parser.add_argument("--minutes", type=float, default=30.0)
parser.add_argument("--seeds", type=int, default=5)


def say(**values: Any) -> None:
    print(json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}), flush=True)


def predicted(workers: float, duration: float, start: float, cores: float, busy: float) -> float:
    """Evaluations a second: workers that wait, or cores that start processes, whichever is less.

    Args:
        workers: at once.
        duration: seconds an evaluation.
        start: seconds that an evaluation takes beyond that, by itself.
        cores: that all workers share.
        busy: seconds of a core that an evaluation takes.
    """
    return min(workers / (duration + start), cores / busy)


def rate_at(workers: int, duration: float, rounds: int) -> tuple[float, float]:
    """Looks a second of a search, between the end of the first round and that of the last; and seconds of a
    core that the command itself took a look."""
    ends: list[tuple[float, float]] = []
    command = f"""sh -c 'sleep {duration}; echo "{{\\"top1\\": 1}}"' {{}}"""
    with tempfile.TemporaryDirectory() as out:
        result = archwalk.search(
            None, out, command=command, space="nasbench201", method="random", metric="top1",
            budget=workers * (1 + rounds), executor="ray", ray=RaySettings(tasks=workers),
            on_evaluation=lambda evaluation, number: ends.append((time.monotonic(), time.process_time())),
        )  # fmt: skip
    assert result["ok"] == workers * (1 + rounds), result
    wall, own = (ends[-1][i] - ends[workers - 1][i] for i in (0, 1))
    return workers * rounds / wall, own / (workers * rounds)


def evaluations(args: argparse.Namespace) -> None:
    sizes = [int(n) for n in args.workers.split(",")]
    durations = [float(d) for d in args.durations.split(",")]
    measured: dict[float, list[float]] = {d: [] for d in durations}
    with connected(RaySettings(cpus=max(sizes), object_store_mb=200)):
        alone = 1 / rate_at(1, 0.0, 8)[0]
        say(seconds_alone=alone)
        busy = alone
        for size in sizes:
            rate_at(size, 3.0, 1)  # every process is there, and has imported what it needs
            rate, own = rate_at(size, 0.0, 4)
            busy = min(busy, 1 / rate)
            say(workers=size, seconds_a_look_when_full=busy, seconds_of_the_command=own)
            for d in durations:
                if d >= 30 and size not in (2, 16, 64):
                    measured[d].append(np.nan)
                    continue
                rate, _ = rate_at(size, d, args.rounds if d < 30 else 1)
                measured[d].append(rate)
                say(workers=size, duration=d, measured=rate, predicted=predicted(size, d, alone, 1.0, busy))
    draw(args.out, sizes, measured, alone, busy)


def draw(out: Path, sizes: list[int], measured: dict[float, list[float]], alone: float, busy: float) -> None:
    from matplotlib.figure import Figure

    from archwalk.reporting import style

    out.mkdir(parents=True, exist_ok=True)
    with style.looks():
        figure = Figure(figsize=(6.2, 3.8))
        axes = figure.subplots()
        fine = np.geomspace(min(sizes), max(sizes), 60)
        for i, (duration, rates) in enumerate(measured.items()):
            gain = [rate * duration for rate in rates]
            model = [predicted(float(n), duration, alone, 1.0, busy) * duration for n in fine]
            axes.plot(fine, model, color=style.colour(i), linestyle=style.LINES[1])
            label = f"{duration:g} s an evaluation"
            axes.plot(sizes, gain, color=style.colour(i), marker=style.MARKERS[i], linestyle="", label=label)
        axes.plot(fine, fine, color="#999999", linewidth=0.8)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xticks(sizes, [str(n) for n in sizes])
        axes.set_xlabel("evaluations at once")
        axes.set_ylabel("times faster than one after the other")
        axes.legend(loc="upper left")
        style.save(figure, out, "ray-evaluations")


def timed(call: Callable[[], Any], times: int) -> float:
    """Median seconds."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def settings_of(args: argparse.Namespace, steps: int) -> Any:
    never = 10**12
    return load_preset(args.preset).replace(
        exploration={"actors": args.actors, "walks_per_actor": 256 // args.actors},
        training={"trained_steps": steps, "log_every": 2_048, "evaluate_every": never, "threads": 1},
    )


def rate_of(loop: Any, steps: int) -> float:
    """Trained steps a second after the first quarter."""
    loop._evaluate = dict
    began, first, row = 0.0, 0, {"trained_steps": 0}
    for row in loop.run():
        if not began and row["trained_steps"] >= steps / 4:
            began, first = time.monotonic(), row["trained_steps"]
    return (row["trained_steps"] - first) / (time.monotonic() - began)


def training(args: argparse.Namespace) -> None:
    table, settings = load_benchmark(args.benchmark), settings_of(args, args.steps)
    inline = Loop(table, args.task, settings, 0)
    say(inline_steps_a_second=rate_of(inline, args.steps), load=os.getloadavg()[0])
    agent = inline.agent
    assert isinstance(agent, DQNAgent)
    step = timed(agent.act, 20)
    batch, gen = settings.learner.batch_size, inline.generators["replay"]
    sample = agent.replay.sample(batch, gen)
    update = timed(lambda: agent.learner.update(sample, agent.target), 10)
    inline_sample = timed(lambda: agent.replay.sample(batch, gen), 20)
    walks = settings.exploration.walks
    say(seconds_a_step_of_walks=step, seconds_a_walked_step=step / walks, seconds_an_update=update)
    ray_settings = RaySettings(object_store_mb=200, shards=args.shards, cpus=max(2, os.cpu_count() or 2))
    with connected(ray_settings):
        loop = Loop(table, args.task, settings, 0, make_agent=partial(ApexAgent, ray=ray_settings))
        remote_agent = loop.agent
        assert isinstance(remote_agent, ApexAgent)
        say(ray_steps_a_second=rate_of(loop, args.steps), restarts=remote_agent.restarts)
        remote = timed(lambda: remote_agent.replay.sample(batch, gen), 50)
        weights = to_arrays(dict(remote_agent.values.network.state_dict()))
        put = timed(lambda: load_ray().put(weights), 20)
        chunk = to_arrays(sample.transitions._asdict())
        bytes_a_transition = sum(a.nbytes for a in chunk.values()) / batch
        loop.close()
    size = sum(a.nbytes for a in weights.values())
    say(
        seconds_a_batch=remote, seconds_a_batch_inline=inline_sample, seconds_a_broadcast=put,
        bytes_of_weights=size, bytes_a_transition=bytes_a_transition,
    )  # fmt: skip
    ratio = settings.training.sampled_per_trained
    for cores in (1, 2, 4, 8, 16):
        learner = batch / (update + remote)
        actors = (cores - 1) / (ratio * step / walks) if cores > 1 else 0.0
        one = batch / (update + inline_sample + ratio * batch * step / walks)
        shared = cores / (ratio * step / walks + (update + remote) / batch)
        say(cores=cores, inline=one, ray=min(learner, shared, max(actors, shared)), learner_alone=learner)


def memory(args: argparse.Namespace) -> None:
    """Resident bytes of driver, actors and shards, and what the object store holds, twice a minute."""
    from archwalk.memory import resident_bytes

    table, settings = load_benchmark(args.benchmark), settings_of(args, 10**12)
    settings = settings.replace(replay={"capacity": 25_000})  # full, as it stays, within minutes
    ray_settings = RaySettings(object_store_mb=200, shards=args.shards)
    with connected(ray_settings):
        loop = Loop(table, args.task, settings, 0, make_agent=partial(ApexAgent, ray=ray_settings))
        began, last = time.monotonic(), 0.0
        for row in loop.run():
            now = time.monotonic() - began
            if now - last >= 30:
                last = now
                assert isinstance(loop.agent, ApexAgent)
                parts = loop.agent.memory()
                ray = load_ray()
                free = ray.available_resources().get("object_store_memory", 0.0)
                used = ray.cluster_resources().get("object_store_memory", 0.0) - free
                actors = [v for k, v in parts.items() if k.startswith("actor")]
                shards = [v for k, v in parts.items() if k.startswith("shard")]
                say(
                    minutes=now / 60, trained_steps=row["trained_steps"], driver=resident_bytes(),
                    actors=sum(actors), shards=sum(shards), object_store=used,
                )  # fmt: skip
            if now > 60 * args.minutes:
                break
        loop.close()


def seeds(args: argparse.Namespace) -> None:
    scores: dict[str, list[float]] = {"inline": [], "ray": []}
    ray_settings = RaySettings(object_store_mb=200, shards=args.shards)
    with connected(ray_settings):
        for seed in range(args.seeds):
            for executor in scores:
                run = archwalk.train(
                    args.benchmark, args.task, args.out / f"{executor}-{seed}", preset=args.preset,
                    seed=seed, steps=args.steps, executor=executor, ray=ray_settings,
                )  # fmt: skip
                score = archwalk.evaluate(run.path)["validation_score"]
                scores[executor].append(score)
                say(executor=executor, seed=seed, validation_score=score, seconds=run.costs().seconds)
    for executor, values in scores.items():
        say(executor=executor, mean=statistics.mean(values), std=statistics.stdev(values))


if __name__ == "__main__":
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    globals()[arguments.what](arguments)
