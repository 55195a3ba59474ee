"""Walk dynamics against a walker that takes one step of one walk at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.config import RewardSettings, WalkSettings
from archwalk.envs import make_process, restart, shaped_rewards, standardised, start, take
from archwalk.errors import BenchmarkError, SettingsError
from archwalk.seeding import make_generator
from archwalk.tasks import Benchmark
from tests.conftest import tiny_benchmark


def process_of(benchmark: Benchmark, **limits: int):
    rewards = shaped_rewards(benchmark, benchmark.tasks[0], RewardSettings())
    return make_process(benchmark, rewards, WalkSettings(**limits))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), keep=st.integers(1, 54), limit=st.integers(1, 6))
def test_walks_are_what_a_walker_would_do(seed: int, keep: int, limit: int) -> None:
    benchmark = tiny_benchmark(keep)
    process = process_of(benchmark, step_limit=limit)
    reward = benchmark.reward("main")
    g = make_generator(seed, "test")
    walks = start(process, 5, g)
    at, age = walks.architecture.tolist(), [0] * 5
    for _ in range(12):
        offered = process.offer(walks.architecture, g)
        for w in range(5):
            real = [j for j in benchmark.neighbours[at[w]].tolist() if j >= 0]
            assert [j for j in offered[w].tolist() if j >= 0] == [at[w], *real]
        exists = offered >= 0
        action = torch.multinomial(exists.float(), 1, generator=g).squeeze(1)
        outcome = take(process, walks, offered, action)
        for w in range(5):
            at[w] = int(offered[w, action[w]])
            age[w] += 1
            assert outcome.architecture[w] == at[w]
            assert outcome.reward[w] == pytest.approx(reward[at[w]], rel=1e-6)
            assert outcome.terminated[w] == (action[w] == 0)
            assert outcome.truncated[w] == (age[w] >= limit and action[w] != 0)
        ended = outcome.terminated | outcome.truncated
        restart(process, walks, ended, g)
        for w in range(5):
            if ended[w]:
                at[w], age[w] = int(walks.architecture[w]), 0
            assert walks.architecture[w] == at[w]
            assert walks.age[w] == age[w]


def test_starts_are_uniform() -> None:
    process = process_of(tiny_benchmark())
    walks = start(process, 54_000, make_generator(0, "s"))
    counts = torch.bincount(walks.architecture, minlength=54)
    assert (counts - 1000).abs().max() < 160  # five standard deviations


def test_more_neighbours_than_offered_are_drawn_without_replacement() -> None:
    benchmark = tiny_benchmark()  # 2 + 1 + 2 + 2 = 7 neighbours
    process = process_of(benchmark, max_neighbours=3)
    assert not process.offers_all
    here = torch.full((20_000,), 11)
    offered = process.offer(here, make_generator(0, "o"))
    assert offered.shape == (20_000, 4)
    assert (offered[:, 0] == 11).all()
    rows = offered[:, 1:].sort(1).values
    assert (rows[:, 1:] != rows[:, :-1]).all()
    real = set(benchmark.neighbours[11].tolist())
    assert set(rows.unique().tolist()) == real
    counts = torch.stack([(offered[:, 1:] == j).any(1).sum() for j in real])
    assert (counts - 20_000 * 3 / 7).abs().max() < 350  # five standard deviations


def test_sampling_never_offers_padding_before_neighbours() -> None:
    benchmark = tiny_benchmark(keep=20)
    process = process_of(benchmark, max_neighbours=3)
    offered = process.offer(torch.arange(20).repeat(50), make_generator(0, "o"))
    for row, at in zip(offered.tolist(), torch.arange(20).repeat(50).tolist(), strict=True):
        real = [j for j in benchmark.neighbours[at].tolist() if j >= 0]
        drawn = [j for j in row[1:] if j >= 0]
        assert len(drawn) == min(3, len(real))
        assert set(drawn) <= set(real)


def test_reward_is_the_fraction_and_gamma_its_power(synthetic: Benchmark) -> None:
    plain = shaped_rewards(synthetic, "alpha", RewardSettings(gamma={}))
    assert np.allclose(plain.numpy(), synthetic.values("alpha") / 100)
    bent = shaped_rewards(synthetic, "alpha", RewardSettings(gamma={"alpha": 0.478}))
    assert np.allclose(bent.numpy(), (synthetic.values("alpha") / 100) ** 0.478)


def test_gamma_on_negative_rewards_is_an_error(synthetic: Benchmark) -> None:
    with pytest.raises(SettingsError, match=r"at least 0 on task 'gamma'[\s\S]*remove 'gamma'"):
        shaped_rewards(synthetic, "gamma", RewardSettings(gamma={"gamma": 0.478}))
    with pytest.raises(SettingsError, match="positive exponent"):
        shaped_rewards(synthetic, "alpha", RewardSettings(gamma={"alpha": 0.0}))
    with pytest.raises(BenchmarkError, match="task among"):
        shaped_rewards(synthetic, "omega", RewardSettings())


def test_standardised_by_the_sample_alone(synthetic: Benchmark) -> None:
    plain = shaped_rewards(synthetic, "alpha", RewardSettings())
    sample = torch.arange(0, 4096, 16)
    out = standardised(plain, sample)
    assert out[sample].mean().abs() < 1e-4
    assert (out[sample].std() - 1).abs() < 1e-4
    assert torch.equal(out.argsort(stable=True), plain.argsort(stable=True))


@given(st.floats(-1e6, 1e6), st.sampled_from([1e-9, 1e-3, 1.0, 1e12, 1e24]), st.integers(0, 99))
def test_standardised_whatever_the_size_and_offset(offset: float, size: float, seed: int) -> None:
    """Differences far below what a float32 at that offset resolves, and squares far beyond its range."""
    plain = torch.from_numpy(np.random.default_rng(seed).standard_normal(50))
    rewards = (plain + (offset if size >= 1 or abs(offset) < 1e4 * size else 1e4)) * size
    out = standardised(rewards, torch.arange(50))
    wanted = (plain - plain.mean()) / plain.std()
    assert torch.allclose(out.double(), wanted, atol=1e-4)


def test_standardised_of_ordinary_rewards_has_the_bits_of_old_runs(synthetic: Benchmark) -> None:
    plain = shaped_rewards(synthetic, "alpha", RewardSettings())
    sample = torch.arange(0, 4096, 16)
    cast = plain.float()
    seen = cast[sample].double()
    assert torch.equal(standardised(plain, sample), ((cast.double() - seen.mean()) / seen.std()).float())
