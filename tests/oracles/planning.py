"""Value iteration over the whole table, with bootstrapping at every end; and the planner's slow version."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from archwalk.agents.dqn.planner import GROWTH, ROUNDS, backed_up


def value_iteration(
    choices: np.ndarray,
    reward: np.ndarray,
    discount: float,
    sweeps: int = 1_000,
    seen: np.ndarray | None = None,
) -> np.ndarray:
    """Q* [architectures, choices]; -inf where a choice does not exist, or leads to where nobody has been."""
    exists = choices >= 0
    if seen is not None:
        exists &= seen[choices]
        assert exists[seen].any(1).all()
    value = np.zeros(len(choices))
    q = np.zeros(choices.shape)
    for _ in range(sweeps):
        q = np.where(exists, reward[choices] + discount * value[choices], -np.inf)
        value = q.max(1) if seen is None else np.where(seen, q.max(1), 0.0)
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


def refreshed(
    arrival: Tensor,
    since: Tensor,
    seen: Tensor,
    rewards: Tensor,
    choices: Tensor,
    discount: float,
) -> tuple[Tensor, Tensor]:
    """``Planner.refresh`` without bookkeeping: everything is backed up. In and out: values, and how many have
    been newly seen since they were planned."""
    rows = torch.arange(len(choices), device=choices.device)
    new = seen & (arrival == -torch.inf)
    arrival = torch.where(new, rewards / (1 - discount), arrival)
    arrival = torch.where(new, backed_up(rows, arrival, choices, rewards, discount), arrival)
    planned = arrival
    for _ in range(ROUNDS):
        planned = torch.where(seen, backed_up(rows, planned, choices, rewards, discount), planned)
    since, count = since + new.sum(), seen.sum()
    due = (since >= GROWTH * count) | (count == len(choices))
    return torch.where(due, planned, arrival), torch.where(due, 0, since)
