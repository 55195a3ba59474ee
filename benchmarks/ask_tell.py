"""Two processes that tell one optimizer their results, and are killed again and again.

    python benchmarks/ask_tell.py --results 500 --seconds 0.4 --out runs/ask_tell

Prints what came of it, and exits with status 1 if a result was lost, is there twice, or says something
else than was told. Every worker writes down what it told after ``tell`` returned; that is compared with the
ledger.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import archwalk
from archwalk.searching import asking  # noqa: F401 - before the workers fork
from archwalk.tasks.ledger import read_evaluations

SPACE: dict[str, Any] = {
    "name": "stress",
    "slots": {f"op{i}": {"choices": ["conv", "skip", "pool"]} for i in range(12)},
}


def value_of(architecture: str) -> float:
    return sum(map(ord, architecture)) % 997 / 10


def work(storage: Path, log: Path, results: int, method: str) -> None:
    with archwalk.Optimizer(SPACE, metric="acc", method=method, seed=0, storage=storage) as optimizer:
        while len(optimizer.evaluations) < results:
            for architecture in optimizer.suggest():
                time.sleep(random.uniform(0, 0.005))
                optimizer.tell(architecture, {"acc": value_of(architecture)})
                with log.open("a") as file:
                    file.write(f"{architecture}\n")


def start(storage: Path, log: Path, results: int, method: str) -> int:
    child = os.fork()
    if child:
        return child
    try:
        random.seed(os.getpid())
        work(storage, log, results, method)
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


def stress(
    out: Path, results: int, seconds: float, method: str = "random", workers: int = 2, kills: int = 0
) -> dict[str, Any]:
    """Kill a random worker every so many seconds on average, until the results are there.

    Where they are there before so many ``kills``, as many more are told, and so on.
    """
    out.mkdir(parents=True, exist_ok=True)
    storage, log = out / "storage", out / "told.txt"
    generator, killed, failed, began = random.Random(0), 0, 0, time.monotonic()
    told = results
    pids = {start(storage, log, results, method) for _ in range(workers)}
    until = time.monotonic() + generator.expovariate(1 / seconds)
    while pids or killed < kills:
        if not pids:
            told += results
            pids = {start(storage, log, told, method) for _ in range(workers)}
        time.sleep(0.005)
        for pid in list(pids):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                pids.discard(pid)
                if os.WIFSIGNALED(status):
                    pids.add(start(storage, log, told, method))
                failed += os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0
        if pids and time.monotonic() > until:
            os.kill(generator.choice(sorted(pids)), signal.SIGKILL)
            killed += 1
            until = time.monotonic() + generator.expovariate(1 / seconds)
    kept = read_evaluations(storage / "evaluations.sqlite")
    said = Counter(log.read_text().split())
    there = Counter(e.architecture for e in kept)
    return {
        "kept": len(kept),
        "kills": killed,
        "lost": sum(architecture not in there for architecture in said),
        "twice": sum(n > 1 for n in there.values()) + sum(n > 1 for n in said.values()),
        "wrong": sum(e.metrics != {"acc": value_of(e.architecture)} for e in kept),
        "failed": failed,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--method", default="random")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    found = stress(given.out, given.results, given.seconds, given.method)
    print(json.dumps(found))
    if found["kept"] < given.results or any(found[k] for k in ("lost", "twice", "wrong", "failed")):
        sys.exit(1)


if __name__ == "__main__":
    main()
