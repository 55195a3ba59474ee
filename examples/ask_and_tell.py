"""Ask and tell: your own loop, in as many processes as you like.

    python ask_and_tell.py FOLDER [EVALUATIONS]

Run it twice at once: both share the folder, and nothing is evaluated twice. Killed, the same command goes on.
"""

import sys
from pathlib import Path

import archwalk

SPACE = {
    "name": "ask-and-tell",
    "slots": {
        "depth": {"choices": [2, 3, 4, 5], "kind": "ordinal"},
        "width": {"choices": [32, 64, 128, 256], "kind": "ordinal"},
        "block": {"choices": ["conv", "attention", "mixer"]},
        "kernel": {"choices": [3, 5, 7], "kind": "ordinal", "when": {"block": ["conv"]}},
    },
}


def choices(architecture: str) -> dict[str, str]:
    return dict(part.split("=") for part in architecture.split(","))


def megabytes(architecture: str) -> float:
    """Known without training."""
    made = choices(architecture)
    return int(made["depth"]) * int(made["width"]) ** 2 * int(made.get("kernel", 2)) / 1e5


def train(architecture: str) -> float:
    """Stands for a training."""
    made = choices(architecture)
    if made["block"] == "mixer" and made["width"] == "256":
        raise MemoryError("out of memory")
    return 70 + 2 * int(made["depth"]) + int(made["width"]) / 40 + (made["block"] == "attention")


def main() -> None:
    folder, budget = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 30
    with archwalk.Optimizer(
        SPACE, metric="top1", limits="mb <= 4", known={"mb": megabytes}, method="gp", storage=folder
    ) as optimizer:
        while len(optimizer.evaluations) < budget:
            for architecture in optimizer.suggest():
                try:
                    optimizer.tell(architecture, train(architecture))
                except MemoryError as error:
                    optimizer.tell(architecture, archwalk.Failure(str(error)))
        best, evaluations = optimizer.best, optimizer.evaluations
    assert best is not None
    failed = sum(e.status != "ok" for e in evaluations)
    print(f"best of {len(evaluations)}, {failed} failed: {best.architecture} top1 {best.metrics['top1']:.2f}")
    print(f"largest: {max(e.metrics['mb'] for e in evaluations if e.metrics):.2f} MB")


if __name__ == "__main__":
    main()
