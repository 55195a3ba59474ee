"""Short trainings first against full trainings, at equal minutes, on really trained networks.

    python benchmarks/fidelity.py curves OUT.csv --architectures 50   # about 7 s of a core each; resumable
    python benchmarks/fidelity.py curves DEV.csv --data photographs --rungs 33,100,300 --architectures 55
    python benchmarks/fidelity.py replay OUT.csv                      # replays searches, ten seeds

``curves`` trains cells on scikit-learn's digits (or its photographs) at every rung, each from its beginning,
and writes down what ``archwalk fit`` would have seen and been charged (processor time). ``replay`` runs the
very code of ``fit``'s search over that table: once with all rungs, once with the highest alone, with the same
seconds, charged for each suggestion too.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits, load_sample_images

from archwalk.analysis.statistics import mean_interval
from archwalk.fitting.data import Dataset, load_data
from archwalk.fitting.metrics import best_point, find_metric
from archwalk.fitting.networks import choose_networks
from archwalk.fitting.schedule import Suggester, Trial, reserved, search, winner
from archwalk.fitting.splits import TEST, make_blocks
from archwalk.fitting.training import Diverged, Watch, make_recipe, measure, standardised, train
from archwalk.fitting.units import Trainer, points
from archwalk.searching.open import make_problem
from archwalk.searching.registry import find_method
from archwalk.spaces.base import ListedSpace
from archwalk.spaces.registry import make_listed

WIDTH = 16
FIELDS = ("architecture", "steps", "stop", "valid", "tie", "test", "seconds")
OVERHEAD = 0.15  # seconds that a suggestion is charged


def drawn(space: ListedSpace, reference: str, n: int) -> list[str]:
    """The reference and random architectures, no two of which compute the same function."""
    found = {space.canonical(space.parse(reference)): reference}
    for code in space.codes[np.random.default_rng(0).permutation(len(space.codes))].tolist():
        if len(found) == n:
            break
        found.setdefault(space.canonical(code), space.format(code))
    return list(found.values())


def examples_of(name: str) -> Dataset:
    """Scikit-learn's digits; or 8×8 pixels of its two sample photographs at half size, in grey, which are
    to be told apart."""
    if name == "digits":
        digits = load_digits()
        return load_data((digits.images, digits.target), kind="images")
    patches, labels = [], []
    for label, image in enumerate(load_sample_images().images):
        grey = image[: len(image) // 2 * 2].mean(2)
        half = grey.reshape(len(grey) // 2, 2, -1, 2).mean((1, 3))
        some = [half[i : i + 8, j : j + 8] for i in range(0, 206, 8) for j in range(0, 313, 8)]
        patches += some
        labels += [label] * len(some)
    return load_data((np.stack(patches), np.array(labels)), kind="images")


class Seen:
    """What a training shows on the way; a look at the test split is not charged, no search has one."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer, self.aside = trainer, 0.0
        self.values: list[tuple[float, float, float]] = []

    def __call__(self, model: torch.nn.Module) -> dict[str, float]:
        t = self._trainer
        valid = measure(model, t.data, t.inputs, np.flatnonzero(t.blocks == 0))
        start = time.process_time()
        test = measure(model, t.data, t.inputs, np.flatnonzero(t.blocks == TEST))
        self.values.append((valid["accuracy"], -valid["log_loss"], test["accuracy"]))
        self.aside += time.process_time() - start
        return valid


def curves(out: Path, n: int, name: str, rungs: Sequence[int]) -> None:
    torch.set_num_threads(1)
    data = examples_of(name)
    blocks = make_blocks(data, 0)
    networks = choose_networks(data).with_width(WIDTH)
    trained = (blocks != 0) & (blocks != TEST)
    recipe = make_recipe(data, int((blocks != TEST).sum()), "accuracy", flip=False)
    folder, goal = Path(tempfile.mkdtemp()), find_metric(None, data)
    trainer = Trainer(
        data, blocks, (0,), networks, recipe, goal, torch.device("cpu"), folder, time.process_time, 0
    )
    assert isinstance(networks.space, ListedSpace)
    assert networks.reference is not None
    done = set()
    if out.exists():
        with out.open() as file:
            done = {(row["architecture"], int(row["steps"])) for row in csv.DictReader(file)}
    with out.open("a") as file:
        writer = csv.DictWriter(file, FIELDS)
        if not done:
            writer.writeheader()
        for architecture in drawn(networks.space, networks.reference, n):
            for steps in rungs:
                if (architecture, steps) in done:
                    continue
                examples = trainer.examples(trained)
                began = time.process_time()
                seen = Seen(trainer)
                try:
                    model = standardised(networks.build(architecture, 0), examples)
                    train(model, examples, steps, 0, recipe, watch=Watch(points(steps), seen))
                except Diverged:
                    seen.values = [(float("nan"),) * 3] * len(points(steps))
                seconds = time.process_time() - began - seen.aside
                for at, values in zip(points(steps), seen.values, strict=True):
                    row = (architecture, steps, at, *values, seconds)
                    writer.writerow(dict(zip(FIELDS, row, strict=True)))
                file.flush()


def trained(table: Path) -> dict[tuple[str, int], dict[str, float]]:
    """What each training counts with, (architecture, steps) → row: that of its best point."""
    rows: dict[tuple[str, int], list[dict[str, float]]] = {}
    for row in pl.read_csv(table).iter_rows(named=True):
        rows.setdefault((row["architecture"], row["steps"]), []).append(row)
    return {key: some[best_point([(r["valid"], r["tie"]) for r in some])] for key, some in rows.items()}


def replay(table: Path, seeds: int, methods: list[str], times: list[int]) -> None:
    rows = trained(table)
    rungs = tuple(sorted({steps for _, steps in rows}))
    names = [a for a in dict.fromkeys(a for a, _ in rows) if all((a, steps) in rows for steps in rungs)]
    space = make_listed("transnas-micro")
    problem = make_problem(space, np.sort([space.index(a) for a in names]), measured_apart=False)
    top = rungs[-1]
    cost = float(np.mean([rows[a, top]["seconds"] for a in names]))
    print(f"{len(names)} architectures; a full training of {top} steps takes {cost:.2f} s on average")
    for low in rungs[:-1]:
        said = []
        for one, other in (("valid", "valid"), ("tie", "tie"), ("tie", "valid")):
            before, after = [rows[a, low][one] for a in names], [rows[a, top][other] for a in names]
            said.append(f"{spearmanr(before, after).statistic:.2f}")
        what = f"accuracy {said[0]}, loss {said[1]}, loss with accuracy {said[2]}"
        print(f"rank correlation of {low} steps with {top}: {what}")

    def run(architecture: str, steps: int) -> Trial:
        r, s = rows[architecture, steps], rows[architecture, steps]["seconds"]
        return Trial(architecture, steps, r["valid"], r["tie"], s + OVERHEAD, "", s, s, int(r["stop"]))

    def found(method: str, rungs: tuple[int, ...], seconds: float, seed: int) -> tuple[float, ...]:
        """After a full training of the winner: validation accuracy, loss, test accuracy; and how many
        architectures were tried."""

        def left(done: Sequence[Trial]) -> float:
            return seconds - sum(t.seconds for t in done) - reserved(done, rungs)

        trials = search(Suggester(problem, find_method(method), seed), rungs, [], run, left)
        r = rows[winner(trials).architecture, top]
        return r["valid"], -r["tie"], r["test"], len({t.architecture for t in trials})

    print("time in full trainings; the winner's full training, mean of the seeds; short first minus full")
    for method in methods:
        for n in times:
            short, full = (
                np.array([found(method, some, n * cost, seed) for seed in range(seeds)])
                for some in (rungs, rungs[-1:])
            )
            said = [f"{method:>8} {n:>3} tried {short[:, 3].mean():.0f} and {full[:, 3].mean():.0f}"]
            for at, name in enumerate(("accuracy", "loss", "test accuracy")):
                low, high = mean_interval(short[:, at] - full[:, at])
                difference = (short[:, at] - full[:, at]).mean()
                said.append(f"{name} {full[:, at].mean():.4g} {difference:+.3g} [{low:+.3g}, {high:+.3g}]")
            print("  ".join(said), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("curves", "replay"))
    parser.add_argument("table", type=Path)
    parser.add_argument("--architectures", type=int, default=150)
    parser.add_argument("--data", default="digits", choices=("digits", "photographs"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--methods", default="random,gp")
    parser.add_argument("--times", default="3,5,10,20", help="of a full training")
    parser.add_argument("--rungs", default="66,200,600", help="steps, of what curves trains")
    given = parser.parse_args()
    if given.what == "curves":
        rungs = tuple(int(n) for n in given.rungs.split(","))
        curves(given.table, given.architectures, given.data, rungs)
    else:
        numbers = [int(n) for n in given.times.split(",")]
        replay(given.table, given.seeds, given.methods.split(","), numbers)
