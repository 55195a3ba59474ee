"""How large a network is, without building it: parameters and operations.

In: an architecture, or codes of cells, and a skeleton. Out: parameters, multiply-accumulates and
floating-point operations. Nothing is allocated: the layers lie on PyTorch's device "meta". Next: ``latency``
measures what can only be measured; ``archwalk.searching.quantities`` holds limits against both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archwalk.config import SkeletonSettings
from archwalk.networks.build import plan_network
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.spaces.cells import CellSpace

COUNTS = {
    "params": "trainable parameters",
    "flops": "floating-point operations an image, a multiplication and an addition being two",
    "macs": "multiply-accumulates an image, half of the floating-point operations",
}
_CHECKED = 3  # random cells whose counts must be the sum of their edges'


def count_network(
    space: SearchSpace | str | None, architecture: str, skeleton: SkeletonSettings, size: int = 32
) -> dict[str, float]:
    """``COUNTS`` of one architecture's network.

    Operations are those of convolutions and matrix products, as PyTorch's own counter has them.

    Args:
        space: as for ``build_network``.
        architecture: its string.
        skeleton: what stands around the cells.
        size: height and width of the image.

    Raises:
        ArchwalkError: as ``build_network`` does.
    """
    plan = plan_network(space, architecture, skeleton)
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = nn.Sequential(*(part.make(*part.arguments) for part in plan.parts)).eval()
        network(torch.empty(1, plan.inputs, size, size))
    flops = float(counter.get_total_flops())
    params = float(sum(p.numel() for p in network.parameters() if p.requires_grad))
    return {"params": params, "flops": flops, "macs": flops / 2}


def cell_counts(
    space: SearchSpace, skeleton: SkeletonSettings, size: int = 32
) -> Callable[[Codes], dict[str, NDArray[np.float64]]] | None:
    """Counts of many cells at once: every edge has layers of its own, so that they add up.

    Returns:
        Codes [n, 6] → name → [n]; None where they do not add up, or the architectures are no cells.
    """
    if not isinstance(space, CellSpace) or skeleton.live_only:
        return None

    def counted(code: list[int]) -> dict[str, float]:
        return count_network(space, space.format(code), skeleton, size)

    slots = len(space.slot_sizes)
    empty = counted([0] * slots)
    weights = {name: np.zeros((slots, max(space.slot_sizes))) for name in COUNTS}
    for slot, choices in enumerate(space.slot_sizes):
        for choice in range(1, choices):
            alone = counted([choice if s == slot else 0 for s in range(slots)])
            for name, table in weights.items():
                table[slot, choice] = alone[name] - empty[name]

    def counts(codes: Codes) -> dict[str, NDArray[np.float64]]:
        at = np.arange(slots)
        return {name: empty[name] + table[at, codes].sum(1) for name, table in weights.items()}

    some = space.sample(_CHECKED, np.random.default_rng(0))
    found = counts(some)
    for i, code in enumerate(some.tolist()):
        if {name: float(values[i]) for name, values in found.items()} != counted(code):
            return None
    return counts
