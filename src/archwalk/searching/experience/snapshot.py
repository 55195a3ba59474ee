"""The experience that a search began with, kept in its folder.

In: what a user names, and a function that reads it. Out: the sources, read once and from then on from the
folder, so that a search that was killed suggests what it would have suggested, even if an earlier search went
on meanwhile or a file is gone. Next: ``Problem.with_experience``.

    experience.json         what was named, and what came of it: names, counts, checksums
    experience.safetensors  the sources
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from archwalk.errors import ArchwalkError, SearchError
from archwalk.files import write_atomically
from archwalk.searching.experience.fitting import Known
from archwalk.searching.experience.source import Source

SAID, SOURCES = "experience.json", "experience.safetensors"


@dataclass(frozen=True)
class Experience:
    """Sources as a folder keeps them.

    Attributes:
        given: what was named; None: nothing was, and these come with the package.
        sources: what came of it.
        said: a line for each thing named.
    """

    given: tuple[str, ...] | None
    sources: tuple[Source, ...]
    said: tuple[str, ...]

    def keep(self, folder: Path) -> None:
        """Write both files, unless there is nothing to keep or they are there."""
        if not self.sources or (folder / SAID).exists():
            return
        arrays: dict[str, Any] = {}
        for i, source in enumerate(self.sources):
            arrays[f"{i}/codes"] = np.ascontiguousarray(source.codes)
            arrays[f"{i}/values"] = np.ascontiguousarray(source.values)
        content = save(arrays)
        said = {
            "given": self.given,
            "said": self.said,
            "sources": [
                {"name": s.name, "architectures": len(s), "checksum": checksum(s), "column": s.column}
                for s in self.sources
            ],
            "checksum": hashlib.sha256(content).hexdigest(),
        }
        write_atomically(folder / SOURCES, content)
        write_atomically(folder / SAID, json.dumps(said, indent=2).encode())


def checksum(source: Source) -> str:
    """SHA-256 of the architectures and their values."""
    digest = hashlib.sha256(np.ascontiguousarray(source.codes, dtype="<i2").tobytes())
    digest.update(np.ascontiguousarray(source.values, dtype="<f8").tobytes())
    return digest.hexdigest()


def settle(
    folder: Path, given: Sequence[str] | None, begun: bool, read: Callable[[], list[Known]]
) -> Experience:
    """The experience of a search that begins, or that goes on in its folder.

    Args:
        folder: of the search.
        given: what is named now; None: nothing is, so that ``read`` gives what comes with the package.
        begun: whether the folder has evaluations.
        read: reads what is named.

    Raises:
        ArchwalkError: the search began with other experience, its files are damaged, or what ``read`` raises.
    """
    asked = None if given is None else tuple(given)
    if not (folder / SAID).exists():
        if begun and not asked:
            return Experience(asked, (), ())
        if begun:
            raise _changed(folder, (), asked)
        return _fresh(asked, read())
    there = kept(folder)
    if there.given == asked:
        return there
    if not asked or there.given is None or len(there.given) != len(asked):
        raise _changed(folder, there.given, asked)
    try:
        now = _fresh(asked, read())  # the same by another path?
    except ArchwalkError as error:
        raise _changed(folder, there.given, asked) from error
    if list(map(checksum, now.sources)) != list(map(checksum, there.sources)):
        raise _changed(folder, there.given, asked)
    return there


def _fresh(given: tuple[str, ...] | None, known: Sequence[Known]) -> Experience:
    return Experience(given, tuple(s for k in known for s in k.sources), tuple(k.said for k in known))


def _changed(folder: Path, there: Sequence[str] | None, asked: Sequence[str] | None) -> SearchError:
    def named(given: Sequence[str] | None) -> str:
        return "what comes with the package" if given is None else ", ".join(given) or "none"

    return SearchError(
        f"the experience that the search in {folder} began with: {named(there)}",
        named(asked),
        "repeat the command that began it, or choose another --out",
    )


def kept(folder: Path) -> Experience:
    """The experience that a search in a folder began with. Raises ``SearchError`` if it is damaged."""
    try:
        said = json.loads((folder / SAID).read_bytes())
        content = (folder / SOURCES).read_bytes()
        if hashlib.sha256(content).hexdigest() != said["checksum"]:
            raise ValueError(f"the checksum of {SOURCES} does not fit")
        arrays = load(content)
        sources = tuple(
            Source(
                str(entry["name"]), arrays[f"{i}/codes"], arrays[f"{i}/values"], str(entry.get("column", ""))
            )
            for i, entry in enumerate(said["sources"])
        )
        given = said["given"]
        return Experience(None if given is None else tuple(given), sources, tuple(said["said"]))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise SearchError(
            f"the experience of an earlier search, intact, in {folder}",
            f"{SAID}: {type(error).__name__}: {error}",
            "restore it, or choose another --out; the files were left as they are",
        ) from error
