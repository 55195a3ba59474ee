"""Computational graphs of networks: what is computed, in which order, with which sizes.

In: a network, and images of the size it is for. Out: a ``Computation``: operations with kernel sizes,
strides and channels, and the edges between them. Next: the search method ``aio-p`` reads them.

The graph is read off the framework's record of one forward pass, so it holds what is computed from the images
and nothing else: identities, flattening, padding and slices are no operations, constants are not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

KINDS = ("input", "output", "conv", "norm", "relu", "pool", "linear", "add", "concat")
_RECORDED = {
    "ConvolutionBackward": "conv",
    "NativeBatchNormBackward": "norm",
    "ReluBackward": "relu",
    "AvgPool2DBackward": "pool",
    "MaxPool2DWithIndicesBackward": "pool",
    "MeanBackward": "pool",
    "AddmmBackward": "linear",
    "AddBackward": "add",
    "CatBackward": "concat",
}


@dataclass(frozen=True)
class Operation:
    """One node.

    Attributes:
        kind: of ``KINDS``.
        kernel: side of its window, 1 without one; 0 where it is the whole image.
        stride: 1 without one.
        inputs: channels that it reads, 0 where it has no weights.
        outputs: channels that it gives, 0 where it has no weights.
    """

    kind: str
    kernel: int = 1
    stride: int = 1
    inputs: int = 0
    outputs: int = 0


@dataclass(frozen=True)
class Computation:
    """Operations in an order of computing, input first, output last; (from, to) pairs of their positions,
    from < to."""

    operations: tuple[Operation, ...]
    edges: tuple[tuple[int, int], ...]


def computation_of(network: nn.Module, images: Tensor) -> Computation:
    """The computational graph of a network of this package's layers.

    Args:
        network: images → scores.
        images: [n, channels, h, w], n at least 2; what they show does not matter.
    """
    given = images.clone().requires_grad_()
    scores = network.train()(given)
    operations, edges = [Operation("input")], list[tuple[int, int]]()
    held: dict[Any, tuple[int, ...]] = {}  # the operations whose tensor a recorded step holds
    for step in _in_order(scores.grad_fn):
        before = tuple(dict.fromkeys(a for last, _ in step.next_functions for a in held.get(last, ())))
        name = step.name().rstrip("0123456789")
        if name == "torch::autograd::AccumulateGrad":
            held[step] = (0,) if step.variable is given else ()
        elif name in _RECORDED:
            operations.append(_operation(_RECORDED[name], step))
            edges += [(a, len(operations) - 1) for a in before]
            held[step] = (len(operations) - 1,)
        else:
            held[step] = before
    operations.append(Operation("output"))
    edges += [(a, len(operations) - 1) for a in held.get(scores.grad_fn, ())]
    return Computation(tuple(operations), tuple(edges))


def _in_order(last: Any) -> list[Any]:
    """The recorded steps, each after those it reads."""
    order, seen, stack = list[Any](), set[Any](), [(last, False)]
    while stack:
        step, ready = stack.pop()
        if ready:
            order.append(step)
        elif step is not None and step not in seen:
            seen.add(step)
            stack.append((step, True))
            stack += [(before, False) for before, _ in reversed(step.next_functions)]
    return order


def _operation(kind: str, step: Any) -> Operation:
    if kind == "conv":
        outputs, inputs, kernel, _ = step._saved_weight.shape
        return Operation(kind, kernel, step._saved_stride[0], inputs, outputs)
    if kind == "norm":
        (channels,) = step._saved_weight.shape
        return Operation(kind, 1, 1, channels, channels)
    if kind == "linear":
        weight = next(s.variable for s in _in_order(step.next_functions[2][0]) if hasattr(s, "variable"))
        return Operation(kind, 1, 1, weight.shape[1], weight.shape[0])
    if kind == "pool":
        whole = step.name().startswith("Mean")
        return Operation(
            kind, 0 if whole else step._saved_kernel_size[0], 1 if whole else step._saved_stride[0]
        )
    return Operation(kind)
