"""Metrics of predictions, held to scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as theirs

from archwalk.errors import SettingsError
from archwalk.fitting.data import load_data
from archwalk.fitting.metrics import (
    best_point,
    differences,
    find_metric,
    measure_classes,
    measure_quantities,
    unbalanced,
)


def test_metrics_of_classes() -> None:
    g = np.random.default_rng(0)
    scores, y = 2 * g.standard_normal((200, 4)), g.integers(0, 4, 200)
    ours = measure_classes(scores, y)
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    said = scores.argmax(1)
    assert ours == pytest.approx(
        {
            "accuracy": 100 * theirs.accuracy_score(y, said),
            "balanced_accuracy": 100 * theirs.balanced_accuracy_score(y, said),
            "macro_f1": 100 * theirs.f1_score(y, said, average="macro"),
            "log_loss": theirs.log_loss(y, p),
        }
    )


def test_metrics_of_quantities() -> None:
    g = np.random.default_rng(0)
    y = g.standard_normal(100)
    said = y + 0.3 * g.standard_normal(100)
    assert measure_quantities(said, y) == pytest.approx(
        {
            "rmse": theirs.root_mean_squared_error(y, said),
            "mae": theirs.mean_absolute_error(y, said),
            "r2": theirs.r2_score(y, said),
        }
    )


def test_the_metric_follows_the_data() -> None:
    x = np.arange(200.0).reshape(100, 2)
    even, rare = np.arange(100) % 2, (np.arange(100) < 12).astype(int)
    assert find_metric(None, load_data((x, even))).name == "accuracy"
    assert unbalanced(load_data((x, rare)))
    assert find_metric(None, load_data((x, rare))).name == "balanced_accuracy"
    quantities = load_data((x, np.linspace(0, 1, 100)))
    assert find_metric(None, quantities).direction == "min"
    with pytest.raises(SettingsError, match="metric of regression"):
        find_metric("accuracy", quantities)
    with pytest.raises(SettingsError, match="did you mean 'accuracy'"):
        find_metric("acuracy", load_data((x, even)))


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "log_loss"])
def test_examples_add_up_to_the_difference_between_classifiers(name: str) -> None:
    g = np.random.default_rng(1)
    y = g.integers(0, 3, 60) * g.integers(0, 2, 60)
    a, b = 2 * g.standard_normal((2, 60, 3))
    wanted = measure_classes(a, y)[name] - measure_classes(b, y)[name]
    found = differences(name, a, b, y)
    assert found is not None
    assert found.mean() == pytest.approx(wanted)
    assert differences("macro_f1", a, b, y) is None


@pytest.mark.parametrize("name", ["rmse", "mae", "r2"])
def test_examples_add_up_to_the_difference_between_predictions(name: str) -> None:
    g = np.random.default_rng(1)
    y = g.standard_normal(60)
    a, b = y + g.standard_normal((2, 60))
    wanted = measure_quantities(a, y)[name] - measure_quantities(b, y)[name]
    found = differences(name, a[:, None], b, y)
    assert found is not None
    assert found.mean() == pytest.approx(wanted)


def test_the_longest_training_is_chosen_unless_a_shorter_one_is_better_in_metric_and_loss() -> None:
    assert best_point([(97.0, -0.2)]) == 0
    assert best_point([(98.0, -0.2), (97.0, -0.1)]) == 1  # one more example right, but less surely: luck
    assert best_point([(97.0, -0.05), (97.0, -0.1)]) == 1
    assert best_point([(98.0, -0.05), (99.0, -0.04), (99.0, -0.04), (97.0, -0.1)]) == 1
