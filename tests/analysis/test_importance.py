"""Importances of slots, where it is known which slot decides."""

from __future__ import annotations

import numpy as np
import pytest

from archwalk.analysis.importance import LEAST, slot_importance


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    g = np.random.default_rng(0)
    codes = g.integers(0, 3, size=(60, 4)).astype(np.int16)
    codes[:, 2] = 1  # the same throughout
    codes[:, 3] = np.where(codes[:, 0] == 0, -1, codes[:, 3])  # there only under some choices of slot 0
    return codes


def test_the_slot_that_decides_is_found(codes: np.ndarray) -> None:
    noise = np.random.default_rng(1).normal(size=len(codes))
    values = 5.0 * codes[:, 1] + 0.3 * noise
    found = slot_importance(codes, values)
    assert found is not None
    assert found.explained > 0.7
    assert found.architectures == 60
    assert np.nanargmax(found.mean) == 1
    assert found.low[1] > 0.5
    assert np.isnan(found.mean[2])
    for s in (0, 3):
        assert found.low[s] < 0.05
        assert found.low[s] < found.mean[s] < found.high[s]
    again = slot_importance(codes, np.exp(values))  # only the order of the values counts
    assert again is not None
    np.testing.assert_array_equal(again.mean, found.mean)


def test_of_noise_nothing_is_said_to_matter(codes: np.ndarray) -> None:
    found = slot_importance(codes, np.random.default_rng(2).normal(size=len(codes)))
    assert found is not None
    assert found.explained < 0.1
    assert (found.low[np.isfinite(found.low)] < 0).all()


def test_too_little_to_say_anything(codes: np.ndarray) -> None:
    values = np.arange(60.0)
    assert slot_importance(codes[: LEAST - 1], values[: LEAST - 1]) is None
    assert slot_importance(codes, np.ones(60)) is None
    assert slot_importance(np.zeros((60, 3), np.int16), values) is None
