"""MTNAS (Zhou et al. 2024): evolution on several tasks, with architectures handed from one to another."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from archwalk.config import parse_skeleton
from archwalk.errors import SettingsError
from archwalk.networks.build import plan_network
from archwalk.searching.experience.source import Source
from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Ints, Problem
from archwalk.spaces.base import SearchSpace

POPULATION, TOURNAMENT, TURN = 10, 5, 10  # of each task; evaluations between two decisions to transfer
DECAY = 0.1  # of what transfers were good for (Q) and what they cost (P)
NEIGHBOURS = 10  # of a transferred architecture


def mtnas(problem: Problem, history: History, seed: int) -> int:
    """One regularised evolution a task; now and then the best of another task and its neighbours.

    After the first random population every ten evaluations are a turn. A turn transfers with probability
    sigmoid(diversity + Q - P): it evaluates the best architecture of another task that is not evaluated here,
    then the neighbours of it that have most parameters. Any other turn is regularised evolution, as is one
    where nobody has anything to give. What the publication leaves open is decided so: diversity is the mean
    share of slots in which two of the population differ; Q and P grow by one after a transfer that did or did
    not improve the task's best, and both lose a tenth a turn. Where networks cannot be built, neighbours are
    drawn at random. Which turns were transfers follows from history and seed, so nothing is kept.
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
            return int(around[_sizes(problem, around).argmax()])
    return _child(problem, history, seed, generator)


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
    codes = problem.codes(history.indices[start - POPULATION : start])
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


def _child(problem: Problem, history: History, seed: int, generator: np.random.Generator) -> int:
    """An edit of the best of a tournament among the latest, the oldest being dead."""
    for _ in range(100):
        pick = len(history) - 1 - generator.choice(POPULATION, TOURNAMENT, replace=False)
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


def _sizes(problem: Problem, ids: Ints) -> Floats:
    """Parameters of the networks, [n]; equal where networks cannot be built."""
    return np.array([_parameters(problem.space, problem.text(i)) for i in ids.tolist()])


@lru_cache(maxsize=1 << 16)
def _parameters(space: SearchSpace, architecture: str) -> float:
    try:
        plan = plan_network(space, architecture, parse_skeleton({"live_only": True}))
    except SettingsError:
        return 0.0
    counts: dict[object, int] = {}
    with torch.device("meta"):  # shapes without numbers
        for part in plan.parts:
            same = part.make, part.arguments
            if same not in counts:
                counts[same] = sum(p.numel() for p in part.make(*part.arguments).parameters())
    return float(sum(counts[part.make, part.arguments] for part in plan.parts))


METHOD = make_method(
    "mtnas", mtnas, source="Zhou et al. 2024, MTNAS; docs/results/methods", knows_sources=True
)
