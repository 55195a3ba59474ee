"""One training as an entry of the ledger: what it sees, and what it is charged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from archwalk.fitting.data import Dataset, load_data
from archwalk.fitting.metrics import best_point, find_metric
from archwalk.fitting.networks import choose_networks
from archwalk.fitting.splits import TEST, make_blocks
from archwalk.fitting.training import make_recipe, measure, standardised, train
from archwalk.fitting.units import SECONDS, STOP, TRAINING, WEIGHTS, Trainer, Unit, boosted, points
from tests.fitting.data import blobs

DATA = load_data(blobs())
BLOCKS = make_blocks(DATA, 0)


def trainer_of(data: Dataset, folder: Path, turns: tuple[int, ...] = (0,)) -> Trainer:
    recipe = make_recipe(DATA, 96, "accuracy", flip=False)
    ticks = iter(range(1_000_000))
    read = lambda: float(next(ticks))  # noqa: E731
    device = torch.device("cpu")
    networks, goal = choose_networks(data), find_metric(None, data)
    return Trainer(data, BLOCKS, turns, networks, recipe, goal, device, folder, read, 0, 1, lambda: 0.0)


def unit(role: str, steps: int = 8, seed: int = 0) -> str:
    what = choose_networks(DATA).reference if role != "baseline" else "plain perceptron"
    return str(Unit(role, str(what), steps, steps, seed))  # type: ignore[arg-type]


def without_time(metrics: object) -> dict[str, float]:
    assert isinstance(metrics, dict)
    return {k: v for k, v in metrics.items() if not k.endswith("seconds")}


def test_a_unit_is_read_back() -> None:
    for text in (unit("search"), "winner|9/12|3||nor_conv_3x3~0|+|none~0|none~1|"):
        assert str(Unit.parse(text)) == text
    assert Unit.parse("winner|9/12|3||a|") == Unit("winner", "|a|", 12, 9, 3)


def test_the_search_sees_nothing_of_the_test_split(tmp_path: Path) -> None:
    spoiled = DATA.inputs.copy()
    spoiled[BLOCKS == TEST] = 1e3
    labels = np.where(BLOCKS == TEST, 0, DATA.targets)
    other = replace(DATA, inputs=spoiled, targets=labels)
    one, two = trainer_of(DATA, tmp_path), trainer_of(other, tmp_path)
    assert without_time(one(unit("search"))) == without_time(two(unit("search")))
    assert not (tmp_path / WEIGHTS).exists()
    # nor do the weights of the end, which are measured there
    first, weights = one(unit("winner")), (tmp_path / WEIGHTS).read_bytes()
    second = two(unit("winner"))
    assert without_time(first) != without_time(second)
    assert (tmp_path / WEIGHTS).read_bytes() == weights


def test_only_the_first_seed_of_the_winner_is_kept(tmp_path: Path) -> None:
    train = trainer_of(DATA, tmp_path)
    train(unit("winner", seed=1))
    train(unit("baseline"))
    assert [path.name for path in tmp_path.iterdir()] == ["predictions"]


def test_blocks_take_turns(tmp_path: Path) -> None:
    text = unit("search", 1)  # one step, so one point
    each = [without_time(trainer_of(DATA, tmp_path, (turn,))(text)) for turn in range(4)]
    found = without_time(trainer_of(DATA, tmp_path, (0, 1, 2, 3))(text))
    assert found == pytest.approx({name: np.mean([one[name] for one in each]) for name in found})
    assert each[0] != each[1]


@pytest.mark.parametrize("role", ["search", "tuning"])
def test_a_training_counts_with_its_best_point(role: str, tmp_path: Path) -> None:
    # what each point of a training sees, by itself: a training that was stopped there
    rows, steps = (BLOCKS != 0) & (BLOCKS != TEST), 40
    train_one = trainer_of(DATA, tmp_path)
    what = str(choose_networks(DATA).reference) if role == "search" else "plain perceptron"
    seen = []
    for stop in points(steps):
        model = standardised(train_one._make(Unit(role, what, steps, stop, 0))(0), train_one.examples(rows))  # type: ignore[arg-type]
        train(model, train_one.examples(rows), steps, 0, train_one.recipe, stop=stop)
        seen.append(measure(model, DATA, train_one.inputs, np.flatnonzero(BLOCKS == 0)))
    best = best_point([(m["accuracy"], -m["log_loss"]) for m in seen])
    found = without_time(train_one(str(Unit(role, what, steps, steps, 0))))  # type: ignore[arg-type]
    assert found.pop(STOP) == points(steps)[best]
    assert found == seen[best]


def test_points_of_a_training() -> None:
    assert points(40) == (10, 20, 30, 40)
    assert points(3) == (1, 2, 3)
    assert points(1) == (1,)


def test_seconds_are_charged_from_the_end_of_the_last_training(tmp_path: Path) -> None:
    train = trainer_of(DATA, tmp_path)
    first, second = train(unit("search")), train(unit("search"))
    assert first[SECONDS] >= first[TRAINING] + 1  # the clock was read in between
    assert second[SECONDS] == first[SECONDS]  # not counted from the beginning of the run
    assert train.began == first[SECONDS] + second[SECONDS]


def test_gradient_boosting_answers_as_networks_do() -> None:
    rows = np.flatnonzero(BLOCKS != TEST)
    early, scores = boosted(DATA, rows, rows, (5, 20), 0)
    np.testing.assert_array_equal(early, boosted(DATA, rows, rows, (5,), 0)[0])
    assert (early != scores).any()
    assert scores.shape == (len(rows), 3)
    assert (scores.argmax(1) == DATA.targets[rows]).mean() > 0.9
    x, _ = blobs()
    numbers = load_data((x, x[:, 0] * 3.0 + 10))
    assert boosted(numbers, rows, rows[:7], (20,), 0)[0].shape == (7,)
