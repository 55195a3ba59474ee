"""An agent of several tasks on one of them, or on a task that it was not trained on.

In: a network trained in a ``MultiTaskProcess``. Out: a network of the ordinary kind, which sees the
architecture alone. Next: ``archwalk.training`` evaluates it, and begins transfers with its weights.

The embedding of a task enters by addition in the first layer, so on one task it is a part of that layer's
bias.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from archwalk.agents.networks import Linear
from archwalk.agents.values import QFunction
from archwalk.envs.multitask import MultiTaskProcess

FIRST = "embedding.0"


def weights_on(weights: Mapping[str, Tensor], told: int, place: int | None) -> dict[str, Tensor]:
    """The weights with which an ordinary network does what this one does on a task.

    Args:
        weights: of a network whose tokens end in the one-hot vector of the task.
        told: length of that vector; 0 if it is told nothing, and the weights stay as they are.
        place: the task's place in it; None for a task that is not among them, which gets the mean embedding.
    """
    if not told:
        return dict(weights)
    first, bias = weights[f"{FIRST}.weight"], weights[f"{FIRST}.bias"]
    embeddings = first[:, -told:]
    own = embeddings.mean(1) if place is None else embeddings[:, place]
    return dict(weights) | {f"{FIRST}.weight": first[:, :-told].contiguous(), f"{FIRST}.bias": bias + own}


def values_on(values: QFunction, task: str) -> QFunction:
    """An agent in training, as it is now, on one of its tasks, in the process of its table alone.

    Args:
        values: of an agent in a ``MultiTaskProcess``.
        task: one of its tasks.
    """
    process = values.process
    assert isinstance(process, MultiTaskProcess)
    alone = process.alone(task)
    told = process.features - alone.features
    weights = weights_on(values.network.state_dict(), told, process.tasks.index(task))
    network = copy.deepcopy(values.network).requires_grad_(False)
    first = network.embedding[0]
    assert isinstance(first, Linear)
    first.in_features = alone.features
    first.weight = nn.Parameter(weights[f"{FIRST}.weight"], requires_grad=False)
    first.bias = nn.Parameter(weights[f"{FIRST}.bias"], requires_grad=False)
    return values.over(alone, network)
