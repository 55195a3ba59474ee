"""Plans against value iteration and a walker; what is known is not predicted; greedy walks plan."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archwalk.agents.modelbased.plan import RewardFunction, arrivals
from archwalk.agents.registry import find_algorithm, form_of
from archwalk.agents.values import make_values
from archwalk.envs import greedy_process
from archwalk.seeding import make_generator
from archwalk.training.evaluation import greedy_walks
from archwalk.training.loop import Loop
from tests.conftest import small_settings, tiny_benchmark, two_tasks
from tests.oracles.planning import follow, value_iteration


def test_a_long_plan_is_value_iteration_and_a_short_one_the_best_short_walk() -> None:
    table = tiny_benchmark(keep=40)
    choices = torch.from_numpy(table.choices)
    rewards = torch.randn(3, 40, generator=make_generator(0, "r"))
    for plan, reward in zip(arrivals(rewards, choices, 0.8, 100), rewards, strict=True):
        q = value_iteration(table.choices, reward.double().numpy(), 0.8)
        value = reward.double().numpy() + 0.8 * q.max(1)
        assert plan.numpy() == pytest.approx(value, abs=1e-4)
    found = arrivals(rewards, choices, 0.8, 2)[0]
    reward = rewards[0].double().numpy()

    def walk(at: int, steps: int) -> float:
        """Arriving, then at most so many steps, then staying for ever."""
        stay = reward[at] / 0.2
        around = [int(x) for x in table.choices[at] if x >= 0]
        return stay if steps == 0 else max(stay, *(reward[at] + 0.8 * walk(x, steps - 1) for x in around))

    assert found.numpy() == pytest.approx(np.array([walk(at, 2) for at in range(40)]), abs=1e-4)


def test_greedy_walks_follow_the_plan_over_the_mean_rewards() -> None:
    settings, table = small_settings(), tiny_benchmark()
    values = make_values(greedy_process(table, settings), settings, 0, form=form_of("model-based"))
    assert isinstance(values, RewardFunction)
    g = make_generator(0, "t")
    mean = values.predicted(g).mean(0).double().numpy()
    every = torch.arange(54)
    tokens = values.process.observe(every, every[:, None], g).squeeze(1)
    assert values.network.rewards(tokens.float()).mean(0).detach().numpy() == pytest.approx(mean, abs=1e-5)
    q = value_iteration(table.choices, mean, settings.learner.discount)
    ends = greedy_walks(values, torch.arange(54), g)[-1].numpy()
    assert (ends == follow(table.choices, q, settings.walk.step_limit)).all()
    swept = values.sweep(g).numpy()
    assert swept.argmax(1).tolist() == q.argmax(1).tolist()
    assert (np.isneginf(swept) == (table.choices < 0)).all()


def test_what_was_evaluated_is_known_and_the_daring_hope_for_more() -> None:
    settings = small_settings(model_based={"walks": 8, "optimism": 2.0, "levels": 3})
    loop = Loop(tiny_benchmark(), "main", settings, 0, make_agent=find_algorithm("model-based"))
    agent, process = loop.agent, loop.process
    seen = process.evaluated.clone()
    assert 1 < int(seen.sum()) <= 8
    told = agent.values.predicted(make_generator(0, "t"))
    hoped = told.mean(0) + torch.tensor([0.0, 1.0, 2.0])[:, None] * told.std(0)
    rewards = torch.where(seen, process.rewards, hoped)
    expected = arrivals(rewards, process.choices, settings.learner.discount, settings.model_based.backups)
    assert torch.allclose(agent._arrival, expected, atol=1e-4)
    assert torch.equal(agent.level, torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]))
    stood = agent.walks.architecture.clone()
    loop._count(agent.act())
    taken = expected[agent.level[:, None], process.choices[stood].clamp(min=0)]
    best = taken.masked_fill(process.choices[stood] < 0, -torch.inf).argmax(1)
    went = process.choices[stood].gather(1, best[:, None]).squeeze(1)
    assert bool(process.evaluated[went].all())
    before = agent._arrival.clone()
    agent._correct(agent._take_in())
    new = process.evaluated & ~seen
    assert bool(new.any())
    staying = process.rewards / (1 - settings.learner.discount)
    assert bool((agent._arrival[:, new] >= staying[new] - 1e-4).all())
    assert torch.equal(agent._arrival[:, ~new], before[:, ~new])


def test_heads_disagree_less_about_what_was_evaluated() -> None:
    settings = small_settings(model_based={"walks": 12})
    loop = Loop(two_tasks(), "one", settings, 0, make_agent=find_algorithm("model-based"))
    seen = loop.process.evaluated.nonzero().squeeze(1)
    for _ in range(300):
        loop.agent._learn(seen)
    deviation = loop.agent.values.predicted(make_generator(0, "t")).std(0)
    known = loop.process.evaluated
    assert deviation[known].mean() < 0.8 * deviation[~known].mean()


def test_a_share_of_a_batch_is_from_the_best() -> None:
    """Half of it from the best 32, the other half from all 54, of which as many are the best."""
    settings = small_settings(
        model_based={"best_share": 0.5, "batch_size": 4_000}, learner={"batch_size": 4_000}
    )
    loop = Loop(tiny_benchmark(), "main", settings, 0, make_agent=find_algorithm("model-based"))
    loop.process.mark(torch.arange(54))
    drawn: list[torch.Tensor] = []
    learn = loop.agent._learn
    loop.agent._learn = lambda state: (drawn.append(state), learn(state))[1]
    loop.agent.update()
    best = torch.zeros(54, dtype=torch.bool)
    best[loop.process.rewards.topk(32).indices] = True
    assert float(best[torch.cat(drawn)].float().mean()) == pytest.approx(0.5 + 0.5 * 32 / 54, abs=0.04)
