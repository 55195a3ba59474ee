"""SMAC3, BoTorch and Syne Tune as methods: what they are told, what is taken, what happens without them."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from archwalk.errors import SearchError
from archwalk.searching import registry
from archwalk.searching.history import make_history
from archwalk.searching.listed import list_problem
from archwalk.searching.methods import botorch_gp, smac_forest, syne_tune_bore
from archwalk.searching.open import OpenProblem
from archwalk.searching.slots import choices_of, follow
from archwalk.spaces import make_listed, make_space
from archwalk.tasks import Benchmark

METHODS = {
    "smac": ("smac", smac_forest.smac),
    "botorch": ("botorch", botorch_gp.botorch),
    "syne-tune": ("syne_tune", syne_tune_bore.syne_tune),
}
ROWS, REWARDS = [0, 5, 7], [0.1, 0.9, 0.3]


def test_choices_and_absent_slots(tiny: Benchmark) -> None:
    listed = list_problem(tiny.space)
    assert choices_of(listed, make_history(listed, [], [])) == [[0, 1, 2], [0, 1], [0, 1, 2], [0, 1, 2]]
    macro = list_problem(make_listed("transnas-macro"))
    assert [own[0] for own in choices_of(macro, make_history(macro, [], []))] == [0, 0, 0, 0, -1, -1]
    for name, absent in (("gnn", False), ("gpt-s", True)):
        problem = OpenProblem(make_space(name), measured_apart=True)
        found = choices_of(problem, make_history(problem, [], []))
        assert any(own[0] == -1 for own in found) == absent


def test_a_suggestion_is_followed_as_far_as_it_leads(tiny: Benchmark) -> None:
    problem = list_problem(tiny.space)
    at = {tuple(code): i for i, code in enumerate(tiny.space.codes.tolist())}
    generator = np.random.default_rng(0)
    asked = at[1, 1, 2, 0]
    nothing = make_history(problem, [], [])
    assert follow(problem, nothing, lambda: [1, 1, 2, 0], generator, 0) == asked
    visited = make_history(problem, [asked], [0.0])
    found = tiny.space.codes[follow(problem, visited, lambda: [1, 1, 2, 0], generator, 0)].tolist()
    assert found[:3] == [1, 1, 2]
    assert found[3] in (1, 2)
    suggestions = iter([[1, 1, 2, 0], [2, 0, 0, 0]])  # in an open space the next one is asked for
    open_problem = OpenProblem(tiny.space, measured_apart=True)
    visited = make_history(open_problem, open_problem.ids([tiny.space.format((1, 1, 2, 0))]).tolist(), [0.0])
    found = follow(open_problem, visited, lambda: next(suggestions), generator, 0)
    assert open_problem.codes(np.array([found])).tolist() == [[2, 0, 0, 0]]


def test_smac_is_told_all_and_its_choice_is_taken(tiny: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    import smac

    told: list[tuple[dict[str, int], float]] = []

    class Spied(smac.HyperparameterOptimizationFacade):
        def tell(self, info: Any, value: Any, save: bool = True) -> None:
            told.append((dict(info.config), value.cost))
            super().tell(info, value, save=save)

        def ask(self) -> Any:
            best = dict(min(told, key=lambda pair: pair[1])[0])
            config = smac.runhistory.TrialInfo(super().ask().config).config
            for name, value in (best | {"slot000": 2}).items():
                config[name] = value
            return smac.runhistory.TrialInfo(config)

    monkeypatch.setattr(smac, "HyperparameterOptimizationFacade", Spied)
    codes = tiny.space.codes[ROWS].tolist()
    for problem in (list_problem(tiny.space), OpenProblem(tiny.space, measured_apart=True)):
        told.clear()
        ids = problem.locate(tiny.space.codes[ROWS].astype(np.int16)).tolist()
        found = smac_forest.smac(problem, make_history(problem, ids, REWARDS), 0)
        assert problem.codes(np.array([found])).tolist() == [[2, *codes[1][1:]]]
        assert [list(config.values()) for config, _ in told] == codes
        assert [cost for _, cost in told] == [-reward for reward in REWARDS]


def test_the_model_of_botorch_is_of_the_evaluations(tiny: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it knows a value, there is next to no improvement; the maximum is the largest value."""
    problem = list_problem(tiny.space)
    ids = np.random.default_rng(0).permutation(54)[:12].tolist()
    rewards = (tiny.space.codes == 1).mean(1)[ids]
    kept: list[np.ndarray] = []
    real = botorch_gp.maximise

    def spy(problem: Any, history: Any, value: Any, seed: int) -> int:
        kept.append(value(None))
        np.testing.assert_allclose(value(np.array([3, 50])), kept[0][[3, 50]], rtol=1e-6)
        return real(problem, history, value, seed)

    monkeypatch.setattr(botorch_gp, "maximise", spy)
    state = torch.random.get_rng_state()
    found = botorch_gp.botorch(problem, make_history(problem, ids, rewards.tolist()), 0)
    assert torch.equal(state, torch.random.get_rng_state())
    values = kept[0]
    free = np.setdiff1d(np.arange(54), ids)
    assert values[found] == pytest.approx(values[free].max())
    assert values[ids].max() < values[found]


@pytest.mark.parametrize("name", METHODS)
def test_it_finds_the_better_slots(name: str) -> None:
    module, method = METHODS[name]
    pytest.importorskip(module)
    space = make_listed("synthetic-cells")
    problem, reward = list_problem(space), (space.codes == 3).mean(1)
    ids, level = np.random.default_rng(0).permutation(len(space))[:40].tolist(), logging.root.level
    while len(ids) < 42:
        ids.append(method(problem, make_history(problem, ids, reward[ids].tolist()), 1))
    assert reward[ids[40:]].mean() > reward[ids[:40]].mean() + 0.1
    assert (logging.root.level, logging.root.manager.disable) == (level, 0)


@pytest.mark.parametrize("name", METHODS)
def test_without_the_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, real = METHODS[name][0], importlib.util.find_spec
    monkeypatch.setattr(registry, "find_spec", lambda n: None if n == module else real(n))
    extra = "syne-tune" if name == "syne-tune" else "peers"
    with pytest.raises(SearchError, match=rf"(?s){name}.*pip install 'archwalk\[{extra}\]'"):
        registry.find_method(name)


ELSEWHERE = """
import numpy as np
from archwalk.searching.history import make_history
from archwalk.searching.open import make_problem
from archwalk.searching.registry import find_method
from archwalk.tasks.registry import load_table

table = load_table("digits")
problem, rewards = make_problem(table.space, table.rows, measured_apart=True), table.reward("autoencoder")
for name in {names}:
    ids = np.random.default_rng(1).permutation(len(table))[:34].tolist()
    for _ in range(3):
        optimizer = find_method(name).make(problem, 3)
        optimizer.update(make_history(problem, ids, rewards[ids].tolist()))
        ids.append(int(optimizer.suggest(1)[0]))
    print(name, ids[-3:])
"""


def test_suggestions_are_the_same_in_every_process() -> None:
    """Libraries that go through sets of texts would have another order in each."""
    libraries = {"smac": "smac", "botorch": "botorch", "optuna-tpe": "optuna", "syne-tune": "syne_tune"}
    names = [name for name, library in libraries.items() if importlib.util.find_spec(library)]
    said = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", ELSEWHERE.format(names=["forest", *names])],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (0, 1)
    }
    assert len(said) == 1
    assert said.pop().count("[") == 1 + len(names)
