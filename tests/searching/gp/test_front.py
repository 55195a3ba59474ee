"""Expected hypervolume improvement against volumes that a library computes; searches that aim at a front."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import archwalk
from archwalk.searching.gp.front import expected_hypervolume_improvement
from archwalk.searching.pareto import hypervolume, pareto_front
from archwalk.spaces.registry import make_listed
from tests.searching.formula import declaration

pytest.importorskip("moocore")


@given(st.integers(1, 4), st.integers(0, 6), st.integers(1, 3), st.integers(0, 10_000))
def test_it_is_the_mean_of_the_volumes_that_are_added(d: int, k: int, atoms: int, seed: int) -> None:
    g = np.random.default_rng(seed)
    front = g.integers(-1, 6, (k, d)).astype(np.float64)  # equal values and points below the reference too
    reference = np.zeros(d)
    # each objective takes some values with equal chances, whatever the others do: [architectures, d, atoms]
    values = g.integers(-1, 8, (2, d, atoms)).astype(np.float64)

    def excess(at: int) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        return lambda levels: np.maximum(values[:, at, :, None] - levels, 0).mean(1)

    found = expected_hypervolume_improvement(front, reference, [excess(at) for at in range(d)])
    before = hypervolume(front, reference.tolist())
    for architecture, chances in zip(values, found, strict=True):
        added = [
            hypervolume(np.array([*front, point]), reference.tolist()) - before
            for point in product(*architecture)
        ]
        assert chances == pytest.approx(np.mean(added), abs=1e-9)


SPACE = make_listed("slots", {slot: ["p", "q", "r", "s"] for slot in "abcde"})


def values_of(architecture: str) -> tuple[float, float]:
    """An accuracy that rises with what is paid, with a term that nobody can foretell from the cost."""
    letters = ["pqrs".index(c) for c in architecture.split(",")]
    paid = float(sum((at + 1) * x for at, x in enumerate(letters)))
    return 10 * np.log1p(paid) - 1.5 * abs(letters[0] - letters[4]) + letters[1], paid


def evaluate(architecture: str) -> dict[str, float]:
    accuracy, paid = values_of(architecture)
    return {"acc": float(accuracy), "mb": paid}


def share(folder: Path, budget: int = 25, **options: Any) -> float:
    """Of the whole front's hypervolume."""
    everything = np.array([values_of(a) for a in SPACE.architectures]) * (1, -1)
    reference = everything.min(0).tolist()
    result = archwalk.search(
        evaluate, folder, space=SPACE, budget=budget, metric="acc", cost="mb", minimise=["mb"], **options
    )
    found = np.array([(e["acc"], -e["mb"]) for e in result["front"]])
    assert pareto_front(found).all()
    return hypervolume(found, reference) / hypervolume(everything, reference)


def test_a_front_is_found_sooner_where_costs_are_known_beforehand(tmp_path: Path) -> None:
    known = {"mb": {a: values_of(a)[1] for a in SPACE.architectures}}
    random = np.mean([share(tmp_path / f"random{s}", method="random", seed=s) for s in range(2)])
    told = [share(tmp_path / f"told{s}", method="gp", known=known, seed=s) for s in range(2)]
    assert random < 0.92
    assert min(told) > 0.93
    assert share(tmp_path / "transfer", method="transfer-gp", known=known, experience="none") == told[0]


def test_failures_and_limits_do_not_stop_it(tmp_path: Path) -> None:
    def often_failing(architecture: str) -> dict[str, float]:
        if architecture[0] in "pq":
            raise RuntimeError("out of memory")
        return evaluate(architecture)

    options: dict[str, Any] = {
        "metric": "acc",
        "cost": "mb",
        "minimise": ["mb"],
        "method": "gp",
        "budget": 14,
    }
    result = archwalk.search(often_failing, tmp_path / "a", space=SPACE, limits="mb <= 30", **options)
    assert result["failed"] > 0
    assert all(e["mb"] <= 30 for e in result["front"])
    open_space = archwalk.search(
        lambda a: {"acc": float(sum(map(ord, a)) % 31), "mb": float(len(a) + sum(map(ord, a)) % 7)},
        tmp_path / "b",
        space=declaration(),
        known={"mb": lambda a: float(len(a) + sum(map(ord, a)) % 7)},
        **options,
    )
    assert open_space["ok"] == 14
