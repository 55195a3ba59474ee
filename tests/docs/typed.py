"""Pages of Markdown as somebody who types them: files to be saved, commands to be given, what is promised.

A page's fences: ``sh`` is typed, line by line; ``text`` below it is what the output has, in this order, where
``…`` stands for anything; ``python`` is typed into Python, or saved where the paragraph above ends with
``as `NAME`:``. A comment ``<!-- include FILE -->`` is a file to be saved under its own name; the site
shows its text. Fences of `toml` and without a name are not typed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Block(NamedTuple):
    """One thing to do.

    Attributes:
        kind: ``file``, ``sh``, ``python`` or ``text``.
        text: its lines.
        name: of a file.
        line: where it begins in the page.
    """

    kind: str
    text: str
    name: str
    line: int


FENCE = re.compile(r"^```(\w*)\n(.*?)^```$|^<!-- include (\S+) -->$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"as\s+`([\w./-]+)`[^`]*:\s*$")


def blocks(page: Path) -> list[Block]:
    """What a page has somebody do, in order."""
    text, found, end = page.read_text("utf-8"), list[Block](), 0
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match[3]:
            file = page.parent / match[3]
            found.append(Block("file", file.read_text("utf-8"), file.name, line))
        elif match[1] == "python" and (saved := SAVED.search(text[end : match.start()].rstrip())):
            found.append(Block("file", match[2], saved[1], line))
        elif match[1] and match[1] != "toml":
            assert match[1] in ("sh", "python", "text"), f"{page}, line {line}: a fence of {match[1]}"
            found.append(Block(match[1], match[2], "", line))
        end = match.end()
    return found


def missing(promised: str, output: str) -> str | None:
    """The first promised line that the output does not have after those before it; None where it has all."""
    there = [" ".join(line.split()) for line in output.splitlines()]
    at = 0
    for line in promised.splitlines():
        wanted = re.compile(".*".join(re.escape(part) for part in " ".join(line.split()).split("…")))
        while at < len(there) and not wanted.search(there[at]):
            at += 1
        if at == len(there):
            return line
        at += 1
    return None


def short(page: Path) -> dict[str, str]:
    """The variables by which a page says that it becomes short, as ``NAME=value`` in its text."""
    prose = FENCE.sub("", page.read_text("utf-8"))
    return dict(re.findall(r"`([A-Z]+)=([\w.,]+)`", prose))
