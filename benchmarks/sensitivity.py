"""What the paper leaves open: the preset ``paper`` with one reading changed at a time, in short runs.

    python benchmarks/sensitivity.py --benchmark micro.parquet --seeds 2

Prints, for every reading and task: the validation score at half of the run and at its end, mean over seeds
with their range; the test metric and its deviation over starts, at the end, beside the published ones from
scratch; the length of greedy walks; and how far the test metric lies from the published one, in published
deviations. Resumable; several at once share the work.

Readings that are no settings are made here: a reward of every improvement in place of every step, and walks
whose end cuts the value.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from published import RHYTHM
from torch import Tensor

import archwalk
from archwalk.agents.dqn.agent import DQNAgent
from archwalk.agents.dqn.replay import Transitions, Windows, slide
from archwalk.config import load_preset
from archwalk.envs.process import SearchProcess
from archwalk.errors import InUseError
from archwalk.reporting.published import published_results
from archwalk.tasks.registry import load_table
from archwalk.training.ordering import order_training
from archwalk.training.rundir import RunDir


class OtherWindows(Windows):
    """Windows of another reward, or of walks whose end cuts the value."""

    def __init__(self, like: Windows, process: SearchProcess, improvement: bool, cut: str) -> None:
        self.__dict__.update(like.__dict__)
        self._process, self._improvement, self._cut = process, improvement, cut

    def push(self, **step: Tensor) -> tuple[Transitions, Tensor]:
        """As ``Windows.push``."""
        if self._improvement:
            step["r"] = step["r"] - self._process.reward(step["s"])
        over = {"": torch.zeros_like(step["ended"]), "keep": step["ended"] & (step["a"] == 0)}
        cut = over.get(self._cut, step["ended"])
        step["v_next"] = step["v_next"].masked_fill(cut, 0.0)
        self._held, made = slide(self._held, **step, discount=self.discount)
        discount = made.transitions.discount_t.masked_fill(cut.repeat(len(self._held.s)), 0.0)
        kept, whole = made.complete, made.transitions._replace(discount_t=discount)
        return Transitions(*(one[kept] for one in whole)), made.error[kept]


def other_agent(*args: Any, improvement: bool, cut: str, **more: Any) -> DQNAgent:
    agent = DQNAgent(*args, **more)
    agent.rollout.windows = OtherWindows(agent.rollout.windows, agent.process, improvement, cut)
    return agent


@dataclass(frozen=True)
class Reading:
    """Settings that differ from the preset; and what is no setting."""

    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    improvement: bool = False
    cut: str = ""  # ends that cut the value: keep, both, or none


READINGS = {
    "paper": Reading(),
    "discount 0.95": Reading({"learner": {"discount": 0.95}}),
    "discount 0.9": Reading({"learner": {"discount": 0.9}}),
    "step limit 20": Reading({"walk": {"step_limit": 20}}),
    "step limit 100": Reading({"walk": {"step_limit": 100}}),
    "feed-forward 1,024": Reading({"network": {"feedforward": 1_024}}),
    "feed-forward 256": Reading({"network": {"feedforward": 256}}),
    "keeping cuts the value": Reading(cut="keep"),
    "both ends cut the value": Reading(cut="both"),
    "even epsilon": Reading({"exploration": {"schedule": "linear"}}),
    "replay 100,000": Reading({"replay": {"capacity": 100_000}}),
    "reward of the improvement": Reading(improvement=True),
    "improvement, keeping cuts": Reading(improvement=True, cut="keep"),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--benchmark", default="micro.parquet")
    parser.add_argument("--tasks", default="autoencoder,room_layout")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--readings", default=";".join(READINGS))
    parser.add_argument("--run-dir", type=Path, default=Path("runs/sensitivity"))
    given = parser.parse_args()
    tasks, names = given.tasks.split(","), given.readings.split(";")
    where = {
        (name, task, seed): given.run_dir / name.replace(" ", "-").replace(",", "") / f"{task}-{seed}"
        for seed in range(given.seeds)
        for name in names
        for task in tasks
    }
    for (name, task, seed), folder in where.items():
        reading = READINGS[name]
        settings = load_preset("paper").replace(**reading.settings)
        settings = settings.replace(training=RHYTHM | {"trained_steps": given.steps})
        make = partial(other_agent, improvement=reading.improvement, cut=reading.cut)
        own = reading.improvement or reading.cut
        try:
            order_training(given.benchmark, task, folder, settings, seed).make(
                make_agent=make if own else None
            )
        except InUseError:
            continue
        print(name, task, seed, RunDir(folder).rows()[-1]["greedy_validation_score"], flush=True)

    table = load_table(given.benchmark)
    print("\n| reading | task | half | end | test, deviation over starts | published | walk | off by |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        for task in tasks:
            runs = [RunDir(where[name, task, seed]) for seed in range(given.seeds)]
            runs = [run for run in runs if run.finished]
            if not runs:
                continue
            column = table.metrics[table.reward_column(task).metric]
            factor = 0.01 if column.unit == "percent" else 1.0
            rows = [[r for r in run.rows() if "greedy_validation_score" in r] for run in runs]
            last = [archwalk.evaluate(run.path, task=task, benchmark=given.benchmark) for run in runs]
            ends = np.array([r[-1]["greedy_validation_score"] for r in rows])
            half = np.array([r[len(r) // 2 - 1]["greedy_validation_score"] for r in rows])
            test = float(np.mean([e["test_mean"] for e in last])) * factor  # type: ignore[misc]
            spread = float(np.mean([e["test_std"] for e in last])) * factor  # type: ignore[misc]
            walk = float(np.mean([e["walk_length_mean"] for e in last]))
            there = published_results()["scratch", task, task]
            assert there.std
            scores = f"{half.mean():.2f} | {ends.mean():.2f} ({ends.min():.2f} to {ends.max():.2f})"
            print(
                f"| {name} | {task} | {scores} "
                f"| {test:.3f} ± {spread:.3f} | {there.mean:.3f} ± {there.std:.3f} | {walk:.1f} "
                f"| {(test - there.mean) / there.std:+.1f} |"
            )


if __name__ == "__main__":
    main()
