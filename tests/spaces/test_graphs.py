"""The space of NAS-Bench-101: classes of graphs, their edits, strings and published names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.errors import ArchitectureError
from archwalk.spaces import NasBench101Space, SearchSpace, find_space, make_space
from archwalk.spaces.graphs import CLASSES, Cell, official_hash, write_cell
from tests.oracles import nasbench101 as slow
from tests.oracles.nasbench101 import CONV1, CONV3, POOL

SPACE = NasBench101Space()
SEEDS = st.integers(0, 2**32 - 1)
patient = settings(max_examples=20, deadline=None)
# The first cell of the official table, as it stands there.
FIRST = Cell(
    [
        [0, 1, 0, 0, 1, 1, 0],
        [0, 0, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 1],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 0],
    ],
    [CONV3, POOL, CONV3, CONV3, CONV1],
)
FIRST_HASH = "00005c142e6f48ac74fdcf73e3439874"


def draw(n: int, seed: int) -> np.ndarray:
    return SPACE.sample(n, np.random.default_rng(seed))


def texts(codes: np.ndarray) -> list[str]:
    return [SPACE.format(code) for code in codes.tolist()]


def shuffled(cell: slow.Cell, seed: int) -> str:
    """The same cell as a string, its interior vertices in another order that is still topological."""
    operations, edges = cell
    g, order, left = np.random.default_rng(seed), [0], set(range(1, len(operations) + 1))
    while left:
        ready = [v for v in left if all(a in order for a, b in edges if b == v)]
        order.append(int(g.choice(ready)))
        left.remove(order[-1])
    order.append(len(operations) + 1)
    matrix = [[int((a, b) in edges) for b in order] for a in order]
    return write_cell(Cell(matrix, [operations[v - 1] for v in order[1:-1]]))


def test_the_first_cell_of_the_official_table() -> None:
    assert official_hash(FIRST) == FIRST_HASH
    text = write_cell(FIRST)
    assert text == f"100110_10000_1001_010_10_1:input,{','.join(FIRST.operations)},output"
    assert SPACE.official_hash(SPACE.parse(text)) == FIRST_HASH
    assert SPACE.read(text) == FIRST
    assert find_space(text).name == "nasbench101"
    assert isinstance(make_space("nasbench101"), NasBench101Space)


@pytest.mark.parametrize("vertices", [2, 3, 4, 5])
def test_classes_are_counted_by_trying_all(vertices: int) -> None:
    everything = slow.all_classes(vertices)
    assert len(everything) == CLASSES[vertices]
    if vertices < 5:
        drawn = draw_with(vertices, 200 * len(everything))
        keys = [slow.key(slow.from_text(text)) for text in texts(drawn)]
        counts = np.array([keys.count(k) for k in everything])  # type: ignore[arg-type]
        assert counts.sum() == len(keys)
        chi2 = ((counts - 200) ** 2 / 200).sum()
        assert chi2 < len(counts) + 6 * (2 * len(counts)) ** 0.5


def draw_with(vertices: int, n: int) -> np.ndarray:
    from archwalk.spaces.graphs import _sample_classes

    return _sample_classes(vertices, n, np.random.default_rng(vertices))


def test_size_and_shares_of_vertices() -> None:
    assert SPACE.size == 423_624  # Ying et al. 2019, section 2.1
    vertices = (draw(1_500, 0)[:, :5] >= 0).sum(1) + 2
    for v in (6, 7):
        share = CLASSES[v] / 423_624
        assert abs((vertices == v).mean() - share) < 5 * (share * (1 - share) / 1_500) ** 0.5


@patient
@given(SEEDS)
def test_strings_round_trip_in_any_order(seed: int) -> None:
    for code, text in zip(draw(2, seed).tolist(), texts(draw(2, seed)), strict=True):
        assert list(SPACE.parse(text)) == code
        assert not any(c in " \t\n'\"()|&;<>$`\\*?[]{}#!" for c in text)
        other = shuffled(slow.from_text(text), seed)
        assert slow.key(slow.from_text(other)) == slow.key(slow.from_text(text))
        assert list(SPACE.parse(other)) == code
        assert SPACE.canonical(SPACE.parse(other)) == tuple(code)
        assert official_hash(SPACE.read(other)) == SPACE.official_hash(code)


def test_different_codes_are_different_classes() -> None:
    codes = np.unique(np.concatenate([draw(60, 5), *SPACE.neighbours(draw(20, 6))]), axis=0)
    codes = codes[codes[:, 10] >= 0]  # the edge from input to output is in every code
    keys = {slow.key(slow.from_text(text)) for text in texts(codes)}
    assert len(keys) == len(codes)
    assert len({SPACE.official_hash(code) for code in codes.tolist()}) == len(codes)


@patient
@given(SEEDS, st.integers(2, 7))
def test_neighbours_are_every_single_edit_once(seed: int, vertices: int) -> None:
    from archwalk.spaces.graphs import _sample_classes

    codes = _sample_classes(vertices, 2, np.random.default_rng(seed))
    around = SPACE.neighbours(codes)
    assert around.shape == (2, SPACE.max_neighbours, 26)
    for text, found in zip(texts(codes), around, strict=True):
        real = found[(found != -1).any(1)]
        assert (found[len(real) :] == -1).all()
        keys = [slow.key(slow.from_text(t)) for t in texts(real)]
        assert len(set(keys)) == len(keys)
        assert set(keys) == slow.neighbours(slow.from_text(text))
        assert np.array_equal(SPACE.rows(texts(real)), real)


@patient
@given(SEEDS)
def test_neighbours_are_mutual(seed: int) -> None:
    code = draw(1, seed)
    around = SPACE.neighbours(code)[0]
    back = SPACE.neighbours(around[(around != -1).any(1)])
    assert (back == code[0]).all(2).any(1).all()


def test_every_class_with_five_vertices_is_reached() -> None:
    codes = reached(5)
    assert len(codes) == sum(CLASSES[v] for v in range(2, 6))
    counts = np.bincount((codes[:, :5] >= 0).sum(1) + 2, minlength=8)
    assert counts.tolist() == [0, 0, 1, 6, 84, 2_441, 0, 0]


def reached(vertices: int) -> np.ndarray:
    """All classes up to so many vertices that edits lead to from the empty cell."""
    found = new = SPACE.rows(["1:input,output"])
    while len(new):
        around = np.concatenate(
            [SPACE.neighbours(part) for part in np.array_split(new, len(new) // 1000 + 1)]
        )
        rows = around.reshape(-1, around.shape[2])
        rows = rows[(rows != -1).any(1) & ((rows[:, :5] >= 0).sum(1) <= vertices - 2)]
        both, first = np.unique(np.concatenate([found, rows]), axis=0, return_index=True)
        new = both[first >= len(found)]
        found = np.concatenate([found, new])
    return found


@patient
@given(SEEDS)
def test_graphs_equal_the_loop(seed: int) -> None:
    codes = np.concatenate([draw(4, seed), draw_with(4, 2), SPACE.rows(["1:input,output"])])
    fast, loop = SPACE.graphs(codes), SearchSpace.graphs(SPACE, codes)
    for name in ("nodes", "operations", "adjacency"):
        a, b = getattr(fast, name), getattr(loop, name)
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)
    graph = SPACE.graph(codes[0].tolist())
    assert slow.key(slow.from_text(SPACE.format(codes[0].tolist()))) == slow.key(
        (tuple(SPACE.vocabulary[o] for o in graph.operations[1:-1]), frozenset(graph.edges))
    )


def test_vertices_off_all_paths_do_not_count() -> None:
    bare = SPACE.parse(f"11_1:input,{CONV1},output")
    assert SPACE.parse(f"111_10_0:input,{CONV1},{POOL},output") != bare  # 1→2 leads nowhere, but 0→3 stays
    assert SPACE.parse(f"101_01_0:input,{CONV1},{POOL},output") == bare
    assert SPACE.format(SPACE.parse(f"001_00_0:input,{CONV1},{POOL},output")) == "1:input,output"


STRANGERS = [
    "",
    "1",
    "0:input,output",  # no path
    "1:input,output\n",
    "1:output,input",
    f"11_1:input,{CONV3}",
    f"11_1:input,{CONV3},{CONV3},output",
    f"11_2:input,{CONV3},output",
    "11_1:input,conv5x5,output",
    f"11_1_1:input,{CONV3},output",
    f"1111111_111111_11111_1111_111_11_1:input,{','.join([CONV3] * 6)},output",
    f"111111_11111_1111_111_11_1:input,{','.join([CONV3] * 5)},output",  # 21 edges
]


@pytest.mark.parametrize("text", STRANGERS)
def test_strangers_are_refused(text: str) -> None:
    with pytest.raises(ArchitectureError, match="nasbench101"):
        SPACE.parse(text)
