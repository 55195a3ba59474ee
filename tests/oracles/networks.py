"""Parameter counts by hand: every layer of a network as a product written out."""

from __future__ import annotations

EDGES = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]


def edge(operation: int, inputs: int, outputs: int, stride: int) -> int:
    if operation == 2:
        return inputs * outputs + 2 * outputs
    if operation == 3:
        return 9 * inputs * outputs + 2 * outputs
    if operation == 1 and (stride, inputs) != (1, outputs):
        return 2 * (inputs * (outputs // 2)) + 2 * outputs
    return 0


def cell(code: tuple[int, ...], inputs: int, outputs: int, stride: int) -> int:
    total = 0
    for (start, _), operation in zip(EDGES, code, strict=True):
        total += edge(operation, *((inputs, outputs, stride) if start == 0 else (outputs, outputs, 1)))
    return total


def residual(inputs: int, outputs: int, stride: int) -> int:
    shortcut = inputs * outputs + 2 * outputs if (stride, inputs) != (1, outputs) else 0
    return 9 * inputs * outputs + 9 * outputs * outputs + 4 * outputs + shortcut


def transnas(
    code: tuple[int, ...] | None, modules: str, base: int, repeats: int, classes: int, inputs: int
) -> int:
    """With a stem of stride 4; a code of None stands for residual blocks."""
    total = 9 * inputs * base // 2 + base + 9 * base * base // 2 + 2 * base
    channels = base
    for digit in modules:
        outputs = channels * (2 if digit in "24" else 1)
        for i in range(repeats):
            shape = (channels if i == 0 else outputs, outputs, 2 if digit in "34" and i == 0 else 1)
            total += residual(*shape) if code is None else cell(code, *shape)
        channels = outputs
    return total + channels * classes + classes


def nasbench201(code: tuple[int, ...], base: int, repeats: int, classes: int, inputs: int) -> int:
    total = 9 * inputs * base + 2 * base
    for stage in range(3):
        c = base * 2**stage
        total += repeats * cell(code, c, c, 1)
        if stage < 2:
            total += 9 * c * 2 * c + 4 * c + 9 * 4 * c * c + 4 * c + 2 * c * c
    return total + 2 * 4 * base + 4 * base * classes + classes
