"""``python -m archwalk.benchmark.digits build|verify|card``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from archwalk.benchmark.digits.build import build
from archwalk.benchmark.digits.verify import verify
from archwalk.errors import ArchwalkError


@dataclass(frozen=True)
class Build:
    """Train and score all cells on all tasks; resumes where it was stopped."""

    out: Path = Path("digits.parquet")
    """The table's file."""
    work_dir: Path = Path("runs/digits")
    """Results as they come."""
    tasks: tuple[str, ...] = ()
    """Some tasks only."""
    jobs: int = 1
    """Processes."""
    device: str | None = None
    """cpu or cuda; cuda where there is one."""
    seeds: int = 1
    """Seeds for the first 104 groups."""
    limit: int | None = None
    """Measure this many groups only."""

    def run(self) -> int:
        """0."""
        benchmark = build(
            self.out,
            work_dir=self.work_dir,
            tasks=self.tasks or None,
            jobs=self.jobs,
            device=self.device,
            seeds=self.seeds,
            limit=self.limit,
        )
        print(f"{benchmark!r} → {self.out}")
        return 0


@dataclass(frozen=True)
class Verify:
    """Train random rows of the shipped table again and compare."""

    sample: int = 5
    """Rows."""
    seed: int = 0
    """Which rows."""

    def run(self) -> int:
        """0 if all rows agree, else 1."""
        report = verify(self.sample, seed=self.seed)
        print(report)
        return 0 if report.agrees else 1


@dataclass(frozen=True)
class Card:
    """Draw the data card's figures and print its numbers."""

    out: Path = Path("docs/images")
    """Folder for the figures."""

    def run(self) -> int:
        """0."""
        from archwalk.benchmark.digits.card import make_card  # needs matplotlib

        print(make_card(self.out))
        return 0


def main() -> int:
    """Run a command; an ``ArchwalkError`` is printed and ends with status 2."""
    command = tyro.cli(
        Annotated[Build, tyro.conf.subcommand("build")]
        | Annotated[Verify, tyro.conf.subcommand("verify")]
        | Annotated[Card, tyro.conf.subcommand("card")]
    )
    try:
        return int(command.run())
    except ArchwalkError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
