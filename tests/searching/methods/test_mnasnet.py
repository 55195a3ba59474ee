"""MnasNet: the reward and PPO's step by hand, where latencies come from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import archwalk
from archwalk.errors import SearchError
from archwalk.searching.asktell import check_fit
from archwalk.searching.experience.source import Source
from archwalk.searching.history import make_history
from archwalk.searching.listed import ListedProblem, list_problem
from archwalk.searching.methods import mnasnet
from archwalk.searching.registry import find_method
from archwalk.tasks import Benchmark, Column
from archwalk.tasks.metrics import METRICS
from archwalk.tasks.table import make_benchmark


def with_latency(tiny: Benchmark, values: np.ndarray, column: str = "inference_ms") -> ListedProblem:
    codes = tiny.space.codes[: len(values)].astype(np.int16)
    return list_problem(tiny.space, experience=[Source("f/t/" + column, codes, values, column)])


def test_the_reward() -> None:
    found = mnasnet.reward_of(np.array([0.9, 0.9, 0.5]), np.array([10.0, 40.0, 5.0]), 10.0)
    np.testing.assert_allclose(found, [0.9, 0.9 * 4**-0.07, 0.5 * 0.5**-0.07])
    assert found[1] < found[0]


def test_latencies_and_their_target(tiny: Benchmark) -> None:
    method = mnasnet.MnasNet(with_latency(tiny, -np.arange(1.0, 52.0)), 0)  # of 51 of 54 architectures
    assert method.target == 26
    assert method.latency(tiny.space.codes[[0, 9, 53]].astype(np.int64)).tolist() == [1, 10, 26]


def test_a_step_of_ppo(tiny: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is the policy gradient's, since the ratio is 1; a ratio beyond 1.2 pulls no more."""
    assert mnasnet.clipped_loss(
        torch.tensor([1.5, 0.5, 1.5, 0.5]), torch.tensor([1.0, 1, -1, -1])
    ).tolist() == [pytest.approx(v) for v in (-1.2, -0.5, 1.5, 0.8)]
    method = mnasnet.MnasNet(with_latency(tiny, np.ones(54)), 0)
    monkeypatch.setattr(mnasnet, "PASSES", 1)
    codes = torch.from_numpy(method.problem.codes(np.arange(5)))
    advantage = torch.tensor([0.3, -0.1, 0.2, 0.0, -0.4])
    before = [p.detach().clone() for p in method.controller.parameters()]
    loss = torch.zeros(())
    for code, a in zip(codes, advantage, strict=True):
        logs = method.controller(code[None])[0]
        entropy = -sum(p * p.log() for row in logs.exp() for p in row if p > 0)
        loss = loss - a * sum(logs[s, int(c) + 1] for s, c in enumerate(code)) - mnasnet.ENTROPY * entropy
    loss.div(5).backward()
    expected = [p.grad.clone() for p in method.controller.parameters()]
    method.adam = torch.optim.SGD(method.controller.parameters(), lr=1.0)  # type: ignore[assignment]
    method.update_policy(codes, advantage)
    for old, new, gradient in zip(before, method.controller.parameters(), expected, strict=True):
        torch.testing.assert_close(old - new.detach(), gradient, rtol=1e-4, atol=1e-7)


def test_it_learns_from_whole_batches(tiny: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    latency = np.linspace(1, 3, 54)
    problem, taught = with_latency(tiny, latency), []
    monkeypatch.setattr(mnasnet.MnasNet, "update_policy", lambda self, codes, a: taught.append((codes, a)))
    method, rewards = mnasnet.MnasNet(problem, 0), np.linspace(0.2, 0.9, 25)
    method.update(make_history(problem, [*range(25)], rewards.tolist()))
    assert len(taught) == 2
    first, second = (rewards[p] * (latency[p] / 2) ** -0.07 for p in (slice(0, 10), slice(10, 20)))
    np.testing.assert_allclose(taught[0][1].numpy(), first - first.mean(), rtol=1e-5)
    baseline = 0.95 * first.mean() + 0.05 * second.mean()
    np.testing.assert_allclose(taught[1][1].numpy(), second - baseline, rtol=1e-5)


def test_what_is_refused(tiny: Benchmark) -> None:
    method = find_method("mnasnet")
    for problem in (list_problem(tiny.space), with_latency(tiny, np.ones(54), "zc_nwot")):
        with pytest.raises(SearchError, match=r"(?s)latencies.*mnasnet.*--experience FILE:TASK/inference_ms"):
            check_fit(method, problem)
    check_fit(method, with_latency(tiny, np.ones(54), "zc_flops"))


@pytest.fixture
def timed(tiny: Benchmark) -> Benchmark:
    """The table with a latency of its task."""
    columns = dict(tiny.columns) | {Column("main", "inference_ms", "none", "none"): np.linspace(1, 9, 54)}
    metrics = dict(tiny.metrics) | {"inference_ms": METRICS["inference_ms"]}
    return make_benchmark("tiny", tiny.space, np.arange(54), columns, metrics, dict(tiny.rewards))


def test_from_search_and_compare(timed: Benchmark, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="latencies"):
        archwalk.search(lambda text: 1.0, tmp_path / "a", space=timed, method="mnasnet", metric="q", budget=3)
    assert not (tmp_path / "a").exists()
    timed.save(tmp_path / "timed.parquet")
    named = f"{tmp_path / 'timed.parquet'}:main/inference_ms"
    found = archwalk.search(
        None, tmp_path / "b", space=timed, task="main", method="mnasnet", budget=12, experience=named
    )
    assert found["ok"] == 12
    again = archwalk.search(
        None, tmp_path / "b", space=timed, task="main", method="mnasnet", budget=14, experience=named
    )
    assert [look["architecture"] for look in again["looks"][:12]] == [
        look["architecture"] for look in found["looks"]
    ]
    with pytest.raises(SearchError, match="latencies"):
        archwalk.compare(timed, "main", tmp_path / "c", methods=["mnasnet"], budgets=[5], seeds=1)
    assert not (tmp_path / "c").exists()
    rows = archwalk.compare(
        timed,
        "main",
        tmp_path / "c",
        methods=["mnasnet"],
        budgets=[5],
        seeds=1,
        sources=["main/inference_ms"],
    )
    assert "mnasnet" in [row["method"] for row in rows]
