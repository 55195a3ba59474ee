"""The agents that come with the package, by name.

In: ``box:NAME``, or a file. Out: an ``InContextAgent``. Next: the method ``in-context``, and what a search
knows
beforehand.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from archwalk.errors import SearchError, unknown
from archwalk.searching.incontext.agent import InContextAgent, load_agent_file
from archwalk.spaces.base import SearchSpace

PREFIX, SUFFIX = "box:", ".safetensors"
FOLDER = Path(str(resources.files(__package__) / "box"))


def boxed() -> dict[str, Path]:
    """Name → file of every agent that comes with the package."""
    return {path.stem: path for path in sorted(FOLDER.glob(f"*{SUFFIX}"))}


def path_of(given: str | Path) -> Path:
    """The file of an agent.

    Args:
        given: ``box:NAME``, a name in the box, or a file.

    Raises:
        SearchError: no agent of that name.
    """
    text = str(given)
    name = text.removeprefix(PREFIX)
    if text.startswith(PREFIX) or (name in boxed() and not Path(text).exists()):
        if name not in boxed():
            raise SearchError(*unknown("agent in the box", name, boxed()))
        return boxed()[name]
    return Path(text)


def is_agent(given: object) -> bool:
    """Whether a user means an agent of this kind: ``box:NAME``, or a file with its suffix."""
    text = str(given)
    return text.startswith(PREFIX) or text.endswith(SUFFIX)


@cache
def _read(path: Path, changed: int) -> InContextAgent:
    return load_agent_file(path)


def open_agent(given: str | Path) -> InContextAgent:
    """An agent by name or file; read once, until the file changes.

    Raises:
        SearchError: see ``path_of`` and ``load_agent_file``.
    """
    path = path_of(given)
    changed = path.stat().st_mtime_ns if path.exists() else 0
    return _read(path.resolve(), changed)


def agent_for(space: SearchSpace) -> InContextAgent | None:
    """The agent in the box that was trained on a space; None if none was."""
    for path in boxed().values():
        agent = open_agent(path)
        if agent.trained_on(space):
            return agent
    return None
