"""What every page of the package shares: how templates are read, pictures set in, versions named.

In: templates and values. Out: text that a browser shows without loading anything. Next: ``html``,
``searches`` and ``watching``.
"""

from __future__ import annotations

import base64
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2

from archwalk import __version__
from archwalk.reporting.data import format_number

REPORT = "report.html"
LIBRARIES = ("torch", "numpy", "polars", "scipy", "matplotlib")


def render(template: str, **values: Any) -> bytes:
    """A template of the package with its values, every one of them escaped, as UTF-8."""
    # Half a pair, as broken text has, is no UTF-8.
    return _environment().get_template(template).render(**values).encode("utf-8", "replace")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("archwalk.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = format_number
    return environment


def image(content: Path | str) -> str:
    """An SVG, as a file or as text, as an address that holds it whole."""
    data = content.read_bytes() if isinstance(content, Path) else content.encode()
    return "data:image/svg+xml;base64," + base64.b64encode(data).decode()


def versions() -> dict[str, str]:
    """What a report was made with."""
    libraries = {name: metadata.version(name) for name in LIBRARIES}
    return {"archwalk": __version__, "Python": platform.python_version()} | libraries
