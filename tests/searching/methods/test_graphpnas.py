"""The generator of graphs: a distribution, block by block; what it is fitted to and when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from archwalk.searching.history import make_history
from archwalk.searching.listed import list_problem
from archwalk.searching.methods import graphpnas
from archwalk.searching.methods.graphpnas import (
    NASBENCH201,
    PAPER,
    Generator,
    GraphPNAS,
    best_of,
    blocks_of,
    touching,
)
from archwalk.searching.methods.random import random
from archwalk.searching.slots import possible_choices
from archwalk.spaces import make_listed
from archwalk.tasks import Benchmark

CELLS = make_listed("synthetic-cells")


def generator_of(space: object) -> Generator:
    problem = list_problem(space)  # type: ignore[arg-type]
    return Generator(possible_choices(problem), blocks_of(problem.space), touching(problem.space), 0)


def test_the_graph_of_a_cell(tiny: Benchmark) -> None:
    assert blocks_of(CELLS) == ((0,), (1, 2), (3, 4, 5))  # 0->1 | 0->2, 1->2 | 0->3, 1->3, 2->3
    near = touching(CELLS)
    assert not near[0, 5]  # 0->1 and 2->3 share no node
    assert near[0, 1]
    assert near.sum() == 36 - 2 * 3  # three pairs of opposite edges
    links = generator_of(CELLS).links
    assert links[0].nonzero().tolist() == [[0, 0]]
    assert links[2][0, 5]  # what is new hears everything
    assert not links[1][0, 5]
    assert blocks_of(tiny.space) == tuple((s,) for s in range(len(tiny.space.slot_sizes)))


@pytest.mark.parametrize("which", ["cells", "slots"])
def test_it_is_a_distribution(which: str, tiny: Benchmark) -> None:
    space = CELLS if which == "cells" else tiny.space
    state = torch.get_rng_state()
    model = generator_of(space)
    torch.testing.assert_close(torch.get_rng_state(), state)
    codes = torch.from_numpy(space.codes.astype(np.int64))
    with torch.no_grad():
        logs = model.log_probability(codes)
    assert logs.exp().sum().item() == pytest.approx(1, abs=1e-4)
    at = len(codes) // 3
    code = codes[at].numpy()
    steps = [model.next_choice(code[:slot])[code[slot] + 1] for slot in range(len(code))]
    assert sum(steps) == pytest.approx(logs[at].item(), abs=1e-4)


def test_a_block_is_a_mixture_and_knows_nothing_of_later_ones() -> None:
    model = generator_of(CELLS)
    codes = torch.tensor([[1, 2, 3, 0, 1, 2], [1, 2, 3, 3, 3, 0], [1, 0, 3, 0, 1, 2]])
    with torch.no_grad():
        weights, choices = model(codes)
        logs = model.log_probability(codes)
    torch.testing.assert_close(weights[0], weights[1])
    torch.testing.assert_close(choices[0], choices[1])
    torch.testing.assert_close(choices[0, :3], choices[2, :3])
    assert not torch.allclose(choices[0, 3:], choices[2, 3:])
    expected = 0.0
    for block, slots in enumerate(blocks_of(CELLS)):
        mixed = 0.0
        for k in range(10):
            chosen = [choices[0, s, k, codes[0, s] + 1].exp().item() for s in slots]
            mixed += weights[0, block, k].exp().item() * float(np.prod(chosen))
        expected += float(np.log(mixed))
    assert logs[0].item() == pytest.approx(expected, abs=1e-5)


def test_what_it_is_fitted_to_and_when(tiny: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = list_problem(tiny.space)
    rewards = np.random.default_rng(0).permutation(40).astype(float)
    ids, weights = best_of(make_history(problem, range(40), rewards.tolist()), PAPER.best)
    assert rewards[ids].tolist() == list(range(25, 40))
    np.testing.assert_allclose(weights, [(i + 1) / 15 for i in range(15)])
    fits = []

    def fit(problem, history, seed, recipe):  # type: ignore[no-untyped-def]
        fits.append(len(history))
        return generator_of(tiny.space)

    monkeypatch.setattr(graphpnas, "fit", fit)
    method = GraphPNAS(problem, 0)
    for n in range(43):
        history = make_history(problem, range(n), rewards[:1].tolist() * n)
        method.update(history)
        (found,) = method.suggest(1)
        assert n >= 30 or found == random(problem, history, 0)
    assert fits == [30, 40]
    method.update(make_history(problem, range(43), rewards[1:2].tolist() * 43))
    assert fits == [30, 40, 40]  # another past


def test_as_it_was_run_on_nasbench201(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifteen random cells without an absent edge, then a fit before every evaluation."""
    fits = []

    def fit(problem, history, seed, recipe):  # type: ignore[no-untyped-def]
        fits.append((len(history), recipe.best, recipe.epochs))
        return generator_of(CELLS)

    monkeypatch.setattr(graphpnas, "fit", fit)
    problem, ids = list_problem(CELLS), list[int]()
    method = GraphPNAS(problem, 0, NASBENCH201)
    for n in range(18):
        method.update(make_history(problem, ids, np.arange(n, dtype=float).tolist()))
        ids += method.suggest(1)
    assert len(set(ids)) == 18
    assert (CELLS.codes[ids[:15]] > 0).all()
    assert fits == [(15, 10, 60), (16, 10, 60), (17, 10, 60)]


def test_it_learns_what_the_best_have() -> None:
    problem, reward = list_problem(CELLS), (CELLS.codes == 3).mean(1)
    ids = np.random.default_rng(0).permutation(len(CELLS))[:60].tolist()
    method = GraphPNAS(problem, 0, replace(PAPER, epochs=10))
    method.update(make_history(problem, ids, reward[ids].tolist()))
    assert reward[method.suggest(12)].mean() > reward.mean() + 0.1
