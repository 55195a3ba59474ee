"""Priorities of a run: the actor's own TD errors first, the learner's after every update."""

from __future__ import annotations

import pytest
import torch

from archwalk.agents.dqn.agent import DQNAgent
from archwalk.agents.dqn.planner import Planner
from archwalk.agents.values import QFunction
from archwalk.training.loop import Loop
from tests.conftest import small_settings, tiny_benchmark
from tests.oracles.searching import q_by_destination

FLOOR = 1e-6
WALKED = {"exploration": {"actors": 2, "walks_per_actor": 4}, "training": {"trained_steps": 64}}


def loop_of(alpha: float = 0.6, keep: int | None = None, **learner: object) -> Loop:
    given = {"batch_size": 8, "learning_rate": 1e-2, **learner}
    settings = small_settings(
        **WALKED,
        learner=given,
        replay={"capacity": 500, "warmup": 40, "alpha": alpha},
        walk={"step_limit": 4},
    )
    return Loop(tiny_benchmark(keep), "main", settings, seed=4)


def agent_of(alpha: float = 0.6, keep: int | None = None, **learner: object) -> DQNAgent:
    agent = loop_of(alpha, keep, **learner).agent
    assert isinstance(agent, DQNAgent)
    return agent


def values(agent: QFunction) -> list[dict[int, float]]:
    """Q by where the action leads, of every architecture."""
    with torch.no_grad():
        return [q_by_destination(agent, here) for here in range(len(agent.process))]


def taken(agent: QFunction, s: int, a: int) -> int:
    return int(agent.process.choices[s, a])


def errors_of(
    state: dict, agent: QFunction, q: list[dict], target: list[dict], chooser: list[dict]
) -> list[float]:
    """|r + discount · Q_target(s, argmax Q_chooser(s)) - Q(s, a)| of every transition held, one by one."""
    out = []
    for s, a, r, d, end in zip(
        *(state[k].tolist() for k in ("s_tm1", "a_tm1", "r_t", "discount_t", "s_t")), strict=True
    ):
        best = max(chooser[end], key=lambda x: chooser[end][x])
        out.append(abs(r + d * target[end][best] - q[s][taken(agent, s, a)]))
    return out


@pytest.mark.parametrize("alpha", [0.6, 1.0])
@pytest.mark.parametrize(("n_step", "keep"), [(1, None), (3, 30)])
def test_first_priorities_are_the_actors_own_errors(n_step: int, keep: int | None, alpha: float) -> None:
    agent = agent_of(alpha, keep, n_step=n_step)
    frozen = values(agent.values)
    stays = sum(max(q, key=lambda x: q[x]) == here for here, q in enumerate(frozen)) / len(frozen)
    assert 0.1 < stays < 0.9  # so that no one action is always the best
    with torch.no_grad():  # the actors act by a copy: what the learner has learned since is not theirs
        for p in agent.values.network.parameters():
            p.mul_(1.5)
    for _ in range(12):
        agent.act()
    state = agent.replay.state_dict()
    error = torch.tensor(errors_of(state, agent.values, frozen, frozen, frozen), dtype=torch.float64)
    assert len(error) > 60
    assert error.std() > 0.01
    torch.testing.assert_close(state["mass"], (error + FLOOR) ** alpha, rtol=1e-3, atol=1e-4)
    expected = (error + FLOOR) ** alpha
    torch.testing.assert_close(agent.replay.probabilities(), expected / expected.sum(), rtol=1e-3, atol=1e-6)


def test_new_parameters_reach_the_first_priorities() -> None:
    """One-step transitions: the action was valued before the copy, where it led after it."""
    agent = agent_of(n_step=1)
    agent.act()
    begun, old = len(agent.replay), values(agent.values)
    with torch.no_grad():
        for p in agent.values.network.parameters():
            p.mul_(1.5)
    new = values(agent.values)
    agent.publish(None)
    agent.act()
    state = {k: v[begun:] for k, v in agent.replay.state_dict().items() if v.ndim}
    error = torch.tensor(errors_of(state, agent.values, old, new, new), dtype=torch.float64)
    torch.testing.assert_close(state["mass"], (error + FLOOR) ** 0.6, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", ["double", "single", "planning"])
def test_every_update_gives_its_batch_new_priorities(mode: str) -> None:
    n_step = 1 if mode == "planning" else 3
    agent = agent_of(n_step=n_step, double=mode == "double", planning=mode == "planning")
    while len(agent.replay) < 60:
        for walked in agent.act():
            agent.process.mark(walked.architecture)
    frozen = values(agent.values)  # what the target network is from the start
    choices = agent.values.process.choices
    for update in range(3):
        before = agent.replay.state_dict()["mass"].clone()
        ahead = torch.Generator()
        ahead.set_state(agent.generators["replay"].get_state())
        slots = agent.replay.sample(8, ahead).slots
        online = values(agent.values)
        agent.update()
        state = agent.replay.state_dict()
        if mode == "planning":
            assert isinstance(agent.target, Planner)
            known = agent.target.targets(choices)
            error = [
                max(
                    abs(float(known[s, k]) - online[s][x])
                    for k, x in enumerate(choices[s].tolist())
                    if x >= 0 and float(known[s, k]) > -torch.inf
                )
                for s in state["s_tm1"].tolist()
            ]
        else:
            chooser = online if mode == "double" else frozen
            error = errors_of(state, agent.values, online, frozen, chooser)
        expected = (torch.tensor(error, dtype=torch.float64) + FLOOR) ** 0.6
        torch.testing.assert_close(state["mass"][slots], expected[slots], rtol=2e-3, atol=1e-3)
        if update:  # at the first one the network is still what the actors' priorities are of
            assert (state["mass"][slots] != before[slots]).any()
        rest = torch.ones(len(before), dtype=torch.bool)
        rest[slots] = False
        assert torch.equal(state["mass"][rest], before[rest])


def test_a_whole_run_draws_by_what_it_learned() -> None:
    """Of what is held at the end, what was drawn has another priority than at first, and nothing else."""
    loop = loop_of(n_step=1)
    replay = loop.agent.replay
    first: list[torch.Tensor] = []
    add, sample, drawn = replay.add, replay.sample, set()

    def adding(transitions, error):  # type: ignore[no-untyped-def]
        first.append(error)
        add(transitions, error)

    def sampling(batch: int, generator: torch.Generator):  # type: ignore[no-untyped-def]
        found = sample(batch, generator)
        drawn.update(found.slots.tolist())
        return found

    replay.add, replay.sample = adding, sampling
    list(loop.run())
    mass, given = replay.state_dict()["mass"], torch.cat(first)
    assert len(given) == len(mass)  # nothing has been written over
    changed = (mass - (given.double() + FLOOR) ** 0.6).abs() > 1e-9
    moved = set(changed.nonzero().squeeze(1).tolist())
    assert moved <= drawn
    assert 20 < len(drawn) - 8 <= len(moved) < len(mass)  # the first batch may keep what it had
