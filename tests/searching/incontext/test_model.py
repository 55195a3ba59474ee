import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, rankdata

from archwalk.searching.incontext.model import TOLD, InContext, Sizes, told

SIZES = Sizes(width=16, encoder_layers=1, context_layers=2, query_layers=2, heads=2)


@pytest.fixture(scope="module")
def network() -> InContext:
    torch.manual_seed(0)
    return InContext(SIZES).eval()


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=12), st.integers(0, 3))
def test_what_is_told_of_rewards_by_hand(values, padding):
    rewards = torch.tensor([[*map(float, values), *[99.0] * padding]])
    known = torch.tensor([[True] * len(values) + [False] * padding])
    found = told(rewards, known)
    assert found.shape == (1, len(values) + padding, TOLD)
    x = np.array(values, dtype=float)
    spread = x.std()
    standard = np.clip((x - x.mean()) / spread, -4, 4) if spread else np.zeros(len(x))
    score = norm.ppf((rankdata(x) - 0.5) / len(x))
    expected = np.stack([standard, score, np.full(len(x), np.log1p(len(x)) / 4)], 1)
    np.testing.assert_allclose(found[0, : len(x)], expected, atol=2e-5)
    assert (found[0, len(x) :] == 0).all()


def test_the_unit_of_the_rewards_does_not_matter(network):
    g = torch.Generator().manual_seed(1)
    vectors, candidates = torch.randn(1, 6, 16, generator=g), torch.randn(1, 5, 16, generator=g)
    rewards, known = torch.randn(1, 6, generator=g), torch.ones(1, 6, dtype=torch.bool)
    one = network(vectors, rewards, known, candidates)
    other = network(vectors, 50 + 3 * rewards, known, candidates)
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    flipped = network(vectors, -rewards, known, candidates)
    assert (flipped[0] - one[0]).abs().max() > 1e-2


@torch.no_grad()
def test_the_evaluated_are_a_set_and_each_candidate_stands_alone(network):
    g = torch.Generator().manual_seed(2)
    vectors, candidates = torch.randn(1, 7, 16, generator=g), torch.randn(1, 5, 16, generator=g)
    rewards, known = torch.randn(1, 7, generator=g), torch.ones(1, 7, dtype=torch.bool)
    mean, log = network(vectors, rewards, known, candidates)
    order = torch.randperm(7, generator=g)
    torch.testing.assert_close(network(vectors[:, order], rewards[:, order], known, candidates)[0], mean)
    alone, alone_log = network(vectors, rewards, known, candidates[:, [3]])
    torch.testing.assert_close((alone[0, 0], alone_log[0, 0]), (mean[0, 3], log[0, 3]))
    padded = torch.cat([vectors, torch.full((1, 2, 16), 1e3)], 1)
    more = torch.cat([rewards, torch.full((1, 2), 1e3)], 1)
    there = torch.tensor([[True] * 7 + [False] * 2])
    torch.testing.assert_close(network(padded, more, there, candidates)[0], mean, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_nothing_evaluated_is_as_good_as_padding_alone(network):
    g = torch.Generator().manual_seed(3)
    candidates = torch.randn(1, 4, 16, generator=g)
    nothing = network(
        torch.zeros(1, 0, 16), torch.zeros(1, 0), torch.zeros(1, 0, dtype=torch.bool), candidates
    )
    padding = network(torch.ones(1, 3, 16), torch.ones(1, 3), torch.zeros(1, 3, dtype=torch.bool), candidates)
    torch.testing.assert_close(nothing, padding)
    assert nothing[0].isfinite().all()
