"""Accuracy and latency on NAS-Bench-201: the front's hypervolume, against NSGA-II of two libraries.

    python benchmarks/objectives.py --table nb201.parquet --hardware hardware.parquet --out D

``--table`` is a benchmark file of NAS-Bench-201 (``archwalk data import table``), ``--hardware`` the
latencies of HW-NAS-Bench as a tidy table. Every method gets the same number of evaluations, none twice;
``gp+known`` is ``gp`` told the latencies beforehand.
Hypervolumes are shares of that of the table's own front, beyond the worst of the table in both objectives,
and beyond the worst of its front (the nadir). NSGA-II: pymoo (if installed; population 20, integers, its own
crossover and mutation) and Optuna's sampler (population 20).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import wilcoxon

from archwalk.searching.limits import Limits
from archwalk.searching.loop import search
from archwalk.searching.open import make_problem
from archwalk.searching.pareto import hypervolume, pareto_front
from archwalk.searching.quantities import Column
from archwalk.searching.registry import find_method
from archwalk.tasks.ledger import Ledger
from archwalk.tasks.metrics import Metric
from archwalk.tasks.registry import load_table
from archwalk.tasks.table import Benchmark

TOP1, LATENCY = Metric("top1", "max", "percent", 0, 100), Metric("latency", "min", "milliseconds", 0)
TASKS = {"cifar10_valid": "cifar10", "cifar100": "cifar100", "imagenet16_120": "imagenet16_120"}


def objectives(table: Benchmark, hardware: pl.DataFrame, task: str, device: str) -> np.ndarray:
    """Validation accuracy and negative latency of every cell, [N, 2]."""
    rows = hardware.filter((pl.col.task == TASKS[task]) & (pl.col.metric == f"hw_{device}_latency"))
    latency = dict(zip(rows["arch"].to_list(), rows["value"].to_list(), strict=True))
    return np.stack([table.reward(task) * 100, [-latency[a] for a in table.architectures]], 1)


def ours(method: str, table: Benchmark, values: np.ndarray, budget: int, seed: int) -> list[int]:
    method, _, told = method.partition("+")
    place = {a: i for i, a in enumerate(table.architectures)}

    def evaluate(text: str) -> dict[str, float]:
        acc, cost = values[place[text]]
        return {"top1": float(acc), "latency": float(-cost)}

    ledger = Ledger(evaluate, ("top1", "latency"))
    problem = make_problem(table.space, table.rows, measured_apart=True)
    codes = table.space.codes[table.rows]
    known = Column("latency", "milliseconds", "the table", table.space, codes, -values[:, 1])
    found = search(
        problem,
        ledger,
        find_method(method),
        TOP1,
        budget=budget,
        seed=seed,
        costs=(LATENCY,),
        limits=Limits((), (), (known,)) if told else None,
    )
    ledger.close()
    return [place[e.architecture] for e in found]


def optuna_nsga(table: Benchmark, values: np.ndarray, budget: int, seed: int) -> list[int]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=20, seed=seed)
    study = optuna.create_study(directions=["maximize", "maximize"], sampler=sampler)
    place = {tuple(code): i for i, code in enumerate(table.space.codes[table.rows].tolist())}
    seen: dict[int, None] = {}
    for _ in range(50 * budget):
        trial = study.ask()
        code = tuple(trial.suggest_int(f"e{i}", 0, n - 1) for i, n in enumerate(table.space.slot_sizes))
        seen[place[code]] = None
        study.tell(trial, values[place[code]].tolist())
        if len(seen) == budget:
            break
    return list(seen)


def pymoo_nsga(table: Benchmark, values: np.ndarray, budget: int, seed: int) -> list[int]:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    place = {tuple(code): i for i, code in enumerate(table.space.codes[table.rows].tolist())}
    seen: dict[int, None] = {}

    class Cells(ElementwiseProblem):
        def __init__(self) -> None:
            top = np.array(table.space.slot_sizes) - 1
            super().__init__(n_var=len(top), n_obj=2, xl=0, xu=top, vtype=int)

        def _evaluate(self, x: np.ndarray, out: dict, *args: object, **kwargs: object) -> None:
            at = place[tuple(int(v) for v in x)]
            if len(seen) < budget:
                seen[at] = None
            out["F"] = -values[at]

    repair = RoundingRepair()
    algorithm = NSGA2(
        pop_size=20,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=1.0, eta=3.0, vtype=float, repair=repair),
        mutation=PM(prob=1.0, eta=3.0, vtype=float, repair=repair),
        eliminate_duplicates=True,
    )
    minimize(Cells(), algorithm, ("n_gen", 5 * budget // 20), seed=seed, verbose=False)
    return list(seen)


def described(
    task: str, name: str, found: dict[tuple[str, str, int], list[float]]
) -> list[dict[str, object]]:
    """A row a reference and budget, printed as well; tests against both NSGA-II, if these came before."""
    rows = []
    for (method, reference, budget), shares in found.items():
        if method != name:
            continue
        row: dict[str, object] = {"task": task, "method": name, "reference": reference, "budget": budget}
        mean, deviation = float(np.mean(shares)), float(np.std(shares, ddof=1))
        row |= {"mean": mean, "std": deviation, "shares": shares}
        for other in ("nsga2-pymoo", "nsga2-optuna"):
            theirs = found.get((other, reference, budget))
            if theirs and name != other:
                row[f"p_{other}"] = float(wilcoxon(shares, theirs).pvalue)
        rows.append(row)
        tests = "  ".join(f"{k} {v:.3g}" for k, v in row.items() if k.startswith("p_"))
        what = f"{task:16} {name:14} {reference:6} {budget:4}"
        print(f"{what} {mean:.4f} ± {deviation:.4f}  {tests}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--hardware", type=Path, required=True)
    parser.add_argument("--device", default="edgegpu")
    parser.add_argument("--tasks", default="cifar10_valid,cifar100,imagenet16_120")
    parser.add_argument("--methods", default="nsga2-pymoo,nsga2-optuna,random,evolution,gp,gp+known")
    parser.add_argument("--budgets", default="50,100")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    table, hardware = load_table(str(given.table)), pl.read_parquet(given.hardware)
    budgets = [int(b) for b in given.budgets.split(",")]
    rows = []
    for task in given.tasks.split(","):
        values = objectives(table, hardware, task, given.device)
        front = values[pareto_front(values)]
        references = {"worst": values.min(0), "nadir": front.min(0)}
        whole = {name: hypervolume(front, point.tolist()) for name, point in references.items()}
        methods: dict[str, Callable[[int], list[int]]] = {}
        for name in given.methods.split(","):
            if name == "nsga2-pymoo":
                methods[name] = lambda seed, v=values: pymoo_nsga(table, v, max(budgets), seed)
            elif name == "nsga2-optuna":
                methods[name] = lambda seed, v=values: optuna_nsga(table, v, max(budgets), seed)
            else:
                methods[name] = lambda seed, v=values, m=name: ours(m, table, v, max(budgets), seed)
        found: dict[tuple[str, str, int], list[float]] = {}
        for name, run in methods.items():
            for seed in range(given.seeds):
                order = run(seed)
                assert len(order) == len({*order}) == max(budgets), (name, len(order))
                for budget in budgets:
                    for reference, point in references.items():
                        share = hypervolume(values[order[:budget]], point.tolist()) / whole[reference]
                        found.setdefault((name, reference, budget), []).append(share)
            rows += described(task, name, found)
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "objectives.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
