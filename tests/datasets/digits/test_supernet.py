"""Shared weights: the same networks as those of single cells, gradients summed, scores as defined."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archwalk.datasets.digits.network import CellNetworks
from archwalk.datasets.digits.supernet import SharedNetworks, one_shot, shared_weights
from archwalk.datasets.digits.tasks import Data, losses, make_data, task_named

CODES = [[1, 2, 3, 3, 0, 1], [3, 2, 2, 1, 3, 2], [1, 0, 0, 1, 0, 0]]


@pytest.mark.parametrize("name", ["class_object", "autoencoder"])
def test_the_same_networks_as_those_of_cells(name: str) -> None:
    """With the weights that the cells' own networks begin with."""
    task = task_named(name)
    data = make_data(task, "valid", 12)
    alone = CellNetworks(CODES, task, 5, torch.device("cpu"))
    weights = shared_weights(task, 5)
    together = SharedNetworks(CODES, task, weights)
    expected, found = (networks(data.inputs, training=True) for networks in (alone, together))
    torch.testing.assert_close(found, expected)
    for predicted in (expected, found):
        losses(task, predicted, data.targets).sum().backward()
    for key in ("head", "stem", "cell/3/1", "cell/1/2", "head/scale"):
        if key not in alone.parameters:
            continue
        mine = alone.parameters[key].grad
        assert mine is not None
        summed = mine.view(len(CODES), -1).sum(0) if key == "head/scale" else mine.sum(0, keepdim=True)
        torch.testing.assert_close(weights[key].grad, summed, rtol=1e-4, atol=1e-6)
    assert weights["cell/0/3"].grad is not None  # of the second cell
    assert weights["cell/0/2"].grad is None  # nobody's


def test_scores_are_those_of_the_predictions() -> None:
    task = task_named("class_object")
    data = make_data(task, "valid", 12)
    weights = shared_weights(task, 1)
    predicted = SharedNetworks(CODES, task, weights)(data.inputs, training=True)
    right = (predicted.argmax(2) == data.targets[:, None]).double().mean(0)
    found = one_shot(CODES, task, weights, Data(data.inputs, data.targets))
    np.testing.assert_allclose(found, 100 * right.numpy())
