"""Entry point of the command line: the version at once, and errors as a user should see them.

In: the arguments. Out: ``commands``, and exit status 0, 2 (an error that a user can mend, printed as
expected / got / remedy on standard error) or 130 (interrupted).
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from archwalk.errors import ArchwalkError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``archwalk``; arguments are those of the process by default."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments == ["--version"]:
        from archwalk import __version__

        print(f"archwalk {__version__}")
        return
    from archwalk.cli.commands import run_command  # takes a while: not for --version

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is written as an escape
            stream.reconfigure(errors="backslashreplace")
    try:
        run_command(arguments)
    except ArchwalkError as error:
        print(f"archwalk: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("archwalk: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)
