"""Every tutorial runs as it stands: what it saves, types and promises.

Commands of archwalk run in this process, which has imported everything; all others in a shell. Variables have
the values that the page itself names as short ones.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from archwalk.cli import main
from archwalk.fitting import plan, verbs
from tests.docs.typed import blocks, missing, short
from tests.fitting.data import Stepping

PAGES = Path(__file__).parents[2] / "docs/tutorials"
HERE = [page.stem for page in sorted(PAGES.glob("*.md")) if page.stem not in ("index", "cluster")]


def run_page(name: str, folder: Path) -> None:
    """Do what a page says, in ``folder``; every promise is looked at."""
    page = PAGES / f"{name}.md"
    given, typed, output, promises = short(page), "", "", 0
    for block in blocks(page):
        where = f"{page.name}, line {block.line}"
        if block.kind == "file":
            (folder / block.name).write_text(block.text)
        elif block.kind == "text":
            promises += 1
            assert (lost := missing(block.text, output)) is None, f"{where}: {lost!r} is not in\n{output}"
        elif block.kind == "python":
            output = in_python(block.text, folder)
        else:
            output = in_shell(typed := block.text, folder, given)
    assert typed
    assert promises


def in_python(text: str, folder: Path) -> str:
    command = [sys.executable, "-W", "error", "-c", text]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def in_shell(text: str, folder: Path, given: dict[str, str]) -> str:
    """The output of some lines: those of archwalk here, others by the shell."""
    said = []
    for line in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"\$\{(\w+):-[^}]*\}|\$(\w+)", lambda found: given[found[1] or found[2]], line)
        words = shlex.split(line)
        if words[:2] == ["pip", "install"] or re.fullmatch(r"[A-Z]+=\S+", line):
            continue  # what is installed is a matter of benchmarks/stranger.py
        if words[0] == "archwalk":
            said.append(printed(words[1:]))
        else:
            environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            done = subprocess.run(
                ["bash", "-ec", line], cwd=folder, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            said.append(done.stdout)
    return "\n".join(said)


def printed(arguments: list[str]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        main(arguments)
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, in which modules are found as in that of a command; forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("name", HERE)
def test_a_tutorial(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "images":  # a clock that goes by steps, in place of minutes
        monkeypatch.setattr(verbs, "fit", partial(verbs.fit, clock=Stepping(monkeypatch, 0.0625)))
        monkeypatch.setattr(plan, "SHORTEST", 3)
    run_page(name, folder)


def test_a_broken_promise_is_seen() -> None:
    output = "one: 1.25 s\nbest  64-41414-3_33_333   top1 98\n"
    assert missing("one: … s\nbest 64-41414-… top1 …", output) is None
    assert missing("best 64-41414-… top1 …\none: … s", output) == "one: … s"  # in this order
    assert missing("best 64-41415", output) == "best 64-41415"
    assert missing("one: 1.35 s", output) == "one: 1.35 s"


def test_a_line_that_fails_is_seen(folder: Path) -> None:
    with pytest.raises(AssertionError, match=r"nothing\.py"):
        in_shell("python nothing.py", folder, {})
    with pytest.raises(SystemExit):
        in_shell("archwalk data check nothing", folder, {})
