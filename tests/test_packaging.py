"""What is published: a small source distribution, a whole wheel, a README without dead links."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest
from hatch_build import portable

from tests.lowest import lowest

ROOT = Path(__file__).parents[1]


def build(folder: Path, out: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", out], cwd=folder, check=True, capture_output=True
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Source distribution and wheel."""
    out = tmp_path_factory.mktemp("dist")
    build(ROOT, out)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


def names_in(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def metadata_of(wheel: Path) -> Message:
    archive = zipfile.ZipFile(wheel)
    (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(archive.read(name))


def test_the_wheel_has_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    source = ROOT / "src"
    files = {
        str(file.relative_to(source))
        for file in (source / "archwalk").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert names_in(built[1]) == files
    assert {"archwalk/py.typed", "archwalk/datasets/digits/digits.parquet"} <= files
    assert built[1].stat().st_size < 3e6  # of these 1.2e6 are the agent in the box


def test_the_source_distribution_is_small_and_makes_the_same_wheel(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    sdist, wheel = built
    assert sdist.stat().st_size < 3.5e6
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(tmp_path, filter="data")
    assert not any(name.startswith(("docs/results", "docs/images", ".ci", "runs")) for name in names)
    assert {
        "LICENSE",
        "CHANGELOG.md",
        "README.md",
        "hatch_build.py",
        "tests/conftest.py",
        "Makefile",
    } <= names
    (folder,) = tmp_path.iterdir()
    build(folder, tmp_path / "again")
    (again,) = (tmp_path / "again").glob("*.whl")
    assert names_in(again) == names_in(wheel)
    assert metadata_of(again).as_string() == metadata_of(wheel).as_string()


def test_what_a_package_index_shows(built: tuple[Path, Path]) -> None:
    metadata = metadata_of(built[1])
    said = metadata.get_payload()
    assert "pip install archwalk" in said
    assert not re.search(r"\]\((?!https://)", said)  # every link leads somewhere
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    classifiers = metadata.get_all("Classifier")
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in range(11, 15)} <= set(classifiers)
    assert project["requires-python"] == metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"


def test_links_into_the_repository() -> None:
    text = "[docs/a.md](docs/a.md), [the page](docs/a.md#b), ![A picture](docs/p.png), [x](https://e.org) [y](#z)"  # noqa: E501
    assert portable(text, "") == (
        "docs/a.md, the page (`docs/a.md#b`), *A picture* (`docs/p.png`), [x](https://e.org) [y](#z)"
    )
    assert portable(text, "https://h/o/r") == (
        "[docs/a.md](https://h/o/r/blob/HEAD/docs/a.md), [the page](https://h/o/r/blob/HEAD/docs/a.md#b), "
        "![A picture](https://h/o/r/raw/HEAD/docs/p.png), [x](https://e.org) [y](#z)"
    )


def test_links_of_the_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_requirement_has_a_lowest_version() -> None:
    floors = lowest()
    assert floors["tyro"] == "1.0.14"  # below it dies of --help
    assert "torch" not in floors  # pinned: one build alone is tried
