"""Planned values against value iteration, whatever was seen and in whatever order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.agents.dqn.learner import Learner
from archwalk.agents.dqn.planner import ROUNDS, Planner, known_of
from archwalk.config import LearnerSettings, load_preset
from archwalk.envs import TabularProcess, make_process
from archwalk.errors import SettingsError
from archwalk.seeding import make_generator
from archwalk.training.loop import Loop
from tests.agents.dqn.test_learner import agent, sample_of
from tests.conftest import small_settings, tiny_benchmark
from tests.oracles.planning import refreshed, value_iteration


def see(planner: Planner, seen: torch.Tensor) -> None:
    """Count these as evaluated, and plan."""
    planner.process.evaluated = seen.clone()
    planner.refresh()


def process(keep: int | None = 40, seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> TabularProcess:
    benchmark = tiny_benchmark(keep, seed)
    rewards = torch.from_numpy(benchmark.reward("main")).float() / 80 * scale + shift
    return make_process(benchmark, rewards, small_settings().walk)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    parts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    shift=st.sampled_from([-3.0, 0.0, 2.0]),
    discount=st.sampled_from([0.0, 0.5, 0.97]),
)
def test_values_are_those_of_the_part_that_was_seen(
    seed: int, parts: list[int], shift: float, discount: float
) -> None:
    """After any looks in any order, once the news has spread."""
    p = process(seed=seed % 7, shift=shift)
    order = np.random.default_rng(seed).permutation(len(p))
    planner, seen = Planner(p, discount), torch.zeros(len(p), dtype=torch.bool)
    for upto in np.cumsum(parts):
        seen[order[: int(upto)]] = True
        see(planner, seen)
    planner._since.fill_(10**6)  # so that one more plan is due, and no news is left
    see(planner, seen)
    got = planner.targets(p.choices).double().numpy()
    expected = value_iteration(p.choices.numpy(), p.rewards.double().numpy(), discount, seen=seen.numpy())
    known = np.isfinite(expected)
    assert (np.isfinite(got) == known).all()
    np.testing.assert_allclose(got[known], expected[known], rtol=1e-4, atol=1e-4)


def test_while_news_spreads_values_are_a_lower_bound_and_nothing_seen_is_missing() -> None:
    p = process()
    planner, seen = Planner(p, 0.9), torch.zeros(len(p), dtype=torch.bool)
    for i in torch.randperm(len(p), generator=make_generator(0, "order")).tolist():
        seen[i] = True
        see(planner, seen)
        got = planner.targets(p.choices).numpy()
        best = value_iteration(p.choices.numpy(), p.rewards.numpy(), 0.9, seen=seen.numpy())
        assert (np.isfinite(got) == np.isfinite(best)).all()
        assert (got[np.isfinite(got)] <= best[np.isfinite(got)] + 1e-4).all()


def test_only_seen_rewards_are_read() -> None:
    """Rewards of what was not seen may be anything, also not a number."""
    one = process()
    seen = torch.zeros(len(one), dtype=torch.bool)
    seen[::3] = True
    other = process()
    other.rewards = one.rewards.masked_fill(~seen, torch.nan)
    targets = []
    for p in (one, other):
        planner = Planner(p, 0.9)
        see(planner, seen)
        targets.append(planner.targets(p.choices))
    assert torch.equal(*targets)


@pytest.mark.parametrize("growth", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_leaving_out_what_cannot_change_changes_no_bit(
    seed: int, growth: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against backups of everything, after looks in any order, and after a planner was restored."""
    p = process(keep=None, seed=seed)
    arrival, since = torch.full((len(p),), -torch.inf), torch.tensor(0)
    order = torch.randperm(len(p), generator=make_generator(seed, "order"))
    planner, rows = Planner(p, 0.95), 0

    def counted(stale, backed_up=planner._backed_up):
        nonlocal rows
        rows += len(stale)
        return backed_up(stale)

    monkeypatch.setattr(planner, "_backed_up", counted)
    seen = torch.zeros(len(p), dtype=torch.bool)
    updates = range(1, len(p) + 1, 2)
    for upto in updates:
        seen[order[:upto]] = True
        see(planner, seen)
        arrival, since = refreshed(arrival, since, seen, p.rewards, p.choices, 0.95)
        assert torch.equal(planner.targets(p.choices), known_of(p.choices, arrival))
        if upto == 21:
            planner.load_state_dict({k: v.clone() for k, v in planner.state_dict().items()})
    assert rows < 0.2 * ROUNDS * sum(updates)


def test_it_survives() -> None:
    p = process()
    planner, again = Planner(p, 0.9), Planner(p, 0.9)
    seen = torch.arange(len(p)) < 20
    see(planner, seen)
    again.load_state_dict({k: v.clone() for k, v in planner.state_dict().items()})
    assert torch.equal(planner.targets(p.choices), again.targets(p.choices))


@pytest.mark.parametrize("most", [50, 4])
def test_the_planned_loss_by_hand(most: int) -> None:
    a = agent(walk={"max_neighbours": most})
    own = LearnerSettings(n_step=1, double=False, planning=True, learning_rate=1e-3)
    learner = Learner(a, own, make_generator(0, "l"))
    sample = sample_of(a)
    planner, seen = Planner(a.process, own.discount), torch.zeros(len(a.process), dtype=torch.bool)
    seen[::2] = True
    seen[sample.transitions.s_tm1] = True
    see(planner, seen)
    t = sample.transitions
    offered = a.process.choices[t.s_tm1] if a.process.offers_all else t.offer_tm1
    y, q = planner.targets(offered), a.q(t.s_tm1, offered, make_generator(0, "q")).detach()
    total, largest = 0.0, []
    for i in range(len(y)):
        errors = [
            abs(float(y[i, j]) - float(q[i, j]))
            for j in range(y.shape[1])
            if offered[i, j] >= 0 and seen[offered[i, j]]
        ]
        huber = [0.5 * e * e if e <= 1 else e - 0.5 for e in errors]
        total += float(sample.weight[i]) * sum(huber) / len(huber)
        largest.append(max(errors))
    update = learner.update(sample, planner)
    assert float(update.loss) == pytest.approx(total / len(y), rel=1e-4)
    assert update.error.tolist() == pytest.approx(largest, rel=1e-4)
    assert all(torch.isfinite(p).all() for p in a.network.parameters())


@pytest.mark.parametrize(("most", "score"), [(50, 0.95), (4, 0.75)])
def test_it_learns_from_what_it_planned(most: int, score: float) -> None:
    benchmark = tiny_benchmark()
    steps = 16_384
    own = small_settings(
        walk={"max_neighbours": most},
        network={"width": 32, "feedforward": 32, "heads": 2},
        learner={"planning": True, "halving_steps": 8_000},
        training={"trained_steps": steps, "sampled_per_trained": 0.25, "evaluate_every": 4_096},
    )
    trainer = Loop(benchmark, "main", own, seed=0)
    rows = list(trainer.run())
    assert rows[-1]["greedy_validation_score"] > score


def test_planning_is_refused_with_longer_windows() -> None:
    for bad in ({"n_step": 3}, {"double": True}):
        with pytest.raises(SettingsError, match="planning needs"):
            load_preset("quick").replace(learner=bad)
