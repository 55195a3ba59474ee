"""Inputs by the thousand, damaged and strange: refused with expected, got and remedy, or right; nothing else.

    python benchmarks/fuzz.py [--inputs 1000] [--seed 0]

Four kinds, each made from what is known to be true, so that an answer can be compared: tables to import,
ledgers, run folders, answers of evaluators. Exit status 1, and the input's number, if one ends in another
exception or in another meaning.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import sqlite3
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from archwalk import api
from archwalk.calling import ONLY, metrics_of
from archwalk.config import load_preset
from archwalk.errors import ArchwalkError
from archwalk.tasks.evaluators import answer_in
from archwalk.tasks.identity import Identity
from archwalk.tasks.importers import import_table
from archwalk.tasks.ledger import EvaluationFailed, Ledger
from archwalk.tasks.metrics import Column, Metric
from archwalk.tasks.table import make_benchmark


class Fault(Exception):
    """An answer that means something else than the input."""


@dataclass(frozen=True)
class Told:
    """What is true of a column's name: task, metric, split, direction (None: it must be asked for)."""

    metric: str
    split: str
    direction: str | None


NAMED = {
    "acc": Told("acc", "valid", "max"),
    "val_acc": Told("acc", "valid", "max"),
    "valid-acc": Told("acc", "valid", "max"),
    "Val Acc": Told("Acc", "valid", "max"),
    "validation_top1": Told("top1", "valid", "max"),
    "val_loss": Told("loss", "valid", "min"),
    "loss": Told("loss", "valid", "min"),
    "valLoss": Told("Loss", "valid", "min"),
    "val_f1": Told("f1", "valid", "max"),
    "accuracy_val": Told("accuracy", "valid", "max"),
    "val_error": Told("error", "valid", None),
    "val_perplexity": Told("perplexity", "valid", None),
    "valid_latency_ms": Told("latency_ms", "valid", None),
    "test acc": Told("acc", "test", "max"),
    "test_loss": Told("loss", "test", "min"),
    "train_acc": Told("acc", "train", "max"),
    "testTop1": Told("Top1", "test", "max"),
}
ASIDE = (
    "",
    "Unnamed: 0",
    "run_id",
    "std",
    "acc_std",
    "val_acc_std",
    "seed",
    "n_runs",
    "index",
    "count",
    "uuid",
)
MISSING = ("", "nan", "NaN", "NA", "N/A", "None", "null", "-", "<NA>", "#N/A")
CHOICES = (
    "010",
    "10",
    "1e-05",
    "0.00001",
    "True",
    "true",
    "200",
    "200.0",
    "conv 3x3",
    "None",
    "NA",
    "é",
    "a|b",
)
SLOTS = ("op", "k", "010", "depth", "Täg", "arch2")


def fuzz_import(random: random.Random, folder: Path) -> str:
    """A table of one's own slots, wide or tidy, as CSV or Parquet."""
    slots = random.sample(SLOTS, random.randint(1, 3))
    choices = {slot: random.sample(CHOICES, random.randint(2, 4)) for slot in slots}
    archs = [()]
    for slot in slots:
        archs = [(*arch, choice) for arch in archs for choice in choices[slot]]
    random.shuffle(archs)
    names = random.sample(sorted(NAMED), random.randint(1, 3)) + random.sample(ASIDE, random.randint(0, 2))
    random.shuffle(names)
    unit = random.choice((1.0, 100.0))
    truth = {}
    for name in names:
        if name in NAMED:
            draws = [random.random() * (unit if "loss" not in name.lower() else 3.0) for _ in archs]
        else:
            draws = [float(i) for i in range(len(archs))]
        truth[name] = [round(value, 4) for value in draws]
    gaps = {name: {i for i in range(len(archs)) if random.random() < 0.03} for name in names}
    typed = random.random() < 0.3
    columns: dict[str, list[Any]] = {slot: [a[i] for a in archs] for i, slot in enumerate(slots)}
    for name in names:
        cells: list[Any] = [None if i in gaps[name] else value for i, value in enumerate(truth[name])]
        if not typed:
            cells = [random.choice(MISSING) if cell is None else str(cell) for cell in cells]
        columns[name] = cells
    order = list(columns)
    random.shuffle(order)
    frame = pl.DataFrame({name: columns[name] for name in order}, strict=False)
    file = folder / ("t.parquet" if typed else "t.csv")
    frame.write_parquet(file) if typed else frame.write_csv(file)
    said = random.sample(sorted(NAMED), 1) if random.random() < 0.2 else []
    try:
        benchmark = import_table(file, "slots", slots=slots, minimise=said)
    except ArchwalkError as error:
        _check_refusal(error)
        certain = {n for n in names if n in NAMED and NAMED[n].split == "valid" and NAMED[n].direction}
        if (
            len(names) == 1
            and certain
            and not said
            and not all(g == {*range(len(archs))} for g in gaps.values())
        ):
            return _expect_variance(truth[names[0]], gaps[names[0]], error)
        return "refused"
    reward = benchmark.reward_column("main")
    meant = [n for n in names if n in NAMED and (NAMED[n].metric, NAMED[n].split) == reward[1:3]]
    if len(meant) != 1 or NAMED[meant[0]].split != "valid":
        raise Fault(f"the reward {reward} of the columns {names}")
    direction = benchmark.metrics[reward.metric].direction
    if direction != (NAMED[meant[0]].direction or ("min" if meant[0] in said else None)):
        raise Fault(f"{meant[0]} is better when {direction}")
    for name in names:
        if name in NAMED:
            column = Column("main", NAMED[name].metric, NAMED[name].split, "final")
            for i, arch in enumerate(archs):
                value = float(benchmark.columns[column][benchmark.index(",".join(arch))])
                wanted = math.nan if i in gaps[name] else truth[name][i]
                if not (value == wanted or (math.isnan(value) and math.isnan(wanted))):
                    raise Fault(f"{name} of {arch}: {value}, not {wanted}")
    return "right"


def _expect_variance(values: list[float], gaps: set[int], error: ArchwalkError) -> str:
    there = [value for i, value in enumerate(values) if i not in gaps]
    if len(set(there)) > 1:
        raise Fault(f"refused a table with one clear metric: {error.expected}")
    return "refused"


GOAL = Metric("acc", "max", "percent")


def fuzz_ledger(random: random.Random, folder: Path) -> str:
    """A ledger with evaluations, damaged or opened for something else."""
    path = folder / "evaluations.sqlite"
    identity = Identity({"name": "slots", "slots": {"a": ["x", "y"]}}, "c", "ev:f", (GOAL,))
    count = random.randint(1, 6)
    truth = {f"a{i}": random.random() for i in range(count)}
    ledger = Ledger(lambda a: {"acc": truth[a]}, ("acc",), identity, path)
    for arch in truth:
        ledger.evaluate(arch, arch, count)
    ledger.close()
    kind = random.choice(("none", "flip", "cut", "value", "identity", "text", "direction", "slots"))
    wanted = identity
    if kind in ("flip", "cut"):
        content = bytearray(path.read_bytes())
        if kind == "cut":
            del content[random.randrange(len(content)) :]
        else:
            for _ in range(random.randint(1, 40)):
                content[random.randrange(len(content))] = random.randrange(256)
        path.write_bytes(bytes(content))
    elif kind in ("value", "identity"):
        table, columns = ("evaluations", ("status", "metrics", "message", "seconds", "architecture"))
        if kind == "identity":
            table, columns = "identity", ("value",)
        with sqlite3.connect(path) as db:
            new = random.choice(("", "nonsense", "{", b"\xff\xfe", 7, "null", '{"acc": "x"}'))
            db.execute(f"UPDATE {table} SET {random.choice(columns)} = ?", (new,))
        db.close()
    elif kind == "text":
        path.write_bytes(random.randbytes(random.randint(0, 5000)))
    elif kind == "direction":
        wanted = Identity(identity.space, "c", "ev:f", (Metric("acc", "min", ""),))
    elif kind == "slots":
        wanted = Identity({"name": "slots", "slots": {"a": ["x", "z"]}}, "c", "ev:f", (GOAL,))
    try:
        ledger = Ledger(lambda a: {"acc": 0.0}, ("acc",), wanted, path)
        found = ledger.evaluations()
        ledger.close()
    except ArchwalkError as error:
        _check_refusal(error)
        return "refused"
    if kind in ("direction", "slots"):
        raise Fault(f"went on after a change of {kind}")
    if kind == "text" or (kind == "cut" and not found):
        return "right"  # an empty file is a new ledger
    for evaluation in found if kind == "none" else ():
        if evaluation.metrics != {"acc": truth[evaluation.architecture]}:
            raise Fault(f"{evaluation} of {truth}")
    if kind == "none" and len(found) != count:
        raise Fault(f"{len(found)} of {count} evaluations")
    return "right"


_RUN: list[tuple[Path, dict[str, Any]]] = []


def _run(folder: Path) -> tuple[Path, dict[str, Any]]:
    """One small finished run, and what its evaluation says."""
    if not _RUN:
        from archwalk.spaces.registry import make_listed

        space = make_listed("slots", {"a": ["x", "y"], "b": ["p", "q"]})
        values = {Column("main", "acc", s, "final"): np.array([70.0, 72, 75, 71]) for s in ("valid", "test")}
        benchmark = make_benchmark(
            "small",
            space,
            np.arange(4),
            values,
            {"acc": GOAL},
            {"main": Column("main", "acc", "valid", "final")},
        )
        benchmark.save(folder / "small.parquet")
        settings = load_preset("quick").replace(training={"trained_steps": 256, "threads": 1})
        api.train(folder / "small.parquet", "main", folder / "run", preset=settings)
        _RUN.append((folder / "run", api.evaluate(folder / "run")))
    return _RUN[0]


def fuzz_run(random: random.Random, folder: Path) -> str:
    """A finished run of which one file is damaged."""
    original, truth = _run(Path(tempfile.mkdtemp()))
    run = folder / "run"
    shutil.copytree(original, run)
    file = run / random.choice(("settings.toml", "weights.safetensors", "costs.json", "metrics.jsonl"))
    content = bytearray(file.read_bytes())
    kind = random.choice(("flip", "cut", "lines", "gone", "garbage"))
    if kind == "cut":
        del content[random.randrange(len(content)) :]
    elif kind == "flip":
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    elif kind == "lines":
        lines = bytes(content).split(b"\n")
        del lines[random.randrange(len(lines))]
        content = bytearray(b"\n".join(lines))
    elif kind == "garbage":
        content = bytearray(random.randbytes(random.randint(0, 300)))
    file.unlink() if kind == "gone" else file.write_bytes(bytes(content))
    moved = random.random() < 0.5
    try:
        found = api.evaluate(run, benchmark=original.parent / "small.parquet" if moved else None)
    except ArchwalkError as error:
        _check_refusal(error)
        return "refused"
    differs = {name for name in truth if found[name] != truth[name]}
    if differs - {"seconds"} or (differs and file.name != "costs.json"):
        raise Fault(f"{sorted(differs)} changed with {kind} in {file.name}")
    return "right"


def fuzz_answer(random: random.Random, folder: Path) -> str:
    """An answer of an evaluator: printed by a command, or returned by a function."""
    value = random.choice((random.uniform(-5, 100), 0.0, 1e-30, 1.7e308, -1.7e308, math.nan, math.inf, 3))
    extra = {
        "device": "cuda:0",
        "curve": [1.0, 2.0],
        "note": None,
        "nested": {"acc": 5.0, "b": [{"acc": 4.0}]},
        "ok": True,
        "calibration": math.nan,
    }
    chosen = {name: extra[name] for name in random.sample(sorted(extra), random.randint(0, 4))}
    entries = [*chosen.items(), ("acc", value)] if random.random() < 0.9 else list(chosen.items())
    random.shuffle(entries)
    metrics = dict(entries)
    bare = random.random() < 0.15 and "acc" in metrics
    if random.random() < 0.5:
        answer = _printed(random, value if bare else metrics)
        evaluate: Callable[[str], Any] = lambda a: metrics_of(answer_in(answer))  # noqa: E731
    else:
        wrap = random.choice((float, np.float64, np.float32, np.array, Decimal, str, lambda v: np.array([v])))
        if wrap is np.float32:
            value = float(np.float32(value)) if abs(value) < 1e38 else 0.5
        wrapped = wrap(value) if not (bare and wrap in (str,)) else value
        given = wrapped if bare else metrics | ({"acc": wrapped} if "acc" in metrics else {})
        evaluate = lambda a: metrics_of(given)  # noqa: E731

    def evaluator(architecture: str) -> Any:
        try:
            return evaluate(architecture)
        except (TypeError, ValueError) as error:
            raise EvaluationFailed("failed", str(error)) from error

    ledger = Ledger(evaluator, ("acc",))
    try:
        found = ledger.evaluate("a", "a", 1)
    except ArchwalkError as error:
        _check_refusal(error)
        if "acc" in metrics:
            raise Fault(f"asked for the metric of {metrics}") from error
        return "refused"
    if "acc" not in metrics:
        if found.status == "ok":
            raise Fault(f"{found.metrics} of {metrics}")
        return "refused"
    if not math.isfinite(value):
        if found.status != "invalid":
            raise Fault(f"{found} of {value}")
        return "refused"
    if found.status != "ok" or found.metrics["acc"] != float(value) or ONLY in found.metrics:
        raise Fault(f"{found} of {metrics}, {value}")
    return "right"


def _printed(random: random.Random, answer: Any) -> str:
    text = json.dumps(answer, indent=random.choice((None, None, 2)))
    if isinstance(answer, dict) and random.random() < 0.1 and all(v == v for v in answer.values()):
        text = repr(answer) if math.isfinite(answer.get("acc", 0.0)) else text
        return "loading\n" + text + "\n"
    before = random.choice(("", "epoch 1\n", '{"acc": 12.5, "epoch": 1}\n', "{broken\n", "100%|####|"))
    after = random.choice(("", "\n", "\n\n", "\nrun finished, 1 file uploaded\n", "\nwandb: synced }\n"))
    if not isinstance(answer, dict):
        before, after = random.choice(("", "epoch 1\n")), random.choice(("", "\n", "\n\n"))
    return before + text + after


def _check_refusal(error: ArchwalkError) -> None:
    if not (error.expected and error.got and error.remedy) or len(str(error)) > 5_000:
        raise Fault(f"a refusal without expected, got and remedy, or too long: {error}")


KINDS = {
    "import": (fuzz_import, 0.4),
    "ledger": (fuzz_ledger, 0.2),
    "run": (fuzz_run, 0.15),
    "answer": (fuzz_answer, 0.25),
}


def fuzz(inputs: int, seed: int, say: Callable[[str], None] = print) -> Counter[str]:
    """Try so many inputs. Returns how many ended how, by kind; ``fault`` among them."""
    counts: Counter[str] = Counter()
    for kind, (attempt, share) in KINDS.items():
        for number in range(round(inputs * share)):
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", ResourceWarning)
                try:
                    outcome = attempt(random.Random(f"{seed}/{kind}/{number}"), Path(folder))
                except Exception as error:
                    outcome = "fault"
                    say(f"{kind} {number} of seed {seed}: {type(error).__name__}: {str(error)[:300]}")
            counts[f"{kind}: {outcome}"] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts = fuzz(options.inputs, options.seed)
    for name, count in sorted(counts.items()):
        print(f"{count:>6}  {name}")
    sys.exit(any(name.endswith("fault") for name in counts))


if __name__ == "__main__":
    main()
