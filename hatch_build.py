"""The README as a package index can show it, whose pages have no files beside them; the project's address.

In: README.md, and ``url`` of ``[tool.hatch.metadata.hooks.custom]`` in pyproject.toml, where the repository
is published. Out: ``readme`` and ``urls`` of the metadata. With an address relative links become absolute;
without one they become plain text, and pictures their captions.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?)\[([^\]]+)\]\((?![a-z]+:|#)([^)\s]+)\)")


def portable(text: str, url: str) -> str:
    """Markdown without relative links.

    Args:
        text: with links as the repository has them.
        url: of the repository, without a slash at its end; empty: not known.
    """

    def written(match: re.Match[str]) -> str:
        picture, label, target = match.groups()
        if url:
            return f"{picture}[{label}]({url}/{'raw' if picture else 'blob'}/HEAD/{target})"
        if picture:
            return f"*{label}* (`{target}`)"
        return label if label == target else f"{label} (`{target}`)"

    return _LINK.sub(written, text)


class ReadmeHook(MetadataHookInterface):
    """Called by the build, by its name in pyproject.toml."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put readme and addresses into the metadata."""
        url = str(self.config.get("url", "")).rstrip("/")
        text = portable((Path(self.root) / "README.md").read_text("utf-8"), url)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        if url:
            changes = f"{url}/blob/HEAD/CHANGELOG.md"
            metadata["urls"] = {"Source": url, "Issues": f"{url}/issues", "Changelog": changes}
