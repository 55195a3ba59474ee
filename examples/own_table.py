"""A table of one's own, from CSV to the architectures an agent recommends.

    python examples/own_table.py [FOLDER]

The search space here is six training choices; 324 combinations were "measured" by a formula.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import archwalk
from archwalk.config import load_preset
from archwalk.tasks.importers import import_table

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/own_table")
folder.mkdir(parents=True, exist_ok=True)

# One row a measured combination, one column a slot, and the metrics. Not every combination has to be there.
slots = {
    "depth": [2, 4, 8],
    "width": [32, 64, 128],
    "op": ["conv", "attention"],
    "norm": ["none", "batch", "layer"],
    "act": ["relu", "gelu", "silu"],
    "pool": ["mean", "max"],
}
lines = [",".join([*slots, "valid_acc", "test_acc"])]
for depth, width, op, norm, act, pool in itertools.product(*slots.values()):
    accuracy = 60 + 3 * (depth == 4) + 2 * (width == 64) + 6 * (op == "attention" and norm == "layer")
    accuracy += 2.5 * (act == "gelu") * (op == "attention") + 1.5 * (pool == "mean") - 4 * (norm == "none")
    lines.append(f"{depth},{width},{op},{norm},{act},{pool},{accuracy},{accuracy - 1}")
(folder / "mine.csv").write_text("\n".join(lines) + "\n")

benchmark = import_table(folder / "mine.csv", "slots", slots=list(slots), source="a formula")
path = benchmark.save(folder / "mine.parquet")
print(benchmark)

settings = load_preset("quick").replace(training={"trained_steps": 40_960, "evaluate_every": 10_240})
run = archwalk.train(path, "main", folder / "run", preset=settings)
result = archwalk.evaluate(run.path)
print(f"validation score {result['validation_score']:.2f} after {result['evaluations']} evaluations")

agent = archwalk.load_agent(run.path)
for step in agent.improve("2,32,conv,none,relu,max"):
    print(f"  {step.valid:5.1f} %  {step.architecture}")
