"""The page on how to cite, made of CITATION.cff.

In: that file. Out: Markdown with entries for BibTeX. Next: ``build.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def citing(file: Path) -> str:
    """The page as Markdown."""
    card = yaml.safe_load(file.read_text("utf-8"))
    entries = [_entry(card), *map(_entry, card["references"])]
    blocks = "\n".join(f"```bibtex\n{entry}\n```\n" for entry in entries)
    return (
        f"# How to cite\n\n{card['message']} What the preset is: [the paper](../docs/paper.md). Name the "
        "version (`archwalk --version`), the preset or method, the benchmark with its protocol, and the "
        f"number of seeds.\n\n{blocks}\nThe same for programs: [CITATION.cff](../CITATION.cff). Methods "
        "of others that you use are theirs: `archwalk methods` says the publication of each.\n"
    )


def _entry(work: dict[str, Any]) -> str:
    authors = [author.get("family-names") or f"{{{author['name']}}}" for author in work["authors"]]
    fields = {"title": f"{{{work['title']}}}", "author": " and ".join(authors)}
    fields |= {"version": work["version"]} if "version" in work else {}
    kind = "article" if work["type"] == "article" else "software"
    key = authors[0].lower() if kind == "article" else "archwalk"
    return f"@{kind}{{{key},\n" + "".join(f"  {name} = {{{text}}},\n" for name, text in fields.items()) + "}"
