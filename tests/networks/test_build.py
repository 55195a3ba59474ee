"""Networks: parameter counts, published costs, shapes, gradients, and what equal keys promise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archwalk.errors import ArchitectureError, SettingsError
from archwalk.networks import build_network
from archwalk.networks.build import Cell
from archwalk.networks.nasbench101 import Module101
from archwalk.spaces import CellSpace, find_space, make_space
from archwalk.spaces.graphs import NasBench101Space, write_cell
from tests.oracles import networks as by_hand
from tests.spaces.test_darts import DARTS_V2
from tests.spaces.test_graphs import FIRST

SMALL = {"inputs": 1, "channels": 4, "modules": "124", "cells": 1, "stem_stride": 1}
NB201 = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def some(name: str, n: int, seed: int = 0) -> list[str]:
    space = make_space(name)
    return [space.architectures[i] for i in np.random.default_rng(seed).permutation(len(space))[:n]]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaken(network: nn.Module, seed: int) -> nn.Module:
    """Every parameter and statistic random, so that nothing is equal by chance."""
    g = generator(seed)
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        if value.is_floating_point():
            value.data = torch.randn(value.shape, generator=g) * (0.3 if "weight" in name else 0.1)
        if "running_var" in name:
            value.data = value.data.abs() + 0.5
    return network.eval()


# Dong and Yang 2020 and the benchmark's release: parameters and multiply-adds on 32×32 images.
PUBLISHED = [
    (NB201.format(*["none"] * 6), 10, 73_306, 7_783_050),
    (NB201.format(*["nor_conv_3x3"] * 6), 10, 1_531_546, 220_119_690),
    (
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
        10,
        129_306,
        15_647_370,
    ),
    (NB201.format(*["none"] * 6), 100, 79_156, 7_788_900),
    (NB201.format(*["nor_conv_3x3"] * 6), 100, 1_537_396, 220_125_540),
]


@pytest.mark.parametrize(("text", "classes", "parameters", "operations"), PUBLISHED)
def test_published_costs(text: str, classes: int, parameters: int, operations: int) -> None:
    network = build_network("nasbench201", text, classes=classes).eval()
    assert count(network) == parameters
    spent = 0

    def add(layer: nn.Module, _: object, result: Tensor) -> None:
        nonlocal spent
        pixels = result[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
        spent += sum(p.numel() for p in layer.parameters()) * pixels

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(add)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, classes)
    assert spent == operations


# Liu et al. 2019: the parameters that the authors' code prints for DARTS_V2 with 20 cells of 36 channels and
# without auxiliary head; Ying et al. 2019: those of the official table's first cell.
PUBLISHED_PARAMETERS = [(DARTS_V2, 3_349_342), (write_cell(FIRST), 8_555_530)]


@pytest.mark.parametrize(("text", "parameters"), PUBLISHED_PARAMETERS)
def test_published_parameters(text: str, parameters: int) -> None:
    assert count(build_network(None, text)) == parameters


def test_shapes_of_darts_cells() -> None:
    network = build_network("darts", DARTS_V2, channels=4, cells=8).eval()
    x, seen = torch.zeros(2, 3, 32, 32), {}
    for name, layer in network.named_children():
        x = layer(x)
        seen[name] = [tuple(part.shape[1:]) for part in (x if isinstance(x, tuple) else (x,))]
    assert seen["stem"] == [(12, 32, 32)]
    assert seen["cell2"] == [(16, 32, 32), (16, 32, 32)]
    assert seen["cell3"] == [(16, 32, 32), (32, 16, 16)]  # a third and two thirds of the cells reduce
    assert seen["cell5"] == [(32, 16, 16), (32, 16, 16)]
    assert seen["cell6"] == [(32, 16, 16), (64, 8, 8)]
    assert seen["cell8"] == [(64, 8, 8), (64, 8, 8)]
    assert seen["end"] == [(64, 8, 8)]
    assert seen["head"] == [(10,)]


OPEN = {
    "darts": {"channels": 4, "cells": 3, "inputs": 1},
    "nasbench101": {"channels": 8, "cells": 1, "inputs": 1},
}


@pytest.mark.parametrize("name", OPEN)
def test_networks_of_open_spaces(name: str) -> None:
    space = make_space(name)
    for code in space.sample(12, np.random.default_rng(0)).tolist():
        text = space.format(code)
        network = build_network(space, text, **OPEN[name])
        images = torch.randn(16, 1, 16, 16, generator=generator())
        nn.functional.cross_entropy(network(images), torch.arange(16) % 10).backward()
        gradients = [p.grad for p in network.parameters()]
        assert all(g is not None and g.isfinite().all() for g in gradients)
        network.eval()
        for height, width in ((7, 9), (1, 1), (2, 5)):
            assert network(torch.zeros(3, 1, height, width)).shape == (3, 10)
        parameters = count(network) - (10 * network[-1][-1].in_features + 10)
        oracle = by_hand.darts if name == "darts" else by_hand.nasbench101
        assert parameters == oracle(text, **OPEN[name])


@pytest.mark.parametrize("seed", range(3))
def test_a_module_of_nasbench101_vertex_by_vertex(seed: int) -> None:
    space = make_space("nasbench101")
    assert isinstance(space, NasBench101Space)
    cell = space.read(space.format(space.sample(8, np.random.default_rng(seed))[-1].tolist()))
    module = shaken(Module101(cell, 6, 7), seed)
    x = torch.randn(2, 6, 5, 5, generator=generator())
    part, last = dict(module.named_children()), len(cell.matrix) - 1
    values = {0: x}
    for v in range(1, last):
        width = module.channels[v]
        total = torch.zeros(2, width, 5, 5)
        for a in range(v):
            if cell.matrix[a][v]:
                total += part[f"project_{v}"](x) if a == 0 else values[a][:, :width]
        values[v] = part[f"vertex_{v}"](total)
    wanted = torch.cat([values[v] for v in range(1, last) if cell.matrix[v][last]], 1)
    if cell.matrix[0][last]:
        wanted = wanted + part[f"project_{last}"](x)
    torch.testing.assert_close(module(x), wanted)


def test_parameters_of_full_size_by_hand() -> None:
    for text in some("transnas-micro", 3):
        code = make_space("transnas-micro").parse(text)
        expected = by_hand.transnas(code, "41414", 64, 2, classes=75, inputs=3)
        assert count(build_network("transnas-micro", text, classes=75)) == expected
    for text in some("transnas-macro", 3):
        expected = by_hand.transnas(None, text.split("-")[1], 64, 2, classes=10, inputs=3)
        assert count(build_network("transnas-macro", text)) == expected


def test_parameters_of_small_skeletons_by_hand() -> None:
    for text in some("transnas-micro", 25):
        code = make_space("transnas-micro").parse(text)
        network = build_network(None, text, inputs=2, classes=7, channels=4, modules="1234", cells=3)
        assert count(network) == by_hand.transnas(code, "1234", 4, 3, classes=7, inputs=2)
    for text in some("nasbench201", 25):
        code = make_space("nasbench201").parse(text)
        network = build_network(None, text, inputs=1, classes=3, channels=6, cells=2)
        assert count(network) == by_hand.nasbench201(code, 6, 2, classes=3, inputs=1)
    for text in some("transnas-macro", 15):
        network = build_network(None, text, channels=2, cells=1)
        assert count(network) == by_hand.transnas(None, text.split("-")[1], 2, 1, classes=10, inputs=3)


def test_shapes_through_the_published_skeleton() -> None:
    network = build_network(None, "64-41414-1_23_301", channels=4).eval()
    x, seen = torch.zeros(2, 3, 64, 64), {}
    for name, layer in network.named_children():
        x = layer(x)
        seen[name] = tuple(x.shape[1:])
    assert list(seen)[:3] == ["stem", "module1_cell1", "module1_cell2"]
    assert seen["stem"] == (4, 16, 16)
    assert [seen[f"module{m}_cell2"] for m in range(1, 6)] == [
        (8, 8, 8),
        (8, 8, 8),
        (16, 4, 4),
        (16, 4, 4),
        (32, 2, 2),
    ]
    assert seen["head"] == (10,)
    macro = build_network("transnas-macro", "64-1234-basic", channels=4, classes=None).eval()
    assert macro(torch.zeros(2, 3, 64, 64)).shape == (2, 16, 4, 4)


@pytest.mark.parametrize("name", ["transnas-micro", "transnas-macro", "nasbench201", "synthetic-cells"])
def test_any_size_of_image(name: str) -> None:
    for text in some(name, 4):
        options = SMALL | ({"modules": None} if name == "transnas-macro" else {})
        network = build_network(name, text, **options).eval()
        for height, width in ((8, 8), (7, 9), (1, 1), (2, 5)):
            assert network(torch.zeros(3, 1, height, width)).shape == (3, 10)
        features = build_network(name, text, **options, classes=None).eval()
        assert features(torch.zeros(3, 1, 8, 8)).ndim == 4


@pytest.mark.parametrize("name", ["transnas-micro", "transnas-macro", "nasbench201"])
def test_gradients_reach_every_live_parameter(name: str) -> None:
    options = SMALL | ({"modules": None} if name == "transnas-macro" else {"live_only": True})
    space = make_space(name)
    for text in some(name, 12, seed=3):
        if isinstance(space, CellSpace) and not space.live_edges(space.parse(text)):
            continue
        network = build_network(name, text, **options)
        images = torch.randn(16, 1, 32, 32, generator=generator())
        nn.functional.cross_entropy(network(images), torch.arange(16) % 10).backward()
        for parameter_name, parameter in network.named_parameters():
            assert parameter.grad is not None, (text, parameter_name)
            assert parameter.grad.isfinite().all()
            assert parameter.grad.abs().max() > 0, (text, parameter_name)


def test_a_cell_of_nothing_sees_nothing() -> None:
    for text in ("64-41414-0_00_000", "64-41414-3_33_000", NB201.format(*["none"] * 6)):
        cell_only = {**SMALL, "modules": "14"} if text.startswith("64") else SMALL | {"modules": "1"}
        network = shaken(build_network(None, text, **cell_only), seed=1)
        one, two = torch.randn(2, 4, 1, 8, 8, generator=generator()).unbind()
        assert torch.equal(network(one), network(two))
        assert torch.equal(network(one)[0], network(one)[3])


def test_dead_edges_are_built_unless_left_out() -> None:
    text = "64-41414-3_00_100"  # a convolution into a node that nothing reads
    full, live = build_network(None, text, **SMALL), build_network(None, text, **SMALL, live_only=True)
    assert count(full) > count(live)
    assert not any("edge_01" in name for name in live.state_dict())
    full, live = shaken(full, 0), live.eval()
    live.load_state_dict({name: full.state_dict()[name] for name in live.state_dict()})
    x = torch.randn(4, 1, 8, 8, generator=generator())
    assert torch.equal(full(x), live(x))


def weighted(cell: nn.Module, code: tuple[int, ...]) -> list[tuple[int, nn.Module]]:
    """Operation and module of each edge that has parameters."""
    edges = ("01", "02", "12", "03", "13", "23")
    return [
        (code[i], getattr(cell, f"edge_{e}")) for i, e in enumerate(edges) if code[i] in (2, 3)
    ]  # convolutions


def can_be_equal(one: tuple[int, ...], two: tuple[int, ...]) -> bool:
    """Some way to give one's weights to two makes their outputs equal, at stride 1."""
    a, b = (shaken(Cell(code, 3, 3, 1), seed).double() for seed, code in enumerate((one, two)))
    x = torch.randn(2, 3, 5, 5, generator=generator(7)).double()
    wanted = a(x)
    given = weighted(a, one)
    for order in itertools.permutations(weighted(b, two)):
        if [operation for operation, _ in order] == [operation for operation, _ in given]:
            for (_, target), (_, source) in zip(order, given, strict=True):
                target.load_state_dict(source.state_dict())
            if torch.allclose(b(x), wanted, rtol=1e-9, atol=1e-9):
                return True
    return False


@pytest.mark.parametrize("name", ["transnas-micro", "nasbench201"])
def test_equal_keys_mean_equal_functions(name: str) -> None:
    space = make_space(name)
    assert isinstance(space, CellSpace)

    def alive(i: int) -> tuple[int, ...]:
        code = tuple(space.codes[i].tolist())
        live = space.live_edges(code)
        return tuple(o if e in live else 0 for e, o in enumerate(code))

    groups, g = space.canonical_groups(), np.random.default_rng(0)
    agree = {True: 0, False: 0}
    for group in g.permutation(groups.max() + 1):
        members = np.flatnonzero(groups == group)
        if len(members) > 1 and agree[True] < 25:
            one, two = g.permutation(members)[:2]
            if alive(one) != alive(two):
                assert can_be_equal(alive(one), alive(two)), (alive(one), alive(two))
                agree[True] += 1
    by_operations: dict[tuple[int, ...], list[int]] = {}
    for i in g.permutation(len(space))[:400]:
        by_operations.setdefault(tuple(sorted(alive(i))), []).append(int(i))
    for rows in by_operations.values():
        for one, two in itertools.pairwise(rows[:3]):
            # Two pools of one sum differ for the key and not for the numbers: they have no weights.
            if groups[one] != groups[two] and 4 not in alive(one) and agree[False] < 25:
                assert not can_be_equal(alive(one), alive(two)), (alive(one), alive(two))
                agree[False] += 1
    assert min(agree.values()) >= 15


def test_the_seed_decides_the_weights_and_no_global_generator_is_touched() -> None:
    before = torch.get_rng_state()
    one, same, other = (build_network(None, "64-41414-3_21_123", **SMALL, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    states = [n.state_dict() for n in (one, same, other)]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    weights = [k for k in states[0] if states[0][k].ndim > 1]
    assert not any(torch.equal(states[0][k], states[2][k]) for k in weights)
    assert all(v.isfinite().all() for v in states[0].values())
    norms = [layer for layer in one.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all((n.running_mean == 0).all() and (n.running_var == 1).all() for n in norms)


def test_spaces_are_found_by_the_string() -> None:
    for name in ("transnas-micro", "transnas-macro", "nasbench201", "synthetic-cells"):
        assert find_space(make_space(name).architectures[-1]).name == name
    with pytest.raises(ArchitectureError, match="quotes"):
        find_space("64-1-basic")


def test_bad_input() -> None:
    cell = "64-41414-0_00_000"
    with pytest.raises(ArchitectureError, match="transnas-micro"):
        build_network("transnas-micro", "64-41414-4_00_000")
    with pytest.raises(SettingsError, match="did you mean 'nasbench201'"):
        build_network("nasbench-201", cell)
    with pytest.raises(SettingsError, match="slots can mean anything"):
        build_network(make_space("slots", {"a": ["x"]}), "x")
    with pytest.raises(SettingsError, match="searched for"):
        build_network(None, "64-1234-basic", modules="11")
    with pytest.raises(SettingsError, match="number of cells"):
        build_network(None, DARTS_V2, modules="144")
    for text in (DARTS_V2, write_cell(FIRST)):
        with pytest.raises(SettingsError, match="stem of stride 1"):
            build_network(None, text, stem_stride=4)
    bad = [
        {"channels": 3},
        {"channels": 0},
        {"modules": "5"},
        {"modules": ""},
        {"cells": 0},
        {"classes": 0},
        {"stem_stride": 2},
        {"inputs": 0},
        {"width": 8},
    ]
    for option in bad:
        with pytest.raises(SettingsError, match=next(iter(option))):
            build_network(None, cell, **option)
