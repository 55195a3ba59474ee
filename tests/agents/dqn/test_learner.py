"""Targets against a slow version, masks, exploration, snapshots."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from archwalk.agents.dqn.exploration import choose, epsilons
from archwalk.agents.dqn.learner import Learner
from archwalk.agents.dqn.planner import Planner
from archwalk.agents.dqn.replay import Sample, Transitions
from archwalk.agents.dqn.targets import Online, TargetNetwork
from archwalk.agents.values import QFunction, Snapshot, make_values
from archwalk.config import ExplorationSettings, LearnerSettings
from archwalk.envs import greedy_process
from archwalk.seeding import make_generator
from archwalk.spaces.tokens import TokenTable
from tests.conftest import small_settings, tiny_benchmark


def agent(keep: int | None = 30, seed: int = 0, **groups: dict) -> QFunction:
    settings = small_settings(**groups)
    return make_values(greedy_process(tiny_benchmark(keep), settings), settings, seed)


def bootstrap(of: QFunction, reuse: bool = True, requests: int = 10**6, double: bool = True) -> TargetNetwork:
    return TargetNetwork(Snapshot(of, reuse, requests, make_generator(0, "p")), double)


def sample_of(a: QFunction, n: int = 40) -> Sample:
    g = make_generator(0, "sample")
    size = len(a.process)
    s_tm1, s_t = (torch.randint(size, (n,), generator=g) for _ in range(2))
    offers = [a.process.offer(s, g) for s in (s_tm1, s_t)]
    action = torch.multinomial((offers[0] >= 0).float(), 1, generator=g).squeeze(1)
    if a.process.offers_all:
        offers = [o[:, :0] for o in offers]
    r, d = torch.randn(n, generator=g), torch.rand(n, generator=g)
    fields = Transitions(s_tm1, offers[0], action, r, d, s_t, offers[1])
    return Sample(fields, torch.arange(n), torch.rand(n, generator=g))


def slow_q(a: QFunction, offered: torch.Tensor) -> list[float]:
    """Q of one state from its existing actions alone: no padding anywhere."""
    real = offered[offered >= 0]
    rows = a.process.tokens.rows[a.process.tokens.first[real]].float()
    return a.network(rows[None], None)[0].tolist()


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("most", [50, 4])
@pytest.mark.parametrize(("reuse", "requests"), [(True, 10**6), (True, 0), (False, 0)])
def test_targets_against_a_slow_version(double: bool, most: int, reuse: bool, requests: int) -> None:
    online = agent(seed=0, walk={"max_neighbours": most})
    frozen = agent(seed=1, walk={"max_neighbours": most})
    t = sample_of(online).transitions
    target = bootstrap(frozen, reuse, requests, double)
    goals = target.goals(t, Online(online, t, make_generator(0, "l"), reuse))
    assert goals.action is not None
    assert torch.equal(goals.action, t.a_tm1)
    got = goals.y.squeeze(1)
    for i in range(len(got)):
        offered = online.process.choices[t.s_t[i]] if online.process.offers_all else t.offer_t[i]
        value = slow_q(frozen, offered)
        chooser = slow_q(online, offered) if double else value
        best = max(range(len(chooser)), key=chooser.__getitem__)
        assert float(got[i]) == pytest.approx(
            float(t.r_t[i]) + float(t.discount_t[i]) * value[best], abs=1e-4
        )
        assert math.isfinite(float(got[i]))


def test_loss_is_the_weighted_huber_loss() -> None:
    a = agent()
    learner = Learner(a, LearnerSettings(learning_rate=1e-3), make_generator(0, "l"))
    sample, target = sample_of(a), bootstrap(a)
    t = sample.transitions
    y = target.goals(t, Online(a, t, make_generator(0, "l"), True)).y.squeeze(1)
    q = a.q(t.s_tm1, a.process.choices[t.s_tm1], make_generator(0, "q")).detach()
    total = 0.0
    for i in range(len(y)):
        e = abs(float(y[i]) - float(q[i, sample.transitions.a_tm1[i]]))
        total += float(sample.weight[i]) * (0.5 * e * e if e <= 1 else e - 0.5)
    update = learner.update(sample, target)
    assert float(update.loss) == pytest.approx(total / len(y), rel=1e-4)


def test_updates_move_q_towards_a_fixed_target() -> None:
    a = agent()
    target = bootstrap(a)
    learner = Learner(a, LearnerSettings(learning_rate=3e-3), make_generator(0, "l"))
    losses = [float(learner.update(sample_of(a), target).loss) for _ in range(150)]
    assert losses[-1] < 0.1 * losses[0]


def test_the_step_size_halves_on_schedule_whatever_the_length() -> None:
    a = agent()
    learner = Learner(a, LearnerSettings(learning_rate=1e-3, halving_steps=80), make_generator(0, "l"))
    assert learner.descent.learning_rate() == 1e-3
    target = bootstrap(a)
    for _ in range(2):
        learner.update(sample_of(a), target)
    assert learner.descent.learning_rate() == pytest.approx(5e-4)


def test_gradients_are_clipped_to_their_norm() -> None:
    a = agent()
    learner = Learner(a, LearnerSettings(max_grad_norm=1e-3), make_generator(0, "l"))
    update = learner.update(sample_of(a), bootstrap(a))
    norm = torch.stack([p.grad.norm() for p in a.network.parameters()]).norm()
    assert float(update.grad_norm) > 1e-3
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("keep", [None, 30])
def test_a_sweep_is_the_network_at_every_state(keep: int | None) -> None:
    a = agent(keep)
    swept = a.sweep(make_generator(0, "p"))
    plain = a.q(torch.arange(len(a.process)), a.process.choices, make_generator(0, "p")).detach()
    torch.testing.assert_close(swept, plain)
    assert torch.equal(torch.isinf(swept), a.process.choices < 0)


@pytest.mark.parametrize("requests", [10**6, 0])
@pytest.mark.parametrize("most", [50, 4])
def test_a_snapshot_stays_frozen_and_survives(most: int, requests: int) -> None:
    a = agent(walk={"max_neighbours": most})
    g = make_generator(0, "o")
    states = torch.arange(len(a.process))
    offered = a.process.offer(states, g)
    snapshot = Snapshot(a, True, requests, make_generator(0, "p"))
    snapshot.q(states[:7], offered[:7])  # some states may be known before the weights move on
    with torch.no_grad():
        for p in a.network.parameters():
            p.add_(0.1)
    frozen = agent(walk={"max_neighbours": most})
    before = snapshot.q(states, offered)
    torch.testing.assert_close(before, frozen.q(states, offered, make_generator(0, "p")).detach())
    again = Snapshot(a, True, requests, make_generator(1, "p"))
    assert not torch.equal(again.q(states, offered), before)
    again.load_state_dict({k: v.clone() for k, v in snapshot.state_dict().items()})
    assert torch.equal(again.q(states, offered), before)


@pytest.mark.parametrize("tokens", ["slots", "graph"])
def test_embedding_only_what_is_looked_at_changes_no_value(tokens: str) -> None:
    """Nor the stream of random numbers, with the same draw of every token's padding."""
    a = agent(observation={"tokens": tokens})
    states = torch.arange(len(a.process))
    values, after = [], []
    for requests in (10**6, 1, 0):  # swept, embedded at once, nothing at once
        g = make_generator(0, "p")
        values.append(Snapshot(a, True, requests, g).q(states, a.process.choices))
        after.append(torch.rand(1, generator=g))
        torch.testing.assert_close(values[-1], values[0])
    assert after[0] == after[1] == after[2]


def test_a_snapshot_of_few_requests_embeds_no_architecture_before_it_is_met() -> None:
    state = Snapshot(agent(), True, 0, make_generator(0, "p")).state_dict()
    assert "embedded" not in state
    assert not bool(state["known"].any())


def test_the_apex_ladder_is_the_published_one() -> None:
    ladder = epsilons(ExplorationSettings()).reshape(8, 32)
    assert (ladder == ladder[:, :1]).all()
    expected = [0.4 ** (1 + 7 * i / 7) for i in range(8)]
    assert np.allclose(ladder[:, 0].numpy(), expected)
    assert epsilons(ExplorationSettings(actors=1)).unique().tolist() == [pytest.approx(0.4)]
    linear = epsilons(ExplorationSettings(schedule="linear", highest=0.9, lowest=0.1))
    assert linear[0] == pytest.approx(0.9)
    assert linear[-1] == pytest.approx(0.1)
    assert torch.allclose(linear.diff(), linear.diff()[0], atol=1e-6)


def test_exploration_is_uniform_over_what_exists_and_greedy_otherwise() -> None:
    n = 40_000
    exists = torch.tensor([True, False, True, True, False]).expand(n, 5)
    q = torch.tensor([0.0, -torch.inf, 3.0, 1.0, -torch.inf]).expand(n, 5)
    u = torch.rand(n, 2, generator=make_generator(0, "e"))
    explored = choose(q, exists, torch.ones(n), u)
    counts = torch.bincount(explored, minlength=5)
    assert counts[[1, 4]].sum() == 0
    assert (counts[[0, 2, 3]] - n / 3).abs().max() < 5 * math.sqrt(n / 3)
    assert (choose(q, exists, torch.zeros(n), u) == 2).all()
    half = choose(q, exists, torch.full((n,), 0.5), u)
    assert float((half == 2).float().mean()) == pytest.approx(0.5 + 0.5 / 3, abs=0.015)


@pytest.mark.parametrize(("planning", "double"), [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("tokens", ["slots", "graph"])
@pytest.mark.parametrize("multiple", [1, 16])
def test_each_distinct_state_once_is_the_same_update(
    planning: bool, double: bool, tokens: str, multiple: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archwalk.agents.dqn.targets.ROUND", multiple)
    monkeypatch.setattr(TokenTable, "draw", lambda self, of, generator: self.first[of.clamp(min=0)])
    updates, looked, weights = {}, {}, {}
    for reuse in (True, False):
        a = agent(keep=None, observation={"tokens": tokens})
        settings = small_settings(learner={"planning": planning, "double": double, "n_step": 1}).learner
        learner = Learner(a, settings, make_generator(0, "learner"), reuse)
        judge, counted = a.network.judge, []
        monkeypatch.setattr(a.network, "judge", lambda e, x, j=judge, c=counted: c.append(len(e)) or j(e, x))
        sample = sample_of(a, 60)
        if planning:
            target = Planner(a.process, settings.discount)
            a.process.mark(torch.arange(len(a.process)))
            target.refresh()
        else:
            target = bootstrap(a, double=double)
            target.snapshot.q(torch.arange(1), a.process.choices[:1])  # sweeps
        counted.clear()
        updates[reuse] = learner.update(sample, target)
        looked[reuse] = sum(counted)
        weights[reuse] = torch.cat([p.grad.flatten() for p in a.network.parameters()])
    for ours, plain in zip(updates[True], updates[False], strict=True):
        torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(weights[True], weights[False])
    s, ends = sample.transitions.s_tm1, sample.transitions.s_t
    begins = len(s.unique())
    new = len(torch.cat([s, ends]).unique()) - begins
    assert 0 < new < begins < 60

    def rounded(states: int) -> int:
        return min(-(-states // multiple) * multiple, 60)

    assert looked[False] == (120 if double else 60)
    assert looked[True] == rounded(begins) + (rounded(new) if double else 0)
