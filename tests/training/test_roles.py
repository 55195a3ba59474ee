"""Who has which parameters when, how long walks are, and when learning begins: counted step by step."""

from __future__ import annotations

import pytest
import torch

from archwalk.agents.dqn.agent import DQNAgent
from archwalk.agents.dqn.targets import TargetNetwork
from archwalk.training.loop import Loop
from tests.conftest import small_settings, tiny_benchmark


def loop_of(**groups: dict[str, object]) -> tuple[Loop, DQNAgent]:
    given: dict[str, dict[str, object]] = {
        "exploration": {"actors": 2, "walks_per_actor": 8},
        "learner": {"batch_size": 8, "learning_rate": 1e-2},
        "replay": {"capacity": 500, "warmup": 40},
        "walk": {"step_limit": 4},
    }
    settings = small_settings(**given).replace(**groups)
    loop = Loop(tiny_benchmark(30), "main", settings, seed=0)
    assert isinstance(loop.agent, DQNAgent)
    return loop, loop.agent


@pytest.mark.parametrize(("target", "actors"), [(16, 24), (24, 16), (8, 40)])
def test_target_and_actors_have_the_parameters_of_their_last_copies(target: int, actors: int) -> None:
    _, agent = loop_of(learner={"target_period": target}, training={"actor_period": actors})
    states = torch.arange(len(agent.process))
    choices = agent.process.choices

    def present() -> torch.Tensor:
        return agent.values.q(states, choices, torch.Generator()).detach()

    of_target = of_actors = first = present()
    for _ in range(5):
        agent.act()
    assert isinstance(agent.target, TargetNetwork)
    for update in range(1, 11):
        agent.update()
        now = present()
        of_target = now if 8 * update % target == 0 else of_target
        of_actors = now if 8 * update % actors == 0 else of_actors
        for held, expected in ((agent.target.snapshot, of_target), (agent.rollout.policy, of_actors)):
            torch.testing.assert_close(held.q(states, choices), expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(now, first, atol=1e-3)


@pytest.mark.parametrize(("target", "actors"), [(16, 16), (16, 24)])
def test_copies_are_shared_after_a_restart_as_they_were_before(target: int, actors: int) -> None:
    """One copy where both were made at once, two with parameters of their own where not."""
    periods = {"learner": {"target_period": target}, "training": {"actor_period": actors}}
    _, agent = loop_of(**periods)
    for _ in range(5):
        agent.act()
    for _ in range(4):
        agent.update()
    _, again = loop_of(**periods)
    parts = agent.parts()
    again.load_parts({part: {k: v.clone() for k, v in state.items()} for part, state in parts.items()})
    choices = agent.process.choices
    for one in (agent, again):
        assert isinstance(one.target, TargetNetwork)
        assert (one.target.snapshot is one.rollout.policy) == (target == actors)
    assert isinstance(agent.target, TargetNetwork)
    assert isinstance(again.target, TargetNetwork)
    pairs = [(agent.target.snapshot, again.target.snapshot), (agent.rollout.policy, again.rollout.policy)]
    for held, restored in pairs:
        states = torch.arange(len(choices))
        torch.testing.assert_close(restored.q(states, choices), held.q(states, choices))


def test_walks_end_where_they_stay_or_at_the_limit_and_begin_anew() -> None:
    _, agent = loop_of()
    walks = agent.rollout.walks
    ages, kinds = [0] * 16, set()
    for _ in range(30):
        before = walks.architecture.tolist()
        walked = agent.rollout.step().walked
        lengths = []
        for i, (here, there) in enumerate(zip(before, walked.architecture.tolist(), strict=True)):
            assert there in agent.process.choices[here].tolist()
            ages[i] += 1
            if there == here or ages[i] == 4:
                kinds.add("kept" if there == here else "cut")
                lengths.append(ages[i])
                ages[i] = 0
        assert (walked.ended, walked.ended_steps) == (len(lengths), sum(lengths))
        assert walks.age.tolist() == ages
        going = [i for i, age in enumerate(ages) if age]
        assert [walks.architecture[i] for i in going] == [walked.architecture[i] for i in going]
    assert kinds == {"kept", "cut"}


@pytest.mark.parametrize(("warmup", "first"), [(10, 48), (100, 112)])  # 16 walks, windows of 3 steps
def test_learning_begins_once_enough_has_been_walked(warmup: int, first: int) -> None:
    loop, agent = loop_of(replay={"warmup": warmup}, learner={"n_step": 3}, training={"trained_steps": 8})
    sampled = []
    sample = agent.replay.sample

    def counted(batch: int, generator: torch.Generator):  # type: ignore[no-untyped-def]
        sampled.append(loop.counters.sampled_steps)
        return sample(batch, generator)

    agent.replay.sample = counted  # type: ignore[method-assign]
    list(loop.run())
    assert sampled[0] == first
