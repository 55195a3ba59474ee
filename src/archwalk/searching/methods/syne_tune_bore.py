"""Syne Tune (Salinas et al. 2022): its BORE (Tiao et al. 2021) as a method."""

from __future__ import annotations

import logging
import warnings

import numpy as np

from archwalk.searching.history import History
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Problem
from archwalk.searching.slots import choices_of, follow


def syne_tune(problem: Problem, history: History, seed: int) -> int:
    """Syne Tune's BORE: boosted trees tell the best quarter from the rest; one categorical parameter a slot.

    All evaluations are told, then one is asked for. Where a suggestion is visited, or breaks a condition, the
    rest of its slots is drawn from what is on offer.
    """
    state = np.random.get_state()  # noqa: NPY002
    disabled = logging.root.manager.disable
    number = int(np.random.SeedSequence([seed, len(history)]).generate_state(1)[0])
    generator = np.random.default_rng([seed, len(history)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        from syne_tune.config_space import choice
        from syne_tune.optimizer.schedulers.searchers.bore.bore import Bore

        choices = choices_of(problem, history)
        space = {f"slot{slot}": choice(own) for slot, own in enumerate(choices)}
        logging.disable(logging.ERROR)  # fewer architectures than it wants to compare are no error here
        np.random.seed(number)  # noqa: NPY002 - it draws candidates from the global generator
        try:
            searcher = Bore(space, random_seed=number, points_to_evaluate=[])
            codes = problem.codes(history.indices).tolist()
            for trial, (code, reward) in enumerate(zip(codes, history.rewards.tolist(), strict=True)):
                config = {f"slot{slot}": value for slot, value in enumerate(code)}
                searcher.on_trial_complete(trial, config, -reward)

            def ask() -> list[int]:
                suggested = searcher.suggest()
                return [int(suggested[f"slot{slot}"]) for slot in range(len(choices))]

            return follow(problem, history, ask, generator, seed)
        finally:
            np.random.set_state(state)  # noqa: NPY002
            logging.disable(disabled)


METHOD = make_method(
    "syne-tune",
    syne_tune,
    source="Salinas et al. 2022; Tiao et al. 2021, arXiv:2102.09009",
    needs=("syne-tune",),
)
