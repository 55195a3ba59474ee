"""``Verbs``: commands by name; a name that is none of them is refused with what may be meant.

In: functions by name, and groups of them. Out: a parser that knows its names. Next: ``commands`` puts the
command line together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tyro

from archwalk.errors import SettingsError, unknown


class Verbs(tyro.extras.SubcommandApp):
    """Commands, used as tyro's ``SubcommandApp``.

    Attributes:
        names: name → its group, None for a command.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, Verbs | None] = {}

    def command(self, target: Any = None, *, name: str, **options: Any) -> Any:  # type: ignore[override]
        """As there; a name is needed."""
        self.names[name] = target if isinstance(target, Verbs) else None
        return super().command(target, name=name, **options)

    def check(self, arguments: Sequence[str], above: str = "archwalk") -> None:
        """Look at the names that arguments begin with, which tyro does not where ``--help`` follows.

        Raises:
            SettingsError: one that is no command.
        """
        if not arguments or arguments[0].startswith("-"):
            return
        name = arguments[0]
        if name not in self.names:
            raise SettingsError(*unknown(f"command of '{above}'", name, self.names))
        group = self.names[name]
        if group is not None:
            group.check(arguments[1:], f"{above} {name}")
