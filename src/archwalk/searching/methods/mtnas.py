"""MTNAS (Zhou et al. 2024): evolution on several tasks, with architectures handed from one to another."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from archwalk.errors import ArchwalkError
from archwalk.proxies.measuring import measure_proxies, random_batch, small_skeleton
from archwalk.searching.experience.source import Source
from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Ints, Problem
from archwalk.spaces.base import SearchSpace

POPULATION, TOURNAMENT, TURN = 10, 5, 10  # of each task; evaluations between two decisions to transfer
DECAY = 0.1  # of what transfers were good for (Q) and what they cost (P)
NEIGHBOURS = 10  # of a transferred architecture
SIDE = 16  # of the images that synflow's networks are made for


def mtnas(problem: Problem, history: History, seed: int) -> int:
    """One regularised evolution a task; now and then the best of another task and its neighbours.

    After the first random population every ten evaluations are a turn. A turn transfers with probability
    sigmoid(diversity + Q - P): it evaluates the best architecture of another task that is not evaluated here,
    then the neighbours of it whose networks, small and untrained, have the highest synflow. Any other turn is
    regularised evolution, as is one where nobody has anything to give. What the publication leaves open is
    decided so: of what a transfer brought, the population takes in what is among the ten best so far;
    diversity is the mean share of slots in which two of it differ; Q and P grow by one after a transfer that
    did or did not improve the task's best, and both lose a tenth a turn. Where networks cannot be built,
    neighbours are drawn at random. Which turns were transfers follows from history and seed, so nothing is
    kept.
    """
    done = len(history)
    if done < POPULATION:
        return random(problem, history, seed)
    turn, place = divmod(done - POPULATION, TURN)
    generator = np.random.default_rng([seed, done])
    given = taken(problem, history, seed)
    if place == 0 and wants(problem, history, seed, turn, given):
        best = best_elsewhere(problem, history, generator, 1)
        if len(best):
            return int(best[0])
    if turn in given and 0 < place <= NEIGHBOURS:
        around = problem.neighbours(history.indices[[done - place]])[0]
        around = generator.permutation(around[around >= 0])  # ties at random
        around = around[~history.visited(around)]
        if len(around):
            return int(around[_scores(problem, around).argmax()])
    return _child(problem, history, seed, given, generator)


def wants(problem: Problem, history: History, seed: int, turn: int, given: dict[int, bool]) -> bool:
    """Whether a turn is to transfer, by what came before it.

    Args:
        problem: what is searched.
        history: at least up to the turn's beginning.
        seed: decides.
        turn: 0 is the one after the first population.
        given: ``taken``.
    """
    start = POPULATION + turn * TURN
    codes = problem.codes(history.indices[population(history, start, given)])
    pairs = np.triu_indices(len(codes), 1)
    diversity = float((codes[pairs[0]] != codes[pairs[1]]).mean())
    gain = cost = 0.0
    for before in range(turn):
        gain, cost = (1 - DECAY) * gain, (1 - DECAY) * cost
        if before in given:
            gain, cost = gain + given[before], cost + (not given[before])
    chance = 1 / (1 + np.exp(-(diversity + gain - cost)))
    return bool(np.random.default_rng([seed, turn, 1]).random() < chance)


def taken(problem: Problem, history: History, seed: int) -> dict[int, bool]:
    """The turns that began with another task's architecture → whether they improved the best of this task.

    A turn counts if its draw was for a transfer and another task knows the architecture that it began with.
    """
    known = {i for source in problem.experience for i in problem.locate(source.codes).tolist()}
    found: dict[int, bool] = {}
    for turn, start in enumerate(range(POPULATION, len(history), TURN)):
        if int(history.indices[start]) in known and wants(problem, history, seed, turn, found):
            got = history.rewards[start : start + TURN].max()
            found[turn] = bool(got > history.rewards[:start].max())
    return found


def best_elsewhere(problem: Problem, history: History, generator: np.random.Generator, each: int) -> Ints:
    """What is not visited of the other tasks' best, by rank there, ties at random, [<= each · tasks]."""
    sources = problem.experience
    order = generator.permutation(len(sources))
    best = [_unused(problem, history, sources[i])[:each] for i in order.tolist()]
    ranks = np.concatenate([np.arange(len(ids)) for ids in best]) if best else np.zeros(0)
    ids = np.concatenate(best) if best else np.zeros(0, np.int64)
    return np.array([*dict.fromkeys(ids[np.argsort(ranks, kind="stable")].tolist())], dtype=np.int64)


def _unused(problem: Problem, history: History, source: Source) -> Ints:
    """Ids of a source that are not visited here, the best first; of its better half alone."""
    ids = problem.locate(source.codes[np.argsort(-source.values, kind="stable")[: -(-len(source) // 2)]])
    ids = ids[ids >= 0]
    return ids[~history.visited(ids)]


def population(history: History, done: int, given: dict[int, bool]) -> Ints:
    """Positions of the members after ``done`` evaluations, the youngest last, [POPULATION].

    The latest of those that evolution made, and of those of a transfer that were among the ``POPULATION``
    best when its turn ended.

    Args:
        history: at least up to there.
        done: evaluations.
        given: ``taken``, at least of the turns before.
    """
    stays = np.ones(done, dtype=bool)
    for turn in given:
        start, end = POPULATION + turn * TURN, min(POPULATION + (turn + 1) * TURN, done)
        if start < end:
            best = np.argsort(-history.rewards[:end], kind="stable")[:POPULATION]  # the earlier of equals
            stays[start:end] = np.isin(np.arange(start, end), best)
    return np.flatnonzero(stays)[-POPULATION:]


def _child(
    problem: Problem, history: History, seed: int, given: dict[int, bool], generator: np.random.Generator
) -> int:
    """An edit of the best of a tournament among the population."""
    at = population(history, len(history), given)
    for _ in range(100):
        pick = generator.choice(at, TOURNAMENT, replace=False)
        child = mutant(problem, history, history.indices[pick[history.rewards[pick].argmax()]], generator)
        if child is not None:
            return child
    return random(problem, history, seed)


def mutant(
    problem: Problem, history: History, parent: np.int64, generator: np.random.Generator
) -> int | None:
    """One random edit of an architecture; None if it leads to a visited one."""
    around = problem.neighbours(np.array([parent]))[0]
    around = around[around >= 0]
    if not len(around):
        return None
    child = generator.choice(around, 1)
    return None if history.visited(child)[0] else int(child[0])


def _scores(problem: Problem, ids: Ints) -> Floats:
    """``_synflow`` of architectures, [n]."""
    return np.array([_synflow(problem.space, problem.text(i)) for i in ids.tolist()])


@lru_cache(maxsize=1 << 16)
def _synflow(space: SearchSpace, architecture: str) -> float:
    """Of a small network; 0 where no path leads through it, or none can be built."""
    batch = random_batch(2, 0, side=SIDE)
    try:
        found = measure_proxies(space, architecture, batch, ("synflow",), **small_skeleton(space))
    except ArchwalkError:
        return 0.0
    return float(np.nan_to_num(found["synflow"]))


METHOD = make_method(
    "mtnas", mtnas, source="Zhou et al. 2024, MTNAS; docs/results/methods", knows_sources=True
)
