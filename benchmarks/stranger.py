"""A stranger's hour: every tutorial typed as it stands, with the wheel alone, in an empty folder.

    python benchmarks/stranger.py [--short] [--pages table,method] [--out FOLDER]

The wheel is built, and for each set of extras that tutorials ask for there is a virtual environment with it
and these extras, versions by constraints.txt. Nothing of the repository is on its path. Each page's files
are saved, its commands given to bash, its promises looked for in what is printed (``tests/docs/typed.py``).
``--short`` sets the variables that a page names as short ones. Prints a line a page; exit status 1 where one
stumbled.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.docs.typed import Block, blocks, missing, short  # noqa: E402

PAGES = ("table", "space", "method", "algorithm", "paper", "evaluator", "images", "cluster")


def made_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def extras_of(page: Path) -> str:
    """``[fit,onnx]``, or nothing: what a page says to install beside the package."""
    (asked,) = re.findall(r"^pip install '?archwalk(\[[\w,-]+\])?'?$", page.read_text("utf-8"), re.MULTILINE)
    return str(asked)


def environment(folder: Path, wheel: Path, extras: str) -> Path:
    """The programs of a clean virtual environment; made once a set of extras."""
    place = folder / ("venv" + re.sub(r"\W", "-", extras))
    if not place.exists():
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        pip = [place / "bin/python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt"]
        subprocess.run([*pip, f"{wheel}{extras}"], check=True)
        print(f"installed archwalk{extras} in {time.monotonic() - began:.0f} s", flush=True)
    return place / "bin"


def stumbles(page: Path, folder: Path, programs: Path, given: dict[str, str]) -> list[str]:
    """What did not go as the page says; it ends at the first command that fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
    clean |= given | {"PATH": f"{programs}:{clean['PATH']}"}
    output, found = "", list[str]()
    for block in blocks(page):
        where = f"{page.name}, line {block.line}"
        if block.kind == "file":
            (folder / block.name).write_text(block.text, "utf-8")
        elif block.kind == "text":
            if (lost := missing(block.text, output)) is not None:
                found.append(f"{where}: {lost!r} is not in\n{output[-3000:]}")
        else:
            done = subprocess.run(
                typed(block),
                cwd=folder,
                env=clean,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            output = done.stdout
            if done.returncode:
                return [*found, f"{where}: exit status {done.returncode}\n{block.text}\n{output[-3000:]}"]
    return found


def typed(block: Block) -> list[str]:
    if block.kind == "python":
        return ["python", "-c", block.text]
    lines = [line for line in block.text.splitlines() if not line.startswith("pip install ")]
    return ["bash", "-ec", "\n".join(lines)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="with the variables that pages name as short")
    parser.add_argument("--pages", default=",".join(PAGES), help="some of them, as a,b")
    parser.add_argument("--out", type=Path, help="where environments and folders are kept; else nothing is")
    args = parser.parse_args()
    place = args.out or Path(tempfile.mkdtemp())
    place.mkdir(parents=True, exist_ok=True)
    failed = 0
    try:
        shutil.rmtree(place / "wheel", ignore_errors=True)
        wheel = made_wheel(place / "wheel")
        for name in args.pages.split(","):
            page, folder = ROOT / f"docs/tutorials/{name}.md", place / name
            programs = environment(place, wheel, extras_of(page))
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            began = time.monotonic()
            found = stumbles(page, folder, programs, short(page) if args.short else {})
            failed += bool(found)
            said = "as it says" if not found else "STUMBLED"
            print(f"{name:10} {time.monotonic() - began:6.0f} s  {said}", *found, sep="\n", flush=True)
    finally:
        if args.out is None:
            shutil.rmtree(place)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
