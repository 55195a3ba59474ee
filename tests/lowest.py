"""The lowest versions that pyproject.toml declares, as constraints for pip: for ``make test-lowest``.

    python tests/lowest.py > lowest.txt

Left out is what constraints.txt pins: torch among others, of which no second build is downloaded.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?>=([0-9.]+)(?:;.*)?")


def lowest() -> dict[str, str]:
    """Package → the lowest version that every list allows. Fails for a requirement without one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    found: dict[str, str] = {}
    for requirement in _requirements(project):
        match = _REQUIREMENT.fullmatch(requirement.replace(" ", ""))
        if match is None:
            raise SystemExit(f"{requirement!r}: write it as NAME>=VERSION")
        name, version = match.groups()
        if name not in pinned:
            found[name] = max(found.get(name, "0"), version, key=lambda v: [int(p) for p in v.split(".")])
    return found


def _requirements(project: dict[str, dict[str, list[str]]]) -> Iterator[str]:
    yield from project["dependencies"]
    for group in project["optional-dependencies"].values():
        yield from (requirement for requirement in group if not requirement.startswith("archwalk["))


if __name__ == "__main__":
    print("\n".join(f"{name}=={version}" for name, version in sorted(lowest().items())))
