"""KTNAS (Zhang and Liu 2025, arXiv:2504.00772): evolution on several tasks; transfers chosen by how earlier
ones like them did."""

from __future__ import annotations

import numpy as np

from archwalk.searching.history import History
from archwalk.searching.methods.mtnas import best_elsewhere, mutant
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Ints, Problem

POPULATION, TRANSFERRED = 10, 4
NEW = 8  # evaluations of a generation, transfers first; the publication's other two are elites, 20 %
CLONED = 0.5  # of the children that two parents make, those that are not edited too
TOURNAMENT = 2
CANDIDATES = 10  # of each other task


def ktnas(problem: Problem, history: History, seed: int) -> int:
    """Evolution a task; four of a generation come from other tasks, ranked by earlier transfers like them.

    A generation evaluates four transfers and four children. A child has each slot of one of two parents,
    which won a tournament of two each; every other child is edited once as well. The ten best of a population
    and its generation are the next population. Candidates for transfer are the best ten architectures of each
    other task. A transfer's label is whether it got into the better half of the population that it came to;
    candidates stand in the order of the label of the nearest earlier transfer, then of their rank in their
    own task. The encoding is the view of architectures without dead slots and the distance counts slots; the
    publication embeds graphs by node2vec.
    """
    done = len(history)
    if done < POPULATION:
        return random(problem, history, seed)
    generation, place = divmod(done - POPULATION, NEW)
    generator = np.random.default_rng([seed, done])
    if place < TRANSFERRED:
        candidates = best_elsewhere(problem, history, generator, CANDIDATES)
        if len(candidates):
            return int(candidates[rank(problem, candidates, *labelled(problem, history)).argmax()])
    at = populations(history)[generation]
    for _ in range(100):
        picks = [generator.choice(at, TOURNAMENT, replace=False) for _ in range(2)]
        parents = history.indices[[pick[history.rewards[pick].argmax()] for pick in picks]]
        child = crossed(problem, parents, generator)
        if not history.visited(child)[0] and generator.random() < CLONED:
            return int(child[0])
        edited = mutant(problem, history, child[0], generator)
        if edited is not None:
            return edited
    return random(problem, history, seed)


def populations(history: History) -> list[Ints]:
    """Positions in the history of each population, the first one and that after each complete generation,
    best first after that, [POPULATION] each."""
    found = [np.arange(POPULATION)]
    for start in range(POPULATION, len(history) - NEW + 1, NEW):
        both = np.append(found[-1], np.arange(start, start + NEW))
        found.append(both[np.argsort(-history.rewards[both], kind="stable")[:POPULATION]])
    return found


def crossed(problem: Problem, parents: Ints, generator: np.random.Generator) -> Ints:
    """The first parent, with about half of the slots in which they differ as in the second, [1].

    It is reached by edits, each of which brings it nearer to the second, so that it is of the space.
    """
    at, goal = parents[:1], problem.codes(parents[1:])
    apart = int((problem.codes(at) != goal).sum())
    for _ in range(generator.binomial(apart, 0.5)):
        around = problem.neighbours(at)[0]
        around = around[around >= 0]
        now = (problem.codes(around) != goal).sum(1)
        if not (now < apart).any():
            break
        at = generator.choice(around[now < apart], 1)
        apart = int((problem.codes(at) != goal).sum())
    return at


def labelled(problem: Problem, history: History) -> tuple[Ints, Ints]:
    """Earlier transfers: their ids and labels, 1 where it got into the better half, else 0, [n] each."""
    known = {i for source in problem.experience for i in problem.locate(source.codes).tolist()}
    ids, labels = list[int](), list[int]()
    for generation, members in enumerate(populations(history)):
        start = POPULATION + generation * NEW
        middle = np.median(history.rewards[members])
        for at in range(start, min(start + TRANSFERRED, len(history))):
            if int(history.indices[at]) in known:
                ids.append(int(history.indices[at]))
                labels.append(int(history.rewards[at] > middle))
    return np.array(ids, dtype=np.int64), np.array(labels, dtype=np.int64)


def rank(problem: Problem, candidates: Ints, earlier: Ints, labels: Ints) -> Ints:
    """The label of the nearest earlier transfer, the latest of several, [candidates]; all 1 before any."""
    if not len(earlier):
        return np.ones(len(candidates), dtype=np.int64)
    view = max(problem.views - 2, 0)
    apart = problem.distances(view, candidates, earlier[::-1])
    return labels[::-1][apart.argmin(1)]


METHOD = make_method("ktnas", ktnas, source="Zhang and Liu 2025, arXiv:2504.00772", knows_sources=True)
