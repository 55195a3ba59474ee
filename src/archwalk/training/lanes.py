"""Lanes: many agents trained in step by one batched program, on a CPU or a GPU.

In: ``Lane``s, trainers of equal settings with tasks and seeds of their own. Out: rows of all of them at a
time; at any row a lane is the trainer that it would be alone. Next: ``making`` keeps each in its own folder.

The program is the functions that a single agent is made of, over a leading axis (``torch.func.vmap``); only
the network's weights, the replays and Adam are laid out for it. Its shapes are fixed, so on a GPU a step of
the walks and an update are each captured once as a CUDA graph and then replayed. All random numbers come from
each lane's own generators, drawn as the trainer alone draws them, so results differ from its by rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.func import functional_call, vmap

from archwalk.agent.exploration import choose
from archwalk.agent.learner import Errors, bootstrapped, errors
from archwalk.agent.planner import known_of, refreshed
from archwalk.agent.replay import Completed, Held, Transitions, importance, slide, strata, to_mass
from archwalk.benchmark.table import Benchmark
from archwalk.config import Settings
from archwalk.errors import SettingsError
from archwalk.space.space import PAD
from archwalk.training.loop import Rhythm, Row, Trainer
from archwalk.walk.dynamics import WalkProcess, Walks, begin_anew, take

SWEPT = 8  # a space is swept at every copy if it has at most this many times the states looked at between two
CHUNK = 8_192  # states a forward pass of a sweep, of all lanes together
_WARM_UPS = 3  # runs before a capture

State = dict[str, Tensor]
Parts = Mapping[str, Mapping[str, Tensor]]


class Lane(Trainer):
    """A trainer that can be advanced by a program, together with others."""

    program: Lanes | None = None

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """As the trainer's; what the program has is taken from there."""
        own = super().parts()
        return own if self.program is None else own | self.program.parts_of(self)


class Frozen(NamedTuple):
    """A parameter version of every lane.

    Attributes:
        parameters: of the network, each [lanes, ...].
        drawn: the token row of every architecture, [lanes, architectures].
        table: Q-values of every state, [lanes, architectures, actions]; of none where states are looked at
            one by one.
    """

    parameters: State
    drawn: Int64[Tensor, "lanes architectures"]
    table: Float32[Tensor, "lanes states actions"]

    def copy_(self, other: Frozen) -> None:
        """Take over another version, in place."""
        for name, values in other.parameters.items():
            self.parameters[name].copy_(values)
        self.drawn.copy_(other.drawn)
        self.table.copy_(other.table)


class Standing(NamedTuple):
    """Where walks stand: architecture, age, and the policy's Q-values there."""

    architecture: Int64[Tensor, "*lanes walks"]
    age: Int64[Tensor, "*lanes walks"]
    q: Float32[Tensor, "*lanes walks actions"]


class _Table:
    """Q-values of one lane, for an evaluation."""

    def __init__(self, table: Float32[Tensor, "architectures actions"]) -> None:
        self._table = table

    def q(
        self, architecture: Int64[Tensor, " batch"], offered: Int64[Tensor, "batch actions"]
    ) -> Float32[Tensor, "batch actions"]:
        """As ``Looks``."""
        return self._table[architecture]


def all_offered(settings: Settings, benchmark: Benchmark) -> bool:
    """Whether all neighbours are offered at every step, as lanes need it."""
    return settings.walk.max_neighbours >= benchmark.choices.shape[1] - 1


def check_lanes(settings: Settings, benchmark: Benchmark) -> None:
    """Refuse what a program of fixed shapes cannot do.

    Raises:
        SettingsError: not all neighbours are offered at a step, or one step of all walks overfills replay.
    """
    if not all_offered(settings, benchmark):
        raise SettingsError(
            f"walk.max_neighbours of at least {benchmark.choices.shape[1] - 1}, all neighbours of this "
            "space, for training in lanes or on a GPU",
            f"{settings.walk.max_neighbours}",
            "offer them all, or train one agent a process on the CPU: --device cpu, without --lanes",
        )
    most = settings.learner.n_step * settings.exploration.walks
    if settings.replay.capacity < most:
        raise SettingsError(
            f"replay.capacity of at least {most:,}, what one step of all walks can complete, for training in "
            "lanes or on a GPU",
            f"{settings.replay.capacity:,}",
            "enlarge the replay",
        )


class Lanes(Rhythm[list[Row]]):
    """Several trainers as one program.

    Args:
        lanes: trainers with equal settings, benchmark, cut, and progress.
        device: where everything is kept and computed.

    Raises:
        SettingsError: as ``check_lanes``.
    """

    def __init__(self, lanes: Sequence[Lane], device: torch.device) -> None:
        first = lanes[0]
        check_lanes(first.settings, first.benchmark)
        self.lanes, self.device = list(lanes), device
        self.settings, self.counters = first.settings, replace(first.counters)
        agent, training = first.agent, self.settings.training
        states, actions = agent.process.choices.shape
        self._states, self._actions = states, actions
        self._sweeps = states <= SWEPT * round(training.actor_period * training.sampled_per_trained)
        self._choices = agent.process.choices.to(device)
        self._ragged = bool((self._choices == PAD).any())
        self._rewards = torch.stack([lane.agent.process.rewards for lane in lanes]).to(device)
        self._tokens = agent.tokens.to(device)
        self._epsilon = first.epsilon.to(device)
        self._network = copy.deepcopy(agent.network).to(device)
        self._load([lane.parts() for lane in lanes])
        for lane in lanes:
            lane.program = self
        self._act = self._captured(self._act_step)
        self._learn = self._captured(self._learn_step)

    def _load(self, parts: Sequence[Parts]) -> None:
        """Lay the trainers' state out over the leading axis."""
        device, settings = self.device, self.settings
        lanes, walks, batch = len(parts), settings.exploration.walks, settings.learner.batch_size

        def stacked(part: str, name: str) -> Tensor:
            return torch.stack([p[part][name] for p in parts]).to(device)

        names = [name for name, _ in self._network.named_parameters()]
        weights = {name: stacked("learner", f"network.{name}") for name in names}
        self._parameters = {name: w.requires_grad_() for name, w in weights.items()}
        parameters = list(self._parameters.values())
        on_gpu, rate = device.type == "cuda", torch.zeros((), device=device)
        self._adam = torch.optim.Adam(parameters, lr=rate, fused=True, capturable=on_gpu)
        begun = "adam.0.step" in parts[0]["learner"]
        moments = {}
        for i, p in enumerate(self._parameters.values()):
            step = parts[0]["learner"][f"adam.{i}.step"] if begun else torch.zeros(())
            moments[i] = {"step": step.to(device).clone()} | {
                k: stacked("learner", f"adam.{i}.{k}") if begun else torch.zeros_like(p)
                for k in ("exp_avg", "exp_avg_sq")
            }
        self._adam.load_state_dict(self._adam.state_dict() | {"state": moments})
        self._rate = self._adam.param_groups[0]["lr"]

        self._walks = Standing(**{name: stacked("walks", name) for name in Standing._fields})
        self._held = Held(**{name: stacked("windows", name) for name in Held._fields})
        self._policy = self._frozen_from(parts, "actors", names)
        planning, double = settings.learner.planning, settings.learner.double
        self._arrival = stacked("target", "arrival") if planning else None
        self._since = stacked("target", "since") if planning else torch.zeros(lanes, device=device)
        self._target = None if planning else self._frozen_from(parts, "target", names)

        capacity = settings.replay.capacity  # and a place behind it for what is not to be kept
        self._store = Transitions(
            *(
                torch.zeros(lanes, capacity + 1, *field.shape[1:], dtype=field.dtype, device=device)
                for field in (parts[0]["replay"][name] for name in Transitions._fields)
            )
        )
        self._mass = torch.zeros(lanes, capacity + 1, dtype=torch.float64, device=device)
        for i, part in enumerate(parts):
            held = len(part["replay"]["mass"])
            self._mass[i, :held] = part["replay"]["mass"].to(device)
            for name, field in zip(Transitions._fields, self._store, strict=True):
                field[i, :held] = part["replay"][name].to(device)
        self._size = torch.tensor([len(p["replay"]["mass"]) for p in parts], device=device)
        self._next = stacked("replay", "next")

        self._evaluated = stacked("progress", "evaluated")
        self._sums = stacked("progress", "sums")
        self._ended = torch.zeros(lanes, 2, dtype=torch.long, device=device)  # walks, and their steps

        self._u = torch.zeros(lanes, walks, 2, device=device)
        self._fresh = torch.zeros(lanes, walks, dtype=torch.long, device=device)
        self._strata = torch.zeros(lanes, batch, dtype=torch.float64, device=device)
        looks = 1 if planning or not double else 2
        shape = (looks, batch, self._actions) if self._tokens.random else (looks, 0)
        self._padding = torch.zeros(lanes, *shape, device=device)

    def _frozen_from(self, parts: Sequence[Parts], part: str, names: Sequence[str]) -> Frozen:
        device = self.device
        parameters = {n: torch.stack([p[part][f"network.{n}"] for p in parts]).to(device) for n in names}
        drawn = torch.stack([p[part]["drawn"] for p in parts]).to(device)
        if self._sweeps and all(bool(p[part]["known"].all()) for p in parts):
            return Frozen(parameters, drawn, torch.stack([p[part]["table"] for p in parts]).to(device))
        return Frozen(parameters, drawn, self._swept(parameters, drawn))

    # -- the network

    def _q(
        self, parameters: State, offered: Int64[Tensor, "batch actions"], rows: Int64[Tensor, "batch actions"]
    ) -> Float32[Tensor, "batch actions"]:
        """Of one lane: Q-values of what is offered, by its token rows."""
        exists = offered != PAD if self._ragged else None
        q: Tensor = functional_call(self._network, parameters, (self._tokens.rows[rows].float(), exists))
        return q

    def _look(
        self, parameters: State, drawn: Tensor, table: Tensor, states: Int64[Tensor, " batch"]
    ) -> Float32[Tensor, "batch actions"]:
        """Of one lane: Q-values of a frozen version at some states."""
        if self._sweeps:
            return table[states]
        offered = self._choices[states]
        return self._q(parameters, offered, drawn[offered.clamp(min=0)])

    @torch.no_grad()
    def _swept(self, parameters: State, drawn: Tensor) -> Float32[Tensor, "lanes states actions"]:
        """Q-values at every state; at none where states are looked at one by one."""
        lanes = len(drawn)
        if not self._sweeps:
            return torch.zeros(lanes, 0, self._actions, device=self.device)
        return self._at_every_state(parameters, drawn)

    @torch.no_grad()
    def _at_every_state(self, parameters: State, drawn: Tensor) -> Float32[Tensor, "lanes states actions"]:
        out = []
        for offered in self._choices.split(max(1, CHUNK // len(drawn))):
            rows = drawn[:, offered.clamp(min=0)]
            out.append(vmap(self._q, in_dims=(0, None, 0))(parameters, offered, rows))
        return torch.cat(out, 1)

    # -- the walks

    def act(self) -> int:
        """One step of every walk of every lane. Returns the steps of one lane."""
        walks = self.settings.exploration.walks
        draws = [lane.generators for lane in self.lanes]
        self._give(self._u, [torch.rand(walks, 2, generator=g["exploration"]) for g in draws])
        self._give(self._fresh, [torch.randint(self._states, (walks,), generator=g["starts"]) for g in draws])
        self._act()
        self.counters.sampled_steps += walks
        return walks

    @torch.no_grad()
    def _act_step(self) -> None:
        after, arrived, held, made, ended = vmap(self._walk)(
            self._walks, self._held, self._policy, self._rewards, self._u, self._fresh
        )
        for old, new in zip(self._walks, after, strict=True):
            old.copy_(new)
        for old, new in zip(self._held, held, strict=True):
            old.copy_(new)
        self._ended += ended
        self._evaluated.scatter_(1, arrived, True)
        self._add(made)

    def _walk(
        self,
        walks: Standing,
        held: Held,
        policy: Frozen,
        rewards: Tensor,
        u: Tensor,
        fresh: Tensor,
    ) -> tuple[Standing, Tensor, Held, Completed, Tensor]:
        """One lane's ``Rollout.step``."""
        state, age, q = walks
        process = WalkProcess(self._choices, rewards, self._actions, self.settings.walk.step_limit)
        at, offered = Walks(state, age), self._choices[state]
        action = choose(q, offered != PAD, self._epsilon, u)
        outcome = take(process, at, offered, action)
        ended = outcome.terminated | outcome.truncated
        reached = self._look(*policy, outcome.architecture)
        nothing = offered[:, :0]
        held, made = slide(
            held,
            s=state,
            offer=nothing,
            a=action,
            r=outcome.reward,
            q=q.gather(1, action[:, None]).squeeze(1),
            s_next=outcome.architecture,
            offer_next=nothing,
            v_next=reached.amax(1),
            ended=ended,
            discount=self.settings.learner.discount,
        )
        counts = torch.stack([ended.sum(), torch.where(ended, at.age, 0).sum()])
        begin_anew(at, ended, fresh)
        begun = torch.where(ended[:, None], self._look(*policy, at.architecture), reached)
        return Standing(at.architecture, at.age, begun), outcome.architecture, held, made, counts

    def _add(self, made: Completed) -> None:
        """The complete windows into each lane's ring."""
        capacity, keep = self.settings.replay.capacity, made.complete
        place = (self._next[:, None] + keep.cumsum(1) - 1) % capacity
        slots = torch.where(keep, place, capacity)
        for store, new in zip(self._store, made.transitions, strict=True):
            if store.dim() == 2:  # offers are functions of the state and have no columns
                store.scatter_(1, slots, new)
        self._mass.scatter_(1, slots, to_mass(made.error, self.settings.replay.alpha))
        added = keep.sum(1)
        self._next.copy_((self._next + added) % capacity)
        self._size.copy_((self._size + added).clamp(max=capacity))

    # -- the updates

    def learn(self) -> Iterator[list[Row]]:
        """One update of every lane, and whatever has come due."""
        first, batch = self.lanes[0], self.settings.learner.batch_size
        draws = [lane.generators for lane in self.lanes]
        self._give(self._strata, [strata(batch, g["replay"]) for g in draws])
        if self._tokens.random:
            shape = self._padding.shape[1:]
            self._give(self._padding, [torch.rand(shape, generator=g["learner"]) for g in draws])
        first.learner.trained_steps = self.counters.trained_steps
        self._rate.fill_(first.learner.learning_rate())
        self._learn()
        due = self.counters.updated(self.settings, first.cut)
        if due.target or due.actors:
            frozen = self._freeze()
            if due.target and self._target is not None:
                self._target.copy_(frozen)
            if due.actors:
                self._policy.copy_(frozen)
        for lane in self.lanes:
            lane.at_cut = due.cut
        if due.row:
            yield self._report(due.evaluation)

    def _learn_step(self) -> None:
        settings, capacity = self.settings.learner, self.settings.replay.capacity
        with torch.no_grad():
            mass, size = self._mass[:, :capacity], self._size
            upto = mass.cumsum(1)
            total = upto[:, -1]
            slots = torch.searchsorted(upto, self._strata * total[:, None], right=True)
            slots = slots.minimum(size[:, None] - 1)
            t = Transitions(*(f.gather(1, slots) if f.dim() == 2 else f[:, :0] for f in self._store))
            weigh = partial(importance, beta=self.settings.replay.beta)
            weight = vmap(weigh)(mass.gather(1, slots), total, size)
            self._evaluated.scatter_(1, t.s_t, True)
            if self._arrival is not None:
                plan = partial(refreshed, choices=self._choices, discount=settings.discount)
                arrival, since = vmap(plan)(self._arrival, self._since, self._evaluated, self._rewards)
                self._arrival.copy_(arrival)
                self._since.copy_(since)
            y = vmap(self._targets)(
                t, self._padding, self._parameters, self._target or self._policy, self._arrival_or_nothing()
            )
        found: Errors = vmap(self._errors)(self._parameters, t, self._padding, y, weight)
        gradients = torch.autograd.grad(found.loss.sum(), list(self._parameters.values()))
        clipped, norm = vmap(self._clipped)(gradients)
        for p, gradient in zip(self._parameters.values(), clipped, strict=True):
            p.grad = gradient.contiguous()  # fused Adam walks through memory, whatever the strides
        self._adam.step()
        with torch.no_grad():
            self._mass.scatter_(1, slots, to_mass(found.error, self.settings.replay.alpha))
            self._sums += torch.stack([found.loss.detach(), found.error.mean(1), found.q, norm], 1)

    def _arrival_or_nothing(self) -> Tensor:
        return self._size if self._arrival is None else self._arrival

    def _targets(
        self,
        t: Transitions,
        padding: Tensor,
        parameters: State,
        target: Frozen,
        arrival: Tensor,
    ) -> Tensor:
        """One lane's targets: of all actions by planning, else of the one taken, [batch, 1]."""
        if self._arrival is not None:
            return known_of(self._choices[t.s_tm1], arrival)
        value = chooser = self._look(*target, t.s_t)
        if self.settings.learner.double:
            offered = self._choices[t.s_t]
            chooser = self._q(parameters, offered, self._tokens.pick(offered, padding[1]))
        return bootstrapped(t, value, chooser)[:, None]

    def _errors(
        self, parameters: State, t: Transitions, padding: Tensor, y: Tensor, weight: Tensor
    ) -> Errors:
        """One lane's loss."""
        offered = self._choices[t.s_tm1]
        q = self._q(parameters, offered, self._tokens.pick(offered, padding[0]))
        if self._arrival is None:
            q = q.gather(1, t.a_tm1[:, None])
        return errors(q, y, weight)

    def _clipped(self, gradients: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
        """One lane's gradients, as ``torch.nn.utils.clip_grad_norm_`` leaves them, and their norm before."""
        norm = torch.stack([g.norm() for g in gradients]).norm()
        factor = (self.settings.learner.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        return tuple(g * factor for g in gradients), norm

    def _freeze(self) -> Frozen:
        every = torch.arange(self._states)
        parameters = {name: p.detach() for name, p in self._parameters.items()}
        draws = [lane.agent.tokens.draw(every, lane.generators["padding"]) for lane in self.lanes]
        drawn = torch.stack(draws).to(self.device)
        return Frozen(parameters, drawn, self._swept(parameters, drawn))

    # -- rows, and the way back

    def _report(self, evaluation: bool) -> list[Row]:
        """A row a lane, which is brought up to date as far as rows and final weights need it."""
        ended, sums, evaluated = self._ended.tolist(), self._sums.cpu(), self._evaluated.cpu()
        rows = []
        for i, lane in enumerate(self.lanes):
            lane.counters = replace(self.counters, walks_ended=ended[i][0], walk_steps=ended[i][1])
            lane.learner.trained_steps = self.counters.trained_steps
            lane.sums, lane.evaluated = sums[i].clone(), evaluated[i].clone()
            rows.append(lane.report())
        self._ended.zero_()
        self._sums.zero_()
        if evaluation:
            looks = self._evaluations()
            for i, lane in enumerate(self.lanes):
                lane.agent.network.load_state_dict(self._of_lane(self._parameters, i))
                rows[i] |= lane.evaluate(None if looks is None else _Table(looks[i]))
        return rows

    def _evaluations(self) -> Float32[Tensor, "lanes architectures actions"] | None:
        """Q-values for evaluations, where these begin at every architecture."""
        if self._states > self.settings.training.evaluation_starts:
            return None
        every = torch.arange(self._states)
        draws = [lane.agent.tokens.draw(every, lane.evaluation_draws()) for lane in self.lanes]
        parameters = {name: p.detach() for name, p in self._parameters.items()}
        return self._at_every_state(parameters, torch.stack(draws).to(self.device)).cpu()

    def _of_lane(self, tensors: Mapping[str, Tensor], i: int, prefix: str = "") -> State:
        return {prefix + name: t[i].detach().cpu().clone() for name, t in tensors.items()}

    def parts_of(self, lane: Lane) -> dict[str, dict[str, Tensor]]:
        """What of a lane's state is here, as the trainer has it; at a row."""
        i = self.lanes.index(lane)
        learner = self._of_lane(self._parameters, i, "network.")
        learner["trained_steps"] = torch.tensor(self.counters.trained_steps)
        for k, moments in self._adam.state_dict()["state"].items():
            learner[f"adam.{k}.step"] = moments["step"].cpu().clone()
            learner |= self._of_lane({n: moments[n] for n in ("exp_avg", "exp_avg_sq")}, i, f"adam.{k}.")
        at = self._of_lane(self._walks._asdict(), i)
        held, first = int(self._size[i]), self._store._asdict()
        replay = self._of_lane({name: field[:, :held] for name, field in first.items()}, i)
        replay |= self._of_lane({"mass": self._mass[:, :held], "next": self._next}, i)
        actors = self._frozen_of(self._policy, i)
        if self._arrival is not None:
            target = self._of_lane({"arrival": self._arrival, "since": self._since}, i)
        else:
            assert self._target is not None
            target = self._frozen_of(self._target, i)
        return {
            "learner": learner,
            "target": target,
            "walks": at | {"offered": self._choices.cpu()[at["architecture"]]},
            "windows": self._of_lane(self._held._asdict(), i),
            "actors": actors,
            "replay": replay,
        }

    def _frozen_of(self, frozen: Frozen, i: int) -> State:
        state = self._of_lane(frozen.parameters, i, "network.") | self._of_lane({"drawn": frozen.drawn}, i)
        known = torch.full((self._states,), self._sweeps)
        table = frozen.table[i].cpu().clone() if self._sweeps else torch.zeros(self._choices.shape)
        return state | {"table": table, "known": known}

    # -- the device

    def _give(self, buffer: Tensor, draws: Sequence[Tensor]) -> None:
        """Fresh random numbers, a lane each, to where the program reads them."""
        drawn = torch.stack(list(draws))
        if self.device.type == "cuda":
            drawn = drawn.pin_memory()  # so that the copy need not be waited for
        buffer.copy_(drawn, non_blocking=True)

    def _captured(self, step: Callable[[], None]) -> Callable[[], None]:
        """The step as a CUDA graph, which then costs one launch; on a CPU the step as it is.

        What the runs before the capture changed is put back.
        """
        if self.device.type != "cuda":
            return step
        tensors = list(self._everything())
        before = [t.detach().clone() for t in tensors]
        aside = torch.cuda.Stream(self.device)
        aside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                step()
        torch.cuda.current_stream(self.device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        with torch.no_grad():
            for t, b in zip(tensors, before, strict=True):
                t.copy_(b)
        return graph.replay

    def _everything(self) -> Iterator[Tensor]:
        """Every tensor that a step changes."""
        yield from self._parameters.values()
        for moments in self._adam.state_dict()["state"].values():
            yield from moments.values()
        yield from (*self._walks, *self._held, *self._store)
        yield from (self._mass, self._size, self._next, self._evaluated, self._sums, self._ended)
        if self._arrival is not None:
            yield from (self._arrival, self._since)
