"""Searches in spaces that nobody lists: how much of the gap between random and best known each method closes.

    python benchmarks/open_search.py nasbench301 --file nb301.task --out runs/nb301
    python benchmarks/open_search.py mnasnet --file mnasnet.task --out runs/mnasnet
    python benchmarks/open_search.py mnasnet-throughput --file mnasnet.task --out runs/mnasnet-throughput
    python benchmarks/open_search.py gpt-latency --file gpt-s.task --out runs/gpt-latency

The files come from 'archwalk data import nasbench301' and 'archwalk data fit-surrogate'. Two objectives
become one: top1 · (throughput / target)^0.07, as MnasNet weighs them (Tan et al. 2019), the target being the
median of random architectures; and perplexity where the latency is at most that of a quarter of the random
architectures, else the mean perplexity or its own, whichever is worse, times latency over limit.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import archwalk
from archwalk.searching.verbs import compare
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.tasks.base import Predicted
from archwalk.tasks.metrics import Metric

SETTINGS = {
    "nasbench301": ("cifar10", None),
    "mnasnet": ("imagenet", None),
    "mnasnet-throughput": ("imagenet", "throughput_a100"),
    "gpt-latency": ("gpt_s", "gpulat_a100"),
}
SAMPLE = 10_000  # random architectures that set target and limit


class Combined:
    """Two metrics of a predicting task as one reward.

    Args:
        name: of the combination, one of ``SETTINGS``.
        inner: what predicts both.
        task: its task.
        second: the other metric.
    """

    split, epoch = "valid", "final"

    def __init__(self, name: str, inner: Predicted, task: str, second: str) -> None:
        self.name, self.inner, self.second, self.tasks = name, inner, second, (task,)
        self.source = inner.source
        self.checksum = hashlib.sha256(f"{name}/{inner.checksum}/{second}".encode()).hexdigest()
        codes = inner.space.sample(SAMPLE, np.random.default_rng(0))
        other = inner.values(task, codes, second)
        self.limited = name == "gpt-latency"
        self.point = float(np.quantile(other, 0.25 if self.limited else 0.5))
        self.mean = float(inner.values(task, codes).mean())

    @property
    def space(self) -> SearchSpace:
        return self.inner.space

    @property
    def rewards(self) -> Mapping[str, Metric]:
        metric = (
            Metric("limited_perplexity", "min", "") if self.limited else Metric("weighted_top1", "max", "")
        )
        return {self.tasks[0]: metric}

    def values(self, task: str, codes: Codes, metric: str | None = None) -> NDArray[np.float64]:
        first, other = self.inner.values(task, codes), self.inner.values(task, codes, self.second)
        if self.limited:
            return np.where(other <= self.point, first, np.maximum(first, self.mean) * (other / self.point))
        return first * (np.maximum(other, 1e-9) / self.point) ** 0.07


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("setting", choices=SETTINGS)
    parser.add_argument("--file", type=Path, required=True, help="the .task file")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the runs; the same command goes on"
    )
    parser.add_argument("--methods", default="random,evolution,local,gp,rl")
    parser.add_argument("--budgets", default="64,128")
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    task, second = SETTINGS[args.setting]
    inner = archwalk.load_benchmark(args.file)
    assert isinstance(inner, Predicted)
    benchmark = inner if second is None else Combined(args.setting, inner, task, second)
    budgets = [int(b) for b in args.budgets.split(",")]
    rows = compare(
        benchmark,
        task,
        args.out,
        methods=args.methods.split(","),
        budgets=budgets,
        seeds=args.seeds,
        say=print,
    )
    print(f"{'method':12} {'budget':>6} {'score':>7}  95 % interval over seeds   seconds")
    for row in rows:
        low, high = row["score_ci95"]
        score = f"{row['score_mean']:>7.3f}  [{low:.3f}, {high:.3f}]"
        print(f"{row['method']:12} {row['budget']:>6} {score} {row['seconds']:>17.1f}")


if __name__ == "__main__":
    main()
