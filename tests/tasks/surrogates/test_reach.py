"""How far a sample reaches, against distances measured one by one."""

from __future__ import annotations

import numpy as np
import pytest

from archwalk.tasks.surrogates import reach
from tests.tasks.surrogates.samples import SPACE


def nearest(codes: np.ndarray, others: np.ndarray) -> list[int]:
    """Slots in which each differs from the nearest of the others."""
    return [min(int((code != other).sum()) for other in others) for code in codes]


def sample(n: int, seed: int) -> np.ndarray:
    return np.unique(SPACE.sample(n, np.random.default_rng(seed)), axis=0)


def test_far_is_what_the_definition_says() -> None:
    known = sample(60, 0)
    known = known[(known[:, 3] != 3) & ((known[:, 0] < 2) | (known[:, 4] < 2))]
    found = reach.reach_of(SPACE, known, np.random.default_rng(0))
    within = [nearest(known[i : i + 1], np.delete(known, i, axis=0))[0] for i in range(len(known))]
    assert found.limit == max(within)
    asked = sample(300, 1)
    seen = [all(v in known[:, s] for s, v in enumerate(code)) for code in asked]
    distances = np.array(nearest(asked, known))
    found.limit = 1  # so that some are far by distance alone
    assert found.far(asked).tolist() == ((distances > 1) | ~np.array(seen)).tolist()
    assert ((distances > 1) & seen).any()
    assert (~np.array(seen)).any()
    assert not found.far(known).any()


def test_of_a_large_sample_some_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "MOST_KEPT", 50)
    known = sample(200, 2)
    found = reach.reach_of(SPACE, known, np.random.default_rng(0))
    assert len(found.kept) == 50
    kept = {code.tobytes() for code in found.kept}
    others = np.array([code for code in known if code.tobytes() not in kept])
    within = [nearest(found.kept[i : i + 1], np.delete(found.kept, i, axis=0))[0] for i in range(50)]
    # Of those not kept some are measured, too, so that the limit is that of the whole sample.
    assert max(within) <= found.limit <= max(*within, *nearest(others, found.kept))
    again = reach.make_reach(SPACE, {"kind": found.kind, **found.settings()}, found.arrays())
    assert again is not None
    asked = sample(300, 3)
    assert again.far(asked).tolist() == found.far(asked).tolist()
