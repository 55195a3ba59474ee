"""The roles that run in processes of their own: ``RolloutActor`` and ``ReplayShard``.

In: what the loop's own ``Rollout`` and ``Replay`` take. Out: what they give, as arrays. Next: ``apex`` starts
them and gives the orders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archwalk.agents.dqn.replay import Replay, Transitions
from archwalk.agents.dqn.rollout import Rollout
from archwalk.agents.values import QFunction, Snapshot
from archwalk.config import ReplaySettings, Settings
from archwalk.envs.process import Walks, start
from archwalk.execution.cluster import load_ray
from archwalk.memory import keep_memory, resident_bytes
from archwalk.seeding import Generators

Arrays = dict[str, NDArray[Any]]


def to_arrays(tensors: Mapping[str, Tensor]) -> Arrays:
    """Tensors as arrays, which travel without being copied."""
    return {name: tensor.detach().contiguous().numpy() for name, tensor in tensors.items()}


def to_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Arrays from elsewhere, which cannot be written to, as tensors that can."""
    return {name: torch.tensor(array) for name, array in arrays.items()}


class Filled(NamedTuple):
    """How full a shard is.

    Attributes:
        size: transitions held.
        mass: sum of their priority^alpha.
    """

    size: int
    mass: float


class Drawn(NamedTuple):
    """A shard's part of a batch.

    Attributes:
        transitions: the fields of ``Transitions``.
        slots: where they lie, [n].
        mass: priority^alpha of each, [n].
        filled: the shard at that moment.
        added: how many it had ever been given.
    """

    transitions: Arrays
    slots: NDArray[np.int64]
    mass: NDArray[np.float64]
    filled: Filled
    added: int


class ReplayShard:
    """A part of the replay.

    Args:
        settings: of this part: capacity and exponents.
        columns: actions stored with an offer.
    """

    def __init__(self, settings: ReplaySettings, columns: int) -> None:
        torch.set_num_threads(1)
        self._replay, self._added = Replay(settings, columns), 0

    def filled(self) -> Filled:
        """How full it is; the answer also says that it lives."""
        return Filled(len(self._replay), self._replay.mass)

    def add(self, transitions: Arrays, error: NDArray[np.float32]) -> Filled:
        """Store transitions with their first priorities."""
        self._replay.add(Transitions(**to_tensors(transitions)), torch.tensor(error))
        self._added += len(error)
        return self.filled()

    def sample(self, at: NDArray[np.float64]) -> Drawn:
        """What lies at shares of the shard's probability mass, [n], each from 0 up to 1."""
        found = self._replay.find(torch.tensor(at))
        arrays = to_arrays(found.transitions._asdict())
        filled = Filled(len(self._replay), float(found.total))
        return Drawn(arrays, found.slots.numpy(), found.mass.numpy(), filled, self._added)

    def set_errors(self, slots: NDArray[np.int64], error: NDArray[np.float32], added: int) -> None:
        """New priorities of what was sampled when ``added`` had been given, unless replaced since."""
        capacity = self._replay.settings.capacity
        behind = (torch.tensor(slots) - added) % capacity  # writes until a slot was written to again
        kept = behind >= self._added - added
        self._replay.set_errors(torch.tensor(slots)[kept], torch.tensor(error)[kept])

    def state(self) -> Arrays:
        """For a checkpoint."""
        return to_arrays(self._replay.state_dict())

    def load(self, state: Arrays) -> Filled:
        """The inverse of ``state``."""
        self._replay.load_state_dict(to_tensors(state))
        self._added = int(state["next"])
        return self.filled()

    def memory(self) -> int:
        """Bytes of this process that are in memory."""
        return resident_bytes()


@dataclass(frozen=True)
class Post:
    """What a rollout actor is told when it begins.

    Attributes:
        index: of the actor.
        life: how many it has had before.
        seed: of the run.
        settings: of the run.
        epsilon: of each walk.
        starts: where the walks begin; drawn if None.
        chunk: fewest transitions that it sends.
    """

    index: int
    life: int
    seed: int
    settings: Settings
    epsilon: NDArray[np.float32]
    starts: NDArray[np.int64] | None
    chunk: int


class Walk(NamedTuple):
    """What an order led to.

    Attributes:
        filled: the shard afterwards; None if the transitions were lost with it.
        seen: architectures that this actor had not been at before.
        steps: steps taken.
        ended: walks that ended.
        ended_steps: steps of those, in all.
        node: where the actor lives.
    """

    filled: Filled | None
    seen: NDArray[np.int64]
    steps: int
    ended: int
    ended_steps: int
    node: str


class RolloutActor:
    """Some of the walks.

    Args:
        values: network and process; its weights come with the orders.
        post: everything else.
    """

    def __init__(self, values: QFunction, post: Post) -> None:
        torch.set_num_threads(1)
        keep_memory()
        self._post, self._version = post, -1
        process = values.process
        self._values = values
        self._generators = Generators(post.seed, f"actor {post.index}, life {post.life}, ")
        walks = start(process, len(post.epsilon), self._generators["starts"])
        if post.starts is not None:
            walks = Walks(torch.tensor(post.starts), torch.zeros(len(post.starts), dtype=torch.long))
        self._walks, self._rollout = walks, None
        self._seen = torch.zeros(len(process), dtype=torch.bool)
        self._node: str = load_ray().get_runtime_context().get_node_id()

    _rollout: Rollout | None

    def walk(self, version: int, weights: list[Any], shard: Any) -> Walk:
        """Walk until a chunk is full, and hand it to a shard.

        Args:
            version: of the parameters.
            weights: a list with the reference to them, which is followed only if the version is new.
            shard: handle of the ``ReplayShard`` to give to; nothing more is walked until it has it.
        """
        ray, rollout = load_ray(), self._follow(version, weights)
        parts, errors, places = [], [], []
        complete = steps = ended = ended_steps = 0
        while complete < self._post.chunk:
            rolled = rollout.step()
            parts.append(rolled.complete)
            errors.append(rolled.error)
            complete += len(rolled.error)
            walked = rolled.walked
            places.append(walked.architecture)
            steps, ended = steps + walked.steps, ended + walked.ended
            ended_steps += walked.ended_steps
        transitions = Transitions(*(torch.cat(field) for field in zip(*parts, strict=True)))
        try:
            given = shard.add.remote(to_arrays(transitions._asdict()), torch.cat(errors).numpy())
            filled = ray.get(given)
        except ray.exceptions.RayActorError:
            filled = None
        at = torch.cat(places).unique()
        seen = at[~self._seen[at]]
        self._seen[seen] = True
        return Walk(filled, seen.numpy(), steps, ended, ended_steps, self._node)

    def _follow(self, version: int, weights: list[Any]) -> Rollout:
        if version != self._version or self._rollout is None:
            arrays = load_ray().get(weights[0])
            self._values.network.load_state_dict(to_tensors(arrays))
            settings, gen = self._post.settings, self._generators
            training = settings.training
            share = len(self._post.epsilon) / settings.exploration.walks
            requests = round(training.actor_period * training.sampled_per_trained * share)
            policy = Snapshot(self._values, training.reuse, requests, gen["padding"])
            if self._rollout is None:
                epsilon = torch.tensor(self._post.epsilon)
                process = self._values.process
                self._rollout = Rollout(process, self._walks, epsilon, settings.learner, policy, gen)
            self._rollout.policy, self._version = policy, version
        return self._rollout

    def memory(self) -> int:
        """Bytes of this process that are in memory."""
        return resident_bytes()
