"""Ranks against scipy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from archwalk.analysis.ranks import ranks


@given(st.lists(st.one_of(st.sampled_from([0.0, -1.0, 2.5, np.inf, -np.inf]), st.floats(allow_nan=False))))
def test_ranks_are_those_of_scipy(values: list[float]) -> None:
    array = np.array(values)
    assert np.array_equal(ranks(array), rankdata(array))
    assert np.array_equal(ranks(array, "least"), rankdata(array, method="min"))
