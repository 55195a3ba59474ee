"""A small part of ``benchmarks/fuzz.py``, which tries a thousand inputs and more."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FOLDER = str(Path(__file__).parents[1] / "benchmarks")


def test_strange_inputs_are_refused_or_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    sys.modules.pop("fuzz", None)
    import fuzz

    said: list[str] = []
    counts = fuzz.fuzz(60, 1234, said.append)
    assert said == []
    assert sum(counts.values()) == 60
    for kind in fuzz.KINDS:  # both happen in every kind
        assert counts[f"{kind}: right"] > 0
        assert counts[f"{kind}: refused"] > 0


def test_a_wrong_answer_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    import fuzz

    monkeypatch.setattr(fuzz, "metrics_of", lambda answer: {"acc": 17.0})
    assert fuzz.fuzz(20, 0, lambda text: None)["answer: fault"] > 0
