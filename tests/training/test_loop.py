"""The loop: it learns what planning knows, repeats itself exactly, and reuse changes no number."""

from __future__ import annotations

import math
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from archwalk.agents.values import QFunction, make_values
from archwalk.config import Settings, load_preset
from archwalk.envs import greedy_process
from archwalk.errors import ArchwalkError
from archwalk.seeding import make_generator
from archwalk.tasks import Benchmark
from archwalk.training.evaluation import evaluate_agent, greedy_walks, ranks
from archwalk.training.loop import Loop
from tests.conftest import small_settings, tiny_benchmark
from tests.oracles.planning import follow, value_iteration


def values_of(benchmark: Benchmark, settings: Settings, seed: int) -> QFunction:
    return make_values(greedy_process(benchmark, settings), settings, seed)


def rows_of(loop: Loop) -> list[dict]:
    return list(loop.run())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_learns_what_planning_knows(precision: str) -> None:
    benchmark = tiny_benchmark()
    settings = small_settings(
        network={"width": 32, "feedforward": 32, "heads": 2},
        learner={"learning_rate": 4e-3, "halving_steps": 10_000},
        training={
            "trained_steps": 40_000,
            "log_every": 10_000,
            "evaluate_every": 20_000,
            "precision": precision,
        },
    )
    loop = Loop(benchmark, "main", settings, seed=0)
    rows_of(loop)
    process = loop.process
    choices, reward = process.choices.numpy(), process.rewards.double().numpy()
    best = value_iteration(choices, reward, settings.learner.discount)
    learned = loop.agent.values.sweep(make_generator(0, "t")).double().numpy()
    exists = choices >= 0
    assert np.abs(learned - best)[exists].mean() < 0.1 * best[exists].std()
    metric = benchmark.values("main")
    planned = metric[follow(choices, best, settings.walk.step_limit)].mean()
    walked = metric[follow(choices, learned, settings.walk.step_limit)].mean()
    assert walked > metric.mean() + 0.95 * (planned - metric.mean())


@pytest.mark.parametrize("most", [50, 4])
def test_same_seed_same_run_other_seed_other_run(most: int) -> None:
    def run(seed: int) -> tuple[list[dict], dict]:
        settings = small_settings(walk={"max_neighbours": most}, training={"trained_steps": 512})
        loop = Loop(tiny_benchmark(), "main", settings, seed)
        torch.manual_seed(seed + 100)  # a global generator must not matter
        return rows_of(loop), loop.state_dict()

    one, two, other = run(0), run(0), run(1)
    assert one[0] == two[0] != other[0]
    assert all(torch.equal(one[1][k], two[1][k]) for k in one[1])


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("period", [256, 32])  # 40 states: swept at once, and met one by one
def test_reuse_changes_no_number(n_step: int, double: bool, period: int) -> None:
    """Sweeps against the network run at every look: the same losses to floating-point tolerance."""
    rows = {}
    for reuse in (True, False):
        settings = small_settings(
            learner={
                "n_step": n_step,
                "double": double,
                "target_period": period,
                "batch_size": 16,
                "learning_rate": 1e-4,  # larger steps let rounding grow into other choices
            },
            training={
                "reuse": reuse,
                "trained_steps": 512,
                "log_every": 32,
                "actor_period": period,
                "sampled_per_trained": 0.2,
            },
        )
        rows[reuse] = rows_of(Loop(tiny_benchmark(keep=40), "main", settings, seed=0))
    assert len(rows[True]) == len(rows[False]) > 5
    for swept, plain in zip(rows[True], rows[False], strict=True):
        assert swept.keys() == plain.keys()
        for name in swept:
            assert swept[name] == pytest.approx(plain[name], rel=1e-3, abs=1e-5), name


def test_ratio_of_sampled_to_trained_steps_is_held() -> None:
    for ratio in (0.5, 1.0, 2.5):
        settings = small_settings(training={"sampled_per_trained": ratio})
        loop = Loop(tiny_benchmark(), "main", settings, seed=0)
        rows_of(loop)
        walked = loop.counters.sampled_steps - settings.replay.warmup
        assert walked / loop.counters.trained_steps == pytest.approx(ratio, rel=0.15)


def test_evaluations_are_the_distinct_architectures_looked_up() -> None:
    settings = small_settings(reward={"standardise": False})
    loop = Loop(tiny_benchmark(), "main", settings, seed=0)
    looked: set[int] = set()
    for _ in range(10):
        loop._count(loop.agent.act())
        looked |= set(loop.agent.replay.state_dict()["s_t"].tolist())
        assert set(loop.process.evaluated.nonzero().squeeze(1).tolist()) == looked
    counted = Loop(tiny_benchmark(), "main", small_settings(reward={"standardise": True}), seed=0)
    assert int(counted.process.evaluated.sum()) == len(counted.agent.rollout.walks.architecture.unique())


def test_work_is_bounded() -> None:
    """A guard that counts work, not time: network evaluations a trained step."""
    benchmark = tiny_benchmark()
    states = {True: 0, False: 0}
    for reuse in states:
        settings = small_settings(
            learner={"double": False, "target_period": 1_024},
            training={"actor_period": 1_024, "evaluate_every": 10**9, "log_every": 10**9, "reuse": reuse},
        )
        loop = Loop(benchmark, "main", settings, seed=0)
        judge = loop.agent.values.network.judge

        def counted(embedded, exists, judge=judge, reuse=reuse):
            states[reuse] += len(embedded)
            return judge(embedded, exists)

        loop.agent.values.network.judge = counted
        loop.agent.rollout.policy = loop.agent.target.snapshot = loop.agent.snapshot()
        rows_of(loop)
    trained = 2_048
    sweeps = (2 + trained // 1_024) * len(benchmark)  # snapshots: first, copies; and the final evaluation
    assert states[True] <= trained + sweeps
    assert states[True] < states[False]


class Work(TorchDispatchMode):
    """Counts calls of tensor operations and the bytes that they allocate."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.allocated = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if torch.is_tensor(t)}
        self.calls += 1
        for t in tree_leaves(out):
            if torch.is_tensor(t) and t.untyped_storage().data_ptr() not in given:
                self.allocated += t.untyped_storage().nbytes()
        return out


@pytest.mark.parametrize(("planning", "calls", "most"), [(True, 440, 1_380_000), (False, 560, 1_990_000)])
@pytest.mark.parametrize("neighbours", [50, 7])
def test_an_update_makes_few_calls_and_allocates_little(
    planning: bool, calls: int, most: int, neighbours: int
) -> None:
    """A guard that counts work, not time: a tenth more than an update takes now is refused."""
    settings = small_settings(
        walk={"max_neighbours": neighbours},
        learner={"planning": planning, "n_step": 1, "double": not planning},
    )
    loop = Loop(tiny_benchmark(), "main", settings, seed=0)
    while len(loop.agent.replay) < settings.replay.warmup:
        loop._count(loop.agent.act())
    if planning:
        loop.agent.target.refresh()
    for counted in (False, True):  # not the first: Adam's state is made there
        with Work() if counted else nullcontext() as work:
            sample = loop.agent.replay.sample(32, loop.generators["replay"])
            update = loop.agent.learner.update(sample, loop.agent.target)
            loop.agent.replay.set_errors(sample.slots, update.error)
    assert work.calls <= calls
    assert work.allocated <= most


def test_nothing_outside_the_offer_is_ever_taken_or_targeted() -> None:
    settings = small_settings(walk={"max_neighbours": 3})
    benchmark = tiny_benchmark(keep=20)
    loop = Loop(benchmark, "main", settings, seed=0)
    rows_of(loop)
    state = loop.agent.replay.state_dict()
    taken = state["offer_tm1"].gather(1, state["a_tm1"][:, None])
    assert (taken >= 0).all()
    for s, offered in zip(state["s_tm1"].tolist(), state["offer_tm1"].tolist(), strict=True):
        real = {j for j in benchmark.neighbours[s].tolist() if j >= 0}
        drawn = [j for j in offered[1:] if j >= 0]
        assert offered[0] == s
        assert set(drawn) <= real
        assert len(set(drawn)) == len(drawn) == min(3, len(real))


def test_bad_rewards_stop_before_any_work(synthetic) -> None:
    settings = load_preset("quick").replace(reward={"gamma": {"gamma": 0.5}})
    with pytest.raises(ArchwalkError, match="at least 0"):
        Loop(synthetic, "gamma", settings, seed=0)


@pytest.mark.parametrize("tokens", ["slots", "graph"])
def test_walks_from_few_starts_are_those_from_all(tokens: str) -> None:
    """Though only the states they meet are looked at."""
    agent = values_of(tiny_benchmark(), small_settings(observation={"tokens": tokens}), seed=3)
    every = greedy_walks(agent, torch.arange(54), make_generator(0, "t"))
    few = greedy_walks(agent, torch.tensor([7]), make_generator(0, "t"))
    assert few[:, 0].tolist() == every[: len(few), 7].tolist()


@pytest.mark.parametrize("most", [50, 3])
def test_greedy_walks_and_their_numbers_by_hand(most: int) -> None:
    benchmark = tiny_benchmark(keep=40)
    settings = small_settings(walk={"max_neighbours": most, "step_limit": 6})
    agent = values_of(benchmark, settings, seed=3)
    path = greedy_walks(agent, torch.arange(40), make_generator(0, "t"))
    result = evaluate_agent(agent, benchmark, "main", generator=make_generator(0, "t"))
    if most == 50:
        q = agent.sweep(make_generator(0, "t")).numpy()
        assert path[-1].tolist() == follow(agent.process.choices.numpy(), q, 6).tolist()
    final = path[-1].tolist()
    valid, test = benchmark.values("main"), benchmark.values("main", "test")
    best = int(valid.argmax())
    assert result.starts == 40
    assert result.valid_mean == pytest.approx(np.mean([valid[f] for f in final]))
    assert result.test_mean == result.mean == pytest.approx(np.mean([test[f] for f in final]))
    assert result.oracle_test == test[best]
    assert result.regret_mean == pytest.approx(np.mean([test[best] - test[f] for f in final]))
    assert result.rank_mean == pytest.approx(np.mean([1 + int((valid > valid[f]).sum()) for f in final]))
    assert result.validation_score == pytest.approx(
        (np.mean(valid[final]) - valid.mean()) / (valid.max() - valid.mean())
    )
    met = [max(valid[i] for i in column) for column in path.T.tolist()]
    assert result.valid_best_on_walk_mean == pytest.approx(np.mean(met))
    lengths = []
    for column in path.T.tolist():
        moves = sum(a != b for a, b in pairwise(column))
        lengths.append(min(moves + 1, 6))
    assert result.walk_length_mean == pytest.approx(np.mean(lengths))
    assert result.starts_ci95[0] <= result.mean <= result.starts_ci95[1]


def test_a_sample_of_starts_where_there_are_many() -> None:
    benchmark = tiny_benchmark()
    agent = values_of(benchmark, small_settings(), seed=0)
    result = evaluate_agent(agent, benchmark, "main", most_starts=10, generator=make_generator(0, "t"))
    assert result.starts == 10


def test_curves_are_drawn_from_a_sample_and_what_counts_from_all_starts() -> None:
    """The end of a run and of its fine-tuning are the same numbers, however few starts draw the curve."""

    def rows(most: int) -> list[dict]:
        training = {"trained_steps": 1_024, "evaluate_every": 256, "log_every": 256, "curve_starts": most}
        return rows_of(Loop(tiny_benchmark(), "main", small_settings(training=training), 0, cut=512))

    every, few = rows(54), rows(5)
    score = "greedy_validation_score"
    apart = [a["trained_steps"] for a, b in zip(every, few, strict=True) if a[score] != b[score]]
    assert apart == [256, 768]
    assert all(
        a[name] == b[name] for a, b in zip(every, few, strict=True) for name in a if "greedy" not in name
    )


def test_ties_share_the_best_rank() -> None:
    assert ranks(np.array([3.0, 5.0, 3.0, 1.0, 5.0])).tolist() == [3, 1, 3, 5, 1]


def test_a_smaller_is_better_metric_is_walked_downhill(tmp_path) -> None:
    from archwalk.tasks.importers import import_table

    file = tmp_path / "t.csv"
    lines = [f"{a},{b},{abs(a - 3) + abs(b - 2) + 1}" for a in range(6) for b in range(5)]
    file.write_text("a,b,loss\n" + "\n".join(lines) + "\n")
    benchmark = import_table(file, "slots", slots=["a", "b"])
    loop = Loop(benchmark, "main", small_settings(training={"trained_steps": 16_384}), seed=0)
    last = rows_of(loop)[-1]
    assert last["greedy_validation_score"] > 0.9
    assert last["greedy_valid_mean"] < 1.5
    result = evaluate_agent(
        loop.agent.values, benchmark, "main", split="valid", generator=make_generator(0, "t")
    )
    assert result.oracle == 1.0
    assert result.regret_mean >= 0
    assert result.test_mean is None
    assert math.isfinite(result.std)
