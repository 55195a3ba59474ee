"""The process of an open space against a walker over strings, and against the table that it hides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import archwalk
from archwalk.agents.values import QFunction, Snapshot, make_values
from archwalk.config import Settings
from archwalk.envs import OpenProcess, restart, start, take, task_process
from archwalk.errors import ArchitectureError, BenchmarkError, SettingsError
from archwalk.seeding import make_generator
from archwalk.spaces.declaration import read_declaration
from archwalk.spaces.declared import DeclaredSpace
from archwalk.tasks.metrics import METRICS
from archwalk.training.evaluation import evaluate_agent, quantile_among
from archwalk.training.loop import Loop
from tests.conftest import small_settings, tiny_benchmark
from tests.oracles.open import AsOpen
from tests.oracles.planning import value_iteration

PLANNED = {"planning": True, "n_step": 1, "double": False}


def open_process(own: Settings) -> tuple[OpenProcess, AsOpen]:
    tasks = AsOpen(tiny_benchmark())
    process = task_process(tasks, "main", own)
    assert isinstance(process, OpenProcess)
    return process, tasks


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20), most=st.integers(1, 8), limit=st.integers(1, 6))
def test_walks_are_what_a_walker_would_do(seed: int, most: int, limit: int) -> None:
    own = small_settings(walk={"max_neighbours": most, "step_limit": limit}, learner=PLANNED)
    process, tasks = open_process(own)
    table = tasks.table
    rows = zip(table.architectures, table.neighbours, strict=True)
    around = {a: {table.architectures[j] for j in row} for a, row in rows}
    reward = dict(zip(table.architectures, table.reward("main"), strict=True))
    g = make_generator(seed, "test")
    walks = start(process, 5, g)
    names, met = process.names(walks.architecture), set()
    met |= set(names)
    for _ in range(8):
        offered = process.offer(walks.architecture, g)
        known = process.known(walks.architecture, offered)
        for w in range(5):
            row = offered[w].tolist()
            assert row[0] == 0
            assert len(set(row)) == len(row) == 1 + min(most, len(around[names[w]]))
            led = [
                process.arrive(walks.architecture[[w]], offered[[w]], torch.tensor([k]))
                for k in range(len(row))
            ]
            texts = [process.names(state)[0] for state in led]
            assert texts[0] == names[w]
            assert set(texts[1:]) <= around[names[w]]
            assert len(set(texts)) == len(texts)
            for k, text in enumerate(texts):
                assert (int(known[w, k]) == int(led[k][0])) == (text in met) or int(known[w, k]) == -1
                assert text not in met or int(known[w, k]) == int(led[k][0])
            met |= set(texts)
            known = process.known(walks.architecture, offered)
        action = torch.randint(offered.shape[1], (5,), generator=g)
        arrived = take(process, walks, offered, action)
        names = process.names(arrived.architecture)
        assert arrived.reward.tolist() == pytest.approx([reward[name] for name in names], rel=1e-6)
        assert arrived.terminated.tolist() == (action == 0).tolist()
        restart(process, walks, arrived.terminated | arrived.truncated, g)
        names = process.names(walks.architecture)
        met |= set(names)
    assert len(process) == len(met)
    every = process.names(torch.arange(len(process)))
    for state, row in enumerate(process.choices.tolist()):
        assert row[0] == state
        assert {every[j] for j in row[1:] if j >= 0} == around[every[state]] & met
    assert len(set(tasks.asked)) == len(tasks.asked)  # a reward is asked for once


def test_starts_are_uniform_and_do_not_depend_on_how_many_are_wanted() -> None:
    process, _ = open_process(small_settings())
    state = start(process, 27_000, make_generator(0, "s")).architecture
    counts = torch.bincount(state, minlength=54)
    assert (counts - 500).abs().max() < 5 * np.sqrt(500)
    draws = []
    for wanted in ([True] * 4, [False] * 4, [True, False, True, False]):
        g = make_generator(1, "s")
        drawn = process.draw(torch.tensor(wanted), g)
        draws.append((drawn, torch.rand(1, generator=g)))
    assert draws[0][1] == draws[1][1] == draws[2][1]
    assert draws[2][0][[0, 2]].tolist() == draws[0][0][[0, 2]].tolist()


@pytest.mark.parametrize("planning", [True, False])
@pytest.mark.parametrize("most", [50, 3])
def test_it_learns_there_what_planning_knows(planning: bool, most: int) -> None:
    tasks = AsOpen(tiny_benchmark())
    learner = PLANNED if planning else {"learning_rate": 4e-3}
    steps = 12_288 if planning or most == 3 else 24_576
    own = small_settings(
        walk={"max_neighbours": most},
        network={"width": 32, "feedforward": 32, "heads": 2},
        learner=learner | {"halving_steps": 10_000, "learning_rate": 4e-3},
        reward={"standardise": True},
        training={"trained_steps": steps, "log_every": steps, "evaluate_every": steps},
    )
    loop = Loop(tasks, "main", own, seed=0)
    rows = list(loop.run())
    valid, choices = tasks.table.values("main"), tasks.table.choices
    q = value_iteration(choices, tasks.table.reward("main"), own.learner.discount)
    assert rows[-1]["evaluations"] == int(loop.process.evaluated.sum()) <= 54
    assert rows[-1]["greedy_validation_score"] is None
    share = 0.9 if most == 50 else 0.5
    assert rows[-1]["greedy_valid_mean"] > valid.mean() + share * (valid.max() - valid.mean())
    if most == 50 and planning:  # and its planned values are the exact ones
        process = loop.process
        assert isinstance(process, OpenProcess)
        at = tasks.table.space.positions(process.codes)
        loop.agent.target.refresh()
        mine = loop.agent.target.targets(process.choices).amax(1) * process._spread + process._mean / 0.1
        assert len(process) == 54
        assert mine.numpy() == pytest.approx(q.max(1)[at], rel=1e-2)


@pytest.mark.parametrize("planning", [True, False])
@pytest.mark.parametrize("most", [50, 3])
@pytest.mark.parametrize("tokens", ["slots", "graph"])
def test_a_run_goes_on_with_the_same_bits(planning: bool, most: int, tokens: str) -> None:
    own = small_settings(
        walk={"max_neighbours": most},
        observation={"tokens": tokens},
        learner=PLANNED if planning else {"n_step": 3},
        reward={"standardise": True},
        training={"trained_steps": 1_024, "log_every": 128, "evaluate_every": 512},
    )
    whole = Loop(AsOpen(tiny_benchmark()), "main", own, seed=0)
    rows, kept = [], {}
    for row in whole.run():
        rows.append(row)
        if row["trained_steps"] == 512:
            kept = {name: value.clone() for name, value in whole.state_dict().items()}
    again = Loop(AsOpen(tiny_benchmark()), "main", own, seed=0)
    again.load_state_dict(kept)
    assert list(again.run()) == [row for row in rows if row["trained_steps"] > 512]
    for one, two in zip(again.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_links_are_there_after_a_restart() -> None:
    own = small_settings(learner=PLANNED)
    (one, tasks), (other, _) = open_process(own), open_process(own)
    one.draw(torch.ones(20, dtype=torch.bool), make_generator(0, "s"))
    other.load_state_dict({name: value.clone() for name, value in one.state_dict().items()})
    table = tasks.table
    around = {
        a: {table.architectures[j] for j in row}
        for a, row in zip(table.architectures, table.neighbours, strict=True)
    }
    every = other.names(torch.arange(len(other)))
    for state, row in enumerate(other.choices.tolist()):
        assert row[0] == state
        assert {every[j] for j in row[1:] if j >= 0} == around[every[state]] & set(every)
    more = torch.ones(20, dtype=torch.bool)  # and what is met later is linked to what was there
    for process in (one, other):
        process.draw(more, make_generator(1, "s"))
    assert [set(row) for row in other.choices.tolist()] == [set(row) for row in one.choices.tolist()]
    assert len(other) > len(every)


def test_values_are_kept_a_state_until_the_next_copy() -> None:
    own = small_settings()
    process, _ = open_process(own)
    values = make_values(process, own, 0)
    state = start(process, 6, make_generator(0, "s")).architecture
    offered = process.offer(state, make_generator(0, "o"))
    counted = []
    snapshot = Snapshot(values, True, 10, make_generator(0, "p"))
    judge = snapshot._frozen.network.judge
    snapshot._frozen.network.judge = lambda e, x: counted.append(len(e)) or judge(e, x)  # type: ignore[method-assign]
    first = snapshot.q(state, offered)
    later = start(process, 200, make_generator(1, "s")).architecture  # most of them met only now
    snapshot.q(later, process.offer(later, make_generator(0, "o")))
    assert torch.equal(snapshot.q(state, offered), first)
    assert sum(counted) == len(torch.cat([state, later]).unique())
    plain = values.q(state, offered, make_generator(0, "p")).detach()
    torch.testing.assert_close(first, plain)


def declared(slots: int, choices: int) -> DeclaredSpace:
    names = [str(c) for c in range(choices)]
    return DeclaredSpace(
        read_declaration({"name": "wide", "slots": {f"s{i}": {"choices": names} for i in range(slots)}})
    )


class Formula:
    """A smooth task over any space."""

    name, split, epoch, source, checksum, tasks = "formula", "valid", "final", "", "0" * 64, ("main",)

    def __init__(self, space: DeclaredSpace) -> None:
        self.space, self.rewards = space, {"main": METRICS["acc"]}

    def values(self, task: str, codes: np.ndarray, metric: str | None = None) -> np.ndarray:
        return 40 + 20 * (codes == np.arange(codes.shape[1]) % 3).mean(1)


@pytest.mark.parametrize(("slots", "choices"), [(6, 4), (70, 4)])
def test_the_size_of_the_space_is_no_matter(slots: int, choices: int) -> None:
    """Of 10^3 and of 10^42 architectures: what is held is what was met."""
    tasks = Formula(declared(slots, choices))
    assert tasks.space.size == choices**slots
    own = small_settings(learner=PLANNED, training={"trained_steps": 8_192, "evaluate_every": 8_192})
    loop = Loop(tasks, "main", own, seed=0)
    rows = list(loop.run())
    process = loop.process
    assert isinstance(process, OpenProcess)
    starts = 32 + sum(row["walks_ended"] for row in rows)
    assert len(process) <= loop.counters.sampled_steps + starts
    assert rows[-1]["evaluations"] == int(process.evaluated.sum()) <= loop.counters.sampled_steps + 32
    assert rows[-1]["greedy_random_quantile"] > 0.7


def test_evaluation_says_where_the_ends_are_among_random_ones() -> None:
    tasks = AsOpen(tiny_benchmark())
    own = small_settings()
    values = make_values(task_process(tasks, "main", own), own, 0)
    fresh = QFunction(values.network, values.process.fresh())  # type: ignore[attr-defined]
    found = evaluate_agent(fresh, tasks, "main", generator=make_generator(0, "e"))
    assert found.starts == 1_000
    for name in ("validation_score", "oracle", "regret_mean", "rank_mean", "test_mean", "oracle_test"):
        assert getattr(found, name) is None
    assert found.valid_mean <= found.valid_best_on_walk_mean <= tasks.table.values("main").max()
    json = found.to_json()
    assert json["best_on_walk_mean"] == found.valid_best_on_walk_mean
    assert 0 <= found.random_quantile <= 1
    with pytest.raises(BenchmarkError, match="the only one there"):
        evaluate_agent(fresh, tasks, "main", split="train", generator=make_generator(0, "e"))


def test_quantiles_count_ties_by_half() -> None:
    others = np.array([1.0, 2.0, 2.0, 3.0])
    assert quantile_among(np.array([2.0]), others) == 0.5
    assert quantile_among(np.array([0.0, 4.0]), others) == 0.5


def test_verbs_take_the_object_itself(tmp_path: Path) -> None:
    tasks = AsOpen(tiny_benchmark())
    own = small_settings(training={"trained_steps": 512})
    run = archwalk.train(tasks, "main", tmp_path / "r", preset=own)
    result = archwalk.evaluate(run.path, benchmark=tasks)
    assert result["validation_score"] is None
    assert result["evaluations"] == run.costs().evaluations > 0
    walk = archwalk.load_agent(run.path, benchmark=tasks).improve(tasks.table.architectures[5])
    assert walk[0].architecture == tasks.table.architectures[5]
    assert walk[0].valid == tasks.table.values("main")[5]
    moved = archwalk.transfer(run.path, "main", "fine-tune", tmp_path / "m", benchmark=tasks)
    assert moved.spec().source_weights == run.weights_digest()
    with pytest.raises(BenchmarkError, match="Expected a task among: main"):
        archwalk.train(tasks, "other", tmp_path / "o", preset=own)
    with pytest.raises(ArchitectureError):
        archwalk.load_agent(run.path, benchmark=tasks).improve("nonsense")
    env = archwalk.make_env(tasks, "main")
    observation, info = env.reset(seed=0, options={"architecture": tasks.table.architectures[5]})
    assert info["architecture"] == tasks.table.architectures[5]
    assert observation.shape == env.observation_space.shape


def test_bad_shaping_is_refused_with_the_task() -> None:
    tasks = AsOpen(tiny_benchmark())
    own = small_settings(reward={"gamma": {"main": -1.0}})
    with pytest.raises(SettingsError, match="positive exponent"):
        Loop(tasks, "main", own, seed=0)
