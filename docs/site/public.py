"""Pages of the Python interface, one a module: what docs/api.md calls public, from the docstrings.

In: the table of docs/api.md. Out: Markdown with the directives of autodoc. Next: ``build.py``.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path


def public_names(page: Path) -> dict[str, list[str]]:
    """Module → its public names, as docs/api.md lists them."""
    rows = re.findall(r"^\| `(archwalk[\w.]*)` \| (`.*) \|$", page.read_text("utf-8"), re.MULTILINE)
    return {module: re.findall(r"`(\w+)`", names) for module, names in rows}


def pages(page: Path) -> dict[str, str]:
    """Name of a page and its Markdown; and ``index``. What is public in two places stands at the first."""
    first: dict[int, str] = {}
    made = {}
    for module, names in public_names(page).items():
        imported = importlib.import_module(module)
        said = (imported.__doc__ or "").strip().partition("\n")[0]
        parts = [
            f"# {module}\n",
            f"```{{eval-rst}}\n{said}\n```\n",
            f"```{{py:currentmodule}} {module}\n```\n",
        ]
        for name in names:
            found = getattr(imported, name)
            before = first.setdefault(id(found), f"{module}.{name}")
            kind = _kind(found)
            if before != f"{module}.{name}":
                parts.append(f"`{name}` is {{py:obj}}`{before}`.\n")
            else:
                parts.append(f"```{{eval-rst}}\n.. {kind}:: {module}.{name}\n```\n")
        made[module] = "\n".join(parts)
    listed = "\n".join(made)
    made["index"] = (
        "# Python\n\nWhat is public, by module; [what that promises](../../docs/api.md).\n\n"
        f"```{{toctree}}\n{listed}\n```\n"
    )
    return made


def _kind(found: object) -> str:
    if isinstance(found, type):
        return "autoexception" if issubclass(found, Exception) else "autoclass"
    return "autofunction" if callable(found) and hasattr(found, "__code__") else "autodata"
