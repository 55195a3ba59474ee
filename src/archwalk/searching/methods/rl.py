"""An agent as the searcher: trained in a model of the reward, its walks lead to what is evaluated next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwalk.agents.networks import QNetwork
from archwalk.searching.acquisition import maximise
from archwalk.searching.gp.surrogate import STRUCTURE
from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Ints, Problem
from archwalk.searching.rl.reward import RewardModel
from archwalk.searching.rl.training import train, walks

FIRST = 5  # evaluations before there is a model
GROWTH = 1.2  # the agent is trained again when the evaluations have grown by so much
BEST, RANDOM = 8, 8  # walks begin at the best evaluated, at random architectures, and at the latest evaluated


def version(evaluations: int) -> int:
    """How many of the first evaluations the agent is trained on: 5, 6, 8, 10, 12, 15, 18, ..."""
    now = FIRST
    while (after := max(now + 1, int(np.ceil(GROWTH * now)))) <= evaluations:
        now = after
    return now


class AgentSearch:
    """A Q-network trained in a model of the reward; suggests where its walks lead.

    Args:
        problem: what is searched.
        seed: decides all randomness.
    """

    def __init__(self, problem: Problem, seed: int, variant: str = "net", cand: str = "steps", rank: str = "ei") -> None:
        self._problem, self._seed = problem, seed
        self.variant, self.cand, self.rank = variant, cand, rank
        self._trained: tuple[bytes, QNetwork] | None = None

    def update(self, evaluations: History) -> None:
        """Learn what is evaluated and pending."""
        self._history = evaluations

    def suggest(self, n: int) -> Sequence[int]:
        """Up to n."""
        found: list[int] = []
        history = self._history
        while len(found) < n and not history.exhausted():
            found.append(self._next(history))
            history = history.with_pending([found[-1]])
        return found

    def _next(self, history: History) -> int:
        problem, seed = self._problem, self._seed
        if len(history) < FIRST:
            return random(problem, history, seed)
        model = RewardModel(problem, history, STRUCTURE)
        if self.variant == "ei":
            return maximise(problem, history, lambda ids: model._average(ids), seed)
        if self.variant == "ucb":
            return maximise(problem, history, lambda ids: model.upper(np.arange(len(problem)) if ids is None else ids), seed)
        generator = np.random.default_rng([seed, len(history)])
        starts = np.concatenate([self._starts(history, generator), history.indices[-1:]])
        if self.variant == "plan":
            paths = self._planned(model, starts)
        else:
            paths = walks(problem, self._network(history), starts)
        for p in ((paths[-1:], paths) if self.cand == "ends" else (paths,)):
            ids = np.array([*dict.fromkeys(p[::-1].ravel().tolist())], dtype=np.int64)
            ids = ids[~history.visited(ids)]
            if len(ids):
                break
        if not len(ids):
            self.misses = getattr(self, "misses", 0) + 1
            return maximise(problem, history, model._average, seed)
        value = model.improvement(ids) if self.rank == "ei" else model.upper(ids)
        return int(ids[value.argmax()])

    def _planned(self, model, starts):
        from archwalk.searching.rl.region import Region
        from archwalk.searching.rl.training import DISCOUNT, WALK
        region = Region(self._problem, model.upper, DISCOUNT)
        for _ in range(2):
            at = region.rows(starts); path=[at]
            for _ in range(WALK):
                offered = region.expand(at)
                at = offered[np.arange(len(at)), np.where(offered >= 0, region.values[offered], -np.inf).argmax(1)]
                path.append(at)
            region.plan()
        if self.cand == 'region': return region.ids[None]
        return region.ids[np.stack(path)]

    def _starts(self, history: History, generator: np.random.Generator) -> Ints:
        best = history.indices[np.argsort(-history.rewards, kind="stable")[:BEST]]
        return np.concatenate([best, self._problem.sample(RANDOM, generator)])

    def _network(self, history: History) -> QNetwork:
        n = version(len(history))
        key = history.rewards[:n].tobytes()+str(n).encode()
        if self._trained is None or self._trained[0] != key:
            known = History(self._problem, history.indices[:n], history.rewards[:n], history.pending[:0])
            model = RewardModel(self._problem, known, STRUCTURE)
            starts = self._starts(known, np.random.default_rng([self._seed, n, 2]))
            self._trained = key, train(self._problem, model.upper, starts, self._seed, n)
        return self._trained[1]


METHOD = make_method("rl", AgentSearch, source="Dyna: Sutton 1991")
