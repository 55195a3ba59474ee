"""The command line: every command by its name. What a command does stands in the module of its kind.

In: arguments. Out: one command, called.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pydantic import ValidationError

from archwalk.cli.agents import agents_app
from archwalk.cli.data import data_app, digits_app
from archwalk.cli.encoder import encoder_app
from archwalk.cli.searching import compare, fit, latency, methods, proxies, search
from archwalk.cli.showing import draw, export, report, watch
from archwalk.cli.spaces import spaces_app
from archwalk.cli.training import evaluate, study, train, transfer
from archwalk.cli.verbs import Verbs
from archwalk.config import Settings, invalid, load_preset

DESCRIPTION = "Train agents that search for neural architectures, and move them from task to task."


def run_command(arguments: Sequence[str]) -> None:
    """Parse and run one command; exits with status 2 on arguments that do not parse."""
    try:
        command_line(load_preset(_value_of("--preset", arguments) or "laptop")).run(arguments, "archwalk")
    except ValidationError as error:  # the parser passes on those of a command's own settings
        raise invalid(error, "the arguments", f"archwalk {arguments[0]} --help") from error


def command_line(preset: Settings) -> Verbs:
    """Every command; the preset holds the defaults of those that train agents."""
    app = Verbs(DESCRIPTION)
    app.add("data", data_app())
    app.add("spaces", spaces_app())
    app.add("agents", agents_app())
    app.add("encoder", encoder_app())
    app.add("train", partial(train, settings=preset))
    app.add("evaluate", evaluate)
    app.add("transfer", transfer)
    app.add("fit", fit)
    app.add("search", search)
    app.add("watch", watch)
    app.add("draw", draw)
    app.add("compare", compare)
    app.add("methods", methods)
    app.add("export", export)
    app.add("latency", latency)
    app.add("proxies", proxies)
    app.add("digits", digits_app())
    app.add("study", partial(study, settings=preset))
    app.add("report", report)
    return app


def _value_of(flag: str, arguments: Sequence[str]) -> str | None:
    """The last value given for a flag: the preset decides the defaults of all others."""
    value = None
    for i, argument in enumerate(arguments):
        if argument == flag and i + 1 < len(arguments):
            value = arguments[i + 1]
        elif argument.startswith(f"{flag}="):
            value = argument.partition("=")[2]
    return value
