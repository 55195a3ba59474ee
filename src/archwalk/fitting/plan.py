"""``Plan``: what fits into the time, decided once, from a few timed steps, and kept.

In: data, networks, the budget. Out: the size of the skeleton, the rungs, what each baseline costs. Next:
``schedule`` spends the time; a command that goes on reads the plan from its folder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from archwalk.errors import SettingsError
from archwalk.fitting.networks import Make, Networks
from archwalk.fitting.schedule import ETA
from archwalk.fitting.splits import TEST
from archwalk.fitting.training import standardised, train
from archwalk.fitting.units import BOOSTING, Trainer, boosted, can_boost

SEEDS = 3
RUNGS = 3
FULL = 9  # trainings of full length that the search has time for at least
WANTED = 600  # steps for which a wider skeleton is not chosen
EPOCHS, LONGEST = 30, 1_500  # passes, or steps if that is more, beyond which trainings do not go
MOST_EPOCHS = 200
SHORTEST = 20  # steps of the lowest rung
LEAST = 100  # steps of the longest trainings below which a budget is refused; fewer if that is two passes
FEW, FEW_WIDTH = 5_000, 32  # below so many examples no wider skeleton than this
TREES = 100
TIMED = 6  # steps
REFERENCE = "reference"
MARGIN = 1.1  # measuring, writing and what else comes with a training


@dataclass(frozen=True)
class Plan:
    """What a run does within its time.

    Attributes:
        budget: seconds in all.
        spent: seconds that reading and timing took.
        reserve: seconds kept back for writing files.
        width: of the skeleton; 0: it has none.
        turns: blocks that are the validation split in turns.
        threads: that compute on a CPU; bits depend on their number.
        rungs: steps of trainings, ascending; the last is also that of the retrained winner.
        step_seconds: of each baseline network, timed.
        trees: of gradient boosting; 0: it is no baseline.
        tree_seconds: of one of them.
        reference_seconds: a step of the architecture that the search begins with.
    """

    budget: float
    spent: float
    reserve: float
    width: int
    turns: tuple[int, ...]
    threads: int
    rungs: tuple[int, ...]
    step_seconds: dict[str, float]
    trees: int
    tree_seconds: float
    reference_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Plan:
        """The inverse of ``to_json``."""
        return cls(**values | {"turns": tuple(values["turns"]), "rungs": tuple(values["rungs"])})

    def seconds_per_step(self, drift: float) -> dict[str, float]:
        """Of each baseline; of gradient boosting, a tree.

        Args:
            drift: how much slower the machine is than when the plan was made.
        """
        rates = {name: seconds * drift for name, seconds in self.step_seconds.items()}
        return rates | ({BOOSTING: self.tree_seconds * drift} if self.trees else {})

    def lengths(self, rate: float, drift: float) -> dict[str, tuple[int, ...]]:
        """Steps of the trainings that each baseline may choose from: at least as many as the winner may, and
        of about as many minutes; of gradient boosting, trees.

        Args:
            rate: seconds a step of the winner.
            drift: see ``seconds_per_step``.
        """
        longer = {
            name: tuple(math.ceil(steps * max(1.0, rate / (seconds * drift))) for steps in self.rungs)
            for name, seconds in self.step_seconds.items()
        }
        return longer | ({BOOSTING: (self.trees,)} if self.trees else {})

    def tuning(self, rate: float, drift: float) -> float:
        """Seconds to find out how long each baseline is to be trained; arguments as for ``lengths``."""
        each = self.seconds_per_step(drift)
        steps = {name: sum(some) for name, some in self.lengths(rate, drift).items()}
        return MARGIN * len(self.turns) * sum(each[name] * n for name, n in steps.items())

    def finals(self, rate: float, drift: float) -> float:
        """Seconds to train the winner and the baselines to the full length, all seeds; arguments as for
        ``lengths``."""
        each = self.seconds_per_step(drift)
        theirs = sum(each[name] * some[-1] for name, some in self.lengths(rate, drift).items())
        return MARGIN * SEEDS * (rate * self.rungs[-1] + theirs)


def make_plan(trainer: Trainer, budget: float, began: float) -> Plan:
    """Time a few steps and divide the budget.

    The widest skeleton is taken in which trainings of ``WANTED`` steps fit, nine of them for the search, a
    few more to find out how long baselines are to be trained, and three seeds of the winner and each
    baseline.

    Args:
        trainer: of the run; its networks are in their narrowest skeleton, and one thread computes.
        budget: seconds in all.
        began: when the command began, on the trainer's clock.

    Raises:
        SettingsError: the budget is too small for one training and what must follow; says what would do.
    """
    data, clock = trainer.data, trainer.clock
    trained = int((~np.isin(trainer.blocks, [TEST, 0])).sum())
    passes = max(1, trained // trainer.recipe.batch)
    longest = min(max(EPOCHS * passes, LONGEST), MOST_EPOCHS * passes)
    least = min(LEAST, max(SHORTEST, 2 * passes))
    reserve = min(25.0, 0.1 * budget)
    trees, tree_seconds = _trees(trainer, budget)

    def boosting(turns: int) -> float:
        return (SEEDS + turns) * trees * tree_seconds

    def affordable(times: dict[str, float], turns: int) -> int:
        """Steps of the longest trainings."""
        return int((budget - reserve - boosting(turns) - (clock() - began)) / _all_of(times, turns))

    networks, times, turns = trainer.networks, _timed(trainer, trainer.networks), trainer.turns
    if affordable(times, len(turns)) < min(WANTED, longest):
        turns = turns[:1]
    for width in networks.widths[1:]:
        # A step of double width costs twice as much or more; few examples do not need it.
        if affordable(times, len(turns)) < 2 * WANTED or (trained < FEW and width > FEW_WIDTH):
            break
        wider = networks.with_width(width)
        wider_times = _timed(trainer, wider)
        if affordable(wider_times, len(turns)) < WANTED:
            break
        networks, times = wider, wider_times
    threads, faster = _threads(trainer, networks)
    times = {name: seconds * faster for name, seconds in times.items()}
    top = min(longest, affordable(times, len(turns)))
    if top < least:
        needed = (clock() - began + least * _all_of(times, len(turns)) + boosting(len(turns))) / 0.9
        smaller = data.kind == "images" and min(data.shape[1:]) > 16
        raise SettingsError(
            f"at least {math.ceil(needed / 6 + 1) / 10:.1f} minutes: for {FULL} trainings of {least} steps "
            f"to choose from, and {SEEDS} seeds of the winner and of each baseline",
            f"{budget / 60:.3g} minutes",
            "raise --minutes" + (", or lower --image-size" if smaller else ""),
        )
    rungs = tuple(top // ETA**i for i in reversed(range(RUNGS)) if i == 0 or top // ETA**i >= SHORTEST)
    reference = times.pop(REFERENCE, max(times.values()))
    spent = clock() - began
    return Plan(
        budget,
        spent,
        reserve,
        networks.width,
        turns,
        threads,
        rungs,
        times,
        trees,
        tree_seconds,
        reference,
    )


def _threads(trainer: Trainer, networks: Networks) -> tuple[int, float]:
    """How many threads compute, and the share of the seconds of one thread that a step then takes.

    Several are slower than one for small networks, and by far on a machine that has other things to do.
    """
    most = trainer.threads
    if most == 1 or trainer.device.type != "cpu":
        return most, 1.0
    make = list(networks.baselines().values())[-1]
    torch.set_num_threads(most)
    try:
        several = _step_seconds(trainer, make, 2)
    finally:
        torch.set_num_threads(1)
    alone = _step_seconds(trainer, make, 2)
    return (most, several / alone) if several < 0.9 * alone else (1, 1.0)


def _all_of(times: dict[str, float], turns: int) -> float:
    """Seconds that all trainings together take for each of their steps."""
    baselines = sum(s for name, s in times.items() if name != REFERENCE)
    searched, ends = FULL * turns * max(times.values()), SEEDS * (max(times.values()) + baselines)
    return MARGIN * (searched + sum(ETA**-i for i in range(RUNGS)) * turns * baselines + ends)


def _trees(trainer: Trainer, budget: float) -> tuple[int, float]:
    """How many trees gradient boosting gets, at most in a tenth of the time, and seconds of one; 0: none."""
    if not can_boost(trainer.data):
        return 0, 0.0
    rows = np.flatnonzero(trainer.blocks != TEST)
    start = trainer.clock()
    boosted(trainer.data, rows, rows[:1], (5,), 0)
    each = (trainer.clock() - start) / 5
    return int(min(TREES, max(10.0, 0.1 * budget / (SEEDS * max(each, 1e-9))))), each


def _timed(trainer: Trainer, networks: Networks) -> dict[str, float]:
    """Seconds a step of each baseline, and of the architecture that the search begins with."""
    made: dict[str, Make] = networks.baselines()
    if networks.reference is not None:
        made[REFERENCE] = lambda seed: networks.build(str(networks.reference), seed)
    return {name: _step_seconds(trainer, make) for name, make in made.items()}


def _step_seconds(trainer: Trainer, make: Make, steps: int = TIMED) -> float:
    """Seconds a step of a network, of a few steps after two that warm up."""
    examples = trainer.examples((trainer.blocks != 0) & (trainer.blocks != TEST))
    model = standardised(make(0), examples)
    train(model, examples, 2, 0, trainer.recipe)
    _wait(trainer.device)
    t = trainer.clock()
    train(model, examples, steps, 0, trainer.recipe)
    _wait(trainer.device)
    seconds = (trainer.clock() - t) / steps
    return max(seconds, 1e-6)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_words(plan: Plan, networks: Networks) -> str:
    """The estimate before a run, in a few sentences."""
    rate = MARGIN * plan.reference_seconds * len(plan.turns)
    finals = plan.finals(plan.reference_seconds, 1.0) + plan.tuning(plan.reference_seconds, 1.0)
    search = max(0.0, plan.budget - plan.reserve - plan.spent - finals)
    short = search / (rate * plan.rungs[0]) if rate else 0.0
    rounds = len(plan.rungs)
    about = int(short / max(1, rounds))
    skeleton = f", {plan.width} channels" if plan.width else ""
    how = f"each {len(plan.turns)} times on other splits, " if len(plan.turns) > 1 else ""
    return (
        f"{networks.space.name}{skeleton}; trainings of {' → '.join(map(str, plan.rungs))} steps, {how}"
        f"about {about} architectures or more in {search / 60:.1f} min; then the winner and "
        f"{len(plan.step_seconds) + bool(plan.trees)} baselines, {SEEDS} seeds each, {finals / 60:.1f} min"
    )
