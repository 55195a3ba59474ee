"""Windows against recorded walks, and replay against the definition of prioritised sampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.agents.dqn.replay import PRIORITY_FLOOR, Replay, Transitions, Windows
from archwalk.config import ReplaySettings
from archwalk.seeding import make_generator
from tests.oracles.windows import brute_force_windows


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 6), walks=st.integers(1, 4), end=st.floats(0, 0.7))
def test_windows_against_recorded_walks(seed: int, n: int, walks: int, end: float) -> None:
    g = np.random.default_rng(seed)
    windows = Windows(walks, n, 0.9, columns=2)
    recorded: list[list[dict]] = [[] for _ in range(walks)]
    got: list[list[tuple]] = [[] for _ in range(walks)]
    tag = 0
    for _ in range(25):
        s = torch.arange(tag, tag + walks)  # every state has its own number, so that a walk can be told by it
        tag += walks
        s_next = s + 1_000_000
        a = torch.from_numpy(g.integers(0, 9, walks))
        r, q, v = (torch.from_numpy(g.normal(size=walks)).float() for _ in range(3))
        ended = torch.from_numpy(g.random(walks) < end)
        offer, offer_next = torch.stack([s, -s], 1), torch.stack([s_next, -s_next], 1)
        made, error = windows.push(
            s=s, offer=offer, a=a, r=r, q=q, s_next=s_next, offer_next=offer_next, v_next=v, ended=ended
        )
        for w in range(walks):
            step = {
                "s": int(s[w]),
                "a": int(a[w]),
                "r": float(r[w]),
                "s_next": int(s_next[w]),
                "q": float(q[w]),
            }
            recorded[w].append(step | {"v": float(v[w]), "ended": bool(ended[w])})
        for i in range(len(error)):
            w = int(made.s_tm1[i]) % walks
            fields = [f[i] for f in made]
            assert fields[1].tolist() == [int(fields[0]), -int(fields[0])]
            assert fields[6].tolist() == [int(fields[5]), -int(fields[5])]
            begun = next(x for x in recorded[w] if x["s"] == int(fields[0]))
            bootstrap = next(x["v"] for x in recorded[w] if x["s_next"] == int(fields[5]))
            expected = abs(float(fields[3]) + float(fields[4]) * bootstrap - begun["q"])
            assert float(error[i]) == pytest.approx(expected, abs=1e-5)
            got[w].append(
                (int(fields[0]), int(fields[2]), float(fields[3]), float(fields[4]), int(fields[5]))
            )
    for w in range(walks):
        expected = brute_force_windows(recorded[w], n, 0.9)
        assert sorted(x[0] for x in got[w]) == [x[0] for x in expected]
        for mine, theirs in zip(sorted(got[w]), expected, strict=True):
            assert mine == pytest.approx(theirs, abs=1e-5)


def transitions(n: int, first: int = 0) -> Transitions:
    s = torch.arange(first, first + n)
    empty = torch.zeros(n, 0, dtype=torch.long)
    return Transitions(s, empty, s % 7, s.float(), s.float() / 2, s + 1, empty)


def test_sampling_frequencies_follow_the_definition() -> None:
    replay = Replay(ReplaySettings(capacity=8, alpha=0.6, beta=0.4, warmup=1), 0)
    error = torch.tensor([0.0, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0])
    replay.add(transitions(8), error)
    p = (error.double() + PRIORITY_FLOOR) ** 0.6
    p /= p.sum()
    torch.testing.assert_close(replay.probabilities(), p)
    draws, batch, g = 4_000, 25, make_generator(0, "r")
    counts = torch.zeros(8)
    for _ in range(draws):
        sample = replay.sample(batch, g)
        counts += torch.bincount(sample.slots, minlength=8)
        weight = (8 * p[sample.slots]) ** -0.4
        torch.testing.assert_close(sample.weight, (weight / weight.max()).float())
        assert torch.equal(sample.transitions.s_tm1, sample.slots)
    expected = p.float() * draws * batch
    assert ((counts - expected).abs() <= 5 * expected.sqrt() + 5).all()


def test_alpha_is_applied_once_and_new_priorities_reach_new_items() -> None:
    replay = Replay(ReplaySettings(capacity=4, alpha=0.5, warmup=1), 0)
    replay.add(transitions(4), torch.ones(4))
    replay.set_errors(torch.tensor([2]), torch.tensor([9.0]))
    assert replay.probabilities()[2] == pytest.approx(3 / 6, abs=1e-5)
    replay.add(transitions(1, first=50), torch.tensor([16.0]))  # takes the oldest slot, with its own priority
    assert replay.probabilities()[0] == pytest.approx(4 / 9, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 11), max_size=12))
def test_the_ring_holds_the_newest(sizes: list[int]) -> None:
    replay, everything = Replay(ReplaySettings(capacity=7, warmup=1), 0), []
    for n in sizes:
        replay.add(transitions(n, first=len(everything)), torch.ones(n))
        everything += list(range(len(everything), len(everything) + n))
    assert len(replay) == min(7, len(everything))
    assert sorted(replay.state_dict()["s_tm1"].tolist()) == everything[-7:]


def test_uniform_where_alpha_is_zero() -> None:
    replay = Replay(ReplaySettings(capacity=10, alpha=0.0, warmup=1), 0)
    replay.add(transitions(10), torch.arange(10.0))
    assert torch.allclose(replay.probabilities(), torch.full((10,), 0.1, dtype=torch.float64))
    assert (replay.sample(5, make_generator(0, "r")).weight == 1).all()


def test_state_survives() -> None:
    one = Replay(ReplaySettings(capacity=9, warmup=1), 0)
    one.add(transitions(13), torch.arange(13.0))
    two = Replay(ReplaySettings(capacity=9, warmup=1), 0)
    two.load_state_dict({k: v.clone() for k, v in one.state_dict().items()})
    for replay in (one, two):
        replay.add(transitions(3, first=90), torch.ones(3))
    a, b = one.sample(6, make_generator(1, "r")), two.sample(6, make_generator(1, "r"))
    assert torch.equal(a.slots, b.slots)
    assert all(torch.equal(x, y) for x, y in zip(a.transitions, b.transitions, strict=True))
