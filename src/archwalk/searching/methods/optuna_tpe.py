"""Optuna's tree-structured Parzen estimator (Bergstra et al. 2011; Akiba et al. 2019) as a method."""

from __future__ import annotations

import numpy as np

from archwalk.searching.history import History
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Ints, Problem
from archwalk.searching.slots import choose_slots, possible_choices


def optuna_tpe(problem: Problem, history: History, seed: int) -> int:
    """Optuna's TPE sampler with its own settings, one categorical parameter a slot.

    All evaluations are told as finished trials, then a trial is asked slot by slot. Where its choice leads to
    visited architectures alone, or breaks a condition, one of those on offer is drawn. In a listed space that
    has absent slots, absent is a choice of theirs; in an open one an absent slot is no parameter of a trial,
    and where a slot may be left out that is drawn.
    """
    import optuna

    number = int(np.random.SeedSequence([seed, len(history)]).generate_state(1)[0])
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a new study is no news
    try:
        sampler = optuna.samplers.TPESampler(seed=number)
        study = optuna.create_study(direction="maximize", sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)
    choices = possible_choices(problem)
    if not problem.listed:
        choices[:, 0] = False
    allowed: list[list[int]] = [(np.flatnonzero(row) - 1).tolist() for row in choices]
    spaces = [optuna.distributions.CategoricalDistribution(own) for own in allowed]
    for code, reward in zip(problem.codes(history.indices).tolist(), history.rewards.tolist(), strict=True):
        told = [slot for slot, choice in enumerate(code) if choice in allowed[slot]]
        trial = optuna.trial.create_trial(
            params={f"slot{slot}": code[slot] for slot in told},
            distributions={f"slot{slot}": spaces[slot] for slot in told},
            value=reward,
        )
        study.add_trial(trial)
    generator = np.random.default_rng([seed, len(history)])
    asked, last = study.ask(), -1

    def choose(made: Ints, offered: Ints) -> int:
        nonlocal asked, last
        slot = len(made)
        if slot <= last:  # another walk, for the last one led to a visited architecture
            asked = study.ask()
        last = slot
        if offered[0] < 0 and -1 not in allowed[slot] and generator.random() * len(offered) < 1:
            return -1
        suggested = asked.suggest_categorical(f"slot{slot}", allowed[slot])
        assert isinstance(suggested, int)
        return suggested if suggested in offered else int(generator.choice(offered[offered >= 0]))

    return choose_slots(problem, history, choose, generator, seed)


METHOD = make_method(
    "optuna-tpe", optuna_tpe, source="Akiba et al. 2019, arXiv:1907.10902", needs=("optuna",)
)
