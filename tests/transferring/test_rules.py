"""Each method's rule by hand, against a slow version, or as a property."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.agents.dqn.planner import Planner
from archwalk.agents.dqn.replay import Transitions
from archwalk.agents.dqn.targets import Online
from archwalk.agents.networks import QNetwork
from archwalk.agents.values import Snapshot
from archwalk.config import ReplaySettings
from archwalk.envs import TabularProcess, make_process
from archwalk.envs.process import Outcome, Walks
from archwalk.seeding import Generators, make_generator
from archwalk.spaces.registry import make_listed
from archwalk.transferring.demonstrations import DemonstrationReplay, margin_loss
from archwalk.transferring.mapping import descriptions, nearest
from archwalk.transferring.plans import OpinionatedPlanner
from archwalk.transferring.policy_reuse import Reuse, ReuseOptions, chances
from archwalk.transferring.scale import SMALLEST, Scale, line, own_rewards, rescaled, without_values
from archwalk.transferring.shaping import Shaper
from archwalk.transferring.successor_features import features, ridge, successors
from tests.conftest import small_settings, tiny_benchmark
from tests.oracles.planning import value_iteration
from tests.oracles.transferring import followed, gains, margin, shaped_values


def process(seed: int = 0) -> TabularProcess:
    benchmark = tiny_benchmark(40, seed)
    return make_process(benchmark, torch.from_numpy(benchmark.reward("main")) / 80, small_settings().walk)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), discount=st.sampled_from([0.0, 0.5, 0.9]))
def test_a_potential_changes_no_optimal_policy(seed: int, discount: float) -> None:
    """Value iteration with and without it; and the plan that is learned from, with everything evaluated."""
    p = process(seed % 5)
    potential = np.random.default_rng(seed).normal(0, 5, len(p))
    choices, reward = p.choices.numpy(), p.rewards.double().numpy()
    plain = value_iteration(choices, reward, discount, 300)
    shaped = shaped_values(choices, reward, potential, discount, 300)
    real = choices >= 0
    np.testing.assert_allclose(shaped[real], (plain - potential[:, None])[real], atol=1e-6)
    assert (shaped.argmax(1) == plain.argmax(1)).all()
    table = torch.from_numpy(potential).float()
    planner = OpinionatedPlanner(p, discount, None, lambda states: table[states])
    p.evaluated[:] = True
    for _ in range(30):
        planner.refresh()
    goals = planner.goals(transitions(0, 1), Everywhere(p)).y.double().numpy()
    np.testing.assert_allclose(goals[real], shaped[real], rtol=1e-4, atol=1e-3)


class Everywhere(Online):
    """What a planner asks of ``Online``, at every state once."""

    def __init__(self, process: TabularProcess) -> None:
        self.states = self.at = torch.arange(len(process))
        self._process = process

    def known(self) -> torch.Tensor:
        return self._process.choices


def test_shaped_rewards_sum_to_potentials_at_both_ends() -> None:
    """Over a walk, with the discount of the values: Σ γ^t F_t = γ^n Φ(s_n) - Φ(s_0)."""
    potential, discount = torch.tensor([3.0, -1.0, 7.0, 2.0]), 0.9
    shaper, walk = Shaper(potential, discount), [0, 2, 2, 1, 3]
    total = 0.0
    for t, (a, b) in enumerate(pairwise(walk)):
        no, at = torch.tensor([False]), torch.tensor([b])
        outcome = Outcome(at, torch.tensor([10.0]), no, no)
        total += discount**t * (float(shaper.reward(torch.tensor([a]), outcome)) - 10.0)
    assert total == pytest.approx(discount**4 * 2.0 - 3.0, abs=1e-5)


def test_an_opinion_is_a_target_but_is_never_backed_up() -> None:
    p = process()
    opinion = torch.full((len(p),), 1e6)
    planner, plain = OpinionatedPlanner(p, 0.9, lambda: opinion), Planner(p, 0.9)
    p.evaluated[torch.arange(0, 20)] = True
    planner.refresh()
    plain.refresh()
    got = planner.goals(transitions(0, 1), Everywhere(p)).y
    known = plain.targets(p.choices)
    assert torch.equal(got[known > -torch.inf], known[known > -torch.inf])
    real = p.choices >= 0
    assert bool((got[(known == -torch.inf) & real] == 1e6).all())
    assert bool((got[~real] == -torch.inf).all())


@settings(max_examples=30, deadline=None)
@given(
    q=st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=6),
    shown=st.integers(0, 5),
    by=st.sampled_from([0.0, 0.8, 3.0]),
)
def test_the_margin_is_that_of_the_slow_version(q: list[float], shown: int, by: float) -> None:
    shown %= len(q)
    padded = torch.tensor([[*q, -torch.inf]])
    got = margin_loss(padded, torch.tensor([shown]), by)
    assert float(got) == pytest.approx(margin(q, shown, by), abs=1e-5)
    assert float(got) >= 0


def transitions(first: int, n: int) -> Transitions:
    at, none = torch.arange(first, first + n), torch.zeros(n, 0, dtype=torch.long)
    return Transitions(at, none, at * 0, at.float(), at.float(), at, none)


def test_demonstrations_stay_in_replay_and_keep_their_bonus() -> None:
    given = ReplaySettings(capacity=5, warmup=1, alpha=1.0)
    replay = DemonstrationReplay(given, 0, transitions(100, 3), torch.tensor([1.0, 2.0, 3.0]), 10.0)
    assert torch.allclose(replay.probabilities() * 36, torch.tensor([11.0, 12, 13]).double(), atol=1e-4)
    held: list[int] = []  # a plain queue beside it
    for first, n in ((0, 2), (2, 2), (4, 3), (7, 8), (15, 1)):
        replay.add(transitions(first, n), torch.ones(n))
        held = (held + list(range(first, first + n)))[-5:]
        state = replay.state_dict()["s_tm1"].tolist()
        assert state[:3] == [100, 101, 102]
        assert sorted(state[3:]) == held
    replay.set_errors(torch.tensor([0, 4]), torch.tensor([0.5, 0.5]))
    mass = replay.state_dict()["mass"]
    assert mass[[0, 4]].tolist() == pytest.approx([10.5, 0.5], abs=1e-4)
    again = DemonstrationReplay(given, 0, transitions(0, 3), torch.zeros(3), 10.0)
    again.load_state_dict(replay.state_dict())
    for one in (replay, again):
        one.add(transitions(16, 1), torch.ones(1))
    assert torch.equal(again.state_dict()["s_tm1"], replay.state_dict()["s_tm1"])


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), discount=st.sampled_from([0.3, 0.9]))
def test_successor_features_are_sums_along_the_policy(seed: int, discount: float) -> None:
    g = np.random.default_rng(seed)
    phi, policy = g.normal(size=(7, 3)), g.integers(0, 7, 7)
    got = successors(torch.from_numpy(phi).float(), torch.from_numpy(policy), discount)
    np.testing.assert_allclose(got.numpy(), followed(phi, policy, discount), rtol=1e-4, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_improvement_is_no_worse_than_any_policy(seed: int) -> None:
    """Barreto et al. 2017, theorem 1, with rewards that are linear: at every state."""
    g, p, discount = np.random.default_rng(seed), process(), 0.9
    phi = torch.from_numpy(g.normal(size=(len(p), 4))).float()
    w = torch.from_numpy(g.normal(size=4)).float()
    column = [g.integers(0, (row >= 0).sum()) for row in p.choices.numpy()]
    other = [g.integers(0, (row >= 0).sum()) for row in p.choices.numpy()]
    policies = [p.choices[torch.arange(len(p)), torch.tensor(one)] for one in (column, other)]
    values = torch.stack([successors(phi, policy, discount) @ w for policy in policies])
    arrival = values.amax(0).masked_fill(torch.zeros(len(p), dtype=torch.bool), 0)
    best = torch.where(p.choices >= 0, arrival[p.choices], -torch.inf).argmax(1)
    improved = p.choices[torch.arange(len(p)), best]
    reached = successors(phi, improved, discount) @ w
    after = [reached[improved], *(v[policy] for v, policy in zip(values, policies, strict=True))]
    assert bool((after[0] >= torch.stack(after[1:]).amax(0) - 1e-3).all())


@pytest.mark.parametrize("n", [6, 40])
def test_ridge_is_least_squares_with_a_penalty(n: int) -> None:
    """By either of its two ways: derivatives of the loss vanish."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, 9, generator=g), torch.randn(n, generator=g) * 3 + 5
    w, b = ridge(x, y, 0.7)
    residual = y.double() - x.double() @ w - b
    assert float(residual.mean()) == pytest.approx(0, abs=1e-9)
    centred = x.double() - x.double().mean(0)
    assert torch.allclose(centred.T @ residual, 0.7 * w, atol=1e-8)


def test_features_tell_slots_and_pairs() -> None:
    codes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.int16)
    phi = features(codes, (2, 2))
    assert phi.shape == (4, 8)  # two slots of two choices, and four pairs; what never varies is left out
    xor = np.array([0.0, 1, 1, 0])
    w, b = ridge(torch.from_numpy(phi), torch.from_numpy(xor).float(), 1e-6)
    np.testing.assert_allclose(phi @ w.numpy() + b, xor, atol=1e-3)


def test_policies_are_chosen_by_their_gain() -> None:
    gain = torch.tensor([0.0, 1.0, 2.0]).double()
    assert chances(gain, 0.0).tolist() == pytest.approx([1 / 3] * 3)
    e = np.exp([0.0, 0.5, 1.0])
    assert chances(gain, 0.5).tolist() == pytest.approx((e / e.sum()).tolist())


class Always(Snapshot):
    """A policy that wants one action wherever it stands (``Snapshot``)."""

    def __init__(self, action: int) -> None:
        self._action = action

    def q(self, state: torch.Tensor, offered: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.full_like(state, self._action), offered.shape[1]).float()


def reuse(given: ReuseOptions, walks: int, policies: int = 2) -> Reuse:
    sources = [Always(i + 1) for i in range(policies)]
    return Reuse(sources, given, walks, 0.9, Generators(0), Generators(1))


def test_a_source_is_followed_less_at_every_step() -> None:
    n = 4_000
    one = reuse(ReuseOptions(probability=0.8, decay=0.5), n)
    assert torch.bincount(one.follows).tolist() == pytest.approx([n / 3] * 3, rel=0.1)
    offered = torch.zeros(n, 3, dtype=torch.long)
    for age, share in ((0, 0.8), (1, 0.4), (2, 0.2)):
        walks = Walks(torch.zeros(n, dtype=torch.long), torch.full((n,), age))
        taken = one.act(walks, offered, torch.zeros(n, dtype=torch.long))
        for i in (1, 2):
            mine = one.follows == i
            assert float((taken[mine] == i).double().mean()) == pytest.approx(share, abs=0.05)
            assert bool((taken[mine] * (taken[mine] != i) == 0).all())
        assert bool((taken[one.follows == 0] == 0).all())


def test_gains_are_those_of_the_slow_version() -> None:
    one, g = reuse(ReuseOptions(cooling=0.1), 6), np.random.default_rng(0)
    ages, rewards = torch.zeros(6, dtype=torch.long), [[] for _ in range(6)]
    done: list[tuple[int, list[float]]] = []
    for _ in range(30):
        here = torch.zeros(6, dtype=torch.long)
        one.act(Walks(here, ages), torch.zeros(6, 3, dtype=torch.long), here.clone())
        reward, ended = torch.from_numpy(g.normal(size=6)).float(), torch.from_numpy(g.random(6) < 0.3)
        for i in range(6):
            rewards[i].append(float(reward[i]))
            if ended[i]:
                done.append((int(one.follows[i]), rewards[i]))
                rewards[i] = []
        one.after(Outcome(here, reward, ended, ended), ended)
        ages = torch.where(ended, 0, ages + 1)
    assert one.gain.tolist() == pytest.approx(gains(done, 3, 0.9), abs=1e-6)
    assert one.inverse == pytest.approx(0.1 * len(done))
    again = reuse(ReuseOptions(cooling=0.1), 6)
    assert float(one.used.sum()) == len(done)
    assert again.gain.tolist() == [0, 0, 0]


def test_a_line_over_rewards_scales_values_exactly() -> None:
    p, discount = process(), 0.9
    q = torch.from_numpy(value_iteration(p.choices.numpy(), p.rewards.double().numpy(), discount)).float()
    assert torch.allclose(own_rewards(q, discount), p.rewards, atol=1e-4)
    wanted = 3 * p.rewards - 2
    scale = line(own_rewards(q, discount), wanted)
    assert scale == pytest.approx((3.0, -2.0, 1.0, float(wanted.mean())), abs=1e-3)
    other = value_iteration(p.choices.numpy(), wanted.double().numpy(), discount)
    np.testing.assert_allclose(
        scale.of_values(q.amax(1), discount).numpy(), other.max(1), rtol=1e-4, atol=1e-2
    )
    against = line(p.rewards, -wanted)
    assert against.slope == pytest.approx(SMALLEST * 3, rel=1e-3)
    assert against.correlation == pytest.approx(-1, abs=1e-6)


def test_heads_are_rescaled_exactly() -> None:
    settings = small_settings().network
    network = QNetwork(5, settings, make_generator(0, "weights"))
    tokens = torch.rand(4, 3, 5, generator=torch.Generator().manual_seed(0))
    exists = torch.tensor([[True, True, False]] * 4)
    before = network(tokens, exists).detach()
    network.load_state_dict(rescaled(network.state_dict(), Scale(2.0, 0.3, 1.0, 0.0), 0.9))
    after = network(tokens, exists).detach()
    assert torch.allclose(after, 2 * before + 3.0, atol=1e-5)
    network.load_state_dict(without_values(network.state_dict()))
    flat = network(tokens, exists).detach()
    assert torch.allclose(flat[:, :2].mean(1), torch.zeros(4), atol=1e-6)
    assert torch.allclose(flat[:, 0] - flat[:, 1], after[:, 0] - after[:, 1], atol=1e-5)


def test_an_operation_stands_for_itself_in_another_space() -> None:
    """Cells of NAS-Bench-201 without pooling, among those of TransNAS-Bench-101 micro."""
    ours, theirs = make_listed("nasbench201"), make_listed("transnas-micro")
    rows = np.flatnonzero((ours.codes < 4).all(1))[::16]
    codes = ours.codes[rows].astype(np.int16)
    there = theirs.codes.astype(np.int16)
    a, b = descriptions(ours, codes), descriptions(theirs, there)
    same = (codes[:, None] == there[None]).all(2).argmax(1)  # both have none, skip, 1x1, 3x3 in this order
    live = np.abs(a - b[same]).max(1) < 1e-6
    assert live.mean() > 0.9
    found = nearest(a, b, 1)[:, 0]
    right = np.abs(b[found] - b[same]).max(1) < 1e-6
    assert right.mean() > 0.9
