"""``Verbs``: commands by name; a name that is none of them is refused with what may be meant.

In: functions by name, and groups of them; arguments. Out: the one function that is meant, called. Its flags
alone are looked at, and ``--help`` of a group looks at none. ``commands`` puts the command line together.
"""

from __future__ import annotations

import inspect
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import tyro

from archwalk.errors import SettingsError, unknown


class Verbs:
    """Commands by name.

    Args:
        summary: what they are about, a sentence.

    Attributes:
        names: name → a function with typed arguments, or a group of functions.
    """

    def __init__(self, summary: str) -> None:
        self.summary = summary
        self.names: dict[str, Verbs | Callable[..., None]] = {}

    def add(self, name: str, target: Verbs | Callable[..., None]) -> None:
        """One more command, or group of commands."""
        self.names[name] = target

    def leaves(self, above: str) -> Iterator[tuple[str, Callable[..., None]]]:
        """Full name and function of every command: below ``archwalk`` for example ``archwalk data list``."""
        for name, target in self.names.items():
            if isinstance(target, Verbs):
                yield from target.leaves(f"{above} {name}")
            else:
                yield f"{above} {name}", target

    def run(self, arguments: Sequence[str], prog: str) -> None:
        """Call the command that the arguments begin with; ``prog`` is what was typed before them.

        Raises:
            SettingsError: one that is no command.
            SystemExit: after ``--help``; with status 2 where arguments do not parse.
        """
        if not arguments:
            print(self.overview(prog), file=sys.stderr)
            sys.exit(2)
        if arguments[0] in ("-h", "--help"):
            print(self.overview(prog))
            sys.exit(0)
        if arguments[0].startswith("-"):  # what the parser offers by itself, such as completion for a shell
            self._parser().cli(args=list(arguments), prog=prog, description=self.summary)
        elif arguments[0] not in self.names:
            raise SettingsError(*unknown(f"command of '{prog}'", arguments[0], self.names))
        else:
            target, prog = self.names[arguments[0]], f"{prog} {arguments[0]}"
            if isinstance(target, Verbs):
                target.run(arguments[1:], prog)
            else:
                tyro.cli(target, args=list(arguments[1:]), prog=prog)

    def overview(self, prog: str) -> str:
        """What the commands are for, a sentence each; no flag is looked at, so that it is there at once."""
        width = max(map(len, self.names)) + 4
        lines = [f"usage: {prog} COMMAND ...", "", self.summary, ""]
        for name, target in self.names.items():
            said = target.summary if isinstance(target, Verbs) else summary_of(target)
            columns = max(min(shutil.get_terminal_size().columns, 110), width + 30)
            lines += textwrap.wrap(
                said, columns, initial_indent=f"  {name:{width - 2}}", subsequent_indent=" " * width
            )
        return "\n".join([*lines, "", f"{prog} COMMAND --help says what a command does and lists its flags."])

    def _parser(self) -> tyro.extras.SubcommandApp:
        app = tyro.extras.SubcommandApp()
        for name, target in self.names.items():
            if isinstance(target, Verbs):
                app.command(target._parser(), name=name, help=target.summary)
            else:
                app.command(name=name)(target)
        return app


def summary_of(command: Callable[..., None]) -> str:
    """The first paragraph of a command's docstring, whether settings are bound to it or not."""
    text = inspect.getdoc(command.func if isinstance(command, partial) else command) or ""
    return " ".join(text.partition("\n\n")[0].split())
