"""An encoder of architectures, trained on the source tasks: which slots matter, which choices are alike.

In: views of the architectures, what the sources say about them. Out: ``Encoding``, vectors whose distances
stand for how differently architectures perform. Next: ``problem`` holds it, ``surrogate`` measures in it.

Each slot and choice gets a short vector; an architecture is theirs side by side, once a view. The vectors
maximise the marginal likelihood of the sources' columns under Gaussian processes with the correlation
Σ_v share_v exp(-|e_v(x) - e_v(y)|²) (Rasmussen and Williams 2006, section 5.4.1), on random parts of the
space, so that the cost does not depend on its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from archwalk.seeding import make_generator

STEPS, PART, SIZE = 200, 256, 2  # Adam's steps, architectures a step, length of a slot's vector
LEARNING_RATE, INITIAL_NOISE = 0.03, 0.2

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class Encoding:
    """Vectors of all architectures.

    Attributes:
        vectors: one array a view, [N, slots · SIZE].
        shares: weight of each view in the correlation, positive, together 1.
    """

    vectors: tuple[Floats32, ...]
    shares: tuple[float, ...]

    def correlation(self, rows: Ints, columns: Ints | slice = slice(None)) -> Floats32:
        """Σ_v share_v exp(-|e_v(x) - e_v(y)|²), [rows, columns]."""
        parts = [
            np.float32(share) * np.exp(-squared_distances(vectors[rows], vectors[columns]))
            for share, vectors in zip(self.shares, self.vectors, strict=True)
        ]
        return np.sum(parts, axis=0, dtype=np.float32)


def squared_distances(a: Floats32, b: Floats32) -> Floats32:
    """Squared Euclidean distances between rows, [n, d] and [m, d] → [n, m]."""
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.asarray(np.maximum(squared, 0))


def train_encoder(views: Sequence[Ints], columns: Floats, seed: int = 0) -> Encoding:
    """Fit the vectors.

    Args:
        views: descriptions of the architectures as slot values, each [N, S].
        columns: what each source says, roughly standard normal, [N, F] with F at least 1.
        seed: of the first vectors and the parts.
    """
    generator = make_generator(seed, "encoder")
    codes = [torch.from_numpy(view - view.min()) for view in views]
    y = torch.from_numpy(columns).float()
    slots, choices = codes[0].shape[1], 1 + max(int(c.max()) for c in codes)
    vectors = [(0.3 * torch.randn(slots, choices, SIZE, generator=generator)).requires_grad_() for _ in codes]
    shares = torch.zeros(len(codes), requires_grad=True)
    noise = torch.full((y.shape[1],), float(np.log(INITIAL_NOISE)), requires_grad=True)
    optimiser = torch.optim.Adam([*vectors, shares, noise], lr=LEARNING_RATE)
    n = min(PART, len(y))

    def encode(view: int, rows: torch.Tensor) -> torch.Tensor:
        return vectors[view][torch.arange(slots), codes[view][rows]].flatten(1)

    for _ in range(STEPS):
        rows = torch.randperm(len(y), generator=generator)[:n]
        correlation = torch.zeros(n, n)
        for view, share in enumerate(shares.softmax(0)):
            e = encode(view, rows)
            squared = (e**2).sum(1)[:, None] + (e**2).sum(1) - 2 * e @ e.T
            correlation = correlation + share * torch.exp(-squared.clamp(min=0))
        loss = torch.zeros(())
        for column, log_noise in zip(y[rows].T, noise, strict=True):
            factor = torch.linalg.cholesky(correlation + (log_noise.exp() + 1e-4) * torch.eye(n))
            residual = (column - column.mean())[:, None]
            white = torch.linalg.solve_triangular(factor, residual, upper=False)
            loss = loss + n / 2 * ((white**2).mean() + 1e-12).log() + factor.diagonal().log().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        everything = torch.arange(len(y))
        encoded = tuple(encode(view, everything).numpy() for view in range(len(codes)))
        return Encoding(encoded, tuple(shares.softmax(0).tolist()))
