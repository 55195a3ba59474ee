"""What sources say, how hypotheses are averaged and what a front is, one architecture at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import multivariate_normal, norm

from archwalk.agents.values import QFunction


def q_by_destination(agent: QFunction, here: int) -> dict[int, float]:
    """Q of every action at one architecture, by where it leads; its existing actions alone, no padding."""
    real = [x for x in agent.process.choices[here].tolist() if x >= 0]
    tokens = agent.process.tokens
    rows = tokens.rows[tokens.first[real]].float()
    return dict(zip(real, agent.network(rows[None], None)[0].tolist(), strict=True))


def opinion(agent: QFunction) -> list[float]:
    """Mean Q of arriving at each architecture from its neighbours; the mean of all where it has none."""
    arrivals: list[list[float]] = [[] for _ in range(len(agent.process))]
    for here in range(len(agent.process)):
        for x, q in q_by_destination(agent, here).items():
            if x != here:
                arrivals[x].append(q)
    means = [sum(qs) / len(qs) if qs else math.nan for qs in arrivals]
    known = [m for m in means if not math.isnan(m)]
    return [sum(known) / len(known) if math.isnan(m) else m for m in means]


def ends(agent: QFunction, starts: Sequence[int]) -> list[int]:
    """Where greedy walks from these starts end, walk by walk."""
    greedy = {}
    for here in range(len(agent.process)):
        q = q_by_destination(agent, here)
        greedy[here] = max(q, key=lambda x, q=q: q[x])
    final = []
    for here in starts:
        for _ in range(agent.process.step_limit):
            best = greedy[here]
            if best == here:
                break
            here = best
        final.append(here)
    return final


def mean_of_standardised(columns: Sequence[np.ndarray]) -> list[float]:
    """Mean over columns of (value - mean) / standard deviation, value by value."""
    total = [0.0] * len(columns[0])
    for column in columns:
        values = column.tolist()
        mean = sum(values) / len(values)
        deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))
        total = [t + (v - mean) / deviation / len(columns) for t, v in zip(total, values, strict=True)]
    return total


def normal_scores(values: Sequence[float]) -> list[float]:
    """Normal quantile of the share of values below, half of those equal counted as below."""
    return [
        float(norm.ppf((sum(w < v for w in values) + 0.5 * sum(w == v for w in values)) / len(values)))
        for v in values
    ]


def improvements(
    covariances: Sequence[np.ndarray], noises: Sequence[float], looks: np.ndarray, y: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Expected improvement over max y under several Gaussian processes, and how likely those are.

    Args:
        covariances: of all architectures, a hypothesis each, [N, N].
        noises: variances of the noise, each tried with every covariance.
        looks: indices, [n].
        y: values there, [n].
        most: hypotheses that count, the likeliest.

    Returns:
        The improvement under each hypothesis that counts, the likeliest first, [most, N]; their weights by
        evidence, together 1, [most].
    """
    found = []
    n = len(y)
    for covariance in covariances:
        for noise in noises:
            known = covariance[np.ix_(looks, looks)] + (noise + 1e-6) * np.eye(n)
            inverse = np.linalg.inv(known)
            mean = float(inverse.sum(0) @ y / (inverse.sum() + 0.1))
            variance = float(((y - mean) @ inverse @ (y - mean) + 1) / (n + 1))
            likelihood = float(multivariate_normal(np.full(n, mean), variance * known).logpdf(y))
            evidence = likelihood - (math.log(variance) + 1 / variance) / 2
            improvement = []
            for x in range(len(covariance)):
                cross = covariance[x, looks]
                center = mean + cross @ inverse @ (y - mean)
                spread = math.sqrt(variance * (covariance[x, x] + noise - cross @ inverse @ cross))
                z = (center - y.max()) / spread
                improvement.append(spread * (z * norm.cdf(z) + norm.pdf(z)))
            found.append((evidence, improvement))
    found = sorted(found, key=lambda pair: -pair[0])[:most]
    weights = np.exp([evidence - found[0][0] for evidence, _ in found])
    weights /= weights.sum()
    return np.array([improvement for _, improvement in found]), weights


def front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Whether no other point is at least as good in every objective and better in one; larger is better."""

    def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
        pairs = list(zip(a, b, strict=True))
        return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)

    return [not any(dominates(other, point) for other in points) for point in points]


def tchebycheff(points: Sequence[Sequence[float]], weights: Sequence[float]) -> list[float]:
    """Knowles' augmented Tchebycheff value (2006) of every point, negative: larger is better."""
    low = [min(column) for column in zip(*points, strict=True)]
    high = [max(column) for column in zip(*points, strict=True)]
    values = []
    for point in points:
        distances = [
            w * (top - x) / (top - bottom if top > bottom else 1e-12)
            for w, top, bottom, x in zip(weights, high, low, point, strict=True)
        ]
        values.append(-(max(distances) + 0.05 * sum(distances)))
    return values
