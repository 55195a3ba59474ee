"""Value iteration over the whole table, with bootstrapping at every end; and a hill climb."""

from __future__ import annotations

import numpy as np


def value_iteration(
    choices: np.ndarray, reward: np.ndarray, discount: float, sweeps: int = 1_000
) -> np.ndarray:
    """Q* [architectures, choices]; -inf where a choice does not exist."""
    exists = choices >= 0
    value = np.zeros(len(choices))
    q = np.zeros(choices.shape)
    for _ in range(sweeps):
        q = np.where(exists, reward[choices] + discount * value[choices], -np.inf)
        value = q.max(1)
    return q


def follow(choices: np.ndarray, q: np.ndarray, steps: int) -> np.ndarray:
    """Where greedy walks from every start stand after some steps, walk by walk."""
    final = []
    for here in range(len(choices)):
        for _ in range(steps):
            action = int(q[here].argmax())
            if action == 0:
                break
            here = int(choices[here, action])
        final.append(here)
    return np.array(final)
