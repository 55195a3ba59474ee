"""Every example runs as a user would run it: here, or in the tutorial that includes it (``tests/docs``)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from archwalk.cli import main
from archwalk.spaces import open_space

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: object) -> str:
    command = [sys.executable, "-W", "error", EXAMPLES / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_own_space_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function by name, which asks for a mapping, and a command, which gets the string."""
    monkeypatch.chdir(EXAMPLES)
    given = ["search", "--space", "own_space.toml", "--method", "gp", "--budget", "7", "--json"]
    by_name = ["--evaluator", "own_space:evaluate", "--metric", "top1", "--out", str(tmp_path / "a")]
    main([*given, *by_name])
    result = json.loads((tmp_path / "a" / "result.json").read_text())
    space = open_space("own_space.toml")
    assert result["ok"] == 7
    assert all(space.parse(e["architecture"]) and e["params"] > 0 for e in result["looks"])
    script = tmp_path / "train.sh"
    script.write_text("""echo "training $1"; echo "{\\"length\\": ${#1}}"\n""")
    main([*given, "--command", f"sh {script} {{}}", "--metric", "length", "--out", str(tmp_path / "b")])
    result = json.loads((tmp_path / "b" / "result.json").read_text())
    assert result["value"] == max(len(e["architecture"]) for e in result["looks"])


def test_ask_and_tell(tmp_path: Path) -> None:
    lines = run("ask_and_tell.py", tmp_path / "o", 20).splitlines()
    assert lines[0].startswith("best of 20, ")
    assert float(lines[1].split()[1]) <= 4
    assert run("ask_and_tell.py", tmp_path / "o", 20).splitlines() == lines  # nothing is left to do


def test_digits_search(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    out = tmp_path / "found.py"
    output = run("digits_search.py", "--budget", 3, "--epochs", 1, "--out", out)
    assert "best of 3 evaluations: 64-41414-" in output
    assert "class Network(nn.Sequential)" in out.read_text()


def test_every_example_is_tested() -> None:
    pages = (EXAMPLES.parent / "docs/tutorials").glob("*.md")
    text = "".join(page.read_text() for page in pages) + Path(__file__).read_text()
    for file in EXAMPLES.glob("*.py"):
        assert f'"{file.name}"' in text or f"<!-- include ../../examples/{file.name} -->" in text, file
