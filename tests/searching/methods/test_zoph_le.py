"""The LSTM controller: a distribution over architectures, and the step that REINFORCE makes."""

from __future__ import annotations

import numpy as np
import torch

from archwalk.searching.history import make_history
from archwalk.searching.listed import list_problem
from archwalk.searching.methods.zoph_le import HIDDEN, INITIAL, LAYERS, ZophLe
from archwalk.searching.problem import Problem
from archwalk.tasks import Benchmark


def log_probabilities(agent: ZophLe, problem: Problem) -> torch.Tensor:
    codes = torch.from_numpy(problem.codes(np.arange(len(problem))))
    return agent.controller(codes).gather(2, codes[:, :, None] + 1).sum((1, 2))


def test_it_is_a_distribution_and_the_published_network(tiny: Benchmark) -> None:
    state = torch.get_rng_state()
    problem = list_problem(tiny.space)
    agent = ZophLe(problem, 0)
    total = log_probabilities(agent, problem).exp().sum().item()
    assert abs(total - 1) < 1e-5
    lstm = agent.controller.lstm
    assert (lstm.num_layers, lstm.hidden_size) == (LAYERS, HIDDEN) == (2, 35)
    largest = max(p.abs().max().item() for p in agent.controller.parameters())
    assert 0.079 < largest <= INITIAL == 0.08
    torch.testing.assert_close(torch.get_rng_state(), state)


def test_a_step_of_reinforce(tiny: Benchmark) -> None:
    problem = list_problem(tiny.space)
    before = log_probabilities(ZophLe(problem, 0), problem)[5].item()
    after = {}
    for second in (0.9, 0.1):
        agent = ZophLe(problem, 0)
        agent.update(make_history(problem, [2], [0.5]))
        assert log_probabilities(agent, problem)[5].item() == before  # the first reward is its own baseline
        agent.update(make_history(problem, [2, 5], [0.5, second]))
        after[second] = log_probabilities(agent, problem)[5].item()
        assert agent.average == 0.9 * 0.5**3 + 0.1 * second**3  # of cubes
    assert after[0.1] < before - 1e-3
    assert after[0.9] > before + 1e-3
    weights = [p.detach().clone() for p in agent.controller.parameters()]
    gradient = torch.autograd.grad(log_probabilities(agent, problem)[9], list(agent.controller.parameters()))
    expected = [-(0.7**3 - (0.9 * agent.average + 0.1 * 0.7**3)) * g for g in gradient]
    agent.update(make_history(problem, [2, 5, 9], [0.5, 0.1, 0.7]))
    for parameter, wanted in zip(agent.controller.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, atol=1e-6, rtol=1e-4)
    pairs = zip(agent.controller.parameters(), weights, strict=True)
    steps = [(p.detach() - w).abs().max().item() for p, w in pairs]
    assert 0 < max(steps) < 2 * 6e-4


def test_what_pays_is_drawn_more_often(tiny: Benchmark) -> None:
    """With nothing visited but what is far away, the draws follow the policy."""
    problem = list_problem(tiny.space)
    agent = ZophLe(problem, 0)
    with torch.no_grad():
        width = agent.controller.possible.shape[1]
        agent.controller.heads.bias[1] += 3.0  # the first slot's first choice
    assert width > 1
    agent.update(make_history(problem, [], []))
    drawn = [agent.propose(make_history(problem, [], []), np.random.default_rng(s)) for s in range(60)]
    share = (problem.codes(np.array(drawn))[:, 0] == 0).mean()
    policy = agent.controller(torch.zeros(1, 0, dtype=torch.int64))[0, 0].exp()[1].item()
    assert abs(share - policy) < 0.15
