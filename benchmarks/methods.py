"""Every search method on published tables: rank, regret, seconds a suggestion, beside published numbers.

    python benchmarks/methods.py run --micro FILE --macro FILE --nb201 FILE --out runs/methods
    python benchmarks/methods.py table --out runs/methods --to docs/results/methods

The first command (with ``OMP_NUM_THREADS=1``) goes on where it was stopped: a finished search is a file in
``OUT``. ``--methods a,b`` and
``--settings micro/transnas-best`` run a part; ``--part 0/2`` and ``--part 1/2`` beside each other share the
work. The second writes ``rows.csv``, the tables of ``table.md`` and the picture ``ranks`` from what is
there.

Settings: TransNAS-Bench-101 under ``transnas-best`` (P1) with 50 evaluations and ``transnas-final`` (P2) with
100; NAS-Bench-201 (200 epochs) with 100 and on until its best is found, at most ``SECONDS`` of the processor
in all or ``MOST`` evaluations. All seconds are those of the processor. Methods of several tasks search all of
a setting together. Methods that are trained on other tasks know ``KNOWN`` random evaluations of each of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from archwalk.analysis.statistics import Interval, mean_interval
from archwalk.errors import SearchError
from archwalk.files import write_atomically
from archwalk.reporting.style import MARKERS, colour, looks, save
from archwalk.searching.asktell import check_fit
from archwalk.searching.experience.source import Source, make_source
from archwalk.searching.history import make_history
from archwalk.searching.methods import graphpnas, robot
from archwalk.searching.open import make_problem
from archwalk.searching.optimizer import Method
from archwalk.searching.problem import Problem
from archwalk.searching.registry import find_method, methods
from archwalk.tasks.registry import load_table
from archwalk.tasks.table import Benchmark

SETTINGS = {
    "micro/transnas-best": 50,
    "micro/transnas-final": 100,
    "macro/transnas-best": 50,
    "macro/transnas-final": 100,
    "nb201/nasbench201-200": 100,
}
JOINT = ("mtnas", "ktnas")
KNOWN = 50  # evaluations of each other task
TRAINED_ELSEWHERE = ("agent", "ncp", "arch-graph", "aio-p")
THEIRS = "graphpnas-201"  # as the public code is configured for NAS-Bench-201
COLUMNS = {"mnasnet": "inference_ms"}  # read of the table itself
MOST, SECONDS = 20_000, 10.0
ORDER = (
    *(
        "random",
        "evolution",
        "reinforce",
        "metaqnn",
        "zoph-le",
        "mtnas",
        "ktnas",
        "robot",
        "optuna-tpe",
        "smac",
    ),
    *(
        "botorch",
        "syne-tune",
        "ncp",
        "arch-graph",
        "aio-p",
        "gp",
        "mnasnet",
        "graphpnas",
        THEIRS,
        "agent",
        "forest",
    ),
    *("local", "rl"),
)
# Rank of the best found: KTNAS (arXiv:2504.00772) and RoBoT (He et al. 2024, table 3).
_P1, _P2 = ("class_object", "room_layout"), ("class_object", "room_layout", "segmentsemantic", "autoencoder")
PUBLISHED: dict[tuple[str, str], dict[str, float]] = {
    ("micro/transnas-best", "random"): dict(zip(_P1, (59, 60), strict=True)),
    ("micro/transnas-best", "evolution"): dict(zip(_P1, (31, 80), strict=True)),
    ("micro/transnas-best", "mtnas"): dict(zip(_P1, (4, 6), strict=True)),
    ("micro/transnas-best", "ktnas"): dict(zip(_P1, (3, 7), strict=True)),
    ("micro/transnas-final", "robot"): dict(zip(_P2, (1, 17, 4, 66), strict=True)),
    ("macro/transnas-final", "robot"): dict(zip(_P2, (6, 6, 2, 5), strict=True)),
    ("micro/transnas-final", "evolution"): dict(zip(_P2, (23, 28, 22, 18), strict=True)),
    ("micro/transnas-final", "reinforce"): dict(zip(_P2, (37, 38, 34, 34), strict=True)),
    ("micro/transnas-final", "random"): dict(zip(_P2, (34, 42, 41, 49), strict=True)),
}
# Evaluations until the best of NAS-Bench-201 is found, on CIFAR-10, CIFAR-100, ImageNet16-120.
TO_BEST = {
    "random": (7700, 7700, 7700),
    "evolution": (563, 438, 715),
    "mtnas": (106, 30, 92),
    "ktnas": (101, 28, 60),
}
NB201 = ("cifar10_valid", "cifar100", "imagenet16_120")


@cache
def table_of(setting: str) -> Benchmark:
    """A table under its protocol."""
    name, protocol = setting.split("/")
    return load_table(f"{getattr(args, name)}@{protocol}")


@cache
def problem_of(setting: str) -> Problem:
    """What is searched, shared by all searches."""
    table = table_of(setting)
    return make_problem(table.space, table.rows, measured_apart=True)


def method_of(name: str, budget: int) -> Method:
    """A method; those whose recipe hangs on the budget are told it."""
    if name == "robot":
        return replace(find_method(name), make=lambda problem, seed: robot.Robot(problem, seed, budget))
    if name == THEIRS:
        its = graphpnas.NASBENCH201
        return replace(find_method("graphpnas"), make=lambda p, seed: graphpnas.GraphPNAS(p, seed, its))
    return find_method(name)


def experience(setting: str, task: str, method: str, seed: int) -> list[Source]:
    """What a method knows beforehand."""
    table = table_of(setting)
    codes = table.space.codes[table.rows].astype(np.int16)
    if method in COLUMNS:
        named = [c for c in table.columns if (c.task, c.metric) == (task, COLUMNS[method])]
        return [make_source(f"{c.task}/{c.metric}", codes, -table.columns[c], c.metric) for c in named]
    if method not in TRAINED_ELSEWHERE:
        return []
    generator = np.random.default_rng([seed, 77])
    seen = {t: generator.permutation(len(table))[:KNOWN] for t in tasks_of(setting)}
    return [make_source(t, codes[rows], table.reward(t)[rows]) for t, rows in seen.items() if t != task]


def tasks_of(setting: str) -> tuple[str, ...]:
    """The four tasks of TransNAS-Bench-101 that are at hand, the three of NAS-Bench-201."""
    return NB201 if setting.startswith("nb201") else _P2


def search(setting: str, tasks: Sequence[str], method: str, seed: int) -> dict[str, dict[str, Any]]:
    """One search of a task, or of several in turns: task → its row."""
    table, problem, budget = table_of(setting), problem_of(setting), SETTINGS[setting]
    found = method_of(method, budget)
    rewards = {task: table.reward(task) for task in tasks}
    known = {task: problem.with_experience(experience(setting, task, method, seed)) for task in tasks}
    for task in tasks:
        check_fit(found, known[task])
    if method == "robot":  # measured once for all searches, and not counted among their seconds
        robot.metrics_of(problem)
    makers: dict[str, Any] = {}
    evaluated: dict[str, list[int]] = {task: [] for task in tasks}
    done: dict[str, int] = {}
    seconds, at_budget, began = 0.0, 0.0, time.process_time()
    while True:
        left = [task for task in tasks if len(evaluated[task]) < budget]
        if not left and not at_budget:
            at_budget = seconds / (budget * len(tasks))
        if not left and setting.startswith("nb201"):
            spent = time.process_time() - began
            left = [t for t in tasks if t not in done and len(evaluated[t]) < MOST and spent < SECONDS]
        if not left:
            break
        task = min(left, key=lambda t: len(evaluated[t]))
        ids, reward, mine = evaluated[task], rewards[task], known[task]
        started = time.process_time()
        if method in JOINT:
            others = [t for t in tasks if t != task and len(evaluated[t]) > 1]
            said = [
                make_source(
                    t, problem.codes(np.array(evaluated[t])).astype(np.int16), rewards[t][evaluated[t]]
                )
                for t in others
            ]
            makers[task] = found.make(mine.with_experience(said), seed + 1_000_003 * list(tasks).index(task))
        elif task not in makers:
            makers[task] = found.make(mine, seed)
        makers[task].update(make_history(mine, ids, reward[ids].tolist()))
        ids.append(int(makers[task].suggest(1)[0]))
        seconds += time.process_time() - started
        if task not in done and reward[ids[-1]] >= reward.max():
            done[task] = len(ids)
    rows = {}
    for task in tasks:
        best = rewards[task][evaluated[task][:budget]].max()
        rows[task] = {
            "rank": int((rewards[task] > best).sum()) + 1,
            "regret": float(rewards[task].max() - best),
            "seconds": at_budget,
            "to_best": done.get(task),
            "evaluations": len(evaluated[task]),
        }
    return rows


def run() -> None:
    """What is missing, the most important methods first."""
    which, of = map(int, args.part.split("/"))
    names = (
        args.methods.split(",")
        if args.methods
        else [m for m in ORDER if m in methods() or m in ("agent", THEIRS)]
    )
    for method in names:
        for setting in args.settings.split(",") if args.settings else SETTINGS:
            tasks = tasks_of(setting)
            if method == THEIRS and not setting.startswith("nb201"):
                continue
            for together in [tasks] if method in JOINT else [(task,) for task in tasks]:
                for seed in range(args.seeds):
                    files = {t: args.out / setting / f"{method}.{t}.{seed}.json" for t in together}
                    if seed % of != which or all(file.exists() for file in files.values()):
                        continue
                    began = time.perf_counter()
                    try:
                        rows = search(setting, together, method, seed)
                    except SearchError as error:
                        print(f"{method} {setting}: {error.expected}; {error.got}", flush=True)
                        break
                    for task, row in rows.items():
                        write_atomically(files[task], json.dumps(row).encode())
                    spent = time.perf_counter() - began
                    print(f"{method} {setting} {together} {seed}: {spent:.1f} s {rows}", flush=True)


def collected() -> pl.DataFrame:
    """All rows."""
    rows = []
    for file in sorted(args.out.glob("*/*/*.json")):
        method, task, seed = file.stem.rsplit(".", 2)
        setting = "/".join(file.parts[-3:-1])
        key = {"setting": setting, "task": task, "method": method, "seed": int(seed)}
        rows.append(key | json.loads(file.read_text()))
    return pl.DataFrame(rows, infer_schema_length=None).sort("setting", "method", "task", "seed")


def verdict(published: float | None, values: np.ndarray) -> str:
    """Whether a published mean lies within the spread of the seeds."""
    if published is None:
        return ""
    inside = abs(published - values.mean()) <= values.std(ddof=1)
    return f" ({published:g}: {'yes' if inside else 'better' if values.mean() < published else 'no'})"


def overview(frame: pl.DataFrame) -> dict[str, dict[str, tuple[float, Interval]]]:
    """Method → setting → geometric mean over the tasks of the rank found, and its 95 % interval over seeds.

    In the order of the mean over settings of that rank beside random search's, on a logarithmic scale; a
    setting that a method cannot serve counts as random search's.
    """
    each = frame.group_by("method", "setting", "seed").agg(pl.col.rank.log().mean(), pl.len().alias("tasks"))
    each = each.sort("method", "setting", "seed")
    found: dict[str, dict[str, tuple[float, Interval]]] = {}
    for (method, setting), rows in each.group_by("method", "setting", maintain_order=True):
        logs = rows.filter(pl.col.tasks == len(tasks_of(setting)))["rank"].to_numpy()
        if len(logs):
            mean, (low, high) = float(np.exp(logs.mean())), np.exp(mean_interval(logs))
            found.setdefault(method, {})[setting] = mean, Interval(float(low), float(high))

    def beside_random(item: tuple[str, dict[str, tuple[float, Interval]]]) -> float:
        return sum(float(np.log(rank / found["random"][s][0])) for s, (rank, _) in item[1].items())

    return dict(sorted(found.items(), key=beside_random))


def knows(method: str) -> str:
    """What a method is told beside the evaluations of its own task."""
    if method in TRAINED_ELSEWHERE:
        return f"{KNOWN} evaluations of each other task"
    if method in JOINT:
        return "the other tasks' searches"
    return {"mnasnet": "latencies", "robot": "training-free metrics"}.get(method, "nothing")


def draw(found: dict[str, dict[str, tuple[float, Interval]]]) -> Figure:
    """The overview as a picture: a panel a setting, a line a method, a colour for what it is told."""
    kinds = sorted({knows(method) for method in found}, key=lambda kind: (kind != "nothing", kind))
    figure = Figure(figsize=(10.0, 0.25 * len(found) + 1.3))
    panels = figure.subplots(1, len(SETTINGS), sharey=True)
    for axes, (setting, budget) in zip(panels, SETTINGS.items(), strict=True):
        for line, (method, of) in enumerate(found.items()):
            if setting in of:
                mean, (low, high) = of[setting]
                number = kinds.index(knows(method))
                axes.plot([max(low, 1.0), high], [line, line], color=colour(number), linewidth=1.4)
                axes.plot([mean], [line], color=colour(number), marker=MARKERS[number], markersize=5)
        axes.set_xscale("log")
        axes.set_xlim(0.9)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_title(f"{setting.replace('/', chr(10))}\n{budget} evaluations", fontsize=8)
    panels[0].set_yticks(range(len(found)), found, fontfamily="monospace", fontsize=8)
    panels[0].invert_yaxis()
    for number, kind in enumerate(kinds):
        panels[0].plot(
            [], [], color=colour(number), marker=MARKERS[number], label=f"knows {kind}", linestyle="none"
        )
    panels[len(panels) // 2].set_xlabel(
        "rank of the best found, geometric mean over tasks; 95 % intervals over seeds"
    )
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def seeds_of(rows: pl.DataFrame) -> str:
    """How many searches of each task a row stands on."""
    counts = rows.group_by("task").len()["len"]
    few, many = counts.min(), counts.max()
    return f"{few}" if few == many else f"{few} to {many}"


def table() -> None:
    """``rows.csv``, ``table.md``, ``ranks.svg`` and ``ranks.png``."""
    frame = collected()
    frame.write_csv(args.to / "rows.csv", float_precision=5)
    known = [m for m in ORDER if m in set(frame["method"])]
    found = overview(frame)
    with looks():
        save(draw(found), args.to, "ranks")
    lines = ["# Every method under a budget: the rows", ""]
    lines += ["**Rank of the best found, geometric mean over the tasks**, with 95 % intervals over seeds\n"]
    lines += ["| method | knows | " + " | ".join(f"{s}, {n}" for s, n in SETTINGS.items()) + " |"]
    lines += ["|---" * (len(SETTINGS) + 2) + "|"]
    for method, of in found.items():
        shown = {s: f"{rank:.1f} [{low:.1f}, {high:.1f}]" for s, (rank, (low, high)) in of.items()}
        listed = " | ".join(shown.get(setting, "–") for setting in SETTINGS)
        lines += [f"| `{method}` | {knows(method)} | {listed} |"]
    for setting, budget in SETTINGS.items():
        tasks = tasks_of(setting)
        part = frame.filter(pl.col.setting == setting)
        if not len(part):
            continue
        lines += [f"\n**{setting}, {budget} evaluations**\n"]
        lines += ["| method | " + " | ".join(tasks) + " | regret, same order | s / suggestion | seeds |"]
        lines += ["|---" * (len(tasks) + 4) + "|"]
        for method in known:
            mine = part.filter(pl.col.method == method)
            if not len(mine):
                continue
            cells, regrets = [], []
            for task in tasks:
                rows = mine.filter(pl.col.task == task)
                ranks = rows["rank"].to_numpy().astype(float)
                regrets.append(f"{rows['regret'].mean():.3g}" if len(rows) else "–")
                spread = f" ± {ranks.std(ddof=1):.0f}" if len(ranks) > 1 else ""
                said = PUBLISHED.get((setting, method), {}).get(task)
                cells.append(f"{ranks.mean():.1f}{spread}{verdict(said, ranks)}" if len(ranks) else "–")
            line = (
                f"| `{method}` | {' | '.join(cells)} | {' / '.join(regrets)} | {mine['seconds'].mean():.2g} "
            )
            lines += [line + f"| {seeds_of(mine)} |"]
    part = frame.filter(pl.col.setting == "nb201/nasbench201-200")
    if len(part):
        lines += ["\n**Evaluations until the best of NAS-Bench-201 is found**\n"]
        lines += ["| method | " + " | ".join(NB201) + " | seeds |", "|---" * 5 + "|"]
    for method in known if len(part) else ():
        mine, cells = part.filter(pl.col.method == method), []
        for task, said in zip(NB201, TO_BEST.get(method, (None,) * 3), strict=True):
            rows = mine.filter(pl.col.task == task)
            if not len(rows):
                cells.append("–")
                continue
            spent = rows.select(pl.coalesce("to_best", "evaluations"))["to_best"].to_numpy().astype(float)
            missing = rows["to_best"].null_count()
            at_least = f", not found by {missing} of {len(rows)}" if missing else ""
            spread = spent.std(ddof=1) if len(spent) > 1 else 0.0
            cells.append(
                f"{'≥ ' if missing else ''}{spent.mean():.0f} ± {spread:.0f}{at_least}{verdict(said, spent)}"
            )
        if len(mine):
            lines += [f"| `{method}` | {' | '.join(cells)} | {seeds_of(mine)} |"]
    write_atomically(args.to / "table.md", "\n".join(lines).strip().encode() + b"\n")


parser = argparse.ArgumentParser()
parser.add_argument("command", choices=("run", "table"))
for name in ("micro", "macro", "nb201", "methods", "settings"):
    parser.add_argument(f"--{name}", default="")
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--to", type=Path, default=Path("docs/results/methods"))
parser.add_argument("--seeds", type=int, default=10)
parser.add_argument("--part", default="0/1")
args = parser.parse_args()
{"run": run, "table": table}[args.command]()
