"""Tokens: the randomly padded graph, and slots one-hot."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archwalk.seeding import make_generator
from archwalk.spaces import make_space, make_tokens


def test_graph_of_a_cell_by_hand() -> None:
    space = make_space("transnas-micro")
    graph = space.graph(space.parse("64-41414-3_00_012"))  # 0→1 conv3x3, 1→3 skip; 2→3 has no input
    names = [space.vocabulary[o] for o in graph.operations]
    assert names == ["input", "conv3x3", "skip", "output"]
    assert graph.edges == ((0, 1), (1, 2), (2, 3))


def test_graph_branches() -> None:
    space = make_space("transnas-micro")
    graph = space.graph(space.parse("64-41414-3_10_201"))  # 0→1 conv3x3 is dead: nothing leaves node 1
    names = [space.vocabulary[o] for o in graph.operations]
    assert names == ["input", "skip", "conv1x1", "skip", "output"]
    assert graph.edges == ((0, 1), (0, 2), (1, 3), (2, 4), (3, 4))


@pytest.mark.parametrize("name", ["transnas-micro", "transnas-macro", "nasbench201"])
def test_graph_tokens_are_the_graph_at_every_offset(name: str) -> None:
    space = make_space(name)
    rows = np.arange(0, len(space), 97)
    table = make_tokens(space, "graph", rows)
    v, words = space.max_nodes, len(space.vocabulary)
    assert table.features == v * v + v * words
    for i, row in enumerate(rows):
        graph = space.graph(space.codes[row].tolist())
        n = len(graph.operations)
        first, count = int(table.first[i]), int(table.count[i])
        assert count == v - n + 1
        for offset in range(count):
            token = table.rows[first + offset].numpy()
            adjacency, operations = token[: v * v].reshape(v, v), token[v * v :].reshape(v, words)
            edges = {(int(a) - offset, int(b) - offset) for a, b in np.argwhere(adjacency)}
            assert edges == set(graph.edges)
            placed = operations[offset : offset + n]
            assert placed.argmax(1).tolist() == list(graph.operations)
            assert operations.sum() == n


def test_slot_tokens_are_distinct_and_one_hot() -> None:
    space = make_space("transnas-macro")
    table = make_tokens(space, "slots")
    assert len(np.unique(table.rows.numpy(), axis=0)) == len(space)
    lengths = (space.codes >= 0).sum(1)
    assert (table.rows.numpy().sum(1) == lengths).all()


def test_padding_is_drawn_uniformly_and_from_its_generator() -> None:
    space = make_space("transnas-micro")
    table = make_tokens(space, "graph")
    at = space.index("64-41414-0_00_100")  # one node beside input and output: six places
    drawn = table.draw(torch.full((60_000,), at), make_generator(0, "t")) - table.first[at]
    counts = torch.bincount(drawn, minlength=6)
    assert len(counts) == 6
    assert (counts - 10_000).abs().max() < 500  # five standard deviations are 456
    again = table.draw(torch.full((60_000,), at), make_generator(0, "t")) - table.first[at]
    assert torch.equal(drawn, again)


def test_slots_consume_no_randomness() -> None:
    table = make_tokens(make_space("transnas-micro"), "slots")
    generator = make_generator(0, "t")
    before = generator.get_state()
    assert torch.equal(table.draw(torch.tensor([[3, -1]]), generator), torch.tensor([[3, 0]]))
    assert torch.equal(generator.get_state(), before)
