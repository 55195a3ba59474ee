"""The clairvoyant order: a Gaussian process that knows every other cell of the target, one by one.

In: a listed problem, the rewards of all its architectures. Out: the order in which leave-one-out predictions
say to evaluate them. Next: ``comparison`` keeps it in the folder and looks the ranks up.

No method may know this; the order is a line in a comparison, which says how much of the target can be
learned from structure at all and where luck begins. The leave-one-out predictions are exact: with
A = (K + noise I)^-1 the mean at i without its own value is y_i - [A y]_i / A_ii (Rasmussen and Williams 2006,
eq. 5.12).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from archwalk.errors import SearchError
from archwalk.searching.gp.process import fit
from archwalk.searching.gp.surrogate import Kernel, structure_kernels
from archwalk.searching.listed import ListedProblem
from archwalk.searching.problem import Floats, Floats32, Ints, normal_scores, one_hot
from archwalk.searching.registry import CLAIRVOYANT

MOST = 20_000  # architectures: one matrix of N² numbers of 4 bytes
DOUBLE = 6_000  # up to so many in double precision
PART = 2_000  # architectures whose marginal likelihood decides kernel and noise
NOISES = (0.01, 0.03, 0.1, 0.3, 1.0)  # variance over that of the process
BLOCK = 500  # rows of the covariance at once
PRIOR = 0.1  # inverse prior variance of the constant mean, as in ``process.fit``


def check_size(architectures: int) -> None:
    """Raises ``SearchError`` if there are too many for an exact inverse."""
    if architectures > MOST:
        raise SearchError(
            f"at most {MOST:,} architectures for the line {CLAIRVOYANT!r}, which inverts a matrix of them",
            f"{architectures:,}",
            f"leave {CLAIRVOYANT!r} out of --methods",
        )


def clairvoyant_order(problem: ListedProblem, rewards: Floats) -> Ints:
    """All architectures, the best predicted first; ties by row, [N].

    Args:
        problem: whose structure is known.
        rewards: of all its architectures, larger is better, [N].

    Raises:
        SearchError: too many architectures.
    """
    check_size(len(problem))
    y = normal_scores(rewards)
    kernel, noise = likeliest(problem, y)
    for larger in (noise, *(n for n in NOISES if n > noise)):
        predicted = leave_one_out(problem, y, kernel, larger)
        if predicted is not None:
            return np.argsort(-predicted, kind="stable")
    raise AssertionError("a covariance with as much noise as signal has an inverse")


def likeliest(problem: ListedProblem, y: Floats) -> tuple[Kernel, float]:
    """Kernel and noise of the largest marginal likelihood on a part of the space, always the same one.

    The part is random architectures with all their neighbours: how much of the difference between neighbours
    is noise can be seen there alone, and who knows all others predicts from neighbours.
    """
    centres = np.random.default_rng(0).permutation(len(problem))
    around = np.column_stack([centres, problem.neighbours(centres)]).ravel()
    around = around[around >= 0]
    _, first = np.unique(around, return_index=True)
    rows = around[np.sort(first)][:PART]
    found = []
    for kernel in structure_kernels(problem):
        covariance = kernel(_Forgetful(problem), rows, rows)
        found += [(kernel, fit(covariance, y[rows], noise)) for noise in NOISES]
    kernel, best = max(found, key=lambda f: f[1].evidence)
    return kernel, best.noise


def leave_one_out(problem: ListedProblem, y: Floats, kernel: Kernel, noise: float) -> Floats | None:
    """What a Gaussian process says of each architecture when it knows all others, [N].

    The mean of the process is estimated with them, under its prior N(0, variance / PRIOR).

    Args:
        problem: N architectures.
        y: values, [N].
        kernel: covariance of structure, variance 1.
        noise: variance of the noise, in the same unit.

    Returns:
        The predictions; None if rounding makes the covariance singular.
    """
    n = len(y)
    kind = np.float64 if n <= DOUBLE else np.float32
    matrix = np.empty((n, n), dtype=kind, order="F")  # factor and inverse take its place
    forgetful = _Forgetful(problem)
    for first in range(0, n, BLOCK):
        rows = np.arange(first, min(first + BLOCK, n))
        matrix[:, rows] = kernel(forgetful, rows).T
    matrix.ravel(order="K")[:: n + 1] += kind(noise + 1e-6)
    factorise, invert = lapack.get_lapack_funcs(("potrf", "potri"), (matrix,))
    matrix, failed = factorise(matrix, lower=1, overwrite_a=1, clean=0)
    if failed:
        return None
    matrix, failed = invert(matrix, lower=1, overwrite_c=1)
    if failed:
        return None
    both = np.stack([np.ones(n), y], 1)
    ones, known = _symmetric(matrix, both).T
    # The constant's prior adds 1 1' / PRIOR to the covariance: its inverse by Sherman and Morrison.
    weight = 1 / (PRIOR + ones.sum())
    diagonal = matrix.diagonal().astype(np.float64) - weight * ones**2
    return np.asarray(y - (known - weight * ones * (ones @ y)) / diagonal)


def _symmetric(lower: Floats | Floats32, vectors: Floats) -> Floats:
    """A matrix of which the lower triangle is given, times vectors, in double precision, [n, n] [n, k]."""
    n = len(lower)
    total = np.zeros(vectors.shape)
    for first in range(0, n, BLOCK):
        columns = slice(first, min(first + BLOCK, n))
        block = np.tril(lower[first:, columns].astype(np.float64))
        total[first:] += block @ vectors[columns]
        np.fill_diagonal(block, 0)
        total[columns] += block.T @ vectors[first:]
    return total


class _Forgetful(ListedProblem):
    """The same problem, which keeps no distances: those of all pairs would take more than the matrix."""

    def __init__(self, problem: ListedProblem) -> None:
        self.__dict__.update(problem.__dict__)
        self._features = [one_hot(table).astype(np.float32) for table in problem.tables]

    def distances(self, view: int, rows: Ints, columns: Ints | None = None) -> NDArray[np.uint8]:
        """Slots in which architectures differ, [rows, columns]."""
        features = self._features[view]
        alike = features[rows] @ (features if columns is None else features[columns]).T
        return (self.tables[view].shape[1] - alike).astype(np.uint8)  # small whole numbers, exact in float32
