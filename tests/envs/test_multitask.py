"""Several tasks as one process, against each task's own process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.agents.dqn.planner import Planner
from archwalk.config import Settings, load_preset
from archwalk.envs import MultiTaskProcess, Walks, standardised, start, take, task_process
from archwalk.envs.build import run_process
from archwalk.errors import BenchmarkError, SettingsError
from archwalk.seeding import make_generator
from archwalk.tasks import Benchmark
from archwalk.tasks.registry import load_benchmark
from archwalk.tasks.several import Tables, load_tasks, split_benchmarks
from archwalk.tasks.table import make_benchmark
from tests.conftest import three_tasks
from tests.oracles.planning import value_iteration

TASKS = ("three", "one")


def given_settings(scale: str = "table", form: str = "embedding", most: int = 50, limit: int = 5) -> Settings:
    return load_preset("quick").replace(
        walk={"max_neighbours": most, "step_limit": limit}, multitask={"scale": scale, "form": form}
    )


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    keep=st.integers(2, 54),
    most=st.sampled_from([4, 50]),
    limit=st.integers(1, 6),
)
def test_walks_are_those_of_the_tasks_own_processes(seed: int, keep: int, most: int, limit: int) -> None:
    benchmark, own = three_tasks(keep), given_settings(most=most, limit=limit)
    n, every = len(benchmark), torch.arange(len(benchmark))
    union = MultiTaskProcess(benchmark, TASKS, own)
    g = make_generator(seed, "test")
    walks = start(union, 8, g)
    of = walks.architecture // n  # the task of each walk, to its end
    apart = [task_process(benchmark, task, own) for task in TASKS]
    for process in apart:
        process.rewards = standardised(process.rewards.double(), every)
    singles = [Walks(walks.architecture[[w]] % n, torch.zeros(1, dtype=torch.long)) for w in range(8)]
    for _ in range(limit):
        offered = union.offer(walks.architecture, g)
        exists = offered >= 0
        action = torch.multinomial(exists.float(), 1, generator=g).squeeze(1)
        here = walks.architecture.clone()
        seen = union.observe(here, offered, g)
        outcome = take(union, walks, offered, action)
        for w, walk in enumerate(singles):
            t, process = int(of[w]), apart[int(of[w])]
            mine = torch.where(exists[[w]], offered[[w]] % n, -1)
            around = set(process.choices[walk.architecture][0].tolist())
            assert {*mine[0].tolist()} <= around | {-1}
            if most == 50:
                assert torch.equal(mine, process.offer(walk.architecture, g))
            tokens = process.observe(walk.architecture, mine, g)
            assert torch.equal(seen[w, exists[w], :-2], tokens[0, exists[w]])
            assert (seen[w, exists[w], -2:] == torch.eye(2)[t]).all()
            alone = take(process, walk, mine, action[[w]])
            assert outcome.architecture[w] == t * n + alone.architecture
            for got, expected in zip(outcome[1:], alone[1:], strict=True):
                assert got[w] == expected
        assert union.names(outcome.architecture) == [apart[0].names(s.architecture)[0] for s in singles]


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_plans_are_those_of_each_task(share: float) -> None:
    benchmark, n = three_tasks(), 54
    union = MultiTaskProcess(benchmark, TASKS, given_settings())
    seen = torch.rand(2 * n, generator=make_generator(1, "seen")) < share
    planner = Planner(union, 0.8)
    for part in seen.nonzero().squeeze(1).split(5):
        union.mark(part)
        for _ in range(3):
            planner.refresh()
    planner._stale[:] = True
    planner._since += n
    for _ in range(20):
        planner.refresh()
        planner._since += n
    choices = benchmark.choices
    for t in range(2):
        mine = slice(t * n, (t + 1) * n)
        reward, known = union.rewards[mine].double().numpy(), seen[mine].numpy()
        q = value_iteration(choices, reward, 0.8, seen=known)
        planned = planner.targets(union.choices[mine]).numpy()
        assert (np.isinf(planned) == np.isinf(q)).all()
        finite = known[:, None] & np.isfinite(q)
        np.testing.assert_allclose(planned[finite], q[finite], atol=1e-4)


def test_starts_are_uniform_over_the_tasks() -> None:
    union = MultiTaskProcess(three_tasks(), ("one", "two", "three"), given_settings())
    walks = start(union, 54_000, make_generator(0, "s"))
    counts = torch.bincount(walks.architecture // 54, minlength=3)
    assert (counts - 18_000).abs().max() < 4 * 18_000**0.5


@pytest.mark.parametrize("scale", ["starts", "table"])
def test_rewards_are_made_comparable(scale: str) -> None:
    benchmark = three_tasks()
    union = MultiTaskProcess(benchmark, TASKS, given_settings(scale))
    sample = start(union, 40, make_generator(0, "s")).architecture
    union.standardise(sample)
    assert int(union.evaluated.sum()) == (len(sample.unique()) if scale == "starts" else 0)
    for t, task in enumerate(TASKS):
        at = sample[sample // 54 == t] if scale == "starts" else torch.arange(54) + 54 * t
        found = union.rewards[at]
        assert abs(float(found.mean())) < 1e-5
        assert float(found.std()) == pytest.approx(1, abs=1e-5)
        own = benchmark.reward(task)
        assert np.corrcoef(union.rewards[54 * t : 54 * t + 54].numpy(), own)[0, 1] > 0.9999


def test_what_does_not_give_a_scale_is_refused() -> None:
    union = MultiTaskProcess(three_tasks(), TASKS, given_settings("starts"))
    with pytest.raises(SettingsError, match="at least two first starts"):
        union.standardise(torch.tensor([3, 4, 5, 54]))
    assert not union.evaluated.any()
    plain = given_settings("starts").replace(reward={"standardise": False})
    with pytest.raises(SettingsError, match=r"multitask.scale table"):
        MultiTaskProcess(three_tasks(), TASKS, plain)


def test_an_open_space_has_no_copies() -> None:
    from archwalk.tasks.base import Predicted

    class Open:
        """A table's tasks as if nobody had listed its space."""

        def __init__(self, table: Benchmark) -> None:
            self.name, self.space, self.checksum, self.tasks = "open", table.space, "", table.tasks
            self.rewards = {task: table.metrics[table.rewards[task].metric] for task in table.tasks}
            self.split, self.epoch, self.source = "valid", "final", ""

        def values(self, task: str, codes: np.ndarray, metric: str | None = None) -> np.ndarray:
            raise AssertionError("nothing may be evaluated")

    tasks = Open(load_benchmark("synthetic"))
    assert isinstance(tasks, Predicted)
    with pytest.raises(BenchmarkError, match="is not listed"):
        run_process(tasks, ("alpha", "beta"), load_preset("quick"))


def two_tables() -> tuple[Tables, tuple[str, ...]]:
    """Tables of one space with 54 and 20 architectures, the second with fewer neighbours."""
    few = three_tasks(20)
    half = make_benchmark("half", few.space, few.rows, few.columns, few.metrics, few.rewards)
    return Tables((three_tasks(), half)), ("three:one", "half:two", "three:three")


@pytest.mark.parametrize("most", [3, 50])
def test_tasks_of_several_tables_are_their_own_processes(most: int) -> None:
    tables, tasks = two_tables()
    own, sizes = given_settings(most=most), (54, 20, 54)
    union = MultiTaskProcess(tables, tasks, own)
    assert union.first == [0, 54, 74, 128]
    assert len(union) == 128
    g = make_generator(3, "test")
    for t, task in enumerate(tasks):
        table, name = tables.place(task)
        process, every = task_process(table, name, own), torch.arange(sizes[t])
        process.rewards = standardised(process.rewards.double(), every)
        state = every + union.first[t]
        assert (union.of(state) == t).all()
        assert union.names(state) == process.names(every)
        assert torch.equal(union.reward(state), process.reward(every))
        width = process.choices.shape[1]
        moved = union.choices[state]
        assert (moved[:, width:] == -1).all()
        assert torch.equal(torch.where(moved < 0, -1, moved - union.first[t])[:, :width], process.choices)
        offered = union.offer(state, g)
        exists = offered >= 0
        assert offered.shape[1] == min(1 + most, union.choices.shape[1])
        assert torch.equal(exists.sum(1), (process.choices >= 0).sum(1).clamp(max=1 + most))
        seen = union.observe(state, offered, g)
        tokens = process.observe(every, torch.where(exists, offered - union.first[t], 0), g)
        assert torch.equal(seen[exists][:, :-3], tokens[exists])
        assert (seen[exists][:, -3:] == torch.eye(3)[t]).all()
        alone = union.alone(task)
        assert torch.equal(alone.choices, process.choices)
        assert torch.equal(alone.tokens.rows, process.tokens.rows)  # type: ignore[attr-defined]


def test_starts_are_uniform_over_tasks_of_unequal_tables() -> None:
    tables, tasks = two_tables()
    union = MultiTaskProcess(tables, tasks, given_settings("starts"))
    walks = start(union, 60_000, make_generator(0, "s")).architecture
    counts = torch.bincount(union.of(walks), minlength=3)
    assert (counts - 20_000).abs().max() < 4 * 20_000**0.5
    of_half = torch.bincount(walks[union.of(walks) == 1] - 54, minlength=20)
    assert (of_half - 1_000).abs().max() < 5 * 1_000**0.5
    union.standardise(walks[:90])
    for t in range(3):
        found = union.rewards[walks[:90][union.of(walks[:90]) == t]]
        assert abs(float(found.mean())) < 1e-5
        assert float(found.std()) == pytest.approx(1, abs=1e-5)


def test_plans_of_several_tables_are_those_of_each() -> None:
    tables, tasks = two_tables()
    union = MultiTaskProcess(tables, tasks, given_settings())
    union.mark(torch.arange(len(union)))
    planner = Planner(union, 0.8)
    for _ in range(20):
        planner.refresh()
        planner._since += len(union)
    for t, task in enumerate(tasks):
        choices = tables.place(task).table.choices
        mine = slice(union.first[t], union.first[t + 1])
        q = value_iteration(choices, union.rewards[mine].double().numpy(), 0.8)
        planned = planner.targets(union.choices[mine]).numpy()[:, : choices.shape[1]]
        finite = np.isfinite(q)
        assert (np.isfinite(planned) == finite).all()
        np.testing.assert_allclose(planned[finite], q[finite], atol=1e-4)


def test_several_tables_by_name(tmp_path: Path) -> None:
    odd = three_tasks().save(tmp_path / "a,b.parquet")
    assert split_benchmarks(odd) == (str(odd),)
    assert split_benchmarks(f"{odd}@best") == (f"{odd}@best",)
    assert split_benchmarks("a.parquet, b.parquet@best") == ("a.parquet", "b.parquet@best")
    tables, _ = two_tables()
    assert load_tasks(tables) is tables
    assert tables.tasks[:2] == ("three:one", "three:three")
    assert tables.describe_space() == three_tasks().space.describe()
    with pytest.raises(BenchmarkError, match="different names"):
        Tables((three_tasks(), three_tasks(20)))
    with pytest.raises(BenchmarkError, match="a task among"):
        tables.place("one")
    with pytest.raises(BenchmarkError, match=r"table of measured|benchmark file"):
        load_tasks("synthetic,nothing")
