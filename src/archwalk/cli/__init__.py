"""The command line: one typed configuration a verb. Next: ``entry`` runs it."""

from archwalk.cli.entry import main

__all__ = ["main"]
