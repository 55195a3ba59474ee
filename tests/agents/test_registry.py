"""Algorithms by name: another one is found; a name is taken once."""

from __future__ import annotations

import pytest

from archwalk.agents import registry
from archwalk.agents.dqn.agent import DQNAgent
from archwalk.agents.registry import DEFAULT, algorithm_names, find_algorithm, register_algorithm
from archwalk.errors import SettingsError


def test_an_algorithm_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MAKERS", dict(registry._MAKERS))

    class Other(DQNAgent):
        """Another algorithm."""

    assert find_algorithm(DEFAULT) is DQNAgent
    with pytest.raises(SettingsError, match="algorithm"):
        find_algorithm("other")
    register_algorithm("other", Other)
    assert find_algorithm("other") is Other
    assert "other" in algorithm_names()
    for taken in (DEFAULT, "other"):
        with pytest.raises(SettingsError, match="a name that no algorithm has"):
            register_algorithm(taken, Other)
