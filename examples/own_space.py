"""A search space of one's own, declared in a file, searched with a Python function.

    python examples/own_space.py [FOLDER] [EVALUATIONS]

The space is examples/own_space.toml: 42 slots, some of which exist only under a choice of another; more than
10^15 architectures. The function stands for a training run: a formula with interactions, and a count of
parameters. The same search from the command line, in this folder:

    archwalk search --space own_space.toml --evaluator own_space:evaluate --metric top1 --method gp --budget
        50 \\ --out runs/own_space
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import archwalk
from archwalk.spaces import open_space

SPACE = Path(__file__).with_name("own_space.toml")
STAGES = range(1, 9)


def evaluate(choice: Mapping[str, str | int]) -> dict[str, float]:
    """Metrics of an architecture. Since it asks for a mapping, it gets one: ``{"stem": "conv", "width1": 32,
    ...}``; a function without that annotation gets the string ``stem=conv,width1=32,...``."""
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
            top1 += 1.5 if i <= 4 else -0.5
            top1 += 0.2 * (kernel - 3) * (i <= 2)  # early stages like large kernels
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
    """A search with 50 evaluations, and what as many random architectures come to."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/own_space")
    evaluations = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    space = open_space(SPACE)
    print(f"{space.name}: {space.size:.2g} architectures, at most {space.max_neighbours} neighbours")
    for method in ("random", "gp"):
        out = folder / method
        result = archwalk.search(evaluate, out, space=space, metric="top1", method=method, budget=evaluations)
        print(f"best of {evaluations} by {method}: top1 {result['value']:.2f}  {result['architecture']}")


if __name__ == "__main__":
    main()
