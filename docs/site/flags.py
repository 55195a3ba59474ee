"""Pages of the command line, one a verb, made of the typed configurations of ``archwalk.cli``.

In: the functions of the commands and the settings they take. Out: Markdown, an ``option`` a flag. Next:
``build.py``.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import docstring_parser
import tyro
from pydantic import BaseModel

from archwalk.cli.commands import command_line
from archwalk.cli.verbs import Verbs
from archwalk.config import load_preset

PRESET = "laptop"  # whose settings are shown as defaults


class Flag(NamedTuple):
    """One flag or positional argument, as it is typed.

    Attributes:
        names: as typed; that of a positional argument is in capitals.
        value: what stands behind it, "" for a switch.
        text: its meaning and its default.
        group: the settings that it belongs to, "" for the command itself.
    """

    names: tuple[str, ...]
    value: str
    text: str
    group: str


def flags_of(command: Callable[..., None]) -> Iterator[Flag]:
    """Every flag of a command, in the order of its parameters; settings follow as ``--group.name``."""
    function = command.func if isinstance(command, partial) else command
    bound = command.keywords if isinstance(command, partial) else {}
    hints = typing.get_type_hints(function, include_extras=True)
    said = {p.arg_name: p.description or "" for p in docstring_parser.parse(function.__doc__ or "").params}
    for name, parameter in inspect.signature(function).parameters.items():
        kind, marks = _bare(hints[name])
        default = bound.get(name, parameter.default)
        if isinstance(default, BaseModel):
            yield from _settings(default, name if "" not in marks else "")
            continue
        if tyro.conf.Positional in marks:
            yield Flag((name.replace("_", "-").upper(),), "", _said(said[name], default), "")
            continue
        pairs = kind is bool and tyro.conf.FlagCreatePairsOff not in marks
        repeated = tyro.conf.UseAppendAction in marks
        yield Flag(_names(name, "", pairs), _value(kind, repeated), _said(said[name], default, repeated), "")


def _settings(values: BaseModel, prefix: str) -> Iterator[Flag]:
    for name, field in type(values).model_fields.items():
        value, path = getattr(values, name), f"{prefix}.{name}" if prefix else name
        if isinstance(value, BaseModel):
            yield from _settings(value, path)
        elif isinstance(value, dict) and value:  # a flag an entry
            for key, entry in value.items():
                yield Flag(
                    (f"--{path}.{key}".replace("_", "-"),),
                    _value(type(entry)),
                    _said(field.description, entry),
                    prefix,
                )
        else:
            kind = field.annotation
            yield Flag(
                _names(name, prefix, kind is bool), _value(kind), _said(field.description, value), prefix
            )


def _bare(hint: Any) -> tuple[Any, list[Any]]:
    """A type without its annotations, and these; that of ``arg(name="")`` is the name."""
    if get_origin(hint) is not typing.Annotated:
        return hint, []
    kind, *marks = get_args(hint)
    return kind, [getattr(mark, "name", mark) for mark in marks]


def _names(name: str, prefix: str, pairs: bool) -> tuple[str, ...]:
    start = f"--{prefix}." if prefix else "--"
    names = [start + name] + ([f"{start}no-{name}"] if pairs else [])
    return tuple(n.replace("_", "-") for n in names)


def _value(kind: Any, repeated: bool = False) -> str:
    if kind is bool:
        return ""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "{" + ",".join(map(str, inside)) + "}"
    if origin in (typing.Union, types.UnionType):
        return "|".join(_value(one) for one in inside if one is not types.NoneType)
    if origin is tuple:
        return _value(inside[0]) if repeated else f"[{_value(inside[0])} ...]"
    if origin is dict:
        return "[" + " ".join(_value(one) for one in inside) + " ...]"
    return {str: "TEXT", Path: "PATH", int: "INT", float: "FLOAT"}[kind]


def _said(text: str | None, default: Any, repeated: bool = False) -> str:
    text = escaped(" ".join((text or "").split()))
    if default is inspect.Parameter.empty:
        return f"{text} **Required.**"
    if repeated or default is None or default == "" or default == () or default == {} or default is False:
        return text
    default = {True: "on"}.get(default, default) if isinstance(default, bool) else default
    return f"{text} Default: `{default}`."


def escaped(text: str) -> str:
    """Plain text as Markdown that shows it; commands in quotes and flags become code."""
    parts = re.split(r"'(archwalk [^']+)'|(?<![\w'-])(--[a-z][\w.-]*\w)", text)
    code = [f"`{a or b}`" for a, b in zip(parts[1::3], parts[2::3], strict=True)]
    plain = [re.sub(r"([\\`*_{}\[\]<>|$])", r"\\\1", part) for part in parts[::3]]
    return "".join(part for pair in zip(plain, [*code, ""], strict=True) for part in pair)


def pages() -> dict[str, str]:
    """Name of a page and its Markdown, one a verb of the first level; and ``index``."""
    app = command_line(load_preset(PRESET))
    made = {name: _page(name, target) for name, target in app.names.items()}
    listed = "\n".join(made)
    made["index"] = (
        "# Commands\n\n"
        "Every verb and every flag, from the code itself. `archwalk VERB --help` says the same, with "
        "the defaults of the preset that `--preset` names.\n\n"
        f"```{{toctree}}\n{listed}\n```\n"
    )
    return made


def _page(name: str, target: Verbs | Callable[..., None]) -> str:
    if not isinstance(target, Verbs):
        return f"# archwalk {name}\n\n" + _command(f"archwalk {name}", target, 2)
    parts = [f"# archwalk {name}\n\n{escaped(target.summary)}\n"]
    for full, command in target.leaves(f"archwalk {name}"):
        parts.append(f"## {full}\n\n" + _command(full, command, 3))
    return "\n".join(parts)


def _command(full: str, command: Callable[..., None], level: int) -> str:
    function = command.func if isinstance(command, partial) else command
    said = docstring_parser.parse(function.__doc__ or "")
    lines = [escaped(" ".join((said.short_description or "").split())), ""]
    if said.long_description:
        lines += [escaped(said.long_description), ""]
    lines += [f"```{{program}} {full}\n```", ""]
    flags = sorted(flags_of(command), key=lambda flag: flag.group != "")  # the command's own first
    if isinstance(command, partial):
        lines += [f"Defaults of settings are those of the preset `{PRESET}`.", ""]
    group = ""
    for flag in flags:
        if flag.group != group:
            group = flag.group
            lines += [f"{'#' * level} Settings `{group}`", ""]
        shown = ", ".join(f"{name} {flag.value}".strip() for name in flag.names)
        lines += [f"````{{option}} {shown}\n{flag.text}\n````", ""]
    if not flags:
        lines += ["No flags.", ""]
    return "\n".join(lines)
