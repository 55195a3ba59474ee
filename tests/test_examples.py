"""Every example runs as a user would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: object) -> str:
    command = [sys.executable, "-W", "error", EXAMPLES / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_own_table(tmp_path: Path) -> None:
    output = run("own_table.py", tmp_path)
    assert "75.0 %  4,64,attention,layer,gelu,mean" in output.splitlines()[-1]


def test_own_space() -> None:
    lines = run("own_space.py", 20).splitlines()
    assert lines[0].startswith("own-space: 6.5e+15 architectures")
    assert "best of 20 at random: top1 " in lines[-1]


def test_digits_search(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    out = tmp_path / "found.py"
    output = run("digits_search.py", "--budget", 3, "--epochs", 1, "--out", out)
    assert "best of 3 evaluations: 64-41414-" in output
    assert "class Network(nn.Sequential)" in out.read_text()


def test_every_example_is_tested() -> None:
    text = Path(__file__).read_text()
    assert all(f'"{file.name}"' in text for file in EXAMPLES.glob("*.py"))
