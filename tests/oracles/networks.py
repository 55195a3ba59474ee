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


def darts(text: str, channels: int, cells: int, inputs: int) -> int:
    """Without the classifier."""
    halves = [part.replace(",", "+").split("+") for part in text.split(":")[1::2]]
    total = 9 * inputs * 3 * channels + 6 * channels
    before = last = 3 * channels
    c = channels
    for i in range(cells):
        reduces = i in (cells // 3, 2 * cells // 3)
        c = 2 * c if reduces else c
        total += (
            before * c + 2 * c + last * c + 2 * c
        )  # a factorised reduction has as many as a 1×1 convolution
        for term in halves[reduces]:
            operation, start = term.split("~")
            if operation[:3] in ("sep", "dil"):
                size = int(operation[-1]) ** 2
                total += (size * c + c * c + 2 * c) * (2 if operation[:3] == "sep" else 1)
            if operation == "skip_connect" and reduces and int(start) < 2:
                total += c * c + 2 * c
        before, last = last, 4 * c
    return total


def nasbench101(text: str, channels: int, cells: int, inputs: int) -> int:
    """Without the classifier."""
    rows, names = text.split(":")
    operations = names.split(",")
    v = len(operations)
    edge = {(i, i + 1 + j): bit == "1" for i, r in enumerate(rows.split("_")) for j, bit in enumerate(r)}
    total = 9 * inputs * channels + 2 * channels
    c = channels
    for outputs in (channels, 2 * channels, 4 * channels):
        for _ in range(cells):
            ends = [i for i in range(1, v - 1) if edge[i, v - 1]]
            width = {v - 1: outputs}
            for i in range(v - 2, 0, -1):
                if i in ends:
                    width[i] = outputs // len(ends) + (ends.index(i) < outputs % len(ends))
                else:
                    width[i] = max(width[j] for j in range(i + 1, v - 1) if edge[i, j])
            for i in range(1, v):
                if edge[0, i]:
                    total += c * width[i] + 2 * width[i]
                if operations[i].startswith("conv"):
                    total += int(operations[i][4]) ** 2 * width[i] ** 2 + 2 * width[i]
            c = outputs
    return total
