"""Short trainings first, the promising ones longer: which training is next, decided by recorded facts alone.

In: the trainings so far, a problem, a method, the seconds that are left. Out: the next training, until
    nothing
fits. Next: ``units`` runs it; ``verbs`` retrains the winner.

Rungs of one, three and nine times as many steps. A third of what finished a rung goes on to the next one, as
soon as it is known (asynchronous successive halving, Li et al. 2020), each training from its beginning and
with a schedule of its own, so that a short one is a finished one. Where nothing is to go on, the method
suggests an architecture for the lowest rung. It sees one value an architecture: that of its longest training,
plus the mean gain by which trainings from there to the longest rung became better.

Nothing here reads a clock: seconds come with the trainings, so a run that was killed decides as it would
have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

import numpy as np

from archwalk.errors import SearchError
from archwalk.searching.history import make_history
from archwalk.searching.optimizer import Method
from archwalk.searching.problem import Problem

ETA = 3
ALIKE = 3  # first trainings that all fail end a run


@dataclass(frozen=True)
class Trial:
    """One finished training of the search.

    Attributes:
        architecture: what was trained.
        steps: how long.
        reward: the metric on the validation split, larger is better; NaN where the training failed.
        tie: decides between equal rewards, larger is better.
        seconds: that it is charged for: the training, and the suggestion before it.
        message: why it failed.
        training: the seconds of the training alone.
        work: of the processor for it, which other programs hardly change.
    """

    architecture: str
    steps: int
    reward: float
    tie: float = 0.0
    seconds: float = 0.0
    message: str = ""
    training: float = 0.0
    work: float = 0.0

    @property
    def order(self) -> tuple[float, float]:
        """Larger is better."""
        return (self.reward, self.tie) if isfinite(self.reward) else (-float("inf"), 0.0)


Run = Callable[[str, int], Trial]
Left = Callable[[Sequence[Trial]], float]


def promotion(trials: Sequence[Trial], rungs: Sequence[int], eta: int = ETA) -> tuple[str, int] | None:
    """The training that is to be repeated for longer, and how long; None where there is none.

    From the second highest rung down: the best of the first third of a rung that is not on the next one yet.
    """
    for low, high in reversed(list(pairwise(rungs))):
        there = [t for t in trials if t.steps == low]
        gone = {t.architecture for t in trials if t.steps == high}
        best = sorted(there, key=lambda t: t.order, reverse=True)[: len(there) // eta]
        for trial in best:
            if trial.architecture not in gone and isfinite(trial.reward):
                return trial.architecture, high
    return None


def longest(trials: Sequence[Trial]) -> dict[str, Trial]:
    """The longest training of each architecture, in the order in which they were first trained."""
    found: dict[str, Trial] = {}
    for trial in trials:
        if trial.architecture not in found or trial.steps > found[trial.architecture].steps:
            found[trial.architecture] = trial
    return found


def extrapolated(trials: Sequence[Trial], rungs: Sequence[int]) -> dict[str, float]:
    """What each architecture is expected to reach on the highest rung; NaN where its longest training failed.

    Its value on the highest rung that it was trained on, plus the mean differences between that rung and the
    next over the architectures that finished both, and so on up; 0 where none did.
    """
    values = {(t.architecture, t.steps): t.reward for t in trials}
    gains = []
    for low, high in pairwise(rungs):
        both = [
            values[a, high] - v for (a, steps), v in values.items() if steps == low and (a, high) in values
        ]
        known = [gain for gain in both if isfinite(gain)]
        gains.append(float(np.mean(known)) if known else 0.0)
    return {a: t.reward + sum(gains[rungs.index(t.steps) :]) for a, t in longest(trials).items()}


def winner(trials: Sequence[Trial]) -> Trial:
    """The best of the longest trainings, the first of equals. Raises ``SearchError`` if all failed."""
    good = [t for t in trials if isfinite(t.reward)]
    if not good:
        raise SearchError(
            "a training that succeeds",
            f"{len(trials)} that failed, the last one: {trials[-1].message if trials else 'none'}",
            "check the data: their scale, and whether labels belong to inputs",
        )
    top = max(t.steps for t in good)
    return max((t for t in good if t.steps == top), key=lambda t: t.order)


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

    Args:
        suggester: suggests for the lowest rung.
        rungs: steps, ascending.
        trials: those that are done, in order.
        run: trains an architecture for some steps.
        left: seconds that the search may still take, by what is done; see ``reserved``.
        reference: the architecture to begin with; None: the method's first suggestion.

    Returns:
        All trials. One at least is on the highest rung, unless all failed.

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
        if move is None:
            break
        if done and predicted(done, *move) > left(done):
            break
        done.append(run(*move))
    while (best := winner(done)).steps < rungs[-1]:
        ahead = [s for s in rungs if s > best.steps]
        trained = {t.architecture for t in done if t.steps == ahead[0]}
        if best.architecture in trained:  # it failed there
            good = [t for t in done if isfinite(t.reward) and t.architecture not in trained]
            if not good:
                break
            best = max(good, key=lambda t: (t.steps, t.order))
            ahead = [s for s in rungs if s > best.steps]
        done.append(run(best.architecture, ahead[0]))
    return done


def reserved(trials: Sequence[Trial], rungs: Sequence[int]) -> float:
    """Seconds to bring the best architecture so far to the highest rung, where none has been yet."""
    good = [t for t in trials if isfinite(t.reward)]
    if not good or any(t.steps == rungs[-1] for t in good):
        return 0.0
    best = winner(good)
    rate = per_step(good, best.architecture) or 0.0
    return rate * sum(s for s in rungs if s > best.steps)
