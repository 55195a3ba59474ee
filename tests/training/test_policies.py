"""A policy of any library is measured as an agent is: the same walks, the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import archwalk
from archwalk.envs.gym import WalkEnv
from archwalk.errors import ArchwalkError, SettingsError
from tests.conftest import small_settings, tiny_benchmark, two_tasks


def test_an_agents_own_network_as_a_policy_scores_as_the_agent(tmp_path: Path) -> None:
    benchmark = two_tasks()
    benchmark.save(tmp_path / "t.parquet")
    run = archwalk.train(tmp_path / "t.parquet", "one", tmp_path / "a", preset=small_settings())
    values = archwalk.load_agent(run.path).values

    def best(seen: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            q = values.network(torch.from_numpy(seen), torch.from_numpy(mask)).numpy()
        return np.where(mask, q, -np.inf).argmax(1)

    agent = archwalk.evaluate(run.path)
    walk = run.spec().settings.walk
    many = archwalk.evaluate_policy(best, tmp_path / "t.parquet", "one", batched=True, walk=walk)
    single = archwalk.evaluate_policy(
        lambda seen, mask: best(seen[None], mask[None])[0], benchmark, "one", walk=walk
    )
    costs = {"trained_steps", "sampled_steps", "evaluations", "evaluation_hours", "source_trained_steps"}
    whose = {"regime", "source_task", "algorithm", "seconds", *costs}
    assert many == single
    assert {k: v for k, v in many.items() if k not in whose} == {
        k: v for k, v in agent.items() if k not in whose
    }
    assert (many.regime, many.source_task) == ("policy", "")
    assert all(many[cost] is None for cost in costs)


def test_walks_are_those_of_the_environment() -> None:
    benchmark, env = tiny_benchmark(keep=20), WalkEnv(tiny_benchmark(keep=20), "main")

    def policy(seen: np.ndarray, mask: np.ndarray) -> int:
        return int(np.flatnonzero(mask)[int(seen.sum()) % mask.sum()])

    ends = []
    for start in benchmark.architectures:
        seen, info = env.reset(seed=0, options={"architecture": start})
        over = False
        while not over:
            seen, _, terminated, truncated, info = env.step(policy(seen, info["action_mask"].astype(bool)))
            over = terminated or truncated
        ends.append(benchmark.values("main", "test")[benchmark.index(info["architecture"])])
    found = archwalk.evaluate_policy(policy, benchmark, "main")
    assert found.mean == pytest.approx(np.mean(ends))
    assert found.starts == 20


@pytest.mark.parametrize(
    ("action", "says"),
    [(-1, "one of the actions"), (999, "one of the actions"), (0.0, "whole number"), (None, "whole number"),
     ([0, 1], "whole number"), ((np.array(0), None), "predict")],
)  # fmt: skip
def test_actions_that_do_not_exist_are_refused(action: Any, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        archwalk.evaluate_policy(lambda seen, mask: action, tiny_benchmark(), "main")


def test_a_masked_action_and_unknown_names_are_refused() -> None:
    with pytest.raises(SettingsError, match="as the mask says"):
        archwalk.evaluate_policy(lambda seen, mask: len(mask) - 1, tiny_benchmark(keep=9), "main")
    for benchmark, task in (("nowhere", "main"), (tiny_benchmark(), "mian")):
        with pytest.raises(ArchwalkError):
            archwalk.evaluate_policy(lambda seen, mask: 0, benchmark, task)
