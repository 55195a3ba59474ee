"""RoBoT (He et al. 2024, arXiv:2403.07591): a weighted sum of training-free metrics, the weights by Bayesian
optimisation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from archwalk.errors import SearchError, SettingsError
from archwalk.proxies.measures import PROXIES
from archwalk.proxies.measuring import digits_batch, measure_proxies, random_batch, small_skeleton
from archwalk.searching.experience.source import Source
from archwalk.searching.history import History
from archwalk.searching.listed import ListedProblem
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Ints, Problem

METRICS = ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacov")  # section 6
ROUNDS = 100  # weights tried before the best ones are followed; the publication's are as many as its budget
# The defaults of the library that they used: of the upper confidence bound, and restarts of the length.
KAPPA, CANDIDATES, RESTARTS = 2.576, 10_000, 5
UNDEFINED = -1e8  # in published tables, where a metric is not defined
IMAGES, SIDE = 64, 16  # of the batch that metrics are computed on
PREFIX = "zc_"


def training_free(source: Source) -> bool:
    """Whether a source is a column of a training-free metric."""
    return source.column.startswith(PREFIX) or source.column in PROXIES


def check(problem: Problem) -> None:
    """Raises ``SearchError`` if there are no metrics: none named, and no networks to compute them on."""
    if any(map(training_free, problem.experience)):
        return
    got = f"none among the experience, and the space {problem.space.name!r}"
    remedy = (
        "name columns of a table: --experience FILE:zc_synflow,zc_jacov,... ('archwalk proxies' computes)"
    )
    if not isinstance(problem, ListedProblem):
        raise SearchError("training-free metrics, or a space that can be listed", got, remedy)
    try:
        measure_proxies(problem.space, problem.text(0), random_batch(2, 0, side=4), ("params",))
    except SettingsError as error:
        what = "training-free metrics, or a space whose architectures are networks"
        raise SearchError(what, got, remedy) from error


def metrics_of(problem: Problem) -> tuple[Ints, Floats]:
    """Ids to choose from, [n], and their metrics between 0 and 1, [n, metrics]; 0 where one is missing.

    Columns that are named as experience, else ``METRICS`` of the networks, of all architectures.
    """
    named = [source for source in problem.experience if training_free(source)]
    if named:
        places = [problem.locate(source.codes) for source in named]
        ids = np.arange(len(problem)) if problem.listed else np.unique(np.concatenate(places))
        ids = ids[ids >= 0]
        raw = np.full((len(ids), len(named)), np.nan)
        for column, (source, place) in enumerate(zip(named, places, strict=True)):
            there = (place >= 0) & (source.values > UNDEFINED)
            raw[np.searchsorted(ids, place[there]), column] = source.values[there]
        return ids, scaled(raw)
    assert isinstance(problem, ListedProblem)
    return np.arange(len(problem)), scaled(computed(problem))


def scaled(raw: Floats) -> Floats:
    """Each column from 0 to 1, [n, metrics]; missing values 0, so that they add nothing."""
    finite = np.where(np.isfinite(raw), raw, np.nan)
    known = ~np.isnan(finite).all(0)
    low, high = np.zeros(raw.shape[1]), np.zeros(raw.shape[1])
    low[known], high[known] = np.nanmin(finite[:, known], 0), np.nanmax(finite[:, known], 0)
    span = np.where(high > low, high - low, 1.0)
    return np.nan_to_num((finite - low) / span, nan=0.0)


def computed(problem: ListedProblem) -> Floats:
    """``METRICS`` of the networks of all architectures, [N, 6], kept with the problem.

    Cells stand in a small skeleton at 4×4 pixels, those of ``digits`` with its images, others with random
    ones; architectures that compute one function are measured once.
    """
    if "robot" not in problem.computed:
        space = problem.space
        batch = digits_batch(IMAGES) if space.name == "digits-micro" else random_batch(IMAGES, 0, side=SIDE)
        distinct, which = np.unique(problem.tables[0], axis=0, return_inverse=True)
        values = np.empty((len(distinct), len(METRICS)))
        for row, code in zip(values, distinct.tolist(), strict=True):
            text = space.format([choice for choice in code if choice >= 0])
            row[:] = [*measure_proxies(space, text, batch, METRICS, **small_skeleton(space)).values()]
        problem.computed["robot"] = values[which.ravel()]
    found: Floats = problem.computed["robot"]
    return found


def next_weights(tried: Sequence[Floats], values: Sequence[float], metrics: int, seed: int) -> Floats:
    """Weights in [-1, 1] of the largest upper confidence bound among ``CANDIDATES`` random ones; the first
    ones are random.

    Args:
        tried: weights so far, [metrics] each.
        values: of the architectures that they chose.
        metrics: how many.
        seed: decides all randomness.
    """
    generator = np.random.default_rng([seed, len(tried), 0x20B7])
    if not tried:
        return generator.uniform(-1, 1, metrics)
    candidates = generator.uniform(-1, 1, (CANDIDATES, metrics))
    mean, deviation = posterior(np.array(tried), np.array(values), candidates, seed)
    return np.asarray(candidates[np.argmax(mean + KAPPA * deviation)])


def posterior(tried: Floats, values: Floats, candidates: Floats, seed: int) -> tuple[Floats, Floats]:
    """Mean and deviation of a Matérn 5/2 process, its length by marginal likelihood, [candidates] each."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    process = GaussianProcessRegressor(
        Matern(nu=2.5), alpha=1e-6, normalize_y=True, n_restarts_optimizer=RESTARTS, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound is no news
        process.fit(tried, values)
    mean, deviation = process.predict(candidates, return_std=True)
    return np.asarray(mean), np.asarray(deviation)


class Robot:
    """Weighted sum of training-free metrics: first Bayesian optimisation of the weights, then the best ones.

    Weights choose the architecture of the largest sum, whose evaluation is their value; where it is evaluated
    already, nothing is spent. After ``rounds`` weights the architectures follow in the order of the best
    weights.

    Args:
        problem: what is searched.
        seed: decides all randomness.
        rounds: weights to try.
    """

    def __init__(self, problem: Problem, seed: int, rounds: int = ROUNDS) -> None:
        self._problem, self._seed, self._rounds = problem, seed, rounds
        self._ids, self._table = metrics_of(problem)
        self._begin()

    def _begin(self) -> None:
        self._weights: list[Floats] = []
        self._values: list[float] = []
        self._next: Floats | None = None

    def update(self, evaluations: History) -> None:
        """Try weights as long as the architecture that they choose is known."""
        self._history = evaluations
        keys = self._problem.keys(evaluations.indices).tolist()
        known = dict(zip(keys, evaluations.rewards.tolist(), strict=True))
        chosen = [self._chosen_key(weights) for weights in self._weights]
        if [known.get(key) for key in chosen] != self._values:
            self._begin()
        while len(self._values) < self._rounds:
            if self._next is None:
                self._next = next_weights(self._weights, self._values, self._table.shape[1], self._seed)
            value = known.get(self._chosen_key(self._next))
            if value is None:
                return
            self._weights.append(self._next)
            self._values.append(value)
            self._next = None

    def _chosen_key(self, weights: Floats) -> int:
        at = int(np.argmax(self._table @ weights))
        return int(self._problem.keys(self._ids[[at]])[0])

    def best_weights(self) -> Floats:
        """Those of the largest value, the latest of several; those under trial before any."""
        if not self._values:
            assert self._next is not None, "update first"
            return self._next
        at = len(self._values) - 1 - int(np.argmax(self._values[::-1]))
        return self._weights[at]

    def suggest(self, n: int) -> Sequence[int]:
        """The choice of the weights under trial, then what follows in the order of the best ones."""
        history, found = self._history, list[int]()
        while len(found) < n and not history.exhausted():
            trial = self._next is not None and not found
            weights = self._next if trial and self._next is not None else self.best_weights()
            order = self._ids[np.argsort(-(self._table @ weights), kind="stable")]
            free = order[~history.visited(order)]
            found.append(int(free[0]) if len(free) else random(self._problem, history, self._seed))
            history = history.with_pending(found[-1:])
        return found


METHOD = make_method(
    "robot",
    Robot,
    source="He et al. 2024, arXiv:2403.07591",
    needs=("scikit-learn",),
    knows_columns=True,
    check=check,
)
