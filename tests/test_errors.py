"""Messages fit a screen, and keep the reason."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from archwalk.errors import MOST, BenchmarkError, enumerated, reason, shortened, unknown


@given(st.text(max_size=4_000), st.integers(60, 3_000))
def test_a_long_text_keeps_its_beginning_and_its_end(text: str, most: int) -> None:
    short = shortened(text, most)
    assert len(short) <= most
    if len(text) <= most:
        assert short == text
    else:
        assert short.startswith(text[:10])
        assert short.endswith(text[-10:])


def test_every_part_of_a_message_is_bounded() -> None:
    error = BenchmarkError("e" * 100_000, "g" * 100_000 + "the reason", "r" * 100_000)
    assert len(str(error)) < 3 * MOST + 100
    assert error.got.endswith("the reason")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    many = BenchmarkError(*unknown("slot", "x", (f"slot{i}" for i in range(10_000))))
    assert len(str(many)) < 2_000
    assert "10,000 in all" in str(many)


def test_the_reason_of_a_library_is_all_of_its_lines() -> None:
    assert reason(RuntimeError("Error(s) in loading:\n\tMissing key(s): 'a'")).endswith("Missing key(s): 'a'")
    assert reason(KeyError()) == "KeyError"
    assert enumerated(["a", "b"]) == "a, b"
