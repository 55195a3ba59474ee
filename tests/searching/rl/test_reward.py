"""The model of the reward."""

from __future__ import annotations

import numpy as np

from archwalk.searching.gp.process import KNOWN, representative
from archwalk.searching.gp.surrogate import STRUCTURE
from archwalk.searching.history import make_history
from archwalk.searching.listed import list_problem
from archwalk.searching.rl.reward import RewardModel
from archwalk.spaces import make_listed
from archwalk.tasks import Benchmark


def test_it_is_sure_where_it_has_been(tiny: Benchmark) -> None:
    """Where it is known, the optimistic reward is the measured one; elsewhere there is more to hope for."""
    problem = list_problem(tiny.space)
    value = tiny.space.codes.astype(float) @ np.array([3.0, 1.0, 2.0, 0.5])
    rows = np.random.default_rng(0).permutation(54)[:30]
    model = RewardModel(problem, make_history(problem, rows.tolist(), value[rows].tolist()), STRUCTURE)
    everywhere = model.upper(np.arange(54))
    assert np.corrcoef(everywhere[rows], value[rows])[0, 1] > 0.97
    left = np.setdiff1d(np.arange(54), rows)
    assert np.corrcoef(everywhere[left], value[left])[0, 1] > 0.8
    plain, upper = model.moments(left)[0], model.upper(left)
    assert (upper - plain).mean() > 2 * (everywhere[rows] - model.moments(rows)[0]).mean()


def test_at_most_so_many_evaluations_enter() -> None:
    rewards = np.random.default_rng(1).normal(size=2 * KNOWN)
    kept = representative(rewards)
    assert len(kept) == KNOWN
    assert (np.diff(kept) > 0).all()
    assert set(np.argsort(-rewards)[: KNOWN // 2].tolist()) <= set(kept.tolist())
    assert 2 * KNOWN - 1 in kept
    assert representative(np.array([0.1, 0.3, 0.2])).tolist() == [0, 1, 2]
    space = make_listed("slots", {f"s{i}": ["a", "b", "c"] for i in range(8)})
    history = make_history(list_problem(space), list(range(2 * KNOWN)), rewards.tolist()).only(kept)
    assert history.indices.tolist() == kept.tolist()
    np.testing.assert_array_equal(history.rewards, rewards[kept])
