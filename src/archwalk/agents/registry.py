"""Algorithms by name.

In: a name. Out: what makes the ``Agent``, and the kind of its network. Another algorithm is one folder beside
``dqn``, and a line here or an entry point of the group ``archwalk.algorithms``. Next:
``archwalk.training.loop``.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from archwalk.agents.base import MakeAgent
from archwalk.agents.distributional.agent import DistributionalAgent
from archwalk.agents.dqn.agent import DQNAgent
from archwalk.agents.modelbased.agent import ModelBasedAgent
from archwalk.agents.ppo.agent import PPOAgent
from archwalk.agents.values import Q_FORM, Form
from archwalk.errors import SettingsError, unknown

__all__ = [
    "algorithm_names",
    "find_algorithm",
    "register_algorithm",
]

DEFAULT = "ape-x"
_MAKERS: dict[str, MakeAgent] = {
    DEFAULT: DQNAgent,
    "ppo": PPOAgent,
    "distributional": DistributionalAgent,
    "model-based": ModelBasedAgent,
}
GROUP = "archwalk.algorithms"


def register_algorithm(name: str, make: MakeAgent) -> None:
    """Let runs name an algorithm.

    Args:
        name: not one that is there.
        make: process, settings, generators and device → agent.

    Raises:
        SettingsError: the name is taken.
    """
    if name in algorithm_names():
        raise SettingsError("a name that no algorithm has", repr(name), "choose another")
    _MAKERS[name] = make


def algorithm_names() -> tuple[str, ...]:
    """Names that ``find_algorithm`` knows."""
    return (*_MAKERS, *(point.name for point in entry_points(group=GROUP)))


def find_algorithm(name: str) -> MakeAgent:
    """What makes agents of an algorithm. Raises ``SettingsError`` for an unknown name."""
    if name in _MAKERS:
        return _MAKERS[name]
    for point in entry_points(group=GROUP):
        if point.name == name:
            make: MakeAgent = point.load()
            return make
    raise SettingsError(*unknown("name of an algorithm", name, algorithm_names()))


def form_of(name: str) -> Form:
    """The kind of network of an algorithm: what its agents say (``Agent.form``), else a Q-network."""
    form: Form = getattr(find_algorithm(name), "form", Q_FORM)
    return form
