"""Does an agent carry over from one search space to another? Steps to a score, from scratch and moved.

    python benchmarks/spaces.py --target micro.parquet@transnas-best --tasks class_object,room_layout \
        --source nb201.parquet --source-task cifar100 --encoder ae.safetensors --encoder random:0

For each task and seed: how many trained steps an agent needs to its first validation score of 0.97

1. from scratch, with slots tokens and with the tokens of each encoder;
2. with slots tokens and the body of an agent of the source space (body swapped);
3. with all weights, or the body, of an agent of the source space that sees tokens of the same encoder, whose
   score as it is (zero-shot) is printed, too.

Runs are lengthened until they have reached the score, at most to ``--steps``; nothing depends on the length
of a run, so they are the beginnings of longer ones. Sources are trained for ``--source-steps``; they may be
tasks of several tables: ``--source nb201.parquet,macro.parquet --source-task nb201:cifar100,macro:jigsaw``.
Resumable. Prints a JSON object a run, then the mean steps to the score over seeds, by task, and less those
from scratch with slots and with the same tokens, over both tasks, with 95 % intervals over seeds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import archwalk
from archwalk.analysis.statistics import mean_interval
from archwalk.config import Settings, load_preset
from archwalk.training.rundir import RunDir

parser = argparse.ArgumentParser()
parser.add_argument("--target", default="micro.parquet@transnas-best")
parser.add_argument("--tasks", default="class_object,room_layout")
parser.add_argument("--source", default="nb201.parquet")
parser.add_argument("--source-task", default="cifar100")
parser.add_argument("--encoder", action="append", default=[], help="of encoded tokens; may be repeated")
parser.add_argument("--seeds", type=int, default=3)
parser.add_argument("--steps", type=int, default=122_880)
parser.add_argument("--source-steps", type=int, default=61_440)
parser.add_argument("--preset", default="laptop")
parser.add_argument("--score", type=float, default=0.97)
parser.add_argument("--run-dir", type=Path, default=Path("runs/spaces"))
args = parser.parse_args()

spent: dict[str, dict[tuple[str, int], int]] = {}  # agent → (task, seed) → steps to the score, or all
PIECE = 20_480  # trained steps between two looks at the score


def settings_of(tokens: str) -> Settings:
    """``slots``, or an encoder."""
    settings = load_preset(args.preset).replace(training={"checkpoint_every": PIECE, "threads": 1})
    if tokens == "slots":
        return settings
    return settings.replace(observation={"tokens": "encoded", "encoder": tokens})


def first(run: RunDir) -> int | None:
    """Trained steps at the first evaluation with the score; None if there is none."""
    reached = [
        r["trained_steps"] for r in run.rows() if (r.get("greedy_validation_score") or 0) >= args.score
    ]
    return min(reached, default=None)


def needed(name: str, task: str, seed: int, tokens: str, source: Path | None, part: str = "all") -> None:
    folder = args.run_dir / f"{name}-{task}-{seed}"
    run = RunDir(folder)
    begun = run.spec().settings.training.trained_steps if folder.exists() else 0
    reached, steps = None, max(0, begun - PIECE)  # the length it was last given, once more
    while reached is None and steps < args.steps:
        steps += PIECE
        run = archwalk.train(
            args.target,
            task,
            folder,
            preset=settings_of(tokens),
            seed=seed,
            init=source,
            init_part=part,
            steps=steps,
        )
        reached = first(run)
    scores = [r["greedy_validation_score"] for r in run.rows() if "greedy_validation_score" in r]
    row = {"how": name, "task": task, "seed": seed, "reached": reached, "steps": steps}
    print(json.dumps(row | {"scores": [round(s, 3) for s in scores]}), flush=True)
    spent.setdefault(name, {})[task, seed] = reached or args.steps


def source(tokens: str, seed: int) -> Path:
    """An agent of the source space."""
    folder = args.run_dir / f"source-{short(tokens)}-{seed}"
    return archwalk.train(
        args.source, args.source_task, folder, preset=settings_of(tokens), seed=seed, steps=args.source_steps
    ).path


def short(tokens: str) -> str:
    return Path(tokens).stem.replace(":", "-")


for seed in range(args.seeds):
    for task in args.tasks.split(","):
        for tokens in (*args.encoder, "slots"):
            needed(f"scratch-{short(tokens)}", task, seed, tokens, None)
        for tokens in args.encoder:
            score = archwalk.evaluate(source(tokens, seed), benchmark=args.target, task=task)[
                "validation_score"
            ]
            print(
                json.dumps({"how": f"zero-shot-{short(tokens)}", "task": task, "seed": seed, "score": score})
            )
            needed(f"moved-{short(tokens)}", task, seed, tokens, source(tokens, seed))
            needed(f"body-{short(tokens)}", task, seed, tokens, source(tokens, seed), "body")
        if "," not in args.source:  # tables of several spaces have no slots tokens
            needed("body-slots", task, seed, "slots", source("slots", seed), "body")


def show(values: list[float]) -> str:
    low, high = mean_interval(np.array(values, dtype=np.float64))
    return f"{np.mean(values):,.0f} [{low:,.0f}, {high:,.0f}]"


def less(name: str, base: str) -> str:
    """Paired by seed, mean over tasks."""
    tasks, seeds = args.tasks.split(","), range(args.seeds)
    return show([np.mean([spent[name][t, s] - spent[base][t, s] for t in tasks]) for s in seeds])


print(f"\n| agent | {args.tasks.replace(',', ' | ')} | less scratch with slots | less scratch, same tokens |")
print("|---" * (args.tasks.count(",") + 4) + "|")
for name in spent:
    cells = [show([spent[name][t, s] for s in range(args.seeds)]) for t in args.tasks.split(",")]
    same = "scratch-" + name.split("-", 1)[1]
    print(f"| {name} | {' | '.join(cells)} | {less(name, 'scratch-slots')} | {less(name, same)} |")
