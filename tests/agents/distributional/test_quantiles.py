"""The quantile loss and its targets by hand, and noise by its formula."""

from __future__ import annotations

import math

import pytest
import torch

from archwalk.agents.distributional.learner import QuantileTarget, quantile_errors
from archwalk.agents.distributional.network import NoisyLinear, QuantileFunction
from archwalk.agents.dqn.replay import Transitions
from archwalk.agents.dqn.targets import Online
from archwalk.agents.registry import find_algorithm
from archwalk.seeding import make_generator
from archwalk.training.loop import Loop
from tests.conftest import small_settings, tiny_benchmark


def by_hand(theta: list[float], y: list[float], kappa: float) -> float:
    total = 0.0
    for i, value in enumerate(theta):
        level = (i + 0.5) / len(theta)
        for sample in y:
            u = sample - value
            huber = 0.5 * u * u if abs(u) <= kappa else kappa * (abs(u) - 0.5 * kappa)
            total += abs(level - (u < 0)) * huber / kappa
    return total / len(theta) / len(y)


def test_the_loss_by_hand() -> None:
    theta = [[[0.0, 1.0], [5.0, 7.0]], [[2.0, 2.0], [1.0, 4.0]]]
    y = [[[0.5, 3.0, -4.0], [-math.inf] * 3], [[2.0, 2.5, 1.0], [0.0, 0.0, 9.0]]]
    weight = [1.0, 0.5]
    found = quantile_errors(torch.tensor(theta), torch.tensor(y), torch.tensor(weight), 0.8)
    first = by_hand(theta[0][0], y[0][0], 0.8)
    second = (by_hand(theta[1][0], y[1][0], 0.8) + by_hand(theta[1][1], y[1][1], 0.8)) / 2
    assert float(found.loss) == pytest.approx((first + 0.5 * second) / 2, rel=1e-6)
    assert found.error.tolist() == pytest.approx([abs(-0.5 / 3 - 0.5), max(abs(5.5 / 3 - 2), 0.5)])
    assert float(found.q) == pytest.approx((0.5 + 2.0 + 2.5) / 3)


def test_the_loss_finds_the_quantiles_of_what_it_is_shown() -> None:
    theta = torch.zeros(1, 1, 4, requires_grad=True)
    y = torch.linspace(0, 1, 1_001)[None, None]
    adam = torch.optim.Adam([theta], lr=0.02)
    for _ in range(400):
        adam.zero_grad()
        quantile_errors(theta, y, torch.ones(1), 0.01).loss.backward()
        adam.step()
    assert theta.detach().flatten().tolist() == pytest.approx([0.125, 0.375, 0.625, 0.875], abs=0.02)


def test_noise_is_factorised_and_a_row_has_its_own() -> None:
    layer = NoisyLinear(3, 2, sigma=0.5)
    assert layer.sigma_weight.unique().tolist() == pytest.approx([0.5 / math.sqrt(3)])
    with torch.no_grad():
        layer.sigma_weight.copy_(torch.rand(2, 3, generator=make_generator(0, "s")))
        layer.sigma_bias.copy_(torch.rand(2, generator=make_generator(1, "s")))
    x = torch.randn(4, 5, 3, generator=make_generator(0, "x"))
    found = layer.noisy(x, make_generator(0, "noise"))
    g = make_generator(0, "noise")
    into, out = (torch.randn(4, 1, size, generator=g) for size in (3, 2))
    for row in range(4):
        f_in, f_out = (e[row, 0].sign() * e[row, 0].abs().sqrt() for e in (into, out))
        weight = layer.weight + layer.sigma_weight * torch.outer(f_out, f_in)
        bias = layer.bias + layer.sigma_bias * f_out
        assert torch.allclose(found[row], x[row] @ weight.T + bias, atol=1e-5)
    assert torch.allclose(layer(x), x @ layer.weight.T + layer.bias, atol=1e-6)


def test_targets_are_quantiles_of_the_best_action() -> None:
    settings = small_settings(walk={"max_neighbours": 4}, learner={"double": False})
    loop = Loop(tiny_benchmark(keep=30), "main", settings, 0, make_agent=find_algorithm("distributional"))
    agent = loop.agent
    loop._count(agent.act())
    for _ in range(3):
        loop._count(agent.act())
    batch = agent.replay.sample(8, make_generator(0, "b")).transitions
    values, target = agent.values, agent.target
    assert isinstance(values, QuantileFunction)
    assert isinstance(target, QuantileTarget)
    online = Online(values, batch, make_generator(0, "o"), reuse=False)
    y, action = target.goals(batch, online)
    assert torch.equal(action, batch.a_tm1)
    for i in range(8):
        exists = batch.offer_t[i] >= 0
        theta = values.quantiles(batch.s_t[i : i + 1], batch.offer_t[i : i + 1], make_generator(0, "p"), None)
        best = theta[0].mean(1).masked_fill(~exists, -math.inf).argmax()
        expected = batch.r_t[i] + batch.discount_t[i] * theta[0, best]
        assert torch.allclose(y[i], expected, atol=1e-5)
    assert isinstance(batch, Transitions)


def test_walks_explore_by_noise_and_greedy_walks_have_none() -> None:
    settings = small_settings()
    loop = Loop(tiny_benchmark(), "main", settings, 0, make_agent=find_algorithm("distributional"))
    rollout = loop.agent.rollout
    assert not rollout.epsilon.any()
    state = torch.arange(5)
    offered = loop.process.offer(state, make_generator(0, "o"))
    first, second = (rollout.policy.q(state, offered) for _ in range(2))
    assert not torch.equal(first, second)
    frozen = loop.agent.values.frozen(True, 5, make_generator(0, "f"))
    assert torch.equal(frozen.q(state, offered), frozen.q(state, offered))
    quiet = rollout.policy.quantiles(state, offered).mean(2)
    exists = offered >= 0
    assert torch.allclose(frozen.q(state, offered)[exists], quiet[exists], atol=1e-5)
