"""Train an agent on one task, move it to another in every regime, and compare: what `make demo` runs.

    python examples/demo.py [--benchmark NAME] [--source TASK] [--target TASK] [--run-dir DIR] [--steps N]

Stop it at any moment and run it again: it goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

import archwalk
from archwalk.config import load_preset
from archwalk.console import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--benchmark", default="digits")
parser.add_argument("--source", default="class_object")
parser.add_argument("--target", default="room_layout")
parser.add_argument("--run-dir", type=Path, default=Path("runs/demo"))
parser.add_argument("--steps", type=int, default=None, help="trained steps instead of the preset's")
parser.add_argument("--picture", type=Path, default=None, help="keep the table as an SVG file")
args = parser.parse_args()

settings = load_preset("quick")
if args.steps:
    training = {"trained_steps": args.steps, "fine_tune_steps": max(args.steps // 10, 1)}
    settings = settings.replace(training=training)
benchmark = archwalk.load_benchmark(args.benchmark)
console = Console(record=args.picture is not None)
console.print(f"[bold]{benchmark.name}[/]: {len(benchmark):,} architectures. {benchmark.source}")

source = args.run_dir / args.source
results = []


def train(name: str, total: int, work) -> None:
    """Run one piece of work with its progress, and evaluate what it made."""
    console.print(f"{name} ...")
    with Reporter(total) as reporter:
        run = work(reporter)
    results.append(archwalk.evaluate(run.path))


def scratch(task: str):
    return lambda report: archwalk.train(
        args.benchmark, task, args.run_dir / task, preset=settings, on_row=report
    )


def moved(regime: str):
    return lambda report: archwalk.transfer(source, args.target, regime, args.run_dir / regime, on_row=report)


lengths = {
    "zero-shot": 1,
    "fine-tune": settings.training.fine_tune_steps,
    "retrain": settings.training.trained_steps,
}
train(f"{args.source} from scratch", lengths["retrain"], scratch(args.source))
train(f"{args.target} from scratch, to compare with", lengths["retrain"], scratch(args.target))
for regime, length in lengths.items():
    train(f"{args.source} → {args.target}, {regime}", length, moved(regime))

title = f"{args.source} → {args.target}: greedy walks from all {results[0]['starts']:,} starts"
table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
table.add_column("agent")
for column in ("score", "test", "oracle", "rank"):
    table.add_column(column, justify="right")
for column in ("evaluations", "steps", "s"):
    table.add_column(column, justify="right", style="dim")
for r in results:
    table.add_row(
        f"{r['task']} scratch" if r["regime"] == "scratch" else f"→ {r['regime']}",
        f"{r['validation_score']:.3f}",
        f"{r['mean']:.4g}",
        f"{r['oracle']:.4g}",
        f"{r['rank_mean']:.0f}",
        f"{r['evaluations']:,}",
        f"{r['trained_steps']:,}",
        f"{r['seconds']:.0f}",
    )
console.print(table)
console.print(
    "Validation score: 0 is a random architecture, 1 the best of the space. One seed: see the docs."
)
console.print(f"The runs are in {args.run_dir}")
if args.picture:
    args.picture.write_text(console.export_svg(title="make demo"))
