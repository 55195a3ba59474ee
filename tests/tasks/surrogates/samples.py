"""A made-up space with a condition, and samples of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from archwalk.spaces import DeclaredSpace, read_declaration

SPACE = DeclaredSpace(
    read_declaration(
        {
            "name": "made-up",
            "slots": {
                "depth": {"choices": [2, 3, 4, 6], "kind": "ordinal"},
                "op1": {"choices": ["conv", "attention", "skip"]},
                "kernel1": {"choices": [3, 5, 7], "kind": "ordinal", "when": {"op1": ["conv"]}},
                "op2": {"choices": ["conv", "attention", "skip", "pool"]},
                "width": {"kind": "integer", "low": 16, "high": 64, "step": 16},
                "norm": {"choices": ["batch", "layer"]},
            },
        }
    )
)
SLOTS = tuple(SPACE.declaration.slots)


def quality(codes: np.ndarray) -> np.ndarray:
    """A smooth function of the choices with one interaction, [n]."""
    depth, op1, kernel, op2, width, norm = codes.T
    main = 0.8 * depth + np.array([1.0, 0.2, -1.5])[op1] + np.array([0.5, 1.5, -1.0, 0.0])[op2]
    return main + 0.3 * width - 0.6 * (kernel - 1) ** 2 * (kernel >= 0) + 0.7 * (norm == 1) * (op2 == 1)


def table(n: int = 160, seed: int = 0, noise: float = 0.05) -> pl.DataFrame:
    """A wide table of ``n`` architectures: slots shuffled, then accuracy, latency and parameters."""
    g = np.random.default_rng(seed)
    codes = SPACE.sample(n, g)
    rows = [SPACE.values(code) for code in codes.tolist()]
    frame = {slot: [row.get(slot) for row in rows] for slot in reversed(SLOTS)}
    good = quality(codes)
    frame["t/acc/valid/final"] = 70 + 3 * good + noise * g.standard_normal(n)
    frame["t/latency_gpu/none/none"] = 5.0 + codes[:, 0] * (1 + codes[:, 4])
    frame["t/params/none/none"] = (1000 * (1 + codes[:, 4]) * (2 + codes[:, 0])).astype(float)
    return pl.DataFrame(frame)


def write(path: Path, frame: pl.DataFrame) -> Path:
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)
    return path
