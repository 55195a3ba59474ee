"""``Beliefs``: what the sources say about any architecture of a problem, and how surely.

In: a ``Problem`` with experience. Out: a column for each source, the doubt about them, an encoder trained on
them, and the architectures that are good on all. Next: ``surrogate`` adds them to the target's model.

A source that knows every architecture of a listed problem says what it measured, as normal scores. Of another
one, a Gaussian process over what it knows says the rest: its posterior mean is the column, and its posterior
covariance the doubt (the first two steps of Feurer, Letham and Bakshy 2018, with the covariance kept).
"""

from __future__ import annotations

from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from scipy.linalg import solve_triangular

from archwalk.analysis.ranks import ranks
from archwalk.searching.experience.source import LEAST, Source
from archwalk.searching.gp.encoder import Encoding, train_encoder
from archwalk.searching.gp.process import (
    NOISES,
    Fit,
    fit,
    representative,
    structure,
    structure_lengths,
    warped,
)
from archwalk.searching.listed import ListedProblem, whole
from archwalk.searching.problem import Floats, Floats32, Ints, Problem, normal_scores

CONCENTRATION = 4.0  # of the Dirichlet draws of what each source counts in a suggestion
APART = 2  # slots between any two of the first suggestions


class Table:
    """A source that knows all: nothing is in doubt."""

    def __init__(self, values: Floats) -> None:
        self.scores = normal_scores(values)

    def mean(self, ids: Ints | None) -> Floats:
        """Normal scores, [n]; of all: None."""
        return self.scores if ids is None else self.scores[ids]


class Sample:
    """A source that knows some: a Gaussian process over them, the likeliest of a few lengths and noises.

    Args:
        problem: says how far apart architectures are.
        ids: what the source knows, [k].
        values: larger is better, [k].
    """

    def __init__(self, problem: Problem, ids: Ints, values: Floats) -> None:
        kept = representative(values)
        self._problem, self._ids, y = problem, ids[kept], warped(values[kept])
        best: tuple[Fit, float] | None = None
        for length in structure_lengths(problem):
            covariance = structure(problem, length, self._ids, self._ids)
            for noise in NOISES:
                found = fit(covariance, y, noise)
                if best is None or found.evidence > best[0].evidence:
                    best = found, length
        assert best is not None
        self._fit, self._length = best

    def _half(self, ids: Ints | None) -> Floats32:
        cross = structure(self._problem, self._length, self._ids, ids)
        factor = self._fit.factor.astype(np.float32)
        return np.asarray(solve_triangular(factor, cross, lower=True, check_finite=False))

    @cached_property
    def _of_all(self) -> Floats32:
        return self._half(None)

    def half(self, ids: Ints | None) -> Floats32:
        """L⁻¹ k(known, ids), [k, n]; kept where architectures are listed."""
        if not self._problem.listed:
            return self._half(ids)
        return self._of_all if ids is None else self._of_all[:, ids]

    def mean(self, ids: Ints | None) -> Floats:
        """Posterior mean, [n]."""
        return np.asarray(self._fit.mean + self._fit.whitened @ self.half(ids))

    def doubt(self, rows: Ints, columns: Ints | None) -> Floats32:
        """Posterior covariance of the source's function, [rows, columns]."""
        prior = structure(self._problem, self._length, rows, columns)
        explained = self.half(rows).T @ self.half(columns)
        return np.asarray(np.float32(self._fit.variance) * (prior - explained))

    def variance(self, ids: Ints | None) -> Floats:
        """The diagonal of ``doubt``, [n]."""
        half = self.half(ids)
        left = np.maximum(1 - np.einsum("ij,ij->j", half, half), 0)
        return np.asarray(self._fit.variance * left.astype(np.float64))


class Beliefs:
    """What F sources say.

    Args:
        problem: with at least one source.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._parts: list[Table | Sample] = []
        self._tables: list[tuple[Source, Table]] = []
        known: list[Ints] = []
        for source in problem.experience:
            ids = problem.locate(source.codes)
            inside, everything = ids >= 0, whole(problem, ids, source.values)
            if everything is not None:
                table = Table(everything)
                self._parts.append(table)
                self._tables.append((source, table))
            elif inside.sum() >= LEAST:
                self._parts.append(Sample(problem, ids[inside], source.values[inside]))
            else:
                continue
            known.append(ids[inside])
        self._samples = [part for part in self._parts if isinstance(part, Sample)]
        self._known = np.unique(np.concatenate(known)) if known else np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._parts)

    def columns(self, ids: Ints | None = None) -> Floats:
        """What each source says, [n, F]; of all of a listed problem: None."""
        if not self._problem.listed:
            return np.stack([part.mean(ids) for part in self._parts], 1)
        return self._all if ids is None else self._all[ids]

    @cached_property
    def _all(self) -> Floats:
        return np.stack([part.mean(None) for part in self._parts], 1)

    def covariance(self, rows: Ints, columns: Ints | None = None) -> Floats32:
        """Of Σ_s w_s f_s with independent weights of variance 1/F, [rows, columns].

        f_s is what the source's function is, known as far as the source goes: (m m' + doubt) / F summed over
        the sources, m being their columns.
        """
        here, there = self.columns(rows).astype(np.float32), self.columns(columns).astype(np.float32)
        total = here @ there.T
        for sample in self._samples:
            total = total + sample.doubt(rows, columns)
        return np.asarray(total / np.float32(len(self)))

    def variance(self, ids: Ints | None = None) -> Floats:
        """The diagonal of ``covariance``, [n]."""
        if ids is None:
            return self._variance_of_all
        total = (self.columns(ids) ** 2).sum(1)
        for sample in self._samples:
            total = total + sample.variance(ids)
        return np.asarray(total / len(self))

    @cached_property
    def _variance_of_all(self) -> Floats:
        return self.variance(np.arange(len(self._problem)))

    @property
    def encoding(self) -> Encoding | None:
        """Vectors in which architectures that the sources find alike are near; None if none knows all."""
        if not self._tables or not isinstance(self._problem, ListedProblem):
            return None
        kept, key = self._problem.encodings, tuple(id(source) for source, _ in self._tables)
        if key not in kept:  # the sources are kept with it, so that their ids stay theirs
            scores = np.stack([table.scores for _, table in self._tables], 1)
            kept[key] = train_encoder(self._problem.tables[:2], scores), self._tables
        found: Encoding = kept[key][0]
        return found

    def portfolio(self, n: int, seed: int) -> list[int]:
        """Ids that would have been good on every source and lie apart, at most n.

        Each is the first of the order by the mean logarithm of its rank on the sources, weighed anew by a
        Dirichlet draw, that lies ``APART`` slots from those before. The logarithm, since what counts is to be
        near the very best of some sources, not above the middle of all.
        """
        candidates = np.arange(len(self._problem)) if self._problem.listed else self._known
        logs = np.log(np.stack([ranks(-column, "least") for column in self.columns(candidates).T], 1))
        generator = np.random.default_rng([seed, len(self)])
        found: list[int] = []
        for _ in range(n):
            weights = generator.dirichlet(np.full(len(self), CONCENTRATION))
            near = np.zeros(len(candidates), dtype=np.bool_)
            if found:
                apart = self._problem.distances(0, np.array(found), candidates)
                near |= (apart < APART).any(0)
            if near.all():
                break
            best = np.argmin(np.where(near, np.inf, logs @ weights))
            found.append(int(candidates[best]))
        return found


_KEPT: WeakKeyDictionary[Problem, Beliefs] = WeakKeyDictionary()


def beliefs(problem: Problem) -> Beliefs | None:
    """What the sources of a problem say, found out once; None if it has none that know any of its
    architectures."""
    if not problem.experience:
        return None
    if problem not in _KEPT:
        _KEPT[problem] = Beliefs(problem)
    return _KEPT[problem] if len(_KEPT[problem]) else None
