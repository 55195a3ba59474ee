"""A search space of one's own: declared in a file, measured by a function.

    python examples/own_space.py [EVALUATIONS]

The space is examples/own_space.toml: 42 slots, some of which exist only under a choice of another; more than
10^15 architectures. The function stands for a training run: a formula, and a count of parameters.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from archwalk.spaces import open_space

SPACE = Path(__file__).with_name("own_space.toml")
STAGES = range(1, 9)


def evaluate(architecture: str) -> dict[str, float]:
    """Metrics of an architecture, which is written ``stem=conv,activation=gelu,op1=conv,width1=32,...``."""
    choice = dict(part.split("=") for part in architecture.split(","))
    top1, params, before = 55.0, 0.0, 32.0
    for i in STAGES:
        op, width = choice[f"op{i}"], float(choice[f"width{i}"])
        if op == "skip":
            top1 -= 1.0
            continue
        expand = float(choice[f"expand{i}"])
        top1 += 1.2 * np.log2(width / 16) + 0.4 * expand - 0.05 * abs(width - before) / 16
        if op == "conv":
            kernel = float(choice[f"kernel{i}"])
            top1 += (1.5 if i <= 4 else -0.5) + 0.2 * (kernel - 3) * (
                i <= 2
            )  # early stages like large kernels
            params += width * width * kernel * kernel / 8 + 2 * expand * width * width
        else:
            heads = float(choice[f"heads{i}"])
            top1 += (2.0 if i > 4 else -1.0) - 0.6 * abs(np.log2(width / heads / 16))  # heads of 16 are best
            params += (4 + 2 * expand) * width * width
        before = width
    top1 += {"relu": 0.0, "gelu": 0.8, "silu": 0.5}[choice["activation"]]
    top1 += 0.7 * (choice["stem"] == "conv") * (choice["op1"] == "conv")
    return {"top1": 100 / (1 + np.exp(-(top1 - 75) / 10)), "params": params}


def main() -> None:
    """Best of some random architectures."""
    evaluations = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    space = open_space(SPACE)
    print(f"{space.name}: {space.size:.2g} architectures, at most {space.max_neighbours} neighbours")
    drawn = [space.format(code) for code in space.sample(evaluations, np.random.default_rng(0)).tolist()]
    best = max(drawn, key=lambda architecture: evaluate(architecture)["top1"])
    print(f"best of {evaluations} at random: top1 {evaluate(best)['top1']:.2f}  {best}")


if __name__ == "__main__":
    main()
