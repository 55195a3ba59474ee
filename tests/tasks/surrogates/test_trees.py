"""Boosted trees as arrays: LightGBM itself says what they must predict."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from archwalk.tasks.surrogates import growing
from archwalk.tasks.surrogates.trees import BoostedTrees, make_trees
from tests.tasks.surrogates.samples import SPACE, quality

ORDERED = (True, False, True, False, True, False)


@pytest.mark.parametrize("leaves", [2, 8, 64])
def test_arrays_predict_what_lightgbm_does(leaves: int) -> None:
    codes = SPACE.sample(400, np.random.default_rng(0))
    target = quality(codes) + 0.1 * np.random.default_rng(1).standard_normal(400)
    questions = growing._questions(codes, ORDERED)
    columns = growing._columns(codes, questions)
    parameters = growing.PARAMETERS | {"num_leaves": leaves, "min_data_in_leaf": 2}
    boosters = [
        lightgbm.train(parameters | {"seed": seed}, lightgbm.Dataset(columns, target), rounds)
        for seed, rounds in ((0, 30), (1, 7))
    ]
    dumps = [[t["tree_structure"] for t in b.dump_model()["tree_info"]] for b in boosters]
    model = BoostedTrees(SPACE, growing.write_trees(dumps, questions, 3.0))
    unseen = SPACE.sample(500, np.random.default_rng(2))
    wanted = np.column_stack([b.predict(growing._columns(unseen, questions)) for b in boosters])
    assert np.abs(model.members(unseen) - 3 * wanted).max() < 1e-9
    assert np.ptp(wanted) > 1
    found = model.predict(unseen)
    assert np.allclose(found.values, 3 * wanted.mean(1))
    assert np.allclose(found.spread, 3 * wanted.std(1, ddof=1))


def test_growing_is_repeatable_and_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "ROUNDS", 200)
    codes = SPACE.sample(300, np.random.default_rng(0))
    one, two, other = (growing.grow_trees(SPACE, codes, quality(codes), ORDERED, seed) for seed in (0, 0, 1))
    unseen = SPACE.sample(300, np.random.default_rng(1))
    assert np.array_equal(one.members(unseen), two.members(unseen))
    assert not np.array_equal(one.members(unseen), other.members(unseen))
    assert np.corrcoef(one.predict(unseen).values, quality(unseen))[0, 1] > 0.95
    assert len(one.trees.sizes) == growing.MEMBERS


def test_arrays_that_do_not_fit_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "ROUNDS", 20)
    codes = SPACE.sample(100, np.random.default_rng(0))
    arrays = growing.grow_trees(SPACE, codes, quality(codes), ORDERED, 0).arrays()
    assert np.isfinite(make_trees(SPACE, arrays).predict(codes).values).all()
    for name, change in {
        "tree": lambda a: a + len(arrays["leaves"]),
        "slot": lambda a: a + 6,
        "choice": lambda a: a + 100,
        "first": lambda a: a + np.uint8(64),
        "count": lambda a: a[:-1],
        "leaves": lambda a: a * np.nan,
        "sizes": lambda a: a[:-1],
    }.items():
        with pytest.raises(ValueError, match="do not fit"):
            make_trees(SPACE, arrays | {name: change(arrays[name])})
