"""KTNAS (Zhang and Liu 2025, arXiv:2504.00772): evolution on several tasks; transfers chosen by how earlier
ones like them did."""

from __future__ import annotations

import numpy as np

from archwalk.searching.history import History
from archwalk.searching.methods.mtnas import best_elsewhere, mutant
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Ints, Problem

POPULATION, ELITES, TRANSFERRED = 10, 2, 4  # 20 % elites
NEW = POPULATION - ELITES  # evaluations of a generation, transfers first
TOURNAMENT = 2
CANDIDATES = 10  # of each other task


def ktnas(problem: Problem, history: History, seed: int) -> int:
    """Evolution a task; four of a generation come from other tasks, ranked by earlier transfers like them.

    A generation is the two best of the last one, four transfers, and four edits of parents that won a
    tournament of two. Candidates are the best ten architectures of each other task. A transfer's label is
    whether it got into the better half of the population that it came to; candidates stand in the order of
    the label of the nearest earlier transfer, then of their rank in their own task. The encoding is the view
    of architectures without dead slots and the distance counts slots; the publication embeds graphs by
    node2vec.
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
        pick = generator.choice(at, TOURNAMENT, replace=False)
        child = mutant(problem, history, history.indices[pick[history.rewards[pick].argmax()]], generator)
        if child is not None:
            return child
    return random(problem, history, seed)


def populations(history: History) -> list[Ints]:
    """Positions in the history of each complete generation's members, elites first, [POPULATION] each."""
    found = [np.arange(POPULATION)]
    for start in range(POPULATION, len(history) - NEW + 1, NEW):
        best = np.argsort(-history.rewards[found[-1]], kind="stable")[:ELITES]
        found.append(np.append(found[-1][best], np.arange(start, start + NEW)))
    return found


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
