"""Make the site: ``python docs/site/build.py FOLDER``, or ``make docs``. Warnings are errors; all is local.

In: the Markdown of the repository as it is, the command line, the docstrings. Out: a folder of HTML pages,
which a browser opens from the disk. The pages are laid out in a temporary folder as they lie in the
repository, so that links between them, to source files and to pictures are the same in both places.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

import flags
import public
from citing import citing
from sphinx.cmd.build import build_main

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "examples", "benchmarks")  # pages, and what they link to
LANGUAGES = {".py": "python", ".toml": "toml"}
FILES = (
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "constraints.txt",
    "README.md",
    "SECURITY.md",
)


def lay_out(folder: Path) -> None:
    """Every page and what it links to, in ``folder``."""
    folder.mkdir()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(ROOT / name, folder)
    shutil.copy2(ROOT / "docs/site/index.md", folder)
    for page in (folder / "docs").rglob("*.md"):
        page.write_text(with_files(page.read_text("utf-8"), page.parent), "utf-8")
    reference = folder / "reference"
    made = {f"commands/{name}": text for name, text in flags.pages().items()}
    made |= {f"python/{name}": text for name, text in public.pages(ROOT / "docs/api.md").items()}
    made["citing"] = citing(ROOT / "CITATION.cff")
    for name, text in made.items():
        (reference / name).parent.mkdir(parents=True, exist_ok=True)
        (reference / f"{name}.md").write_text(text, "utf-8")


def with_files(text: str, folder: Path) -> str:
    """Markdown with the text of FILE, named as in links, in the place of ``<!-- include FILE -->``."""

    def shown(match: re.Match[str]) -> str:
        file = folder / match[1]
        return f"```{LANGUAGES[file.suffix]}\n{file.read_text('utf-8')}```"

    return re.sub(r"<!-- include (\S+) -->", shown, text)


def main(out: Path) -> int:
    """The whole site. Returns the exit status of Sphinx, 0 where all is well."""
    with tempfile.TemporaryDirectory() as place:
        lay_out(folder := Path(place) / "pages")
        return build(folder, out)


def build(folder: Path, out: Path) -> int:
    """HTML of a folder of pages that has an ``index.md``. Returns the exit status of Sphinx."""
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as trees:
        config = str(Path(__file__).parent)
        quiet = ["-q", "-W", "--keep-going", "-b", "html"]
        return build_main([*quiet, "-c", config, "-d", trees, str(folder), str(out)])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/site/build.py FOLDER")
    status = main(Path(sys.argv[1]))
    if status == 0:
        print(f"{sys.argv[1]}/index.html")
    sys.exit(status)
