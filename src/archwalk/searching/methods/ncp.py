"""NCP (Ding et al. 2022, arXiv:2106.02253): a predictor's gradients propagated into architectures' codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwalk.errors import ArchwalkError
from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Ints
from archwalk.searching.rounds import Rounds, sample_of, unit
from archwalk.searching.slots import possible_choices

HIDDEN, HEAD, DROPOUT = 256, 128, 0.5  # section 3
EPOCHS, BATCH, LEARNING_RATE = 200, 128, 1e-2  # Adam, one cycle, smooth L1
STEPS, ABOVE = 70, 0.1  # of the code; what is aimed at above the prediction, of the range of rewards
SIZE = 0.1  # of a step: how far the choice with the largest gradient moves; the publication gives no number


class Predictor(nn.Module):
    """A trunk from a code to features, and a head a task.

    Args:
        inputs: length of a code.
        tasks: how many.
        seed: of the first weights.
    """

    def __init__(self, inputs: int, tasks: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.trunk = nn.Sequential(
                nn.BatchNorm1d(inputs),
                nn.Linear(inputs, HIDDEN),
                nn.BatchNorm1d(HIDDEN),
                nn.SiLU(),
                nn.Dropout(DROPOUT),
            )
            self.heads = nn.ModuleList(
                nn.Sequential(nn.Linear(HIDDEN, HEAD), nn.SiLU(), nn.Linear(HEAD, 1)) for _ in range(tasks)
            )

    def forward(self, codes: Tensor) -> Tensor:
        """[n, inputs] → [n, tasks]."""
        features = self.trunk(codes)
        return torch.cat([head(features) for head in self.heads], 1)


def fit(
    codes: Tensor, tasks: Tensor, values: Tensor, count: int, generator: np.random.Generator
) -> Predictor:
    """A predictor of measurements, ready to predict.

    Args:
        codes: [n, inputs].
        tasks: which task each is of, [n].
        values: between 0 and 1, [n].
        count: tasks.
        generator: of first weights, batches and what is dropped.
    """
    predictor = Predictor(codes.shape[1], count, int(generator.integers(2**31)))
    adam = torch.optim.Adam(predictor.parameters(), fused=True)
    batches = -(-len(codes) // BATCH)
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, LEARNING_RATE, EPOCHS * batches)
    with torch.random.fork_rng([]):
        torch.manual_seed(int(generator.integers(2**31)))
        for _ in range(EPOCHS):
            order = torch.from_numpy(generator.permutation(len(codes)))
            for part in order.tensor_split(batches):  # of equal size, since one alone cannot be normalised
                predicted = predictor(codes[part]).gather(1, tasks[part, None])[:, 0]
                adam.zero_grad()
                F.smooth_l1_loss(predicted, values[part]).backward()
                adam.step()
                cycle.step()
    return predictor.eval().requires_grad_(False)


def propagated(
    predictor: nn.Module, codes: Tensor, goals: Sequence[int], movable: Tensor, winner: bool = True
) -> Tensor:
    """Codes after each of ``STEPS`` steps of gradient descent towards better predictions.

    Every step aims ``ABOVE`` the present prediction; then entries below 0 become 0 and those of a slot are
    scaled to the sum 1. An entry that is 1 cannot rise and one that is 0 cannot fall.

    Args:
        predictor: [n, slots · choices] → [n, tasks], each row by itself.
        codes: to begin with, [n, slots · choices], every slot's choices adding up to 1.
        goals: tasks whose gradients are summed.
        movable: the entries that may change, [slots, choices].
        winner: only the entry of the largest gradient moves (winner takes all), else all do.

    Returns:
        [STEPS, n, slots · choices]; a code that cannot improve stays.
    """
    x, path = codes.clone(), list[Tensor]()
    for _ in range(STEPS):
        x = x.detach().requires_grad_()
        predicted = predictor(x)[:, list(goals)]
        loss = F.smooth_l1_loss(predicted, predicted.detach() + ABOVE, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
        free = ((gradient > 0) & (x > 0)) | ((gradient < 0) & (x < 1))
        gradient = torch.where(free & movable.flatten(), gradient, 0.0)
        largest = gradient.abs().amax(1, keepdim=True)
        step = torch.where(largest > 0, gradient / largest.clamp_min(1e-30), 0.0)
        if winner:
            step = torch.where(gradient.abs() == largest, step, 0.0)
        moved = (x.detach() - SIZE * step).clamp_min(0).view(len(x), *movable.shape)
        x = (moved / moved.sum(2, keepdim=True).clamp_min(1e-9)).flatten(1)
        path.append(x)
    return torch.stack(path)


class NCP(Rounds):
    """A predictor of all tasks from one-hot codes; then gradients on the code, the largest entry alone.

    Every ten evaluations the predictor is fitted anew to them and to what is known of other tasks. A
    suggestion begins at one of the ten best evaluated architectures, the best first, and follows 70 steps of
    gradient towards a reward a tenth of the range better; it is the last architecture on the way that is not
    visited. Before the first round is complete it begins at the best of the other tasks, and the gradients of
    all of them are summed.
    """

    def fit(self, known: History, generator: np.random.Generator) -> list[Ints]:
        """The architectures on the way from each start, the last one first."""
        parts: list[tuple[Ints, Floats]] = [(known.indices, known.rewards)] if len(known) else []
        parts += [sample_of(source, self.problem, generator) for source in self.sources]
        parts = [part for part in parts if len(part[0])]
        codes = torch.cat([self._one_hot(ids) for ids, _ in parts])
        tasks = torch.cat([torch.full((len(ids),), at) for at, (ids, _) in enumerate(parts)])
        values = torch.from_numpy(np.concatenate([unit(v) for _, v in parts])).float()
        predictor = fit(codes, tasks, values, len(parts), generator)
        goals = (0,) if len(known) else tuple(range(len(parts)))
        best = [ids[np.argsort(-v, kind="stable")[:10]] for ids, v in (parts[:1] if len(known) else parts)]
        starts = np.array([*dict.fromkeys(np.stack([*map(_ten, best)], 1).ravel().tolist())], dtype=np.int64)
        possible = possible_choices(self.problem)
        seen = (codes.amax(0) > codes.amin(0)).view(possible.shape)  # of others the predictor knows nothing
        path = propagated(predictor, self._one_hot(starts), goals, seen).numpy()
        scores = path.reshape(*path.shape[:2], *possible.shape)
        made = np.where(possible, scores, -np.inf).argmax(3).astype(np.int64) - 1
        return [self._located(made[::-1, at]) for at in range(len(starts))]

    def _one_hot(self, ids: Ints) -> Tensor:
        """Codes, absent first a slot, [n, slots · (choices + 1)]."""
        width = possible_choices(self.problem).shape[1]
        return F.one_hot(torch.from_numpy(self.problem.codes(ids) + 1), width).flatten(1).float()

    def _located(self, codes: Ints) -> Ints:
        """Ids of those codes that are architectures of the problem, in order, each once."""
        space, distinct = self.problem.space, dict.fromkeys(map(tuple, codes.tolist()))
        if not self.problem.listed:  # where any code would be given an id
            for code in [*distinct]:
                try:
                    known = tuple(space.rows([space.format(code)])[0].tolist()) == code
                except (ArchwalkError, IndexError, ValueError):
                    known = False
                if not known:
                    del distinct[code]
        if not distinct:
            return np.zeros(0, np.int64)
        found = self.problem.locate(np.array([*distinct], dtype=np.int16))
        return found[found >= 0]

    def propose(self, model: list[Ints], history: History, generator: np.random.Generator) -> int:
        """The last unvisited architecture on the way from a start."""
        for at in range(len(model)):
            way = model[(len(history) + at) % len(model)]
            free = way[~history.visited(way)]
            if len(free):
                return int(free[0])
        return random(self.problem, history, self.seed)


def _ten(ids: Ints) -> Ints:
    """Ten ids, the last one repeated where there are fewer."""
    return np.resize(ids, 10) if len(ids) >= 10 else np.concatenate([ids, np.full(10 - len(ids), ids[-1])])


METHOD = make_method("ncp", NCP, source="Ding et al. 2022, arXiv:2106.02253", knows_sources=True)
