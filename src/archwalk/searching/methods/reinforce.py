"""REINFORCE (Williams 1992), one softmax a slot, as NAS-Bench-201 (Dong and Yang 2020) runs it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archwalk.searching.history import History
from archwalk.searching.listed import ListedProblem
from archwalk.searching.methods.random import random
from archwalk.searching.open import OpenProblem
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Problem

LEARNING_RATE, BASELINE_DECAY = 0.2, 0.9
MOVES = 15  # proposed edits a slot before a chain's state counts as a sample of the policy


def reinforce(problem: Problem, history: History, seed: int) -> int:
    """REINFORCE, one softmax a slot, moving-average baseline.

    After each evaluation, Adam's step of ``LEARNING_RATE`` along (reward - moving average) ∇ log
    π(architecture). The next architecture is drawn from the policy over all architectures that are not
    visited. In an open space, where slots may hang on each other, that is done by a Metropolis chain over
    neighbours.
    """
    if isinstance(problem, ListedProblem):
        one_hot = problem.code_one_hot
        logits = _learn(one_hot[history.indices], len(problem.tables[2][0]), history.rewards)
        scores = np.asarray(one_hot @ logits)
        scores = np.where(history.visited(np.arange(len(problem))), -np.inf, scores)
        gumbel = np.random.default_rng([seed, len(history)]).gumbel(size=len(scores))
        return int(np.argmax(scores + gumbel))
    assert isinstance(problem, OpenProblem)
    widths = np.array(problem.space.slot_sizes) + 1
    features = np.zeros((len(history), len(widths), int(widths.max())))
    np.put_along_axis(features, problem.codes(history.indices)[:, :, None] + 1, 1.0, axis=2)
    outside = np.where(np.arange(widths.max()) < widths[:, None], 0.0, -np.inf).ravel()
    logits = _learn(features.reshape(len(history), outside.size), len(widths), history.rewards, outside)
    return _sample(problem, history, logits.reshape(len(widths), -1), seed)


def _learn(one_hot: Floats, slots: int, rewards: Floats, start: Floats | None = None) -> Floats:
    """The policy's logits after all evaluations, [slots · choices].

    Args:
        one_hot: of the evaluated architectures, in order, [n, slots · choices].
        slots: how many.
        rewards: [n].
        start: first logits; -inf where a slot has no such choice.
    """
    logits, m, v = (np.zeros(one_hot.shape[1]) for _ in range(3))
    if start is not None:
        logits += start
    average = 0.0
    for step, (row, reward) in enumerate(zip(one_hot, rewards, strict=True), 1):
        average = follow_average(average, reward, step)
        by_slot = np.exp(logits.reshape(slots, -1))
        policy = (by_slot / by_slot.sum(1, keepdims=True)).ravel()
        gradient = (reward - average) * (row - policy)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        logits += LEARNING_RATE * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return logits


def follow_average(average: float, reward: float, step: int) -> float:
    """The moving average that a reward is compared with, itself included; ``step`` counts rewards from 1."""
    return reward if step == 1 else BASELINE_DECAY * average + (1 - BASELINE_DECAY) * reward


def _sample(problem: OpenProblem, history: History, logits: Floats, seed: int) -> int:
    """An unvisited architecture from π(x) ∝ exp(Σ_s logits[s, x_s]) over the space (Hastings 1970)."""
    generator = np.random.default_rng([seed, len(history)])
    slots = np.arange(len(logits))
    at = problem.space.sample(1, generator)[0]
    height, around = logits[slots, at + 1].sum(), _around(problem, at)
    for step in range(4 * MOVES * len(slots)):
        if step >= MOVES * len(slots):
            index = problem.intern(at[None])
            if not history.visited(index)[0]:
                return int(index[0])
        if not len(around):
            break
        other = around[generator.integers(len(around))]
        rise = logits[slots, other + 1].sum() - height
        luck = np.log(generator.random())
        if luck >= rise + np.log(len(around)):  # refused, however few neighbours the other has
            continue
        beyond = _around(problem, other)
        if luck < rise + np.log(len(around) / len(beyond)):
            at, height, around = other, height + rise, beyond
    return random(problem, history, seed)


def _around(problem: OpenProblem, code: NDArray[np.int16]) -> NDArray[np.int16]:
    around = problem.space.neighbours(code[None])[0]
    return around[(around >= 0).any(1)]


METHOD = make_method("reinforce", reinforce, source="Williams 1992; Dong and Yang 2020, arXiv:2001.00326")
