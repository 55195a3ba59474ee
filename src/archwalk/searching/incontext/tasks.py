"""The tasks that a network learns to search on: real ones, what can be made of them, and made-up ones.

In: ``Pool``s, the architectures of a space and what is known of them on real tasks. Out: ``Lesson``s, batches
of tasks over the same architectures, some evaluated, some asked for. Next: ``fitting`` learns from them.

A made-up task is a draw of a Gaussian process over a space plus a part that is linear in what operations
there are. A task made of real ones is a mixture of them with weights of either sign. So the network must look
at what is evaluated, and cannot rely on what it remembers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from archwalk.encoding.encoder import Drawings, draw
from archwalk.searching.problem import Floats, normal_scores
from archwalk.spaces.base import SearchSpace

MOST = 100  # evaluations of a context
BY_KNOWN, BY_NOTHING = 0.3, 0.2  # shares of tasks on which a search chose by other tasks, or by chance
TERMS = 32  # functions of few slots that a draw sums


@dataclass(frozen=True)
class Pool:
    """Architectures of one space, and real tasks that know all of them.

    Attributes:
        name: of the space.
        codes: without what no signal passes, [n, S].
        drawings: the same as graphs, n of them.
        counts: how often each word occurs in each, [n, words].
        scores: normal scores of each task, [tasks, n]; no tasks where nothing is measured.
    """

    name: str
    codes: NDArray[np.int16]
    drawings: Drawings
    counts: NDArray[np.float32]
    scores: Floats

    def __len__(self) -> int:
        return len(self.codes)


def make_pool(space: SearchSpace, codes: NDArray[np.int16], values: Sequence[Floats]) -> Pool:
    """A pool.

    Args:
        space: the space.
        codes: its architectures, [n, S].
        values: of each task, larger is better, [n] each.
    """
    live = np.full_like(codes, -1)
    for out, code in zip(live, codes.tolist(), strict=True):
        present = space.live_code([v for v in code if v >= 0]) if min(code) >= 0 else code
        out[: len(present)] = present
    drawings = draw(space, codes)
    counts = np.zeros((len(codes), len(drawings.words)), dtype=np.float32)
    row, node = np.nonzero(drawings.operations.numpy() >= 0)
    np.add.at(counts, (row, drawings.operations.numpy()[row, node]), 1)
    scores = np.array([normal_scores(v) for v in values]).reshape(len(values), len(codes))
    return Pool(space.name, live, drawings, counts, scores)


@dataclass(frozen=True)
class Lesson:
    """T tasks over the same m architectures.

    Attributes:
        rows: positions of the architectures in their pool, [m].
        drawings: the architectures.
        context: positions of evaluated ones, [T, k].
        known: False for padding, [T, k].
        rewards: of the context, [T, k].
        queries: positions of others, [T, q].
        targets: normal scores of these, [T, q].
    """

    rows: NDArray[np.int64]
    drawings: Drawings
    context: Int64[Tensor, "tasks context"]
    known: Bool[Tensor, "tasks context"]
    rewards: Float32[Tensor, "tasks context"]
    queries: Int64[Tensor, "tasks queries"]
    targets: Float32[Tensor, "tasks queries"]


@dataclass(frozen=True)
class Mix:
    """What tasks a lesson has.

    Attributes:
        tasks: in a lesson.
        architectures: in a lesson.
        queries: asked for of each task.
        synthetic: share of made-up tasks, where there are real ones; elsewhere all are.
        mixed: share of tasks that are made of several real ones.
        against: how likely a part of a mixture counts against it.
        flipped: share of real and mixed tasks on which what is good is bad.
        deviating: share of real and mixed tasks with a made-up part.
        deviation: largest share of the variance which that part has.
        noise: largest deviation of the noise in a task's values, whose own deviation is 1.
    """

    tasks: int = 16
    architectures: int = 320
    queries: int = 96
    synthetic: float = 0.2
    mixed: float = 0.4
    against: float = 0.15
    flipped: float = 0.03
    deviating: float = 0.65
    deviation: float = 0.8
    noise: float = 0.3


def make_lesson(pool: Pool, mix: Mix, generator: np.random.Generator) -> Lesson:
    """Draw a lesson from a pool."""
    tasks, real = mix.tasks, len(pool.scores)
    kinds = generator.random(tasks)
    synthetic = kinds < (mix.synthetic if real else 1.0)
    known = np.flatnonzero(~synthetic)
    weights = np.zeros((tasks, real))
    for t in known.tolist():
        weights[t, generator.integers(real)] = 1
        if real > 1 and kinds[t] < mix.synthetic + mix.mixed:
            sign = np.where(generator.random(real) < mix.against, -1, 1)
            weights[t] = generator.dirichlet(np.full(real, 0.7)) * sign
        if generator.random() < mix.flipped:
            weights[t] *= -1
    rows = _architectures(pool, weights[known], mix.architectures, generator)
    values = np.zeros((tasks, len(rows)))
    for t in known.tolist():
        whole = weights[t] @ pool.scores
        values[t] = (whole[rows] - whole.mean()) / max(whole.std(), 1e-9)
    share = np.where(generator.random(tasks) < mix.deviating, generator.random(tasks) * mix.deviation, 0.0)
    share[synthetic] = 1
    some = np.flatnonzero(share)
    if len(some):
        drawn = made_up(pool, rows, len(some), generator)
        part = share[some, None]
        values[some] = np.sqrt(1 - part) * values[some] + np.sqrt(part) * drawn
    noise = generator.random((tasks, 1)) ** 2 * mix.noise * (share[:, None] > 0)
    values = (values + noise * generator.normal(size=values.shape)) / np.sqrt(1 + noise**2)
    return _asked(pool, rows, values, mix.queries, generator)


def _architectures(pool: Pool, weights: Floats, n: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Half of them any, half better than most on one of the tasks, at most n."""
    if len(pool) <= n:
        return np.arange(len(pool))
    chosen = [generator.choice(len(pool), n // 2 if len(weights) else n, replace=False)]
    each = (n - len(chosen[0])) // max(len(weights), 1)
    for one in weights:
        keys = 2.5 * (one @ pool.scores) + generator.gumbel(size=len(pool))
        chosen.append(np.argpartition(-keys, each)[:each])
    return np.unique(np.concatenate(chosen))


def made_up(pool: Pool, rows: NDArray[np.int64], n: int, generator: np.random.Generator) -> Floats:
    """Values of made-up tasks, of mean 0 and deviation 1 over the rows, [n, rows].

    Each is a linear function of how often each word occurs, plus a draw of a Gaussian process with an
    additive kernel (Duvenaud, Nickisch and Rasmussen 2011): a sum of functions of one, two or three slots,
    each a normal number for every combination of choices.
    """
    codes = pool.codes[rows].astype(np.int64) + 1
    sizes = codes.max(0) + 1
    centred = pool.counts[rows] - pool.counts[rows].mean(0)
    centred /= np.maximum(centred.std(0), 1e-6)
    found = np.empty((n, len(rows)))
    for i in range(n):
        rough = np.zeros(len(rows), dtype=np.float32)
        for _ in range(TERMS):
            slots = generator.integers(codes.shape[1], size=generator.choice(3, p=(0.3, 0.4, 0.3)) + 1)
            place, of = codes[:, slots[0]], int(sizes[slots[0]])
            for slot in slots[1:].tolist():
                place, of = place * sizes[slot] + codes[:, slot], of * int(sizes[slot])
            rough += generator.standard_normal(of, dtype=np.float32)[place] * generator.lognormal()
        smooth = centred @ generator.standard_normal(centred.shape[1], dtype=np.float32)
        part = generator.random()
        for piece, share in ((rough, 1 - part), (smooth, part)):
            piece *= share / max(float(piece.std()), 1e-9)
        found[i] = rough + smooth
    spread = np.maximum(found.std(1, keepdims=True), 1e-9)
    return np.asarray((found - found.mean(1, keepdims=True)) / spread)


def _believed(pool: Pool, rows: NDArray[np.int64], values: Floats, generator: np.random.Generator) -> Floats:
    """By what a search chose what it evaluated: the truth, what is good on known tasks, or anything,
    [tasks, rows]."""
    believed = values.copy()
    kinds = generator.random(len(values))
    of_known = np.flatnonzero((kinds < BY_KNOWN) & (len(pool.scores) > 0))
    for t in of_known.tolist():
        whole = generator.dirichlet(np.full(len(pool.scores), 0.7)) @ pool.scores
        believed[t] = (whole[rows] - whole.mean()) / max(whole.std(), 1e-9)
    of_nothing = np.flatnonzero((kinds >= BY_KNOWN) & (kinds < BY_KNOWN + BY_NOTHING))
    if len(of_nothing):
        believed[of_nothing] = made_up(pool, rows, len(of_nothing), generator)
    return believed


def _asked(
    pool: Pool, rows: NDArray[np.int64], values: Floats, queries: int, generator: np.random.Generator
) -> Lesson:
    """Choose what is evaluated and what is asked for.

    The better, the likelier; on half of the tasks it is what is evaluated that is better in the belief of a
    search, not in truth: such a search must notice, and leave where it is.
    """
    tasks, n = values.shape
    believed = _believed(pool, rows, values, generator)
    most = min(MOST, n // 2)
    sizes = np.floor(np.exp(generator.random(tasks) * np.log(most + 1))).astype(np.int64) - 1
    sizes[generator.random(tasks) < 0.1] = 0
    drawn = 2.5 * generator.random((tasks, 1)) * (generator.random((tasks, 1)) < 0.7)
    order = np.argsort(-(drawn * believed + generator.gumbel(size=values.shape)), axis=1)
    width = max(1, int(sizes.max()))
    context = order[:, :width]
    known = np.arange(width) < sizes[:, None]
    evaluated = np.zeros(values.shape, dtype=np.bool_)
    np.put_along_axis(evaluated, context, known, 1)
    keys = 1.5 * generator.random((tasks, 1)) * values + generator.gumbel(size=values.shape)
    keys[evaluated] = -np.inf
    chosen = np.argsort(-keys, axis=1)[:, : min(queries, n - width)]
    rewards = np.take_along_axis(values, context, 1)
    return Lesson(
        rows,
        pool.drawings.rows(torch.from_numpy(rows)),
        torch.from_numpy(context.copy()),
        torch.from_numpy(known),
        torch.from_numpy(rewards.astype(np.float32)),
        torch.from_numpy(chosen.copy()),
        torch.from_numpy(np.take_along_axis(values, chosen, 1).astype(np.float32)),
    )
