"""The method ``in-context`` on tasks that its agent was not trained on, against gp, the walk and the default.

    python benchmarks/incontext.py --tables FOLDER --out runs/incontext --seeds 20

FOLDER holds micro.parquet, macro.parquet, nb201.parquet, robustness.parquet and gnn.parquet, made by
``archwalk data import``. The tasks are dealt into four folds; for each, an agent is trained on all others, a
name left out of every table, and searches those of the fold. Which targets the method was developed on says
``benchmarks/targets.toml``. Resumable. Prints

1. geometric mean rank of each method after 1, 10, 25 and 50 evaluations, target by target;
2. the geometric mean over targets of the ratio to gp's, with a 95 % interval over targets, and how many
targets
   are better and worse;
3. for the tables of which agents walk greedily, micro: the validation score of the architecture where a walk
   ends that is planned on the predictions, from contexts of 0 to 50 random evaluations (a walk of six steps
   reaches every cell, so it is the one of the highest prediction), the evaluated ones left out;
4. milliseconds of one core a suggestion, once an agent is loaded.

``--variant`` trains other agents, for the ablations: ``--variant synthetic=0,deviating=0`` and the like are
settings of ``Mix``; ``encoder=frozen`` and ``pretraining=3000`` are of ``Training``; ``only=SPACE`` learns
from
one space alone, ``without=SPACE`` from all others.
"""

from __future__ import annotations

import argparse
import time
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import archwalk
from archwalk.analysis.statistics import mean_interval
from archwalk.searching.history import make_history
from archwalk.searching.incontext.box import open_agent
from archwalk.searching.incontext.fitting import Training
from archwalk.searching.incontext.tasks import Mix
from archwalk.searching.incontext.verbs import train_agent
from archwalk.searching.methods.in_context import with_agent
from archwalk.searching.open import make_problem
from archwalk.tasks.registry import load_table

PROTOCOLS = {"micro": "@transnas-best", "macro": "@transnas-best"}
TABLES = ("micro", "macro", "nb201", "robustness", "gnn")
OPEN = ("darts", "nasbench101")  # spaces without measurements that agents are trained on, too
FOLDS, MARKS = 4, (1, 10, 25, 50)
METHODS = ("gp", "source-walk", "agent")

parser = argparse.ArgumentParser()
parser.add_argument("--tables", type=Path, required=True)
parser.add_argument("--out", type=Path, default=Path("runs/incontext"))
parser.add_argument("--seeds", type=int, default=20)
parser.add_argument("--steps", type=int, default=6_000)
parser.add_argument("--folds", default=",".join(map(str, range(FOLDS))))
parser.add_argument("--on", default=",".join(TABLES), help="tables whose tasks are searched")
parser.add_argument("--side", choices=("development", "reported", "all"), default="all")
parser.add_argument("--variant", default="")
parser.add_argument("--train-only", action="store_true")
args = parser.parse_args()

split = tomllib.loads((Path(__file__).parent / "targets.toml").read_text())
places = {name: f"{args.tables / name}.parquet{PROTOCOLS.get(name, '')}" for name in TABLES}
changes = dict(part.split("=") for part in args.variant.split(",") if part)
label = args.variant.replace("=", "-").replace(",", "_") or "full"


def dealt() -> list[dict[str, list[str]]]:
    """Folds: table → tasks."""
    folds: list[dict[str, list[str]]] = [{name: [] for name in TABLES} for _ in range(FOLDS)]
    for name in TABLES:
        tasks = [*split[name]["development"], *split[name]["reported"]]
        for i, task in enumerate(sorted(tasks)):
            folds[i % FOLDS][name].append(task)
    return folds


def training() -> Training:
    """Settings of this variant."""
    of_mix = {f.name for f in fields(Mix)}
    mix = {key: type(getattr(Mix(), key))(value) for key, value in changes.items() if key in of_mix}
    rest: dict[str, Any] = {k: changes[k] for k in ("encoder",) if k in changes}
    rest |= {k: int(changes[k]) for k in ("pretraining", "seed") if k in changes}
    return Training(steps=args.steps, mix=Mix(**mix), **rest)


def agent_of(fold: int, left: dict[str, list[str]]) -> Path:
    """The agent that knows nothing of a fold."""
    file = args.out / "agents" / f"{label}-{args.steps}-{fold}.safetensors"
    if not file.exists():
        learned = [name for name in TABLES if changes.get("without") != name]
        if "only" in changes:
            learned = [changes["only"]]
        train_agent(
            file,
            benchmarks=[*(places[name] for name in learned), *(() if "only" in changes else ("digits",))],
            spaces=() if "only" in changes else OPEN,
            left_out=sorted({task for tasks in left.values() for task in tasks}),
            training=training(),
            say=lambda text: print(f"fold {fold}: {text}", flush=True),
        )
    return file


logs: dict[tuple[str, str], dict[str, np.ndarray]] = {}
searched: dict[tuple[str, str], Path] = {}
for fold, left in enumerate(dealt()):
    if str(fold) not in args.folds.split(","):
        continue
    file = agent_of(fold, left)
    if args.train_only:
        continue
    method = f"in-context@{file}"
    for name, tasks in left.items():
        wanted = [t for t in tasks if args.side == "all" or t in split[name][args.side]]
        for task in wanted if name in args.on.split(",") else ():
            out = args.out / "searches" / name / task
            searched[name, task] = file
            archwalk.compare(
                places[name], task, out, sources="rest", methods=(*METHODS, method), budgets=MARKS,
                seeds=args.seeds,
            )  # fmt: skip
            curves = pl.read_csv(out / "curves.csv").filter(pl.col("evaluations").is_in(MARKS))
            names = {m: m for m in METHODS} | {"in-context": with_agent(file).name}
            logs[name, task] = {
                short: np.log(
                    curves.filter(pl.col("method") == full)
                    .sort("seed", "evaluations")["best_rank"]
                    .to_numpy()
                    .reshape(-1, len(MARKS))
                ).mean(0)
                for short, full in names.items()
            }
            shown = {m: " / ".join(f"{v:.1f}" for v in np.exp(of)) for m, of in logs[name, task].items()}
            print(f"| {name}, {task} | {' | '.join(shown.values())} |", flush=True)

for side in ("development", "reported", "all"):
    keys = [(name, task) for name, task in logs if side == "all" or task in split[name][side]]
    if len(keys) < 2:
        continue
    for other in METHODS:
        gaps = np.array([logs[key]["in-context"] - logs[key][other] for key in keys])
        cells = []
        for i, mark in enumerate(MARKS):
            low, high = np.exp(mean_interval(gaps[:, i]))
            better, worse = int((gaps[:, i] < 0).sum()), int((gaps[:, i] > 0).sum())
            cells.append(f"{mark}: {np.exp(gaps[:, i].mean()):.2f} [{low:.2f}, {high:.2f}] {better}/{worse}")
        print(f"{side}, {len(keys)} targets, in-context / {other}: " + "; ".join(cells))


def zero_shot(file: Path, name: str, task: str, context: int, seed: int) -> float:
    """Validation score of the architecture of the highest prediction."""
    table, agent = load_table(places[name]), open_agent(file)
    reward = table.reward(task)
    vectors = agent.embed(table.space, table.space.codes[table.rows].astype(np.int16))
    some = np.random.default_rng(seed).choice(len(reward), context, replace=False)
    mean, _ = agent.predict(vectors[some], reward[some], vectors)
    mean[some] = -np.inf
    return float((reward[mean.argmax()] - reward.mean()) / (reward.max() - reward.mean()))


for name, task, file in [(name, task, file) for (name, task), file in searched.items() if name == "micro"]:
    cells = []
    for context in (0, 5, 10, 25, 50):
        seeds = args.seeds if context else 1
        scores = np.array([zero_shot(file, name, task, context, seed) for seed in range(seeds)])
        low, high = mean_interval(scores) if seeds > 1 else (np.nan, np.nan)
        cells.append(f"{context}: {scores.mean():.3f} [{low:.3f}, {high:.3f}]")
    print(f"walk in context, {name}/{task}: " + "; ".join(cells))

if logs:
    for name in ("micro", "nb201"):
        table = load_table(places[name])
        problem = make_problem(table.space, table.rows, measured_apart=True)
        optimizer = with_agent(file).make(problem, 0)
        reward, spent = table.reward(table.tasks[0]), []
        for n in (5, 25, 50):
            ids = np.random.default_rng(n).choice(len(problem), n, replace=False).tolist()
            for _ in range(12):
                begun = time.process_time()
                optimizer.update(make_history(problem, ids, reward[ids].tolist()))
                optimizer.suggest(1)
                spent.append((n, 1000 * (time.process_time() - begun)))
        times = {n: np.median([t for m, t in spent if m == n][2:]) for n in (5, 25, 50)}
        print(f"{name}: milliseconds of a core a suggestion after n evaluations: {times}")
