"""The tutorial of the cluster, typed as it stands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.docs.test_tutorials import run_page


def test_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    run_page("cluster", tmp_path)
