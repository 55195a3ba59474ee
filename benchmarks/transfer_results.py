"""Tables of docs/transfer-results.md from what ``archwalk compare --targets ... --json`` printed.

    archwalk compare --benchmark FILE@PROTOCOL --targets a,b --sources rest --methods agent,gp \
        --budgets 10,25,50,100 --seeds 20 --jobs 2 --out runs/NAME --json > NAME.json
    python benchmarks/transfer_results.py NAME.json ...

The name of a file begins with the name of its table in ``benchmarks/targets.toml``, which says on which
targets the method was developed. p-values are corrected by Holm over all targets of the files given, for each
side, budget and baseline.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.analysis.statistics import holm, mean_interval

METHODS = ("agent", "gp", "source-walk", "clairvoyant")
BASELINES = ("gp", "source-walk")
ALPHA = 0.05

split = tomllib.loads((Path(__file__).parent / "targets.toml").read_text())
rows: dict[tuple[str, str], dict[tuple[str, int], dict[str, Any]]] = {}
for file in map(Path, sys.argv[1:]):
    for row in json.loads(file.read_text()):
        rows.setdefault((file.stem, row["target"]), {})[row["method"], row["budget"]] = row
budgets = sorted({budget for of in rows.values() for _, budget in of})


def side_of(name: str, target: str) -> str:
    """``developed`` or ``reported``."""
    return "reported" if target in split[name.split("-")[0]]["reported"] else "developed"


def number(value: float) -> str:
    """Ranks to three digits."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}"


print("| table, target | side | " + " | ".join(METHODS) + " |\n|---|---|" + "---|" * len(METHODS))
for (name, target), of in rows.items():
    cells = [
        " / ".join(number(of[m, b]["rank_mean"]) for b in budgets) if (m, budgets[0]) in of else "–"
        for m in METHODS
    ]
    print(f"| {name}, {target} | {side_of(name, target)} | {' | '.join(cells)} |")
print()
for side in ("developed", "reported", "all"):
    chosen = {key: of for key, of in rows.items() if side in ("all", side_of(*key))}
    if not chosen:
        continue
    for budget in budgets:
        logs = np.array(
            [
                np.log(of["agent", budget]["rank_mean"] / of["gp", budget]["rank_mean"])
                for of in chosen.values()
            ]
        )
        low, high = np.exp(mean_interval(logs)) if len(logs) > 1 else (np.nan, np.nan)
        line = f"| {side}, {len(chosen)} | {budget} | {np.exp(logs.mean()):.2f} [{low:.2f}, {high:.2f}]"
        for baseline in BASELINES:
            tests = {key: of["agent", budget]["against"].get(baseline) for key, of in chosen.items()}
            known = {key: test for key, test in tests.items() if test}
            corrected = holm(np.array([test["p"] for test in known.values()]))
            better, worse = 0, []
            for (key, test), p in zip(known.items(), corrected.tolist(), strict=True):
                if p < ALPHA:
                    bad = test["verdict"] == "worse" or (
                        test["verdict"] == "no difference" and test["difference"] > 0
                    )
                    better, worse = (better, [*worse, " ".join(key)]) if bad else (better + 1, worse)
            line += f" | {better} better, {len(worse)} worse" + (f" ({', '.join(worse)})" if worse else "")
        print(line + " |")
