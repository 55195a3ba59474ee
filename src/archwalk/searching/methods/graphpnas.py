"""GraphPNAS (Li et al. 2023, arXiv:2211.15155): a generator of graphs, fitted to the best so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Ints, Mask, Problem
from archwalk.searching.slots import choose_slots, possible_choices
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.cells import EDGES, CellSpace

COMPONENTS, HIDDEN, LAYERS = 10, 24, 7  # of the mixture; width and message-passing layers
BATCH, LEARNING_RATE = 2, 1e-3  # Adam; the batch is that of the public code


@dataclass(frozen=True)
class Recipe:
    """When the generator is fitted, and to what.

    Attributes:
        first: random evaluations before the first fit.
        every: evaluations between two fits.
        best: evaluations that it is fitted to, weighted (i + 1) / best, the best 1.
        epochs: of a fit.
        full: whether the random ones have an operation on every edge of a cell.
    """

    first: int = 30
    every: int = 10
    best: int = 15
    epochs: int = 70
    full: bool = False


PAPER = Recipe()
NASBENCH201 = Recipe(first=15, every=1, best=10, epochs=60, full=True)  # the public code's, for that space


def blocks_of(space: SearchSpace) -> tuple[tuple[int, ...], ...]:
    """Slots that are generated together: the edges into one node of a cell, else each slot by itself."""
    if isinstance(space, CellSpace):
        nodes = sorted({b for _, b in EDGES})
        return tuple(tuple(e for e, (_, b) in enumerate(EDGES) if b == node) for node in nodes)
    return tuple((slot,) for slot in range(len(space.slot_sizes)))


def touching(space: SearchSpace) -> Mask:
    """Between which slots messages go: edges of a cell that share a node, else all, [slots, slots]."""
    slots = len(space.slot_sizes)
    if not isinstance(space, CellSpace):
        return np.ones((slots, slots), dtype=np.bool_)
    return np.array([[bool(set(one) & set(other)) for other in EDGES] for one in EDGES])


class Generator(nn.Module):
    """A distribution over architectures: block by block a mixture of independent choices.

    Args:
        possible: which choices a slot may have, absent first, [slots, choices + 1].
        blocks: slots generated together, in order.
        near: between which slots messages go, [slots, slots].
        seed: of the first weights.
    """

    possible: Tensor
    seen: Tensor
    new: Tensor
    links: Tensor

    def __init__(self, possible: Mask, blocks: Sequence[Sequence[int]], near: Mask, seed: int) -> None:
        super().__init__()
        slots, width = possible.shape
        with torch.device("meta"):  # no numbers yet, and none drawn from anybody's generator
            self.choices = nn.Embedding(slots * width, HIDDEN)
            self.places = nn.Embedding(slots, HIDDEN)
            self.messages = nn.ModuleList(nn.Linear(HIDDEN, HIDDEN) for _ in range(LAYERS))
            self.gates = nn.ModuleList(nn.Linear(HIDDEN, 2) for _ in range(LAYERS))
            self.updates = nn.ModuleList(nn.GRUCell(HIDDEN, HIDDEN) for _ in range(LAYERS))
            self.weight = nn.Linear(HIDDEN, COMPONENTS)
            self.choice = nn.Linear(HIDDEN, COMPONENTS * width)
        self.to_empty(device="cpu")
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(HIDDEN**-0.5), HIDDEN**-0.5, generator=generator)
        number = torch.tensor([next(b for b, of in enumerate(blocks) if s in of) for s in range(slots)])
        at = torch.arange(len(blocks))[:, None]
        self.register_buffer("possible", torch.from_numpy(possible))
        self.register_buffer("seen", number < at)  # [blocks, slots]
        self.register_buffer("new", number == at)
        there = self.seen | self.new
        linked = torch.from_numpy(near) | self.new[:, :, None] | self.new[:, None, :]
        self.register_buffer("links", linked & there[:, :, None] & there[:, None, :])

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Each block's mixture, given the blocks before it.

        Args:
            codes: -1 where absent, int64, [n, slots]; what stands in later blocks does not matter.

        Returns:
            Log weights of the components, [n, blocks, components], and log probabilities of the choices of
            each slot by the mixture of its block, [n, slots, components, choices + 1].
        """
        n, slots = codes.shape
        width = self.possible.shape[1]
        known = self.choices(torch.arange(slots) * width + codes + 1)[:, None] * self.seen[..., None]
        hidden = known + self.places.weight  # [n, blocks, slots, HIDDEN]; a new slot has its place alone
        for message, gate, update in zip(self.messages, self.gates, self.updates, strict=True):
            ends = gate(hidden)
            attention = torch.sigmoid(ends[..., :1] + ends[..., 1:].transpose(-1, -2)) * self.links
            heard = attention @ torch.relu(message(hidden))
            hidden = update(heard.reshape(-1, HIDDEN), hidden.reshape(-1, HIDDEN)).view(hidden.shape)
        own = hidden * self.new[..., None]
        weights = self.weight(own.sum(2)).log_softmax(-1)
        logits = self.choice(own.sum(1)).view(n, slots, COMPONENTS, width)
        return weights, logits.masked_fill(~self.possible[:, None], -torch.inf).log_softmax(-1)

    def log_probability(self, codes: Tensor) -> Tensor:
        """Of architectures, [n, slots] → [n]."""
        weights, choices = self(codes)
        chosen = choices.gather(3, (codes + 1)[:, :, None, None].expand(-1, -1, COMPONENTS, 1))[..., 0]
        together = torch.einsum("bs,nsk->nbk", self.new.to(chosen.dtype), chosen)
        return (weights + together).logsumexp(-1).sum(-1)

    @torch.no_grad()
    def next_choice(self, made: Ints) -> Floats:
        """Log probabilities of the next slot's choices, absent first, [choices + 1]; made: [slots before]."""
        slot = len(made)
        codes = torch.zeros(1, len(self.possible), dtype=torch.int64)
        codes[0, :slot] = torch.from_numpy(made)
        weights, choices = self(codes)
        block = int(self.new[:, slot].to(torch.int64).argmax())
        posterior = weights[0, block]  # of the component, given the choices of its block so far
        for before in range(slot):
            if self.new[block, before]:
                posterior = posterior + choices[0, before, :, int(made[before]) + 1]
        joint = posterior.log_softmax(-1)[:, None] + choices[0, slot]
        return joint.logsumexp(0).double().numpy()


def best_of(history: History, most: int) -> tuple[Ints, Floats]:
    """What a generator is fitted to: ids of the best, worst first, and their weights, [<= most] each."""
    order = np.argsort(history.rewards, kind="stable")[-most:]
    return history.indices[order], np.arange(1, len(order) + 1) / len(order)


def fit(problem: Problem, history: History, seed: int, recipe: Recipe = PAPER) -> Generator:
    """A new generator, fitted to the best by their weighted log likelihood."""
    numbers = np.random.default_rng([seed, len(history), 2])
    space = problem.space
    start = int(numbers.integers(2**31))
    generator = Generator(possible_choices(problem), blocks_of(space), touching(space), start)
    ids, weights = best_of(history, recipe.best)
    codes, scale = torch.from_numpy(problem.codes(ids)), torch.from_numpy(weights).float()
    adam = torch.optim.Adam(generator.parameters(), lr=LEARNING_RATE, fused=True)
    for _ in range(recipe.epochs):
        for batch in torch.from_numpy(numbers.permutation(len(ids))).split(BATCH):
            adam.zero_grad()
            (-(scale[batch] * generator.log_probability(codes[batch])).mean()).backward()
            adam.step()
    return generator


class GraphPNAS:
    """A generator of graphs, fitted anew every ten evaluations to the best fifteen.

    The graph is that of a cell: its nodes come one after the other, each with all edges into it, and an
    edge's operation is its label. Everywhere else it is the sequence of slots, each a node of its own. The
    first thirty are random. A walk samples the generator over the choices on offer.
    """

    def __init__(self, problem: Problem, seed: int, recipe: Recipe = PAPER) -> None:
        self._problem, self._seed, self._recipe = problem, seed, recipe
        self._fitted: tuple[History, Generator] | None = None

    def update(self, evaluations: History) -> None:
        """Fit where a round is complete."""
        self._history, recipe = evaluations, self._recipe
        if len(evaluations) < recipe.first:
            return
        known = evaluations.only(
            np.arange(len(evaluations) - (len(evaluations) - recipe.first) % recipe.every)
        )
        if self._fitted is not None and self._fitted[0].same(known):
            return
        self._fitted = known, fit(self._problem, known, self._seed, recipe)

    def suggest(self, n: int) -> Sequence[int]:
        """Draws of the generator, each pending while the next is drawn."""
        history, found = self._history, list[int]()
        while len(found) < n and not history.exhausted():
            found.append(self._propose(history, len(found)))
            history = history.with_pending(found[-1:])
        return found

    def _propose(self, history: History, number: int) -> int:
        generator = np.random.default_rng([self._seed, len(history), number])
        if len(history) < self._recipe.first or self._fitted is None:
            if not self._recipe.full or not isinstance(self._problem.space, CellSpace):
                return random(self._problem, history, self._seed)

            def full(made: Ints, offered: Ints) -> int:
                return int(generator.choice(offered[offered > 0] if (offered > 0).any() else offered))

            return choose_slots(self._problem, history, full, generator, self._seed)
        model = self._fitted[1]

        def choose(made: Ints, offered: Ints) -> int:
            logits = model.next_choice(made)[offered + 1]
            return int(offered[np.argmax(logits + generator.gumbel(size=len(offered)))])

        return choose_slots(self._problem, history, choose, generator, self._seed)


METHOD = make_method("graphpnas", GraphPNAS, source="Li et al. 2023, arXiv:2211.15155")
