"""Short trainings first, the promising ones longer: which training is next, decided by recorded facts alone.

In: the trainings so far, a problem, a method, the seconds that are left. Out: the next training, until
nothing fits. Next: ``units`` runs it; ``verbs`` retrains the winner.

Rungs of one, three and nine times as many steps. A third of what finished a rung goes on to the next one, as
soon as it is known (asynchronous successive halving, Li et al. 2020), each training from its beginning and
with a schedule of its own, so that a short one is a finished one. Where nothing is to go on, the method
suggests an architecture for the lowest rung. It sees one value an architecture: the best of its trainings,
plus the mean gain by which trainings from there to the longest rung became better.

How long to train is chosen as well: a training counts with its best point, and the winner with its best
training, of whatever length. Where longer trainings are worse, none is made any more. Which trainings are
repeated for longer is decided by the loss.

Nothing here reads a clock: seconds come with the trainings, so a run that was killed decides as it would
have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite, nan

import numpy as np

from archwalk.errors import SearchError
from archwalk.fitting.metrics import best_point
from archwalk.searching.history import make_history
from archwalk.searching.optimizer import Method
from archwalk.searching.problem import Problem

ETA = 3
ENOUGH = 3  # architectures on two rungs, to know whether longer trainings are better
ALIKE = 3  # first trainings that all fail end a run


@dataclass(frozen=True)
class Trial:
    """One finished training of the search.

    Attributes:
        architecture: what was trained.
        steps: how long.
        reward: the metric on the validation split at the best point of the training, larger is better; NaN
            where the training failed.
        tie: decides between equal rewards, larger is better.
        seconds: that it is charged for: the training, and the suggestion before it.
        message: why it failed.
        training: the seconds of the training alone.
        work: of the processor for it, which other programs hardly change.
        stop: steps after which it was best; None: at its end.
    """

    architecture: str
    steps: int
    reward: float
    tie: float = 0.0
    seconds: float = 0.0
    message: str = ""
    training: float = 0.0
    work: float = 0.0
    stop: int | None = None

    @property
    def best_after(self) -> int:
        """Steps after which it was best."""
        return self.steps if self.stop is None else self.stop

    @property
    def order(self) -> tuple[float, float]:
        """Larger is better."""
        return (self.reward, self.tie) if isfinite(self.reward) else (-inf, 0.0)

    @property
    def promise(self) -> tuple[float, float]:
        """Larger is better, of a training that may be repeated for longer: what decides between equal values
        decides first. A loss tells short trainings apart of which the metric, a share of a few hundred
        examples, says little."""
        return (self.tie, self.reward) if isfinite(self.reward) else (-inf, 0.0)


Run = Callable[[str, int], Trial]
Left = Callable[[Sequence[Trial]], float]


def promotion(trials: Sequence[Trial], rungs: Sequence[int], eta: int = ETA) -> tuple[str, int] | None:
    """The training that is to be repeated for longer, and how long; None where there is none.

    From the second highest rung down: the best of the first third of a rung that is not on the next one yet,
    unless longer trainings are known to be no better.
    """
    for low, high in reversed(list(pairwise(worthwhile(trials, rungs)))):
        there = [t for t in trials if t.steps == low]
        gone = {t.architecture for t in trials if t.steps == high}
        best = sorted(there, key=lambda t: t.promise, reverse=True)[: len(there) // eta]
        for trial in best:
            if trial.architecture not in gone and isfinite(trial.reward):
                return trial.architecture, high
    return None


def gains(trials: Sequence[Trial], low: int, high: int) -> list[float]:
    """By how much trainings became better from one rung to another, an architecture that finished both."""
    values = {(t.architecture, t.steps): t.reward for t in trials if isfinite(t.reward)}
    return [values[a, high] - v for (a, steps), v in values.items() if steps == low and (a, high) in values]


def useless(trials: Sequence[Trial], low: int, high: int) -> bool:
    """Whether every training of one rung was worse than that of the rung below (``metrics.best_point``), and
    enough were made.

    Every one, and not their mean: those that go on were good on the rung below by luck as well.
    """
    orders = {(t.architecture, t.steps): t.order for t in trials if isfinite(t.reward)}
    pairs = [(o, orders[a, high]) for (a, steps), o in orders.items() if steps == low and (a, high) in orders]
    return len(pairs) >= ENOUGH and all(best_point(pair) == 0 for pair in pairs)


def worthwhile(trials: Sequence[Trial], rungs: Sequence[int]) -> list[int]:
    """The rungs up to the first one that is known to be useless."""
    found = list(rungs[:1])
    for low, high in pairwise(rungs):
        if useless(trials, low, high):
            break
        found.append(high)
    return found


def longest(trials: Sequence[Trial]) -> dict[str, Trial]:
    """The longest training of each architecture, in the order in which they were first trained."""
    found: dict[str, Trial] = {}
    for trial in trials:
        if trial.architecture not in found or trial.steps > found[trial.architecture].steps:
            found[trial.architecture] = trial
    return found


def reached(trials: Sequence[Trial]) -> dict[str, Trial]:
    """The training of each architecture that is to be chosen (``metrics.best_point``), in the order of
    ``longest``; one that failed where all did."""
    found: dict[str, Trial] = {}
    for architecture, last in longest(trials).items():
        mine = [t for t in trials if t.architecture == architecture and isfinite(t.reward)]
        mine.sort(key=lambda t: t.steps)
        found[architecture] = mine[best_point([t.order for t in mine])] if mine else last
    return found


def extrapolated(trials: Sequence[Trial], rungs: Sequence[int]) -> dict[str, float]:
    """What each architecture is expected to reach on the highest rung; NaN where its longest training failed.

    Its best value so far, plus the mean gains, where they are positive, between the highest rung that it was
    trained on and the next over the architectures that finished both, and so on up; 0 where none did.
    """
    steps = []
    for low, high in pairwise(rungs):
        known = gains(trials, low, high)
        steps.append(max(0.0, float(np.mean(known))) if known else 0.0)
    best = reached(trials)
    return {
        a: best[a].reward + sum(steps[rungs.index(t.steps) :]) if isfinite(t.reward) else nan
        for a, t in longest(trials).items()
    }


def winner(trials: Sequence[Trial]) -> Trial:
    """What is to be retrained: the best training, the first of equals, of an architecture that went furthest.

    One short training of many that happened to look best is no reason to choose it. So those on the highest
    rung are compared, each by its ``reached`` training, of whatever length; a rung that was worse than the
    one below does not count. Raises ``SearchError`` if all failed.
    """
    good = [t for t in trials if isfinite(t.reward)]
    if not good:
        raise SearchError(
            "a training that succeeds",
            f"{len(trials)} that failed, the last one: {trials[-1].message if trials else 'none'}",
            "check the data: their scale, and whether labels belong to inputs",
        )
    top = worthwhile(good, sorted({t.steps for t in good}))[-1]
    far = {t.architecture for t in good if t.steps >= top}
    return max((t for a, t in reached(good).items() if a in far), key=lambda t: t.order)


def load(trials: Sequence[Trial]) -> float:
    """Seconds that pass for each of the processor's, over all trainings: what other programs leave."""
    work = sum(t.work for t in trials)
    return sum(t.training for t in trials) / work if work else 1.0


def per_step(trials: Sequence[Trial], architecture: str) -> float | None:
    """Seconds of training a step of an architecture; None where it has none.

    The median of the processor's seconds, times ``load``: so a machine that had something else to do during
    one training does not make one architecture look slow.
    """
    rates = [t.work / t.steps for t in trials if t.architecture == architecture]
    return float(np.median(rates)) * load(trials) if rates else None


def predicted(trials: Sequence[Trial], architecture: str, steps: int) -> float:
    """Seconds that a training will be charged for: as the architecture's others, or as those of a usual one,
    a mean over architectures, with the suggestion before it. 0 before the first."""
    rate = per_step(trials, architecture)
    if rate is not None:
        return rate * steps
    if not trials:
        return 0.0
    rates = [t.work / t.steps for t in longest(trials).values()]
    return float(np.mean(rates)) * load(trials) * steps + float(
        np.mean([t.seconds - t.training for t in trials[-20:]])
    )


class Suggester:
    """The method at work on what the trainings said.

    Args:
        problem: what is searched.
        method: see ``searching.registry``.
        seed: of the method.
    """

    def __init__(self, problem: Problem, method: Method, seed: int) -> None:
        self._problem = problem
        self._optimizer = method.make(problem, seed)

    def suggest(self, trials: Sequence[Trial], rungs: Sequence[int]) -> str | None:
        """An architecture that was not trained yet; None if none is left."""
        values = extrapolated(trials, rungs)
        ids = self._problem.ids(values).tolist()
        history = make_history(self._problem, ids, list(values.values()))
        if history.exhausted():
            return None
        self._optimizer.update(history)
        return self._problem.text(int(self._optimizer.suggest(1)[0]))


def search(
    suggester: Suggester,
    rungs: Sequence[int],
    trials: Sequence[Trial],
    run: Run,
    left: Left,
    reference: str | None = None,
) -> list[Trial]:
    """Train until no further training fits into the seconds that are left.

    What is next follows from what is done alone, also where it was first thought that nothing fits any more:
    so a search that was killed after that goes on as it would have.

    Args:
        suggester: suggests for the lowest rung.
        rungs: steps, ascending.
        trials: those that are done, in order.
        run: trains an architecture for some steps.
        left: seconds that the search may still take, by what is done; see ``reserved``.
        reference: the architecture to begin with; None: the method's first suggestion.

    Returns:
        All trials. One at least is on the highest rung, unless all failed, or longer trainings are no better.

    Raises:
        SearchError: the first trainings all fail.
    """
    done = list(trials)
    while True:
        if len(done) >= ALIKE and all(not isfinite(t.reward) for t in done):
            winner(done)  # raises
        move = promotion(done, rungs)
        if move is None:
            first = reference if not done else None
            suggested = first or suggester.suggest(done, rungs)
            # where all are trained, the rest of the time goes to longer trainings
            move = (suggested, rungs[0]) if suggested is not None else promotion(done, rungs, 1)
        if move is None or (done and predicted(done, *move) > left(done)):
            move = ahead(done, rungs)
            if move is None:
                return done
        done.append(run(*move))


def ahead(trials: Sequence[Trial], rungs: Sequence[int]) -> tuple[str, int] | None:
    """The next training on the way of the best architecture to the highest rung, where none has been yet;
    None as well where longer trainings are known to be no better."""
    tried = {t.architecture for t in trials if t.steps == rungs[-1]}
    if any(t.steps == rungs[-1] and isfinite(t.reward) for t in trials):
        return None
    failed = {t.architecture for t in trials if not isfinite(t.reward)}
    good = [t for t in longest(trials).values() if t.architecture not in failed | tried]
    if not good:
        return None
    best = max(good, key=lambda t: (t.steps, t.promise))
    high = next(s for s in rungs if s > best.steps)
    return (best.architecture, high) if high in worthwhile(trials, rungs) else None


def reserved(trials: Sequence[Trial], rungs: Sequence[int]) -> float:
    """Seconds to bring the best architecture so far to the highest rung, where none has been yet."""
    move = ahead(trials, rungs)
    if move is None:
        return 0.0
    architecture, first = move
    rate = per_step(trials, architecture) or 0.0
    return rate * sum(s for s in rungs if s >= first)
