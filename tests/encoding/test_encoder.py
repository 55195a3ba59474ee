import numpy as np
import pytest
import torch

from archwalk.encoding.encoder import Encoder, draw
from archwalk.encoding.pretraining import counts_of, pretrain
from archwalk.spaces.registry import make_space, space_names


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return Encoder(16, 2).eval()


def drawn(name, n=12, seed=0):
    space = make_space(name)
    return draw(space, space.sample(n, np.random.default_rng(seed)))


@pytest.mark.parametrize("name", sorted(space_names()))
@torch.no_grad()
def test_a_vector_depends_on_its_architecture_alone(name, encoder):
    space = make_space(name)
    codes = space.sample(12, np.random.default_rng(1))
    vectors = encoder(draw(space, codes))
    assert vectors.shape == (12, 16)
    assert vectors.isfinite().all()
    for i in (0, 5):  # alone there is less padding
        torch.testing.assert_close(encoder(draw(space, codes[[i]]))[0], vectors[i], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["transnas-micro", "nasbench201", "transnas-macro", "gnn", "darts"])
@torch.no_grad()
def test_drawings_are_the_graphs(name):
    space = make_space(name)
    codes = space.sample(20, np.random.default_rng(2))
    drawings = draw(space, codes)
    for i, code in enumerate(codes.tolist()):
        graph = space.graph([v for v in code if v >= 0] if name == "transnas-macro" else code)
        n = len(graph.operations)
        assert drawings.operations[i, :n].tolist() == list(graph.operations)
        assert (drawings.operations[i, n:] == -1).all()
        edges = {(a, b) for a, b in torch.nonzero(drawings.relations[i] == 1).tolist()}
        assert edges == set(graph.edges)
        assert (drawings.relations[i].T[drawings.relations[i] == 1] == 2).all()
        longest = [0] * n
        for a, b in sorted(graph.edges, key=lambda edge: edge[1]):
            longest[b] = max(longest[b], longest[a] + 1)
        np.testing.assert_allclose(drawings.places[i, :n, 2] * 8, longest, atol=1e-6)


@torch.no_grad()
def test_what_no_signal_passes_is_not_seen_and_what_is_passed_is(encoder):
    space = make_space("transnas-micro")
    alike = space.rows(["64-41414-3_00_300", "64-41414-3_00_320"])  # 1->3 is behind nothing: node 1 ends
    graphs = [space.graph(code) for code in alike.tolist()]
    vectors = encoder(draw(space, alike))
    assert (graphs[0] == graphs[1]) == bool((vectors[0] == vectors[1]).all())
    dead = space.rows(
        ["64-41414-0_03_300", "64-41414-0_01_300"]
    )  # an operation on node 1, which has no input
    vectors = encoder(draw(space, dead))
    torch.testing.assert_close(vectors[0], vectors[1])
    some = encoder(draw(space, space.codes[::7].astype(np.int16)))
    kept = {space.graph(code) for code in space.codes[::7].tolist()}
    assert len(torch.unique((some * 1e4).round(), dim=0)) > 0.9 * len(kept)


def test_counts_are_those_of_the_graphs():
    space = make_space("nasbench201")
    codes = space.sample(15, np.random.default_rng(4))
    standing, edges = counts_of(draw(space, codes))
    for i, code in enumerate(codes.tolist()):
        graph = space.graph(code)
        depth = [0] * len(graph.operations)
        for a, b in sorted(graph.edges, key=lambda edge: edge[1]):
            depth[b] = max(depth[b], depth[a] + 1)
        for word in range(len(space.vocabulary)):
            for d in range(10):
                there = sum(o == word and at == d for o, at in zip(graph.operations, depth, strict=True))
                assert standing[i, word, d] == there
            for other in range(len(space.vocabulary)):
                pairs = [(graph.operations[a], graph.operations[b]) for a, b in graph.edges]
                assert edges[i, word, other] == pairs.count((word, other))


def test_pretraining_learns_to_tell_graphs_from_vectors():
    drawings = [drawn("transnas-micro", 100)]

    def share(steps: int) -> tuple[float, torch.Tensor]:
        torch.manual_seed(3)
        encoder = Encoder(32, 1)
        found = pretrain(encoder, drawings, steps, seed=1)
        return found, torch.cat([p.detach().flatten() for p in encoder.parameters()])

    assert share(0)[0] == 0
    early, weights = share(20)
    assert torch.equal(share(20)[1], weights)
    assert share(300)[0] > early + 0.1
