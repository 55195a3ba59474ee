"""A Q-network trained in the model between evaluations (Dyna: Sutton 1991).

In: a ``Problem``, a reward function, starts. Out: the trained ``QNetwork``. Next: ``walks`` follows it, to
architectures that the method may evaluate.

The network is trained from its first weights each time, on values planned over what its own walks reach. Nothing
here is evaluated: steps in the model cost seconds alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from archwalk.agents.networks import QNetwork
from archwalk.config import NetworkSettings
from archwalk.searching.problem import Floats, Ints, Problem
from archwalk.searching.rl.region import Region
from archwalk.seeding import make_generator

NETWORK = NetworkSettings(width=32, feedforward=64, layers=1, heads=2, embedding_layers=2, head_layers=2)
DISCOUNT = 0.9
ROUNDS, STEPS, UPDATES = 4, 6, 25  # of walking and learning; steps of a walk in a round; updates a round
BATCH, LEARNING_RATE = 32, 3e-3
EPSILON = 0.4  # of the boldest walk; the others have less, in even steps down to 0
WALK = 10  # steps of a greedy walk at most


def train(problem: Problem, reward: Callable[[Ints], Floats], starts: Ints, seed: int, version: int) -> QNetwork:
    """Walk, plan, learn, in turns.

    Args:
        problem: what is searched.
        reward: of ids in the model, [n] → [n].
        starts: ids where walks begin, [walks].
        seed, version: decide the walks and the batches; the first weights depend on the seed alone.
    """
    network = QNetwork(problem.one_hot(starts[:1]).shape[1], NETWORK, make_generator(seed, "rl: weights"))
    generator = np.random.default_rng([seed, version, 1])
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    region = Region(problem, reward, DISCOUNT)
    tokens = torch.empty(0, network.embedding[0].in_features)
    epsilon = np.linspace(0, EPSILON, len(starts))
    for round in range(ROUNDS):
        at = region.rows(starts)
        for _ in range(STEPS):
            offered = region.expand(at)
            tokens = torch.cat([tokens, tokens_of(problem, region.ids[len(tokens) :])])
            if round:
                values = q_values(network, tokens, offered)
            else:  # nothing learned yet: towards what the model likes
                values = np.where(offered >= 0, region.rewards[offered], -np.inf)
            at = offered[np.arange(len(at)), explored(values, epsilon, generator)]
        region.plan()
        for _ in range(UPDATES):
            update(network, optimiser, region, tokens, generator)
    return network


def update(
    network: QNetwork, optimiser: torch.optim.Optimizer, region: Region, tokens: Tensor, generator: np.random.Generator
) -> None:
    """One step towards the planned values of all that a batch of architectures offers."""
    offered = region.choices[generator.integers(len(region.choices), size=BATCH)]
    exists = torch.from_numpy(offered >= 0)
    q = network(tokens[np.maximum(offered, 0)], exists)
    wanted = torch.from_numpy(region.values[offered]).float()
    loss = ((q - wanted)[exists] ** 2).mean()
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def explored(values: Floats, epsilon: Floats, generator: np.random.Generator) -> Ints:
    """The best column of each row, or with its probability epsilon any that exists, [n, A] → [n]."""
    exists = values > -np.inf
    anything = np.where(exists, generator.random(values.shape), -1.0).argmax(1)
    return np.where(generator.random(len(values)) < epsilon, anything, values.argmax(1))


def tokens_of(problem: Problem, ids: Ints) -> Tensor:
    """One-hot slots, [n, features]."""
    return torch.from_numpy(problem.one_hot(ids)).float()


@torch.no_grad()
def q_values(network: QNetwork, tokens: Tensor, offered: Ints) -> Floats:
    """Q of each action offered, -inf where it does not exist, [n, A]."""
    q: Tensor = network(tokens[np.maximum(offered, 0)], torch.from_numpy(offered >= 0))
    return q.double().numpy()


def walks(problem: Problem, network: QNetwork, starts: Ints) -> Ints:
    """Greedy walks, [walks] → [1 + steps, walks]; one that keeps its architecture stays there.

    No reward is asked for: the network alone decides, so that a walk is cheap.
    """
    path = [starts]
    for _ in range(WALK):
        at = path[-1]
        offered = np.concatenate([at[:, None], problem.neighbours(at)], axis=1)
        tokens = tokens_of(problem, np.maximum(offered, 0).ravel())
        values = q_values(network, tokens, np.where(offered >= 0, np.arange(offered.size).reshape(offered.shape), -1))
        after = offered[np.arange(len(at)), values.argmax(1)]
        if (after == at).all():
            break
        path.append(after)
    return np.stack(path)
