"""The hypervolume against counting cells of a grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archwalk.errors import SearchError
from archwalk.searching.pareto import hypervolume

pytest.importorskip("moocore")
points = st.lists(st.tuples(*[st.integers(-2, 5)] * 3), min_size=1, max_size=6)


@given(points)
def test_it_is_the_volume_that_points_dominate(drawn: list[tuple[int, int, int]]) -> None:
    cells = np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    covered = (np.array(drawn)[None] > cells).all(-1).any(1).sum()  # unit cells between 0 and 5 in each
    objectives = np.array([*drawn, (np.nan, 9, 9)], dtype=np.float64)
    assert hypervolume(objectives, [0, 0, 0]) == pytest.approx(float(covered))


def test_what_is_refused() -> None:
    assert hypervolume(np.full((2, 2), np.nan), [0, 0]) == 0.0
    with pytest.raises(SearchError, match="reference of 2 numbers"):
        hypervolume(np.zeros((1, 2)), [0])
