"""Advantages and the clipped objective against sums by hand; absent actions have probability zero."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from archwalk.agents.ppo.objective import advantages, draw, entropy, objective

NOTHING = -math.inf


def test_advantages_by_hand() -> None:
    """One walk of three steps, of which the second ends it by keeping; γ = 0.5, λ = 0.5."""
    reward = torch.tensor([[1.0], [2.0], [3.0]])
    value = torch.tensor([[4.0], [5.0], [6.0]])
    following = torch.tensor([[5.0], [5.0], [8.0]])  # the second leads to where it was
    ended = torch.tensor([[False], [True], [False]])
    third = 3 + 0.5 * 8 - 6
    second = 2 + 0.5 * 5 - 5  # the end cuts what comes later, not the value
    first = (1 + 0.5 * 5 - 4) + 0.25 * second
    found = advantages(reward, value, following, ended, 0.5, 0.5)
    assert found.squeeze(1).tolist() == pytest.approx([first, second, third])


@given(st.integers(1, 6), st.integers(1, 3), st.floats(0, 1), st.integers(0, 2**31))
def test_advantages_are_the_sum_of_the_formula(steps: int, walks: int, trace: float, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    reward, value, following = (torch.randn(steps, walks, generator=g).double() for _ in range(3))
    ended = torch.rand(steps, walks, generator=g) < 0.4
    found = advantages(reward, value, following, ended, 0.9, trace)
    for w in range(walks):
        for t in range(steps):
            total = 0.0
            for k in range(t, steps):
                delta = reward[k, w] + 0.9 * following[k, w] - value[k, w]
                total += (0.9 * trace) ** (k - t) * float(delta)
                if ended[k, w]:
                    break
            assert float(found[t, w]) == pytest.approx(total, abs=1e-9)


def test_the_objective_by_hand() -> None:
    """Two states of two actions with probabilities one half; ratios 1.5 and 0.5, clip 0.2."""
    logits = torch.zeros(2, 2, requires_grad=True)
    log_before = torch.tensor([math.log(1 / 3), math.log(1.0)])
    advantage = torch.tensor([2.0, 3.0])
    value, goal = torch.tensor([1.0, 2.0]), torch.tensor([1.5, 4.0])
    action = torch.tensor([0, 1])
    found = objective(logits, value, action, log_before, advantage, goal, 0.2, 0.1, 0.5)
    policy = -(min(1.5 * 2, 1.2 * 2) + min(0.5 * 3, 0.8 * 3)) / 2
    error = 0.5 * (0.25 + 4.0) / 2
    assert float(found.policy) == pytest.approx(policy)
    assert float(found.value) == pytest.approx(error)
    assert float(found.entropy) == pytest.approx(math.log(2))
    assert found.loss.item() == pytest.approx(policy + 0.5 * error - 0.1 * math.log(2))
    assert float(found.clipped) == 1.0
    moved = ((1.5 - 1 - math.log(1.5)) + (0.5 - 1 - math.log(0.5))) / 2
    assert float(found.moved) == pytest.approx(moved)
    found.loss.backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().sum() < 1e-6  # clipped: nothing pulls it further; the entropy is at its top
    assert float(logits.grad[1, 1]) == pytest.approx(-0.5 * 3 * 0.5 / 2, rel=1e-4)


def test_entropy_counts_actions_that_exist() -> None:
    logits = torch.tensor([[0.0, 0.0, NOTHING], [1.0, NOTHING, NOTHING]], requires_grad=True)
    spread = entropy(logits)
    assert spread.tolist() == pytest.approx([math.log(2), 0.0])
    spread.sum().backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


@given(
    st.lists(st.booleans(), min_size=1, max_size=8),
    st.floats(0, 1, exclude_max=True, width=32),
    st.integers(0, 999),
)
def test_no_absent_action_is_drawn(exists: list[bool], u: float, seed: int) -> None:
    exists[seed % len(exists)] = True
    logits = torch.randn(1, len(exists), generator=torch.Generator().manual_seed(seed)) * 30
    logits[0, ~torch.tensor(exists)] = NOTHING
    action = int(draw(logits, torch.tensor([u], dtype=torch.float32))[0])
    assert exists[action]


def test_actions_are_drawn_by_their_probabilities() -> None:
    logits = torch.tensor([[math.log(0.2), NOTHING, math.log(0.5), math.log(0.3)]])
    u = torch.tensor([0.0, 0.19, 0.21, 0.69, 0.71, 0.999])
    assert draw(logits.expand(6, 4), u).tolist() == [0, 0, 2, 2, 3, 3]
