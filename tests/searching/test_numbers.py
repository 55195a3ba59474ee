"""What a comparison reports, evaluation by evaluation; and from which distributions simple methods draw."""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import chisquare, norm

import archwalk
from archwalk.searching.history import make_history
from archwalk.searching.listed import ListedProblem, list_problem
from archwalk.searching.methods.evolution import evolution
from archwalk.searching.methods.forest import forest
from archwalk.searching.methods.reinforce import reinforce
from archwalk.tasks import Benchmark
from archwalk.tasks.metrics import METRICS
from archwalk.tasks.table import make_benchmark
from tests.conftest import tiny_benchmark


def with_losses() -> Benchmark:
    """The tiny benchmark with a loss in place of the accuracy, with ties: smaller is better."""
    tiny = tiny_benchmark()
    (column,) = (c for c in tiny.columns if c.split == "valid")
    loss = column._replace(metric="loss")
    values = {loss: np.round(tiny.columns[column] / 20)}
    return make_benchmark("l", tiny.space, tiny.rows, values, {"loss": METRICS["loss"]}, {"main": loss})


@pytest.mark.parametrize("made", [tiny_benchmark, with_losses])
def test_a_comparison_by_hand(made, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    benchmark: Benchmark = made()
    table, budgets, seeds = benchmark.save(tmp_path / "t.parquet"), (0, 1, 7, 12), 3
    out = tmp_path / "out"
    rows = archwalk.compare(table, "main", out, methods=("random",), budgets=budgets, seeds=seeds)
    stored = benchmark.columns[benchmark.reward_column("main")].tolist()
    by_name = dict(zip(benchmark.architectures, stored, strict=True))
    losses = made is with_losses
    best_of, top = (min, min(stored)) if losses else (max, max(stored))

    def rank(value: float) -> int:
        return 1 + sum(v < value if losses else v > value for v in stored)

    curves = pl.read_csv(out / "curves.csv")
    found = {}
    for seed in range(seeds):
        run = curves.filter(pl.col.seed == seed)
        best = [best_of(by_name[a] for a in run["architecture"][: k + 1]) for k in range(12)]
        assert run["evaluations"].to_list() == list(range(1, 13))
        assert run["best_rank"].to_list() == [rank(b) for b in best]
        assert run["regret"].to_list() == pytest.approx([abs(top - b) for b in best])
        found[seed] = best
    for row, budget in zip(rows, budgets, strict=True):
        last = [found[seed][max(budget, 1) - 1] for seed in range(seeds)]
        assert row["budget"] == row["evaluations"] == budget
        assert row["rank_mean"] == pytest.approx(np.mean([rank(b) for b in last]))
        assert row["rank_std"] == pytest.approx(np.std([rank(b) for b in last], ddof=1))
        assert row["regret_mean"] == pytest.approx(np.mean([abs(top - b) for b in last]))


def problem_of(benchmark: Benchmark) -> ListedProblem:
    return list_problem(benchmark.space, benchmark.rows)


def test_the_worst_of_the_population_have_no_children(synthetic: Benchmark) -> None:
    """A tournament of five has a winner that is better than four others."""
    problem = problem_of(synthetic)
    indices = np.random.default_rng(0).permutation(len(problem))[:20].tolist()
    history = make_history(problem, indices, [float(i) for i in range(20)])
    children = {evolution(problem, history, seed) for seed in range(150)}
    around = [set(problem.edits[i].tolist()) for i in indices]
    others = set().union(*around[4:])
    assert children <= others
    assert len(set().union(*around[:4]) - others) > 20
    assert children & (around[-1] - set().union(*around[:-1]))


def test_only_the_newest_have_children(synthetic: Benchmark) -> None:
    """However good the older ones are."""
    problem = problem_of(synthetic)
    indices = np.random.default_rng(1).permutation(len(problem))[:45].tolist()
    history = make_history(problem, indices, [9.0] * 25 + [float(i) / 20 for i in range(20)])
    children = {evolution(problem, history, seed) for seed in range(60)}
    young, old = ({int(n) for i in part for n in problem.edits[i]} for part in (indices[25:], indices[:25]))
    assert children <= young
    assert len(old - young) > 100


def test_children_are_drawn_as_often_as_tournaments_say(tiny: Benchmark) -> None:
    """Of 20, the one that k are worse than wins C(k, 4) of C(20, 5) tournaments; all edits are alike."""
    problem = problem_of(tiny)
    indices = np.random.default_rng(2).permutation(54)[:24].tolist()
    history = make_history(problem, indices, [9.0] * 4 + [float(i) for i in range(20)])
    share = np.zeros(54)
    for worse, parent in enumerate(indices[4:]):
        around = [n for n in problem.edits[parent].tolist() if n >= 0]
        for child in set(around) - set(indices):  # one that is visited is drawn again
            share[child] += comb(worse, 4) / comb(20, 5) / len(around)
    share /= share.sum()
    counts = np.bincount([evolution(problem, history, seed) for seed in range(4_000)], minlength=54)
    assert counts[share == 0].sum() == 0
    possible = share > 0
    assert chisquare(counts[possible], 4_000 * share[possible]).pvalue > 0.001


def slow_policy(problem: ListedProblem, evaluated: list[int], rewards: list[float]) -> np.ndarray:
    """REINFORCE by automatic differentiation and the framework's Adam; probabilities, [N]."""
    codes = torch.from_numpy(problem.tables[2])
    sizes = (codes.amax(0) + 1).tolist()
    logits = [torch.zeros(size, dtype=torch.float64, requires_grad=True) for size in sizes]
    optimiser = torch.optim.Adam(logits, lr=0.2)

    def log_policy() -> torch.Tensor:
        return torch.stack([x.log_softmax(0)[codes[:, i]] for i, x in enumerate(logits)]).sum(0)

    average = rewards[0]
    for index, reward in zip(evaluated, rewards, strict=True):
        average = 0.9 * average + 0.1 * reward
        optimiser.zero_grad()
        (-(reward - average) * log_policy()[index]).backward()
        optimiser.step()
    return log_policy().exp().detach().numpy()


def test_reinforce_draws_from_the_policy_that_it_learned(tiny: Benchmark) -> None:
    problem = problem_of(tiny)
    evaluated = np.random.default_rng(3).permutation(54)[:14].tolist()
    rewards = [
        5.0 + float(problem.tables[2][i, 0] == 0) + 0.3 * float(problem.tables[2][i, 2]) for i in evaluated
    ]
    policy = slow_policy(problem, evaluated, rewards)
    policy[evaluated] = 0
    policy /= policy.sum()
    history = make_history(problem, evaluated, rewards)
    draws = 1_200
    drawn = [reinforce(problem, history, seed) for seed in range(draws)]
    counts = np.bincount(drawn, minlength=54)
    for slot in range(4):
        for choice in range(int(problem.tables[2][:, slot].max()) + 1):
            where = problem.tables[2][:, slot] == choice
            share = policy[where].sum()
            assert abs(counts[where].sum() / draws - share) < 4.5 * np.sqrt(share * (1 - share) / draws)
    assert np.abs(policy - 1 / 40).max() > 0.03


def test_the_forest_suggests_where_its_trees_expect_to_improve(tiny: Benchmark) -> None:
    from sklearn.ensemble import RandomForestRegressor

    problem, reward = problem_of(tiny), tiny.reward("main")
    features = problem.one_hot()
    for seed, n in ((0, 6), (1, 12), (2, 25)):
        evaluated = np.random.default_rng(seed).permutation(54)[:n].tolist()
        model = RandomForestRegressor(50, max_features=0.5, random_state=seed)
        model.fit(features[evaluated], reward[evaluated])
        trees, value = [tree.predict(features) for tree in model.estimators_], {}
        for x in set(range(54)) - set(evaluated):
            says = [float(tree[x]) for tree in trees]
            mean, spread = np.mean(says), max(float(np.std(says)), 1e-9)
            z = (mean - reward[evaluated].max()) / spread
            value[x] = spread * (z * norm.cdf(z) + norm.pdf(z))
        history = make_history(problem, evaluated, reward[evaluated].tolist())
        chosen = forest(problem, history, seed)
        assert value[chosen] == pytest.approx(max(value.values()), abs=1e-10)
