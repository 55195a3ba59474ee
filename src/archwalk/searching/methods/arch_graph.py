"""Arch-Graph (Huang et al. 2022, arXiv:2204.05941): relations between architectures, and an acyclic order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Ints, Problem
from archwalk.searching.rounds import Rounds, pool_of, sample_of
from archwalk.searching.slots import possible_choices

HIDDEN, EMBEDDED = 64, 16  # width of an architecture's features; of a task's, fitted to the evaluations
STEPS, PAIRS, LEARNING_RATE = 400, 128, 1e-3  # of the pretraining on the other tasks; Adam
TUNED = 200  # steps of the fine-tuning on the target
POOL, GRAPH = 2_000, 100  # candidates; of these, the best by their mean relation are the graph's vertices


class Relations(nn.Module):
    """Log-odds that one architecture is better than another on a task; turned round they change their sign.

    Args:
        inputs: length of an architecture's code.
        tasks: how many.
        seed: of the first weights.
    """

    def __init__(self, inputs: int, tasks: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.encoder = nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN))
            self.tasks = nn.Embedding(tasks, EMBEDDED)
            self.relation = nn.Sequential(
                nn.Linear(2 * HIDDEN + EMBEDDED, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
            )

    def forward(self, one: Tensor, other: Tensor, task: Tensor) -> Tensor:
        """Codes [n, inputs] twice, an embedded task [n, EMBEDDED] → [n]."""
        a, b = self.encoder(one), self.encoder(other)
        there = self.relation(torch.cat([a, b, task], 1))
        back = self.relation(torch.cat([b, a, task], 1))
        return (there - back)[:, 0]


def train(
    relations: Relations,
    parts: list[tuple[int, Tensor, Tensor]],
    steps: int,
    generator: np.random.Generator,
) -> None:
    """Steps on pairs that are drawn from the tasks alike.

    Args:
        relations: to train.
        parts: tasks as (number, codes [n, inputs], values [n]).
        steps: of Adam.
        generator: draws the pairs.
    """
    adam = torch.optim.Adam(relations.parameters(), lr=LEARNING_RATE)
    for _ in range(steps):
        number, codes, values = parts[int(generator.integers(len(parts)))]
        pairs = torch.from_numpy(generator.integers(len(codes), size=(PAIRS, 2)))
        better = values[pairs[:, 0]] - values[pairs[:, 1]]
        kept = better != 0
        if not bool(kept.any()):
            continue
        pairs, better = pairs[kept], better[kept]
        task = relations.tasks(torch.tensor(number)).expand(len(pairs), -1)
        logits = relations(codes[pairs[:, 0]], codes[pairs[:, 1]], task)
        adam.zero_grad()
        F.binary_cross_entropy_with_logits(logits, (better > 0).float()).backward()
        adam.step()


def acyclic_order(weights: Floats) -> Ints:
    """An order of vertices that keeps much of the weight of edges pointing forwards, [n].

    The maximum acyclic subgraph is NP-hard; this is the greedy rule of Eades, Lin and Smyth (1993) for
    complete graphs: again and again the vertex with the largest weight out minus weight in comes next.

    Args:
        weights: of the edge from row to column, 0 without one, [n, n].
    """
    gain, left, order = weights.sum(1) - weights.sum(0), np.ones(len(weights), dtype=np.bool_), list[int]()
    for _ in range(len(weights)):
        at = int(np.argmax(np.where(left, gain, -np.inf)))
        order.append(at)
        left[at] = False
        gain += weights[at] - weights[:, at]  # its edges are gone: the others lose what came in and went out
    return np.array(order, dtype=np.int64)


@dataclass(frozen=True)
class _Model:
    relations: Relations
    task: Tensor  # embedded, [EMBEDDED]
    order: Ints


class ArchGraph(Rounds):
    """A predictor of which of two architectures is better; the topological order of an acyclic subgraph.

    The predictor is pretrained on pairs of the other tasks and fine-tuned, every ten evaluations, on pairs of
    the target. The publication embeds a task by a network's features; here the embedding is fitted with the
    predictor, and that of a target without evaluations is the mean of the others. Of random candidates and
    neighbours of the best, those preferred to most others are the vertices of the graph.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, seed)
        self._pretrained: Relations | None = None

    def _codes(self, ids: Ints) -> Tensor:
        width = possible_choices(self.problem).shape[1]
        return F.one_hot(torch.from_numpy(self.problem.codes(ids) + 1), width).flatten(1).float()

    def _start(self) -> Relations:
        """A copy of the predictor that knows the other tasks alone; the target is task 0."""
        inputs = possible_choices(self.problem).size
        generator = np.random.default_rng([self.seed, 0xA6])
        seed = int(generator.integers(2**31))
        if self._pretrained is None:
            self._pretrained = Relations(inputs, 1 + len(self.sources), seed)
            parts = []
            for number, source in enumerate(self.sources, 1):
                ids, values = sample_of(source, self.problem, generator)
                if len(ids) > 1:
                    parts.append((number, self._codes(ids), torch.from_numpy(values)))
            if parts:
                train(self._pretrained, parts, STEPS, generator)
                with torch.no_grad():
                    known = self._pretrained.tasks.weight
                    known[0] = known[[number for number, _, _ in parts]].mean(0)
        copy = Relations(inputs, 1 + len(self.sources), seed)
        copy.load_state_dict(self._pretrained.state_dict())
        return copy

    def fit(self, known: History, generator: np.random.Generator) -> _Model:
        """See the class; the order is that of this round."""
        relations = self._start()
        if len(known) > 1:
            part = (0, self._codes(known.indices), torch.from_numpy(known.rewards))
            train(relations, [part], TUNED, generator)
        task = relations.tasks.weight[0].detach()
        return _Model(relations, task, self._order(relations, task, known, generator))

    @torch.no_grad()
    def _order(
        self, relations: Relations, task: Tensor, known: History, generator: np.random.Generator
    ) -> Ints:
        ids = pool_of(self.problem, known, POOL, generator)
        if len(ids) < 2:
            return ids
        against = self._codes(generator.choice(ids, min(len(ids), 50), replace=False))
        codes = self._codes(ids)
        preferred = _table(relations, codes, against, task).mean(1)
        top = np.argsort(-preferred, kind="stable")[:GRAPH]
        better = _table(relations, codes[top], codes[top], task)
        np.fill_diagonal(better, 0.5)
        edges = np.where(better > 0.5, 2 * better - 1, 0.0)
        return ids[top[acyclic_order(edges)]]

    def propose(self, model: _Model, history: History, generator: np.random.Generator) -> int:
        """The next in the order."""
        free = model.order[~history.visited(model.order)]
        return int(free[0]) if len(free) else random(self.problem, history, self.seed)


def _table(relations: Relations, rows: Tensor, columns: Tensor, task: Tensor) -> Floats:
    """The probability that each row is better than each column, [rows, columns]."""
    found = []
    for column in columns:
        other = column.expand(len(rows), -1)
        found.append(torch.sigmoid(relations(rows, other, task.expand(len(rows), -1))))
    return torch.stack(found, 1).double().numpy()


METHOD = make_method(
    "arch-graph", ArchGraph, source="Huang et al. 2022, arXiv:2204.05941", knows_sources=True
)
