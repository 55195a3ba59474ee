"""Transfer methods by name.

In: a name. Out: the method's class. Another method is one file beside these, and a line here or an entry
point of the group ``archwalk.transfers``. Next: ``archwalk.api``.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from archwalk.errors import SettingsError, unknown
from archwalk.transferring.base import TransferMethod
from archwalk.transferring.demonstrations import Demonstrations
from archwalk.transferring.frozen_body import FrozenBody
from archwalk.transferring.initialise import Initialise
from archwalk.transferring.mapping import Mapped
from archwalk.transferring.policy_reuse import PolicyReuse
from archwalk.transferring.shaping import Shaping
from archwalk.transferring.successor_features import SuccessorFeatures

__all__ = [
    "find_transfer",
    "register_transfer",
    "transfer_names",
]

INITIALISE = "initialise"
GROUP = "archwalk.transfers"
_METHODS: dict[str, type[TransferMethod]] = {
    method.name: method
    for method in (
        Initialise,
        Shaping,
        Demonstrations,
        PolicyReuse,
        Mapped,
        SuccessorFeatures,
        FrozenBody,
    )
}


def register_transfer(method: type[TransferMethod]) -> None:
    """Let runs name a transfer method. Raises ``SettingsError`` if its name is taken."""
    if method.name in transfer_names():
        raise SettingsError("a name that no transfer method has", repr(method.name), "choose another")
    _METHODS[method.name] = method


def transfer_names() -> tuple[str, ...]:
    """Names that ``find_transfer`` knows."""
    return (*_METHODS, *(point.name for point in entry_points(group=GROUP)))


def find_transfer(name: str) -> type[TransferMethod]:
    """A transfer method. Raises ``SettingsError`` for an unknown name."""
    if name in _METHODS:
        return _METHODS[name]
    for point in entry_points(group=GROUP):
        if point.name == name:
            method: type[TransferMethod] = point.load()
            return method
    raise SettingsError(*unknown("transfer method", name, transfer_names()))
