"""NCP, Arch-Graph and AIO-P: their rules on small cases, rounds, other tasks, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwalk.errors import SearchError
from archwalk.networks.computation import KINDS
from archwalk.searching.asktell import check_fit
from archwalk.searching.experience.source import Source
from archwalk.searching.history import History, make_history
from archwalk.searching.listed import ListedProblem, list_problem
from archwalk.searching.methods import aio_p, arch_graph, ncp
from archwalk.searching.open import OpenProblem
from archwalk.searching.registry import find_method
from archwalk.searching.rounds import Rounds, pool_of, sample_of, unit
from archwalk.spaces import make_listed
from archwalk.tasks import Benchmark

SPACE = make_listed("synthetic-cells")
PROBLEM = list_problem(SPACE)
GOOD = (SPACE.codes == 3).mean(1)  # the more 3×3 convolutions, the better


def knowing(*values: np.ndarray, count: int = 60) -> ListedProblem:
    """The problem with other tasks, of which some architectures are known."""
    rows = np.random.default_rng(5).permutation(len(SPACE))[:count]
    sources = [Source(str(n), SPACE.codes[rows].astype(np.int16), v[rows]) for n, v in enumerate(values)]
    problem = PROBLEM.with_experience(
        [*sources, Source("c", SPACE.codes[:9].astype(np.int16), GOOD[:9], "flops")]
    )
    assert isinstance(problem, ListedProblem)
    return problem


class Counted(Rounds):
    """What it is fitted to, and nothing else."""

    def fit(self, known: History, generator: np.random.Generator) -> int:
        return len(known)

    def propose(self, model: int, history: History, generator: np.random.Generator) -> int:
        return int(history.free[model])


def test_rounds() -> None:
    alone, informed = Counted(PROBLEM, 0), Counted(knowing(GOOD), 0)
    assert [len(alone.sources), len(informed.sources)] == [0, 1]  # a column is no task
    for n, expected in ((0, 0), (9, 0), (10, 10), (19, 10), (20, 20)):
        history = make_history(PROBLEM, list(range(n)), [0.0] * n)
        informed.update(history)
        assert informed.suggest(1) == [n + expected]
        alone.update(history)
        assert (alone.suggest(1) == [n + expected]) == (n >= 10)
        assert len(set(alone.suggest(3))) == 3


def test_what_is_sampled() -> None:
    ids, values = sample_of(knowing(GOOD).experience[0], PROBLEM, np.random.default_rng(0))
    np.testing.assert_array_equal(values, GOOD[ids])
    assert unit(np.array([2.0, 4.0, 3.0])).tolist() == [0, 1, 0.5]
    history = make_history(PROBLEM, [7, 8], [0.9, 0.1])
    pool = pool_of(PROBLEM, history, 30, np.random.default_rng(0))
    assert not {7, 8} & set(pool.tolist())
    assert set(PROBLEM.edits[7].tolist()) - {-1, 8} <= set(pool.tolist())
    assert len(set(pool.tolist())) == len(pool)


class Linear(nn.Module):
    """Two tasks that are weighted sums of the code."""

    weights = torch.tensor([[1.0, -2.0, 0.5, 0.0], [0.0, 1.0, 0.5, 3.0]])

    def forward(self, codes: Tensor) -> Tensor:
        return codes @ self.weights.T


def test_propagation_by_hand() -> None:
    """Two slots of two choices."""
    code, every = torch.tensor([[0.2, 0.8, 0.0, 1.0]]), torch.ones(2, 2, dtype=torch.bool)
    path = ncp.propagated(Linear(), code, [0], every)
    assert path.shape == (ncp.STEPS, 1, 4)
    # The second entry has the largest gradient and falls alone, and the first takes its share.
    torch.testing.assert_close(path[0], torch.tensor([[0.2 / 0.9, 0.7 / 0.9, 0.0, 1.0]]))
    # At last the better choice of each slot has all: the first, and the third by its own rise.
    torch.testing.assert_close(path[-1], torch.tensor([[1.0, 0.0, 1.0, 0.0]]), atol=0.01, rtol=0)
    all_move = ncp.propagated(Linear(), code, [0], every, winner=False)[0]
    torch.testing.assert_close(all_move, torch.tensor([[0.25 / 0.95, 0.7 / 0.95, 0.025 / 1.025, 1 / 1.025]]))
    both = ncp.propagated(Linear(), code, [0, 1], every, winner=False)[0]  # 1, -1, 1, and 3 that is at 1
    torch.testing.assert_close(both, torch.tensor([[0.3, 0.7, 0.1 / 1.1, 1 / 1.1]]))
    fixed = ncp.propagated(Linear(), code, [0], every & torch.tensor([[False], [True]]))
    torch.testing.assert_close(fixed[:, 0, :2], code[:, :2].expand(ncp.STEPS, 2))


def test_ncp_predicts_and_improves() -> None:
    problem, ids = knowing(GOOD), np.random.default_rng(1).permutation(len(SPACE))[:20].tolist()
    method = ncp.NCP(problem, 0)
    method.update(make_history(problem, ids, GOOD[ids].tolist()))
    found = method.suggest(5)
    assert len(set(found) | set(ids)) == 25
    assert GOOD[found].mean() > GOOD[ids].mean() + 0.1
    method.update(make_history(problem, [], []))
    assert GOOD[method.suggest(5)].mean() > GOOD.mean() + 0.1  # by the other task alone


def test_relations_turned_round() -> None:
    relations = arch_graph.Relations(5, 2, 0)
    a, b = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    task = relations.tasks(torch.tensor([0, 1, 0, 1]))
    torch.testing.assert_close(relations(a, b, task), -relations(b, a, task))


def test_the_acyclic_order() -> None:
    """Of a graph without cycles the topological order; of one with a cycle nearly the heaviest."""
    chain = np.zeros((4, 4))
    chain[2, 0] = chain[0, 3] = chain[3, 1] = chain[2, 1] = 1.0
    assert arch_graph.acyclic_order(chain).tolist() == [2, 0, 3, 1]
    generator, shares = np.random.default_rng(0), []
    for _ in range(20):
        p = generator.uniform(0, 1, (5, 5))
        weights = np.triu(p, 1) * (generator.uniform(size=(5, 5)) < 0.7)
        weights += np.triu(p, 1).T * (weights.T == 0) * (1 - np.eye(5))

        def kept(order: tuple[int, ...], weights: np.ndarray = weights) -> float:
            return float(sum(weights[a, b] for a, b in itertools.combinations(order, 2)))

        best = max(map(kept, itertools.permutations(range(5))))
        shares.append(kept(tuple(arch_graph.acyclic_order(weights).tolist())) / best)
    assert min(shares) > 0.75
    assert np.mean(shares) > 0.95


def test_arch_graph_orders_by_what_it_learned() -> None:
    problem, ids = knowing(GOOD, GOOD), np.random.default_rng(1).permutation(len(SPACE))[:20].tolist()
    method = arch_graph.ArchGraph(problem, 0)
    method.update(make_history(problem, [], []))
    assert GOOD[method.suggest(5)].mean() > GOOD.mean() + 0.2  # by the mean of the others' tasks
    method.update(make_history(problem, ids, (-GOOD[ids]).tolist()))  # this task is their contrary
    assert GOOD[method.suggest(5)].mean() < GOOD.mean()
    alone = arch_graph.ArchGraph(PROBLEM, 0)
    alone.update(make_history(PROBLEM, ids, GOOD[ids].tolist()))
    assert GOOD[alone.suggest(5)].mean() > GOOD.mean() + 0.2


def test_graphs_and_labels_of_aio_p() -> None:
    ids = PROBLEM.ids(["synthetic-1_00_320", "synthetic-3_33_333"])
    graphs = aio_p.graphs_of(PROBLEM, ids)
    assert graphs.real.sum(1)[0] < graphs.real.sum(1)[1] == graphs.real.shape[1]
    assert graphs.nodes[..., : len(KINDS)].sum(2).equal(graphs.real)
    rows = graphs.adjacency.sum(2)
    assert set(rows.unique().tolist()) <= {0.0, 1.0}  # the mean over what comes before
    assert graphs.size[1] > graphs.size[0] > 3
    labels, mean, deviation = aio_p.scaled(np.array([0.3, 0.8]), graphs)
    raw = np.array([0.3, 0.8]) / graphs.size.numpy()
    np.testing.assert_allclose(labels.numpy() * deviation + mean, raw, rtol=1e-5)
    assert float(labels.mean()) == pytest.approx(0, abs=1e-5)


def test_messages_go_along_edges() -> None:
    """An operation hears of those before it, a layer each, and padding of nothing."""
    torch.manual_seed(0)
    backbone = aio_p.Backbone()
    nodes = torch.zeros(1, 4, len(KINDS) + 4)
    nodes[0, :3] = torch.randn(3, len(KINDS) + 4)
    adjacency = torch.zeros(1, 4, 4)
    adjacency[0, 1, 0] = adjacency[0, 2, 1] = 1.0
    real = torch.tensor([[1.0, 1, 1, 0]])
    changed = nodes.clone()
    changed[0, 0] += 1
    one, other = (backbone(aio_p.Graphs(x, adjacency, real, torch.ones(1))) for x in (nodes, changed))
    assert [bool((a[0, 2] != b[0, 2]).any()) for a, b in zip(one, other, strict=True)] == [
        False,
        True,
        True,
        True,
    ]
    assert all(not layer[0, 3].any() for layer in one)


def test_aio_p_pretrains_adapts_and_is_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aio_p, "EPOCHS", 30)
    monkeypatch.setattr(aio_p, "TUNED", 30)
    monkeypatch.setattr(aio_p, "POOL", 20)
    problem = knowing(GOOD, (SPACE.codes == 2).mean(1), count=12)
    method = aio_p.AIOP(problem, 0)
    method.update(make_history(problem, [], []))
    others = method._others()
    assert [len(other.adapters) for other in others] == [0, 1]
    assert others[1].backbone is others[0].backbone
    fresh = aio_p.AIOP(problem.with_experience(problem.experience[:1]), 0)._others()
    for a, b in zip(fresh[0].backbone.parameters(), others[0].backbone.parameters(), strict=True):
        assert torch.equal(a, b)  # the second task left the backbone alone
    ids = np.random.default_rng(1).permutation(len(SPACE))[:20].tolist()
    method.update(make_history(problem, ids, GOOD[ids].tolist()))
    assert GOOD[method.suggest(5)].mean() > GOOD[ids].mean()
    graphs = aio_p.graphs_of(problem, np.array(ids))
    predicted = aio_p.tuned(others, graphs, GOOD[ids]).values(graphs)
    assert np.corrcoef(predicted, GOOD[ids])[0, 1] > 0.5
    open_problem = OpenProblem(SPACE, measured_apart=True)
    alone = aio_p.AIOP(open_problem, 0)
    history = make_history(
        open_problem, open_problem.locate(SPACE.codes[ids].astype(np.int16)).tolist(), GOOD[ids].tolist()
    )
    alone.update(history)
    assert not history.visited(np.array(alone.suggest(2))).any()


def test_what_is_refused(tiny: Benchmark) -> None:
    with pytest.raises(SearchError, match=r"(?s)networks.*aio-p.*'slots'.*archwalk methods"):
        check_fit(find_method("aio-p"), list_problem(tiny.space))
    check_fit(find_method("aio-p"), PROBLEM)
