"""SMAC3 (Lindauer et al. 2022; Hutter et al. 2011) as a method."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from archwalk.searching.history import History
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Problem
from archwalk.searching.slots import choices_of, follow

DESIGN = 25  # evaluations of the Sobol design: a quarter of 100, as the library takes at most


def smac(problem: Problem, history: History, seed: int) -> int:
    """SMAC3's hyperparameter optimisation: Sobol design, random forest, logarithmic expected improvement.

    One categorical parameter a slot. All evaluations are told, then one is asked for. Where a suggestion is
    visited, or breaks a condition, the rest of its slots is drawn from what is on offer.
    """
    from ConfigSpace import CategoricalHyperparameter, Configuration, ConfigurationSpace
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.model.random_forest import RandomForest
    from smac.runhistory import TrialInfo, TrialValue

    done = len(history)
    number = int(np.random.SeedSequence([seed, max(done, DESIGN)]).generate_state(1)[0] >> 1)  # one design
    choices = choices_of(problem, history)
    names = [f"slot{slot:03}" for slot in range(len(choices))]
    known = [(n, own) for n, own in zip(names, choices, strict=True) if len(own) > 1]
    space = ConfigurationSpace(seed=number)
    space.add([CategoricalHyperparameter(name, own) for name, own in known])

    def configuration(code: Sequence[int]) -> Configuration:
        return Configuration(space, {n: c for n, c in zip(names, code, strict=True) if n in space})

    generator = np.random.default_rng([seed, done])
    with TemporaryDirectory() as folder, _quiet():
        scenario = Scenario(
            space, deterministic=True, n_trials=10**6, seed=number, output_directory=Path(folder)
        )
        design = HyperparameterOptimizationFacade.get_initial_design(
            scenario, n_configs=DESIGN if done < DESIGN else 0
        )
        # The facade's own forest, but for threads, of which it would start as many as there are cores, and
        # for room for a million leaves a tree: there are no more than evaluations, so the trees are the same.
        model = RandomForest(
            space,
            n_trees=10,
            ratio_features=1.0,
            min_samples_split=2,
            min_samples_leaf=1,
            max_depth=2**20,
            log_y=True,
            max_leaf_nodes=max(2, done),
            seed=number,
            n_jobs=1,
        )
        maximizer = HyperparameterOptimizationFacade.get_acquisition_maximizer(scenario)
        climbs: Any = maximizer._local_search
        begin = climbs._get_init_points_from_previous_configs

        def begin_in_order(*args: Any) -> list[Configuration]:
            return sorted(begin(*args), key=lambda config: config.get_array().tolist())

        # The library goes on in the order of a set of texts, which is another one in each process.
        climbs._get_init_points_from_previous_configs = begin_in_order
        facade = HyperparameterOptimizationFacade(
            scenario,
            lambda config, seed=0: 0.0,  # never called: trials are told
            model=model,
            acquisition_maximizer=maximizer,
            initial_design=design,
            overwrite=True,
            logging_level=False,
        )
        codes = problem.codes(history.indices).tolist()
        for code, reward in zip(codes, history.rewards.tolist(), strict=True):
            facade.tell(TrialInfo(configuration(code), seed=0), TrialValue(cost=-reward), save=False)

        def ask() -> list[int]:
            config = facade.ask().config
            return [int(config[n]) if n in space else own[0] for n, own in zip(names, choices, strict=True)]

        return follow(problem, history, ask, generator, seed)


@contextmanager
def _quiet() -> Iterator[None]:
    """An empty design, and a maximum that is visited, are no news."""
    logger = logging.getLogger("smac")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


METHOD = make_method("smac", smac, source="Lindauer et al. 2022, arXiv:2109.09831", needs=("smac",))
