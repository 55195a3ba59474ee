"""Optuna's sampler as a method: what it is told and asked, and what happens without the library."""

from __future__ import annotations

import importlib.util

import numpy as np
import optuna
import pytest

from archwalk.errors import SearchError
from archwalk.searching import registry
from archwalk.searching.history import make_history
from archwalk.searching.listed import list_problem
from archwalk.searching.methods.optuna_tpe import optuna_tpe
from archwalk.searching.open import OpenProblem
from archwalk.spaces import make_listed
from archwalk.tasks import Benchmark


def test_it_is_told_all_and_its_choice_is_taken(tiny: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampler that repeats the best trial with the first slot's last choice stands in for TPE."""
    space = tiny.space
    told: list[tuple[dict[str, int], float]] = []

    class Repeats(optuna.samplers.BaseSampler):
        def __init__(self, seed: int) -> None: ...

        def infer_relative_search_space(self, study, trial):  # type: ignore[no-untyped-def]
            return {}

        def sample_relative(self, study, trial, search_space):  # type: ignore[no-untyped-def]
            return {}

        def sample_independent(self, study, trial, name, distribution):  # type: ignore[no-untyped-def]
            told[:] = [(t.params, t.value) for t in study.trials if t.value is not None]
            assert study.direction == optuna.study.StudyDirection.MAXIMIZE
            return distribution.choices[-1] if name == "slot0" else study.best_trial.params[name]

    monkeypatch.setattr(optuna.samplers, "TPESampler", Repeats)
    rows = [0, 5, 7]
    codes = space.codes[rows].tolist()
    for problem in (list_problem(space), OpenProblem(space, measured_apart=True)):
        ids = problem.locate(space.codes[rows].astype(np.int16)).tolist()
        found = optuna_tpe(problem, make_history(problem, ids, [0.1, 0.9, 0.3]), 0)
        expected = [space.slot_sizes[0] - 1, *codes[1][1:]]
        assert problem.codes(np.array([found])).tolist() == [expected]
        assert told == [
            ({f"slot{s}": c for s, c in enumerate(code)}, value)
            for code, value in zip(codes, [0.1, 0.9, 0.3], strict=True)
        ]


def test_it_finds_the_better_slots() -> None:
    space = make_listed("synthetic-cells")
    problem, reward = list_problem(space), (space.codes == 3).mean(1)
    ids = np.random.default_rng(0).permutation(len(space))[:20].tolist()
    while len(ids) < 45:
        ids.append(optuna_tpe(problem, make_history(problem, ids, reward[ids].tolist()), 0))
    assert reward[ids[30:]].mean() > reward[ids[:20]].mean() + 0.1


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == "optuna" else real(name))
    with pytest.raises(SearchError, match=r"(?s)optuna.*pip install 'archwalk\[peers\]'"):
        registry.find_method("optuna-tpe")
