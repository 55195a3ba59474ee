"""The space of DARTS cells: strings, edits, graphs, keys."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.errors import ArchitectureError
from archwalk.spaces import DartsSpace, SearchSpace, find_space, make_space
from tests.oracles import darts as slow

SPACE = DartsSpace()
SEEDS = st.integers(0, 2**32 - 1)
patient = settings(max_examples=40, deadline=None)
# Liu et al. 2019, as the authors' code prints it.
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), "
    "('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


def draw(n: int, seed: int) -> np.ndarray:
    return SPACE.sample(n, np.random.default_rng(seed))


def cell(*nodes: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """A cell's 14 slots from (operation, input) pairs."""
    code = [0] * 14
    for end, pair in enumerate(nodes, 2):
        for operation, start in pair:
            code[slow.EDGES.index((start, end))] = operation
    return tuple(code)


def test_size_is_every_way_to_fill_every_node() -> None:
    fillings = [len(slow.node_fillings(len(slots))) for slots in slow.node_slots()]
    assert SPACE.size == int(np.prod([float(f) for f in fillings[:4]])) ** 2
    assert SPACE.size == 1_037_664_180**2
    assert isinstance(make_space("darts"), DartsSpace)


def test_the_published_genotype() -> None:
    code = SPACE.parse(DARTS_V2)
    assert SPACE.format(code) == (
        "normal:sep_conv_3x3~0+sep_conv_3x3~1,sep_conv_3x3~0+sep_conv_3x3~1,"
        "skip_connect~0+sep_conv_3x3~1,skip_connect~0+dil_conv_3x3~2:"
        "reduce:max_pool_3x3~0+max_pool_3x3~1,max_pool_3x3~1+skip_connect~2,"
        "max_pool_3x3~0+skip_connect~2,max_pool_3x3~1+skip_connect~2"
    )
    assert code[5:9] == (3, 4, 0, 0)  # normal node 4: inputs 0 and 1 of its four
    assert SPACE.parse(DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)").replace(" ", "")) == code
    assert find_space(SPACE.format(code)).name == "darts"


@patient
@given(SEEDS)
def test_strings_round_trip(seed: int) -> None:
    for code in map(tuple, draw(4, seed).tolist()):
        text = SPACE.format(code)
        assert SPACE.parse(text) == code
        assert not any(c in " \t\n'\"()|&;<>$`\\*?[]{}#!" for c in text)  # one token of a command line
        assert SPACE.parse(SPACE.genotype(code)) == code
        flipped = ":".join(
            ",".join("+".join(reversed(node.split("+"))) for node in part.split(","))
            for part in text.split(":")
        )
        assert SPACE.parse(flipped) == code


GOOD = SPACE.format(SPACE.parse(DARTS_V2))
STRANGERS = [
    "",
    GOOD + "\n",
    GOOD.replace("sep_conv_3x3~1", "sep_conv_3x3~0", 1),  # one input twice
    GOOD.replace("dil_conv_3x3~2", "dil_conv_3x3~5"),  # itself
    GOOD.replace("skip_connect", "none", 1),
    GOOD.replace("skip_connect", "skip", 1),
    GOOD.replace("sep_conv_3x3~0+sep_conv_3x3~1,", "", 1),
    GOOD.replace(":reduce", ",sep_conv_3x3~0+sep_conv_3x3~1:reduce"),
    GOOD.replace("normal", "reduce"),
    GOOD.replace("~0", "~٠", 1),
    DARTS_V2.replace("normal_concat=[2, 3, 4, 5]", "normal_concat=[3, 4, 5]"),
    DARTS_V2.replace("('skip_connect', 0)", "('skip_connect', 7)"),
    DARTS_V2.replace("('skip_connect', 0)", "__import__('os').getcwd()", 1),
    DARTS_V2 + ";print(1)",
]


@pytest.mark.parametrize("text", STRANGERS)
def test_strangers_are_refused(text: str) -> None:
    with pytest.raises(ArchitectureError, match="darts"):
        SPACE.parse(text)


@patient
@given(SEEDS)
def test_neighbours_are_every_single_edit_once(seed: int) -> None:
    codes = draw(2, seed)
    around = SPACE.neighbours(codes)
    assert around.shape == (2, SPACE.max_neighbours, 28)
    for code, found in zip(codes.tolist(), around.tolist(), strict=True):
        rows = list(map(tuple, found))
        assert len(set(rows)) == len(rows) == 120
        assert set(rows) == slow.neighbours(tuple(code))


@patient
@given(SEEDS)
def test_neighbours_are_mutual(seed: int) -> None:
    code = draw(1, seed)
    back = SPACE.neighbours(SPACE.neighbours(code)[0])
    assert (back == code[0]).all(2).any(1).all()


def test_samples_are_uniform_over_nodes() -> None:
    codes = draw(40_000, 0)
    for slots in slow.node_slots():
        fillings = slow.node_fillings(len(slots))
        weights = 8 ** np.arange(len(slots))
        seen = np.bincount(codes[:, slots] @ weights, minlength=8 ** len(slots))
        assert seen.sum() == sum(seen[np.dot(f, weights)] for f in fillings)
        expected = len(codes) / len(fillings)
        chi2 = sum((seen[np.dot(f, weights)] - expected) ** 2 / expected for f in fillings)
        assert abs(chi2 - len(fillings)) < 6 * (2 * len(fillings)) ** 0.5
    first, last = (
        codes[:, slots] @ 8 ** np.arange(2) for slots in (slow.node_slots()[0], slow.node_slots()[4])
    )
    assert abs(np.corrcoef(first, last)[0, 1]) < 0.03


@patient
@given(SEEDS)
def test_graphs_equal_the_loop(seed: int) -> None:
    codes = draw(3, seed)
    fast, loop = SPACE.graphs(codes), SearchSpace.graphs(SPACE, codes)
    for name in ("nodes", "operations", "adjacency"):
        a, b = getattr(fast, name), getattr(loop, name)
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)


def test_the_graph_of_the_published_genotype() -> None:
    graph = SPACE.graph(SPACE.parse(DARTS_V2))
    names = [SPACE.vocabulary[o] for o in graph.operations]
    assert names[:4] == ["input", "input_last", "normal:sep_conv_3x3", "normal:sep_conv_3x3"]
    assert names[9] == "normal:dil_conv_3x3"
    assert names[10] == "reduce:max_pool_3x3"
    assert names[-1] == "output"
    assert {a for a, b in graph.edges if b == 9} == {2, 3}  # reads node 2, which sums the first two
    assert {a for a, b in graph.edges if b == 13} == {10, 11}
    assert {a for a, b in graph.edges if b == 18} == set(range(2, 18))
    assert all(a < b for a, b in graph.edges)


def test_no_two_genotypes_share_a_graph() -> None:
    codes = np.concatenate([draw(2_000, 0), SPACE.neighbours(draw(1, 1)).reshape(-1, 28)])
    graphs = SPACE.graphs(codes)
    rows = np.concatenate([graphs.operations, graphs.adjacency.reshape(len(codes), -1)], axis=1)
    assert len(np.unique(rows, axis=0)) == len(np.unique(codes, axis=0))


def renumbered(code: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...] | None:
    """The cell with node 2 + i called 2 + order[i]; None if an edge would then lead backwards."""
    name = {0: 0, 1: 1} | {2 + i: 2 + to for i, to in enumerate(order)}
    new = [0] * 14
    for (start, end), operation in zip(slow.EDGES, code, strict=True):
        if operation:
            if name[start] > name[end]:
                return None
            new[slow.EDGES.index((name[start], name[end]))] = operation
    return tuple(new)


@patient
@given(SEEDS)
def test_keys_ignore_the_order_of_nodes(seed: int) -> None:
    code = tuple(draw(1, seed)[0].tolist())
    key = SPACE.canonical(code)
    for order in itertools.permutations(range(4)):
        for half in (0, 1):
            other = renumbered(code[14 * half : 14 * half + 14], order)
            if other is not None:
                edited = other + code[14:] if half == 0 else code[:14] + other
                assert SPACE.canonical(edited) == key


def key(code: tuple[int, ...], reduction: bool) -> object:
    """Of one cell, beside a fixed one."""
    other = SPACE.parse(DARTS_V2)
    return SPACE.canonical(other[:14] + code if reduction else code + other[14:])


# Operations: 1 and 2 pool, 3 passes on, 4 convolves.
ONE, OTHER = (
    cell(((3, 0), (3, 1)), ((3, 0), (3, 2)), ((3, 1), (3, 2)), ((3, 1), (3, 3))),
    cell(((3, 0), (3, 1)), ((3, 0), (3, 2)), ((3, 1), (3, 2)), ((3, 0), (3, 4))),
)
TWICE, SHARED = (
    cell(((3, 0), (3, 1)), ((1, 0), (3, 1)), ((4, 0), (4, 1)), ((1, 0), (3, 2))),
    cell(((3, 0), (3, 1)), ((1, 0), (3, 1)), ((4, 0), (4, 1)), ((3, 0), (3, 3))),
)


def test_sums_and_pools_are_merged_by_hand() -> None:
    assert key(ONE, False) == key(OTHER, False)  # nodes 2·x0 + 2·x1 built in two ways
    assert key(ONE, True) != key(OTHER, True)  # there the identity of an input has weights
    assert key(TWICE, False) == key(SHARED, False)  # pool(x0) + x0 + x1, the pool made again or passed on
    convolved = tuple(4 if v == 1 else v for v in TWICE), tuple(4 if v == 1 else v for v in SHARED)
    assert key(convolved[0], False) != key(convolved[1], False)  # made again, a convolution has new weights


@pytest.mark.parametrize("reduction", [False, True])
def test_keys_against_trying_all_weights(reduction: bool) -> None:
    g = np.random.default_rng(3)
    seen: dict[object, dict[object, tuple[int, ...]]] = {}
    agree = {True: 0, False: 0}
    for _ in range(1_500):
        # Few kinds of operations and few with weights, so that equal functions are not rare.
        code = cell(
            *(
                [(int(g.choice([3, 3, 3, 3, 1, 4])), int(s)) for s in g.permutation(n)[:2]]
                for n in range(2, 6)
            )
        )
        edges = slow.weighted(code, reduction)
        if len(edges) > 4:
            continue
        kind = str(sorted(code[e] for e in edges))
        # Cells that are equal with equal weights are those that might be the same function.
        alike = kind + str(np.round(slow.outputs(code, dict.fromkeys(edges, 0.7)), 9))
        here = key(code, reduction)
        others = [*seen.get(alike, {}).items(), *list(seen.get(kind, {}).items())[-1:]]
        for there, other in others:
            same = slow.same_function(code, other, reduction)
            assert (here == there) == same, (code, other)
            agree[same] += code != other
        for group in (kind, alike):
            seen.setdefault(group, {})[here] = code
    assert min(agree.values()) > 8, agree


def test_256_architectures_in_milliseconds() -> None:
    codes = draw(256, 0)
    best = {}
    for name in ("neighbours", "graphs"):
        times = []
        for _ in range(10):
            start = time.perf_counter()
            getattr(SPACE, name)(codes)
            times.append(time.perf_counter() - start)
        best[name] = min(times)
    assert best["neighbours"] < 0.02, best
    assert best["graphs"] < 0.02, best
