"""Slow versions of what transfer methods compute."""

from __future__ import annotations

import numpy as np


def followed(phi: np.ndarray, policy: np.ndarray, discount: float, steps: int = 300) -> np.ndarray:
    """Σ γ^t φ along the policy from each state on, the state itself first, walk by walk, [states, d]."""
    found = np.zeros(phi.shape)
    for first in range(len(phi)):
        here, factor = first, 1.0
        for _ in range(steps):
            found[first] += factor * phi[here]
            here, factor = policy[here], factor * discount
    return found


def margin(q: list[float], shown: int, by: float) -> float:
    """The large margin of one state, action by action."""
    best = max(value + (0.0 if a == shown else by) for a, value in enumerate(q))
    return best - q[shown]


def shaped_values(
    choices: np.ndarray, reward: np.ndarray, potential: np.ndarray, discount: float, sweeps: int = 1_000
) -> np.ndarray:
    """Q* of the process whose steps are rewarded r + γΦ(s') - Φ(s), by value iteration, [states, choices]."""
    exists, value = choices >= 0, np.zeros(len(choices))
    q = np.zeros(choices.shape)
    for _ in range(sweeps):
        step = reward[choices] + discount * potential[choices] - potential[:, None]
        q = np.where(exists, step + discount * value[choices], -np.inf)
        value = q.max(1)
    return q


def gains(walks: list[tuple[int, list[float]]], policies: int, discount: float) -> list[float]:
    """Mean gain of each policy: discounted returns, the last reward for ever, times 1 - γ."""
    found: list[list[float]] = [[] for _ in range(policies)]
    for policy, rewards in walks:
        total = sum(discount**t * r for t, r in enumerate(rewards))
        total += discount ** len(rewards) / (1 - discount) * rewards[-1]
        found[policy].append((1 - discount) * total)
    return [float(np.mean(each)) if each else 0.0 for each in found]
