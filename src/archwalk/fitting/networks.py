"""Which space is searched for a data set, and how its architectures become networks for these data.

In: a ``Dataset``, perhaps a space. Out: ``Networks``: modules, source code, baselines. Next: ``plan`` times
them, ``training`` trains them.

Images have cells in a skeleton scaled to their size: one halving of the resolution for small ones, two for
larger ones, a stem that divides it by four from 48 pixels on. Vectors have residual perceptrons, series
residual convolutions; a declaration of one's own may name fewer or other choices for the same slots.
"""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from archwalk.errors import DataError, SpaceError, reason
from archwalk.fitting import layers as own
from archwalk.fitting.data import Dataset
from archwalk.networks import layers
from archwalk.networks.build import build_network
from archwalk.networks.export import network_code
from archwalk.seeding import make_generator
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.cells import CellSpace
from archwalk.spaces.darts import DartsSpace
from archwalk.spaces.declared import DeclaredSpace
from archwalk.spaces.graphs import NasBench101Space
from archwalk.spaces.registry import open_space
from archwalk.spaces.skeletons import DOUBLING, HALVING, MacroSpace

DEFAULTS = {"images": "transnas-micro", "vectors": "residual-mlp", "series": "residual-conv1d"}
WIDTHS = (8, 16, 32, 64)  # channels of a skeleton behind its stem, from which the time budget chooses
REDUCING_FROM, TWICE_FROM = 48, 12  # pixels a side: a stem of stride 4; two halvings instead of one
REFERENCE_CELL = "all-convolution cell"  # the baseline that is an architecture: ``Networks.reference``
Make = Callable[[int], nn.Module]  # seed → an untrained network


class Networks(ABC):
    """Networks for one data set.

    Attributes:
        space: of the architectures.
        reference: an architecture to begin with, which is also a baseline; None: the space has none.
        widths: sizes that the skeleton can have, ascending; empty: it has none.
        width: which one it has.
    """

    space: SearchSpace
    reference: str | None = None
    widths: tuple[int, ...] = ()
    width: int = 0

    @abstractmethod
    def build(self, architecture: str, seed: int) -> nn.Module:
        """The untrained network: standardised inputs → scores [n, outputs]. No global generator is
        touched."""

    @abstractmethod
    def source(self, architecture: str) -> str:
        """A Python file on PyTorch alone with a class ``Network`` of the same parameters."""

    @abstractmethod
    def baselines(self) -> dict[str, Make]:
        """Plain networks by name, which the search has to beat."""

    def with_width(self, width: int) -> Networks:
        """The same in a skeleton of another size."""
        raise NotImplementedError

    def about(self) -> dict[str, Any]:
        """What stands around an architecture, plain values."""
        return {}


class ImageNetworks(Networks):
    """Cells, skeletons or graphs between a stem and a linear classifier.

    Args:
        space: one that ``build_network`` knows.
        inputs: channels of the images.
        outputs: scores.
        side: the smaller of height and width, in pixels.
        width: channels behind the stem.
    """

    widths = WIDTHS

    def __init__(self, space: SearchSpace, inputs: int, outputs: int, side: int, width: int) -> None:
        self.space, self.width = space, width
        self._inputs, self._outputs, self._side = inputs, outputs, side
        self._stride = 4 if side >= REDUCING_FROM else 1
        self._modules = "14" if -(-side // self._stride) < TWICE_FROM else "144"
        if isinstance(space, CellSpace):
            conv3 = next(i for i, o in enumerate(space.operations) if o.replace("_", "").endswith("conv3x3"))
            self.reference = space.format([conv3] * len(space.slot_sizes))

    def about(self) -> dict[str, Any]:
        """Options of ``build_network``."""
        cells: dict[str, Any] = {"inputs": self._inputs, "classes": self._outputs, "channels": self.width}
        if isinstance(self.space, DartsSpace):
            return cells | {"cells": 5}
        if isinstance(self.space, MacroSpace):
            return cells | {"cells": 1, "stem_stride": self._stride}
        cells |= {"cells": 1, "modules": self._modules}
        if isinstance(self.space, NasBench101Space):
            return cells
        return cells | {"stem_stride": self._stride, "live_only": True}

    def with_width(self, width: int) -> ImageNetworks:
        """The same with other channels."""
        return ImageNetworks(self.space, self._inputs, self._outputs, self._side, width)

    def build(self, architecture: str, seed: int) -> nn.Module:
        """As ``build_network`` builds it."""
        return build_network(self.space, architecture, seed=seed, **self.about())

    def source(self, architecture: str) -> str:
        """As ``network_code`` writes it."""
        return network_code(self.space, architecture, **self.about())

    def baselines(self) -> dict[str, Make]:
        """A residual network in the same skeleton, and the cell with a 3×3 convolution on every edge."""
        found: dict[str, Make] = {"residual network": self._residual}
        if self.reference is not None:
            found[REFERENCE_CELL] = lambda seed: self.build(str(self.reference), seed)
        return found

    def _residual(self, seed: int) -> nn.Module:
        """A stem, two basic blocks a module (He et al. 2016), a linear classifier."""
        stem = layers.reducing_stem if self._stride == 4 else layers.plain_stem
        channels = self.width

        def make() -> nn.Module:
            parts: list[tuple[str, nn.Module]] = [("stem", stem(self._inputs, channels))]
            before = channels
            for m, digit in enumerate(self._modules, 1):
                after = 2 * before if int(digit) - 1 in DOUBLING else before
                stride = 2 if int(digit) - 1 in HALVING else 1
                parts.append((f"module{m}_block1", layers.ResidualBlock(before, after, stride, False)))
                parts.append((f"module{m}_block2", layers.ResidualBlock(after, after, 1, False)))
                before = after
            parts.append(("closing", layers.closing(before)))
            parts.append(("head", layers.classifier(before, self._outputs)))
            return nn.Sequential(OrderedDict(parts))

        return seeded(make, seed)


class SlotNetworks(Networks):
    """Networks of vectors or series whose slots are the arguments of a module in ``layers``.

    Args:
        space: declared; its slots are among the module's arguments.
        module: the class.
        inputs: features or channels.
        outputs: scores.
        plain: arguments of the plain network, which also stand where the space has no slot of that name.
        name: of the plain network.
    """

    def __init__(
        self,
        space: SearchSpace,
        module: type[nn.Module],
        inputs: int,
        outputs: int,
        plain: Mapping[str, Any],
        name: str,
    ) -> None:
        self.space, self._module = space, module
        self._inputs, self._outputs, self._plain, self._name = inputs, outputs, dict(plain), name
        if not isinstance(space, DeclaredSpace) or not set(space.declaration.slots) <= plain.keys():
            raise SpaceError(
                f"a declared space with slots among {', '.join(plain)}",
                f"{space.name!r}",
                "leave --space out, or declare choices for these slots (docs/fit.md)",
            )
        self._declared = space
        try:
            for code in space.sample(64, np.random.default_rng(0)).tolist():
                self._make(self._values(space.format(code)))
        except (TypeError, ValueError, KeyError, RuntimeError, ZeroDivisionError) as error:
            raise SpaceError(
                f"choices that {module.__name__} can be built with", reason(error), "correct the declaration"
            ) from error
        slots = {slot: self._plain[slot] for slot in space.declaration.slots}
        choices = zip(space.declaration.slots, space.declaration.choices, strict=True)
        if all(slots[slot] in some for slot, some in choices):
            self.reference = space.format(space.encode(slots))

    def _values(self, architecture: str) -> dict[str, Any]:
        return self._plain | self._declared.values(self._declared.parse(architecture))

    def _make(self, values: Mapping[str, Any]) -> nn.Module:
        return self._module(self._inputs, self._outputs, **values)

    def build(self, architecture: str, seed: int) -> nn.Module:
        """The module with the choices as arguments."""
        return seeded(lambda: self._make(self._values(architecture)), seed)

    def source(self, architecture: str) -> str:
        """The definitions from ``layers`` and the call."""
        text = inspect.getsource(self._module)
        for name, other in reversed(vars(own).items()):
            if other is not self._module and re.search(rf"\b{name}\(", text) and inspect.isclass(other):
                text = f"{inspect.getsource(other)}\n\n{text}" if other.__module__ == own.__name__ else text
        given = ", ".join(f"{k}={v!r}" for k, v in self._values(architecture).items())
        title = f'"""A network of the space {self.space.name}, written by archwalk:\n\n{architecture}\n"""'
        call = (
            f"class Network({self._module.__name__}):\n    def __init__(self) -> None:\n"
            f"        super().__init__({self._inputs}, {self._outputs}, {given})\n"
        )
        return f"{title}\n\nimport torch\nfrom torch import Tensor, nn\n\n\n{text}\n\n{call}"

    def baselines(self) -> dict[str, Make]:
        """The plain network."""
        return {self._name: lambda seed: seeded(lambda: self._make(self._plain), seed)}


PLAIN_MLP = {
    "blocks": 2,
    "width": 128,
    "expansion": 1,
    "norm": "none",
    "activation": "relu",
    "dropout": 0.0,
    "skip": "none",
}
PLAIN_CONV1D = {
    "stages": 3,
    "blocks": 1,
    "width": 32,
    "kernel": 7,
    "kind": "plain",
    "dropout": 0.0,
    "pool": "mean",
}


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A module with PyTorch's own first weights, drawn from a seed; the global generator stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=make_generator(seed, "network"))))
        return make()


def choose_networks(data: Dataset, space: Any = None) -> Networks:
    """The networks for a data set.

    Args:
        data: what they are for.
        space: a space, its name, declaration or file; by default that of ``DEFAULTS`` for the kind of data.

    Raises:
        SpaceError: a space whose architectures are no networks for such data.
        ArchwalkError: one that cannot be opened.
    """
    opened = open_space(DEFAULTS[data.kind] if space is None else space)
    outputs = max(1, len(data.classes))
    inputs = data.shape[0]
    if data.kind == "images":
        if not isinstance(opened, CellSpace | MacroSpace | DartsSpace | NasBench101Space):
            raise SpaceError(
                "a space whose architectures are networks for images",
                f"{opened.name!r}",
                "choose transnas-micro, nasbench201, transnas-macro, nasbench101 or darts",
            )
        return ImageNetworks(opened, inputs, outputs, min(data.shape[1:]), WIDTHS[0])
    if data.kind == "vectors":
        return SlotNetworks(opened, own.ResidualMLP, inputs, outputs, PLAIN_MLP, "plain perceptron")
    if data.shape[1] < 8:
        raise DataError(
            "series of at least 8 steps", f"{data.shape[1]}", "give them as vectors: reshape to two axes"
        )
    return SlotNetworks(opened, own.ResidualConv1d, inputs, outputs, PLAIN_CONV1D, "residual network")


def write_source(networks: Networks, architecture: str, data: Dataset) -> str:
    """The file of a fitted network: a class ``Model``, raw inputs → scores or predictions."""
    text = networks.source(architecture)
    head, _, body = text.partition("from torch import")
    head = head.removesuffix("import torch\n")
    body = body.partition("\n")[2]
    standard = inspect.getsource(own.Standardised)
    shape = ", ".join(map(str, data.shape))
    given = f"{data.shape[0]}, {len(data.shape)}"
    what = f"scores [n, {len(data.classes)}]" if data.classes else "predictions [n, 1]"
    model = [
        "class Model(Standardised):",
        f'    """{data.kind.capitalize()} as in the data, float32 [n, {shape}] → {what}."""',
        "",
        "    def __init__(self) -> None:",
        f"        super().__init__(Network(), {given})",
        "",
    ]
    return f"{head}import torch\nfrom torch import Tensor, nn\n{body}\n\n{standard}\n\n" + "\n".join(model)
