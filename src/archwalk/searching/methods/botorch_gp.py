"""BoTorch (Balandat et al. 2020): a Gaussian process of mixed inputs, logarithmic expected improvement."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from archwalk.searching.acquisition import maximise
from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Ints, Problem

FIRST, BATCH = 5, 1_024  # random evaluations before a model is asked; architectures that it is asked at once


def botorch(problem: Problem, history: History, seed: int) -> int:
    """BoTorch's mixed Gaussian process, one categorical input a slot, logarithmic expected improvement.

    The model is fitted anew at every suggestion. An absent slot is a choice of its own. The maximum is looked
    for as by the other methods with a model: among all architectures that are listed, else by climbing.
    """
    if len(history) < FIRST:
        return random(problem, history, seed)
    with warnings.catch_warnings(), torch.random.fork_rng([]):
        warnings.simplefilter(
            "ignore"
        )  # of its own dependencies, of inputs that are no unit cube, of a hard fit
        torch.manual_seed(int(np.random.default_rng([seed, len(history)]).integers(2**31)))
        from botorch.acquisition.analytic import LogExpectedImprovement
        from botorch.fit import fit_gpytorch_mll
        from botorch.models.gp_regression_mixed import MixedSingleTaskGP
        from gpytorch.mlls import ExactMarginalLogLikelihood

        inputs = torch.from_numpy(problem.codes(history.indices) + 1).double()
        rewards = torch.from_numpy(history.rewards)[:, None]
        model = MixedSingleTaskGP(inputs, rewards, cat_dims=list(range(inputs.shape[1])))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        improvement = LogExpectedImprovement(model, best_f=rewards.max())

        @torch.no_grad()
        def value(ids: Ints | None) -> Floats:
            codes = problem.codes(np.arange(len(problem)) if ids is None else ids) + 1
            parts = torch.from_numpy(codes).double()[:, None].split(BATCH)
            return np.concatenate([improvement(part).numpy() for part in parts])

        return maximise(problem, history, value, seed)


METHOD = make_method("botorch", botorch, source="Balandat et al. 2020, arXiv:1910.06403", needs=("botorch",))
