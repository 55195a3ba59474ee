"""What docs/api.md calls public is there, says what it is, and is all that its modules export."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs/api.md").read_text()
TABLE = {
    module: re.findall(r"`(\w+)`", names)
    for module, names in re.findall(r"^\| `(archwalk[\w.]*)` \| (`.*) \|$", PAGE, re.MULTILINE)
}


def test_there_are_modules() -> None:
    assert len(TABLE) > 15


@pytest.mark.parametrize("name", TABLE)
def test_the_public_names(name: str) -> None:
    module = importlib.import_module(name)
    assert sorted(module.__all__) == TABLE[name]
    for public in TABLE[name]:
        found = getattr(module, public)
        assert found.__doc__ or public == "Policy", public  # an alias has none
        if isinstance(found, type):  # a docstring of its own, not that of dict or Exception
            assert "__doc__" in vars(found), public
