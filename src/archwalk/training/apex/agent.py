"""Ape-X on Ray: ``ApexAgent`` is the learner, in the process of the command; walks and replay are elsewhere.

In: what ``DQN`` takes, and ``RaySettings``. Out: an ``Agent`` for the one loop. Next: ``api``.

    rollout actor 0..7    walks until a chunk is full, with the parameters that its order names
      │ chunk of transitions, with first priorities       ▲ order: version, reference to parameters, shard
      ▼                                                   │
    replay shard 0..3  ── part of a batch ──▶  learner  ──┘ parameters: one copy a version in the object
                       ◀── new priorities ───               store, which every actor fetches once

An actor gets its next order only when its last chunk has been counted, and the learner trains what counted
steps allow before more are counted. So the ratio of sampled to trained steps is what it is inline, at most
one chunk an actor is under way, and whoever is faster waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from archwalk.agents.base import Update, Walked
from archwalk.agents.dqn.agent import DQN
from archwalk.agents.dqn.replay import Sample, Transitions, importance, strata
from archwalk.agents.dqn.rollout import stored_columns
from archwalk.agents.values import CPU, Snapshot
from archwalk.config import RaySettings, ReplaySettings, Settings
from archwalk.envs.process import SearchProcess, Walks
from archwalk.envs.tabular import TabularProcess
from archwalk.errors import SettingsError
from archwalk.execution.cluster import (
    GLANCE,
    bundle,
    check_room,
    load_ray,
    lost,
    options,
    raised,
    room,
    silent,
)
from archwalk.memory import release_memory
from archwalk.seeding import Generators
from archwalk.training.apex.roles import (
    Arrays,
    Drawn,
    Filled,
    Post,
    ReplayShard,
    RolloutActor,
    Walk,
    to_arrays,
    to_tensors,
)


def describe_executor(settings: RaySettings) -> str:
    """What a run folder says about how it was trained: whatever of it decides the result."""
    return f"ray, {settings.shards} shards, chunks of {settings.chunk}"


def allot(
    at: Float64[Tensor, " batch"], mass: Float64[Tensor, " shards"]
) -> list[tuple[int, Float64[Tensor, " n"]]]:
    """Which shard each point of a batch falls into, and where within it.

    Shards lie end to end, each as long as its priority mass: so a batch is drawn as from one replay that
    holds everything, and a shard that has come back empty is asked for nothing.

    Args:
        at: shares of the whole mass, ascending, from 0 up to 1.
        mass: of each shard; not all zero.

    Returns:
        Shard and shares of its own mass, for every shard that has any point.
    """
    upto = mass.cumsum(0)
    point = at * upto[-1]
    shard = torch.searchsorted(upto, point, right=True).clamp(max=int(mass.nonzero()[-1]))
    within = ((point - (upto - mass)[shard]) / mass[shard]).clamp(0.0, 1.0)
    return [(int(k), within[shard == k]) for k in shard.unique()]


class Shards:
    """The replay, as the learner sees it: sampled in proportion to priority, over all shards.

    Args:
        settings: of the whole replay; each shard has an equal part of the capacity.
        columns: actions stored with an offer.
        start: begins a shard, and returns its handle.
        count: of shards.
        on_loss: called with a shard's number when it has died.
        refill: waits for more transitions when none are held.
    """

    def __init__(
        self,
        settings: ReplaySettings,
        columns: int,
        count: int,
        start: Callable[[ReplaySettings, int], Any],
        on_loss: Callable[[int, BaseException], None],
        refill: Callable[[], None],
    ) -> None:
        capacity = -(-settings.capacity // count)
        self.settings, self._columns, self._start = settings, columns, start
        self._part = settings.model_copy(update={"capacity": capacity, "warmup": 1})
        self._on_loss, self._refill = on_loss, refill
        self.handles: list[Any] = [None] * count
        self.answered = [False] * count  # whether a shard has said that it lives
        self._filled = [Filled(0, 0.0)] * count
        self._turn = 0
        self._last: list[tuple[Any, Drawn]] = []  # handle, and what it gave

    def __len__(self) -> int:
        return sum(filled.size for filled in self._filled)

    def begin(self, k: int) -> Any:
        """Start a shard, empty; returns the reference to its first sign of life."""
        if self.handles[k] is not None:
            load_ray().kill(self.handles[k])  # in case it is out of reach, not dead
        self.handles[k], self.answered[k] = self._start(self._part, self._columns), False
        self._filled[k] = Filled(0, 0.0)
        return self.handles[k].filled.remote()

    def note(self, k: int, handle: Any, filled: Filled) -> None:
        """How full a shard is now; of no interest once it has been replaced."""
        if handle is self.handles[k]:
            self.answered[k], self._filled[k] = True, filled

    def next(self) -> int | None:
        """Whose turn it is to get a chunk, of those that live; None if none does."""
        for _ in self.handles:
            self._turn = (self._turn + 1) % len(self.handles)
            if self.answered[self._turn]:
                return self._turn
        return None

    def sample(self, batch: int, generator: torch.Generator) -> Sample:
        """A batch; its slots are its own positions, for ``set_errors`` afterwards.

        The probability of transition i of shard k is mass_k / mass · mass_i / mass_k'. mass_k is what the
        learner knew when it drew, mass_k' what the shard found; both enter the weights.
        """
        ray, at = load_ray(), strata(batch, generator)
        while True:
            mass = torch.tensor([filled.mass for filled in self._filled], dtype=torch.float64)
            if not float(mass.sum()):
                self._refill()
                continue
            asked = [(k, self.handles[k].sample.remote(part.numpy())) for k, part in allot(at, mass)]
            drawn: list[tuple[int, Drawn]] = []
            for k, reference in asked:
                try:
                    drawn.append((k, ray.get(reference)))
                except ray.exceptions.RayActorError as error:
                    self._filled[k] = Filled(0, 0.0)
                    self._on_loss(k, error)
            if len(drawn) == len(asked):
                break
        known = mass.sum()
        priority = [torch.tensor(d.mass) * (mass[k] / d.filled.mass) for k, d in drawn]
        weight = importance(torch.cat(priority), known, len(self), self.settings.beta)
        for k, d in drawn:
            self._filled[k] = d.filled
        parts = [Transitions(**to_tensors(d.transitions)) for _, d in drawn]
        self._last = [(self.handles[k], d) for k, d in drawn]
        whole = Transitions(*(torch.cat(field) for field in zip(*parts, strict=True)))
        return Sample(whole, torch.arange(batch), weight)

    def set_errors(self, slots: Int64[Tensor, " batch"], error: Float32[Tensor, " batch"]) -> None:
        """New priorities of the last sample. One that does not arrive is no loss: its shard is gone."""
        del slots
        sizes = [len(d.slots) for _, d in self._last]
        for (handle, d), part in zip(self._last, error.split(sizes), strict=True):
            handle.set_errors.remote(d.slots, part.numpy(), d.added)

    def states(self) -> dict[str, dict[str, Tensor]]:
        """What every shard holds that answers."""
        ray, states = load_ray(), {}
        for k, handle in enumerate(self.handles):
            if handle is None or not self.answered[k]:
                continue
            try:
                states[f"replay-{k}"] = to_tensors(ray.get(handle.state.remote()))
            except ray.exceptions.RayActorError as error:
                self._on_loss(k, error)
        return states


class ApexAgent(DQN):
    """The learner of a distributed run.

    Args:
        ray: where, and with what.

    The others are those of ``DQN``. Nothing runs before ``begin`` is called; ``close`` ends it all.

    Raises:
        SettingsError: the space is not listed: states are numbered by each process as it meets them, and
            would mean other architectures elsewhere.
        ClusterError: there is no room for the processes.
    """

    replay: Shards

    def __init__(
        self,
        process: SearchProcess,
        settings: Settings,
        generators: Generators,
        device: torch.device = CPU,
        weights: Mapping[str, Tensor] | None = None,
        *,
        ray: RaySettings,
    ) -> None:
        if not isinstance(process, TabularProcess):
            raise SettingsError(
                "a table of measured architectures with --executor ray",
                "a space that nobody lists",
                "train in one process: leave --executor out",
            )
        self._ray = ray
        super().__init__(process, settings, generators, device, weights)
        count = settings.exploration.actors
        cpus = ray.actor_cpus
        if cpus is None:
            shares = (share / 100 for share in range(100, 0, -1))
            cpus = next((share for share in shares if room({"CPU": share}) >= count), 0.0)
        self._actor = bundle(cpus, ray.actor_gpus, ray.resources)
        remedy = "start more nodes, lower --ray.actor-cpus or --exploration.actors"
        check_room(self._actor, count, "rollout actors", remedy)

    def set_up(self, walks: Walks, policy: Snapshot) -> None:
        """Plan the processes; the walks get their parameters with the first order."""
        del policy
        count, columns = self._ray.shards, stored_columns(self.process)
        self.replay = Shards(
            self.settings.replay, columns, count, self._start_shard, self._shard_lost, self._refill
        )
        self._first: Walks | None = walks  # of the first lives only
        self._saved: dict[int, Arrays] = {}  # what shards begin with
        self._actors: list[Any] = [None] * self.settings.exploration.actors
        self._under_way: dict[Any, tuple[int | None, int, Any]] = {}  # → actor, its shard, handle of that
        self._lives = 0  # of all actors, those of earlier sittings included
        self._deaths: dict[str, int] = {}
        self._version = 0
        self._weights: Any = None
        self._on_nodes: set[str] = set()
        self._refilled: list[Walked] = []  # steps taken because the replay was empty
        self.restarts = 0
        self.nodes: dict[str, int] = {}  # node → steps walked there

    def begin(self) -> None:
        """Start every process."""
        ray = load_ray()
        self._shipped = ray.put(self.values)
        self.publish(None)
        for k in range(self._ray.shards):
            self._begin_shard(k)
        for i in range(len(self._actors)):
            self._begin_actor(i)
        self._first = None  # later lives begin elsewhere

    def _start_shard(self, settings: ReplaySettings, columns: int) -> Any:
        how = options(bundle(self._ray.shard_cpus, 0, {}))
        return load_ray().remote(ReplayShard).options(**how).remote(settings, columns)

    def _begin_shard(self, k: int) -> None:
        alive = self.replay.begin(k)
        if k in self._saved:
            alive = self.replay.handles[k].load.remote(self._saved.pop(k))
        self._under_way[alive] = (None, k, self.replay.handles[k])

    def _begin_actor(self, i: int) -> None:
        exploration = self.settings.exploration
        own = slice(i * exploration.walks_per_actor, (i + 1) * exploration.walks_per_actor)
        starts = self._first.architecture[own].numpy() if self._first else None
        post = Post(
            i, self._lives, self.generators.seed, self.settings, self.epsilon[own].numpy(), starts,
            self._ray.chunk,
        )  # fmt: skip
        self._lives += 1
        how = options(self._actor)
        self._actors[i] = load_ray().remote(RolloutActor).options(**how).remote(self._shipped, post)

    def act(self) -> list[Walked]:
        """The next chunk that an actor reports, or nothing when a shard does."""
        waiting_since = time.monotonic()
        ray = load_ray()
        while True:
            self._give_orders()
            ready, _ = ray.wait(list(self._under_way), num_returns=1, timeout=GLANCE)
            if ready:
                i, k, shard = self._under_way.pop(ready[0])
                if i is not None:
                    return self._walked(i, k, shard, ready[0])
                self._lives_now(k, shard, ready[0])
                return []
            if time.monotonic() - waiting_since > self._ray.patience:
                raise silent(self._ray.patience)

    def _give_orders(self) -> None:
        """Every actor without an order gets one, if there is a shard to give to."""
        busy = {i for i, _, _ in self._under_way.values()}
        for i, actor in enumerate(self._actors):
            k = self.replay.next() if i not in busy else None
            if k is not None:
                shard = self.replay.handles[k]
                order = actor.walk.remote(self._version, [self._weights], shard)
                self._under_way[order] = (i, k, shard)

    def _lives_now(self, k: int, shard: Any, reference: Any) -> None:
        ray = load_ray()
        try:
            self.replay.note(k, shard, Filled(*ray.get(reference)))
        except ray.exceptions.RayActorError as error:
            if shard is self.replay.handles[k]:
                self._shard_lost(k, error)

    def _walked(self, i: int, k: int, shard: Any, reference: Any) -> list[Walked]:
        ray = load_ray()
        try:
            walk = Walk(*ray.get(reference))
        except ray.exceptions.RayTaskError as error:
            raise raised(error) from error
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
            self._died(f"rollout actor {i}", error)
            self._begin_actor(i)
            return []
        if walk.filled is not None:
            self.replay.note(k, shard, Filled(*walk.filled))
        elif shard is self.replay.handles[k]:
            self._shard_lost(k, RuntimeError(f"rollout actor {i} found it dead"))
        self._on_nodes.add(walk.node)
        self.nodes[walk.node] = self.nodes.get(walk.node, 0) + walk.steps
        return [Walked(torch.tensor(walk.seen), walk.steps, walk.ended, walk.ended_steps)]

    def _shard_lost(self, k: int, error: BaseException) -> None:
        """A shard comes back empty; the walks fill it again."""
        self._died(f"replay shard {k}", error)
        self._begin_shard(k)

    def _died(self, what: str, error: BaseException) -> None:
        self.restarts += 1
        self._deaths[what] = self._deaths.get(what, 0) + 1
        if self._deaths[what] > self._ray.losses:
            raise lost(what, self._deaths[what], error)

    def _refill(self) -> None:
        self._refilled += self.act()

    def ready(self, sampled_steps: int) -> bool:
        """Also not while shards that were lost are filled again."""
        return super().ready(sampled_steps) and len(self.replay) >= self.settings.replay.warmup

    def draw(self) -> Sample:
        """A batch, whose states are evaluated even if the chunk that met them is not counted yet."""
        sample = super().draw()
        self.process.mark(sample.transitions.s_t)
        return sample

    def update(self) -> tuple[Update, list[Walked]]:
        """With what had to be walked because the replay was empty."""
        update, _ = super().update()
        walked, self._refilled = self._refilled, []
        return update, walked

    def publish(self, frozen: Snapshot | None) -> None:
        """One copy of the parameters into the object store; orders name it from now on."""
        del frozen  # its Q-values are of no use elsewhere
        self._version += 1
        self._weights = load_ray().put(to_arrays(self.values.network.state_dict()))

    def report(self) -> dict[str, int]:
        """``nodes`` that walked since the last row, and ``restarts`` of actors and shards so far."""
        row = {"nodes": len(self._on_nodes), "restarts": self.restarts}
        self._on_nodes.clear()
        release_memory()
        return row

    def memory(self) -> dict[str, int]:
        """Bytes in memory of every actor and shard that answers."""
        ray = load_ray()
        named = [(f"actor {i}", a) for i, a in enumerate(self._actors)]
        named += [(f"shard {k}", s) for k, s in enumerate(self.replay.handles)]
        return {name: ray.get(handle.memory.remote()) for name, handle in named}

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """With what the shards hold; walks begin anew after a restart."""
        lives = {"lives": torch.tensor(self._lives), "restarts": torch.tensor(self.restarts)}
        return super().parts() | self.replay.states() | {"distributed": lives}

    def load_parts(self, parts: dict[str, dict[str, Tensor]]) -> None:
        """The inverse of ``parts``."""
        super().load_parts(parts)
        self._lives, self._first = int(parts["distributed"]["lives"]), None
        self.restarts = int(parts["distributed"]["restarts"])
        for k in range(self._ray.shards):
            if f"replay-{k}" in parts:
                self._saved[k] = to_arrays(parts[f"replay-{k}"])

    def close(self) -> None:
        """End every process."""
        ray = load_ray()
        if not ray.is_initialized():
            return
        for handle in [*self._actors, *self.replay.handles]:
            if handle is not None:
                ray.kill(handle)
        self._under_way.clear()
