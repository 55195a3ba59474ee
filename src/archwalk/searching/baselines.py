"""Methods that start from nothing and model nothing: random, local, evolution, reinforce.

In: a ``Problem``, a ``History``, a seed. Out: the index to look at next, never one that is taken. Every
method is a function of these three alone: it replays its own past from the history, so that a search that
was killed goes on as if nothing had happened. Next: ``methods`` has them by name.
"""

from __future__ import annotations

import numpy as np

from archwalk.searching.problem import Floats, History, Problem

POPULATION, TOURNAMENT = 20, 5
LEARNING_RATE, BASELINE_DECAY = 0.2, 0.9


def random(problem: Problem, history: History, seed: int) -> int:
    """The next of one random order of all architectures."""
    order = np.random.default_rng(seed).permutation(len(problem))
    return int(order[np.argmax(~history.taken[order])])


def local(problem: Problem, history: History, seed: int) -> int:
    """Hill climb with restarts (White et al. 2021, "Exploring the loss landscape in NAS").

    Looks at all neighbours of where it stands in a random order, steps to the best one if that is better,
    and starts again from a random architecture where none is.
    """
    generator = np.random.default_rng(seed)
    while True:
        at = int(generator.integers(len(problem)))
        if at not in history.known:
            if not history.taken[at]:
                return at
            if history.taken.mean() > 0.9:  # a random start would take long to find what is left
                return random(problem, history, seed)
            continue
        while True:
            around = problem.neighbours[at]
            around = generator.permutation(around[around >= 0])
            unknown = around[~history.taken[around]]
            if len(unknown):
                return int(unknown[0])
            values = np.array([history.known.get(i, -np.inf) for i in around.tolist()])
            if not len(values) or values.max() <= history.known[at]:
                break
            at = int(around[values.argmax()])


def evolution(problem: Problem, history: History, seed: int) -> int:
    """Regularised evolution (Real et al. 2019): the oldest dies, whoever it is.

    The first ``POPULATION`` looks are random. Then the best of ``TOURNAMENT`` drawn from the ``POPULATION``
    latest looks has a child one edit away. An edit that is no new look is drawn again, since a look at a
    known architecture costs nothing and tells nothing.
    """
    if len(history) < POPULATION:
        return random(problem, history, seed)
    generator = np.random.default_rng([seed, len(history)])
    for _ in range(100):
        pick = len(history) - 1 - generator.choice(POPULATION, TOURNAMENT, replace=False)
        parent = history.indices[pick[history.rewards[pick].argmax()]]
        around = problem.neighbours[parent]
        child = int(generator.choice(around[around >= 0])) if (around >= 0).any() else int(parent)
        if not history.taken[child]:
            return child
    return random(problem, history, seed)


def reinforce(problem: Problem, history: History, seed: int) -> int:
    """REINFORCE (Williams 1992) on a policy with one softmax a slot, as NAS-Bench-201 runs it.

    After each look, Adam's step of ``LEARNING_RATE`` along (reward - moving average) ∇ log π(architecture).
    The next architecture is drawn from the policy over all architectures that are not taken.
    """
    one_hot = problem.one_hot[2]
    scores = _policy_scores(one_hot, len(problem.codes[0]), history)
    scores = np.where(history.taken, -np.inf, scores)
    gumbel = np.random.default_rng([seed, len(history)]).gumbel(size=len(scores))
    return int(np.argmax(scores + gumbel))


def _policy_scores(one_hot: Floats, slots: int, history: History) -> Floats:
    """log π up to a constant after learning from the history, [N]."""
    logits, m, v = (np.zeros(one_hot.shape[1]) for _ in range(3))
    average = 0.0
    for step, (index, reward) in enumerate(zip(history.indices, history.rewards, strict=True), 1):
        average = reward if step == 1 else BASELINE_DECAY * average + (1 - BASELINE_DECAY) * reward
        by_slot = np.exp(logits.reshape(slots, -1))
        policy = (by_slot / by_slot.sum(1, keepdims=True)).ravel()
        gradient = (reward - average) * (one_hot[index] - policy)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        logits += LEARNING_RATE * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return np.asarray(one_hot @ logits)
