"""From an architecture string to a network that can be trained.

In: a space, an architecture of it, and a skeleton. Out: a plan (which layer stands where, nothing built yet)
and from it a ``torch.nn.Module``. Next: ``export`` writes the same plan as source code.

Published skeletons, which the options shrink: TransNAS-Bench-101 (Duan et al. 2021), 64 channels after a stem
of stride 4, then modules of two cells or two residual blocks, the first of which changes the shape;
NAS-Bench-201 (Dong and Yang 2020), 16 channels, three stages of five cells with a residual block in front of
the second and of the third, which alone changes the shape; DARTS (Liu et al. 2019, section 3.2.2, and the
authors' code), 20 cells of 36 channels after a stem of three times as many, without auxiliary head and path
dropout; NAS-Bench-101 (Ying et al. 2019), 128 channels, three stacks of three modules, pools between them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from archwalk.config import SkeletonSettings, parse_skeleton
from archwalk.errors import SettingsError
from archwalk.networks import layers
from archwalk.networks.cells import Cell, cell_source
from archwalk.networks.darts import DartsCell, cell_sources
from archwalk.networks.nasbench101 import Module101, module_source
from archwalk.seeding import make_generator
from archwalk.spaces.base import Code, SearchSpace
from archwalk.spaces.cells import EDGES, NB201_OPERATIONS, CellSpace
from archwalk.spaces.darts import DartsSpace
from archwalk.spaces.graphs import Cell as Graph101
from archwalk.spaces.graphs import NasBench101Space
from archwalk.spaces.registry import find_space, make_space
from archwalk.spaces.skeletons import DOUBLING, HALVING, MacroSpace

_STEMS: dict[int, Callable[[int, int], nn.Module]] = {1: layers.plain_stem, 4: layers.reducing_stem}


class _Published(NamedTuple):
    """A published skeleton; ``between``: residual blocks between the modules change the shape, not cells."""

    channels: int
    modules: str
    cells: int
    stem_stride: int
    between: bool


_TRANSNAS = _Published(channels=64, modules="41414", cells=2, stem_stride=4, between=False)
_NASBENCH201 = _Published(channels=16, modules="144", cells=5, stem_stride=1, between=True)


@dataclass(frozen=True)
class Part:
    """One layer of a network's outermost chain.

    Attributes:
        name: of the layer.
        make: what makes it.
        arguments: of the maker.
        written: what source code calls the maker; its own name by default.
    """

    name: str
    make: Callable[..., nn.Module]
    arguments: tuple[int, ...] = ()
    written: str | None = None


@dataclass(frozen=True)
class Plan:
    """A network before it is built.

    Attributes:
        space: name of the architecture's space.
        architecture: its string.
        inputs: channels of the images.
        parts: the layers, in order.
        sources: classes by the name in ``Part.written``, as text.
    """

    space: str
    architecture: str
    inputs: int
    parts: tuple[Part, ...]
    sources: Mapping[str, str]


def build_network(
    space: SearchSpace | str | None, architecture: str, *, seed: int = 0, **skeleton: Any
) -> nn.Sequential:
    """The network of an architecture, untrained, on the CPU.

    Without options it is the published one, edge for edge and parameter for parameter, with a linear
    classifier on the mean pixel. Cells of TransNAS-Bench-101's operations in spaces that have another
    skeleton are put into that of TransNAS-Bench-101. Any size of image goes in; resolutions that do not
    divide are rounded up.

    Args:
        space: a space or its name; None finds it by the string.
        architecture: a cell or a chain of modules, as the space writes it.
        seed: of the first weights: He et al. 2015 by fan out for convolutions, uniform within 1/√inputs for
            the classifier. No global generator is touched.
        **skeleton: ``SkeletonSettings``: inputs, classes, channels, modules, cells, stem_stride, live_only.

    Returns:
        Images [n, inputs, h, w] → scores [n, classes], or with ``classes=None`` the features behind the last
        cell, [n, channels, h', w'].

    Raises:
        ArchitectureError: a string that is not of the space.
        SettingsError: an unknown space, one whose architectures are no networks, or a bad option.
    """
    plan = plan_network(space, architecture, parse_skeleton(skeleton))
    # Nothing is drawn on "meta": the framework's own initialisation would use the global generator.
    with torch.device("meta"):
        network = nn.Sequential(OrderedDict((p.name, p.make(*p.arguments)) for p in plan.parts))
    network.to_empty(device="cpu")
    _initialise(network, make_generator(seed, "network"))
    return network


def plan_network(space: SearchSpace | str | None, architecture: str, skeleton: SkeletonSettings) -> Plan:
    """Which layer stands where. Raises as ``build_network`` does."""
    if not isinstance(space, SearchSpace):
        space = find_space(architecture) if space is None else make_space(space)
    code = space.parse(architecture)
    cell: Code | None
    if isinstance(space, DartsSpace):
        parts = tuple(_darts_parts(code, skeleton))
        return Plan(space.name, space.format(code), skeleton.inputs, parts, cell_sources(code))
    if isinstance(space, NasBench101Space):
        graph = space.read(architecture)  # as it is written, since the order of vertices decides channels
        parts = tuple(_nasbench101_parts(graph, skeleton))
        return Plan(space.name, architecture, skeleton.inputs, parts, {"Module": module_source(graph)})
    if isinstance(space, MacroSpace):
        if skeleton.modules is not None:
            raise SettingsError(
                "no modules beside those of the architecture",
                f"modules {skeleton.modules!r} for {architecture}",
                "leave them out: in this space they are what is searched for",
            )
        cell, published = None, _TRANSNAS._replace(modules="".join(str(m + 1) for m in code))
    elif isinstance(space, CellSpace):
        live = space.live_edges(code) if skeleton.live_only else range(len(EDGES))
        cell = tuple(operation if e in live else 0 for e, operation in enumerate(code))
        published = _NASBENCH201 if space.operations == NB201_OPERATIONS else _TRANSNAS
    else:
        raise SettingsError(
            "a space whose architectures are networks: cells or skeletons",
            f"{space.name!r}, whose slots can mean anything",
            "build these networks yourself from the choices of each slot",
        )
    parts = tuple(_parts(cell, published, skeleton))
    sources = {} if cell is None else {"Cell": cell_source(cell)}
    return Plan(space.name, architecture, skeleton.inputs, parts, sources)


def _parts(cell: Code | None, published: _Published, skeleton: SkeletonSettings) -> Iterator[Part]:
    channels = skeleton.channels or published.channels
    cells = skeleton.cells or published.cells
    stem = _STEMS[skeleton.stem_stride or published.stem_stride]
    yield Part("stem", stem, (skeleton.inputs, channels))
    for m, digit in enumerate(skeleton.modules or published.modules, 1):
        module = int(digit) - 1
        outputs = 2 * channels if module in DOUBLING else channels
        shape = (channels, outputs, 2 if module in HALVING else 1)
        unchanged = (outputs, outputs, 1)
        if published.between and shape != unchanged:
            yield Part(f"module{m}_reduction", layers.ResidualBlock, (*shape, True))
            shape = unchanged
        for c in range(1, cells + 1):
            if cell is None:
                yield Part(f"module{m}_block{c}", layers.ResidualBlock, (*shape, False))
            else:
                yield Part(f"module{m}_cell{c}", partial(Cell, cell), shape, "Cell")
            shape = unchanged
        channels = outputs
    if published.between:
        yield Part("closing", layers.closing, (channels,))
    if skeleton.classes is not None:
        yield Part("head", layers.classifier, (channels, skeleton.classes))


def _darts_parts(code: Code, skeleton: SkeletonSettings) -> Iterator[Part]:
    if skeleton.modules is not None or skeleton.stem_stride not in (None, 1):
        raise SettingsError(
            "no modules and a stem of stride 1 around DARTS cells",
            f"modules {skeleton.modules}, stem_stride {skeleton.stem_stride}",
            "give the number of cells (cells); those at a third and two thirds of them reduce",
        )
    channels, cells = skeleton.channels or 36, skeleton.cells or 20
    half = len(code) // 2
    yield Part("stem", layers.plain_stem, (skeleton.inputs, 3 * channels))
    yield Part("start", layers.Twice)
    before, last, reduced = 3 * channels, 3 * channels, False
    for i in range(cells):
        reduces = i in (cells // 3, 2 * cells // 3)
        channels *= 2 if reduces else 1
        make = partial(DartsCell, code[half:] if reduces else code[:half], reduces)
        name = "ReductionCell" if reduces else "NormalCell"
        yield Part(f"cell{i + 1}", make, (before, last, channels, reduced), name)
        before, last, reduced = last, 4 * channels, reduces
    yield Part("end", layers.Last)
    if skeleton.classes is not None:
        yield Part("head", layers.classifier, (last, skeleton.classes))


def _nasbench101_parts(graph: Graph101, skeleton: SkeletonSettings) -> Iterator[Part]:
    if skeleton.stem_stride not in (None, 1):
        raise SettingsError(
            "a stem of stride 1 around the cells of NAS-Bench-101",
            f"stem_stride {skeleton.stem_stride}",
            "leave it out; modules that halve the resolution are 3 and 4",
        )
    channels = skeleton.channels or 128
    yield Part("stem", layers.norm_conv3x3, (skeleton.inputs, channels, 1))
    for s, digit in enumerate(skeleton.modules or "144", 1):
        module = int(digit) - 1
        if module in HALVING:
            yield Part(f"pool{s}", layers.halving_pool)
        outputs = 2 * channels if module in DOUBLING else channels
        for m in range(1, (skeleton.cells or 3) + 1):
            make = partial(Module101, graph)
            yield Part(f"stack{s}_module{m}", make, (channels, outputs), "Module")
            channels = outputs
    if skeleton.classes is not None:
        yield Part("head", layers.classifier, (channels, skeleton.classes))


def _initialise(network: nn.Module, generator: torch.Generator) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
