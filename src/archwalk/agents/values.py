"""``QFunction``: a network in a process; ``Form``: of which kind; ``Snapshot``: frozen Q-values.

In: weights, a ``SearchProcess``. Out: Q-values. Next: an algorithm's folder learns them;
``archwalk.training.evaluation`` walks greedily by them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from archwalk.agents.networks import QNetwork, TokenNetwork, resolved_precision
from archwalk.config import Settings
from archwalk.envs.process import SearchProcess
from archwalk.envs.tabular import TabularProcess
from archwalk.seeding import make_generator
from archwalk.spaces.base import PAD

CPU = torch.device("cpu")
SWEEP_CHUNK = 512  # states a forward pass of a sweep: fits the cache, fills the cores
EMBED_CHUNK = 8_192  # architectures embedded at a time: their activations fit the cache


class QFunction:
    """A network that sees one process: Q-values, or what else greedy walks take the largest of.

    States, offers and random numbers are on the CPU; tokens go to the network's device.

    Attributes:
        network: the weights.
        process: what can be offered, and what it looks like.
    """

    def __init__(self, network: TokenNetwork, process: SearchProcess) -> None:
        self.network, self.process = network, process

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def over(self, process: SearchProcess, network: TokenNetwork | None = None) -> QFunction:
        """The same kind of function in another process; with another network, if there is one."""
        return QFunction(network or self.network, process)

    def frozen(self, reuse: bool, requests: int, generator: torch.Generator) -> Snapshot:
        """What walks go by at the present parameters, as ``Snapshot`` takes it."""
        return Snapshot(self, reuse, requests, generator)

    def exists(self, offered: Int64[Tensor, "batch actions"]) -> Bool[Tensor, "batch actions"] | None:
        """Which actions exist, on the network's device; None if all do, which saves the mask."""
        exists = offered != PAD
        return None if bool(exists.all()) else exists.to(self.device)

    def q(
        self,
        state: Int64[Tensor, " batch"],
        offered: Int64[Tensor, "batch actions"],
        generator: torch.Generator,
    ) -> Float32[Tensor, "batch actions"]:
        """Q-values of what is offered, -inf where an action does not exist; differentiable, on the device.

        ``generator`` draws the tokens' padding, anew for every token.
        """
        tokens = self.process.observe(state, offered, generator).to(self.device).float()
        q: Float32[Tensor, "batch actions"] = self.network(tokens, self.exists(offered))
        return q

    def sweep(self, generator: torch.Generator) -> Float32[Tensor, "architectures actions"]:
        """Q-values at every architecture of a table, all neighbours offered, however many a walk is."""
        every = torch.arange(len(self.process))
        sweeper = Sweeper(self)
        return sweeper.judge(every, sweeper.embed(sweeper.tokens.draw(every, generator)))


class Sweeper:
    """Q-values at many states of a table, each architecture embedded once.

    Args:
        values: whose network; its process is a ``TabularProcess``.
    """

    def __init__(self, values: QFunction) -> None:
        process = values.process
        assert isinstance(process, TabularProcess)
        self.values, self.choices, self.tokens = values, process.choices, process.tokens

    @torch.no_grad()
    def embed(self, rows: Int64[Tensor, " architectures"]) -> Float[Tensor, "architectures width"]:
        """Token rows encoded, one an architecture; on the device."""
        device, network = self.values.device, self.values.network
        parts = [self.tokens.rows[r].to(device).float() for r in rows.split(EMBED_CHUNK)]
        return torch.cat([network.embed(part) for part in parts])

    @torch.no_grad()
    def judge(
        self, states: Int64[Tensor, " states"], embedded: Float[Tensor, "architectures width"]
    ) -> Float32[Tensor, "states actions"]:
        """Q-values at some states, where all neighbours are offered, from ``embed``."""
        out = []
        for offered in self.choices[states].split(SWEEP_CHUNK):
            candidates = embedded[offered.clamp(min=0).to(self.values.device)]
            out.append(self.values.network.judge(candidates, self.values.exists(offered)).to(CPU))
        return torch.cat(out)

    @torch.no_grad()
    def look_up(
        self, states: Int64[Tensor, " states"], rows: Int64[Tensor, " architectures"]
    ) -> Float32[Tensor, "states actions"]:
        """``judge`` where only the candidates of some states are embedded, with them."""
        offered = self.choices[states]
        tokens = self.tokens.rows[rows[offered.clamp(min=0)]].to(self.values.device).float()
        q: Tensor = self.values.network(tokens, self.values.exists(offered))
        return q.to(CPU)


class Snapshot:
    """Q-values at one frozen parameter version.

    The parameters of actors and target change only when they are copied. Where all neighbours are always
    offered, Q-values are computed once a state and kept until the next copy. In a table that is one sweep if
    most states will be needed, else when a state is first needed; where so few requests will meet few of the
    architectures, a state's candidates are embedded with it, not all at once. Elsewhere a frozen copy of the
    network answers each request.

    Args:
        values: whose present parameters are frozen.
        reuse: keep Q-values if the process allows it.
        requests: how many states are expected to be asked for; a table of at most as many is swept at once.
        generator: draws the tokens' padding.
    """

    def __init__(self, values: QFunction, reuse: bool, requests: int, generator: torch.Generator) -> None:
        self._generator = generator
        self._kept = reuse and values.process.offers_all
        network = copy.deepcopy(values.network).requires_grad_(False)
        self._frozen = values.over(values.process, network)
        self._sweeper: Sweeper | None = None
        self._embedded: Tensor | None = None  # of every architecture, once the first state is met
        states = len(values.process)
        if self._kept and isinstance(values.process, TabularProcess):
            self._sweeper = Sweeper(self._frozen)
            self._at_once, self._embeds = states <= requests, states <= requests * values.process.actions
            self._drawn = self._sweeper.tokens.draw(torch.arange(states), generator)
        self._table = torch.zeros(states if self._kept else 0, values.process.actions)
        self._known = torch.zeros(len(self._table), dtype=torch.bool)

    def _learn(self, states: Int64[Tensor, " states"]) -> None:
        if self._sweeper is not None and self._embeds and self._embedded is None:
            self._embedded = self._sweeper.embed(self._drawn)
        for part in states.split(SWEEP_CHUNK):
            self._table[part] = self._of(part)
        self._known[states] = True

    def _of(self, part: Int64[Tensor, " states"]) -> Float32[Tensor, "states actions"]:
        if self._sweeper is None:
            offered = self._frozen.process.offer(part, self._generator)  # all of it: nothing is drawn
            return self._frozen.q(part, offered, self._generator).to(CPU)
        if self._embedded is not None:
            return self._sweeper.judge(part, self._embedded)
        return self._sweeper.look_up(part, self._drawn)

    def _grow(self) -> None:
        """Room for states met since."""
        more = len(self._frozen.process) - len(self._known)
        if more > 0:
            more = max(more, len(self._known))
            self._table = torch.cat([self._table, torch.zeros(more, self._table.shape[1])])
            self._known = torch.cat([self._known, torch.zeros(more, dtype=torch.bool)])

    @torch.no_grad()
    def q(
        self, state: Int64[Tensor, " batch"], offered: Int64[Tensor, "batch actions"]
    ) -> Float32[Tensor, "batch actions"]:
        """Q-values of what is offered at each state, -inf where an action does not exist; on the CPU."""
        if not self._kept:
            return self._frozen.q(state, offered, self._generator).to(CPU)
        self._grow()
        unknown = state[~self._known[state]]
        if len(unknown):
            every = self._sweeper is not None and self._at_once
            self._learn(torch.arange(len(self._known)) if every else unknown.unique())
        return self._table[state]

    def state_dict(self) -> dict[str, Tensor]:
        """The frozen weights, the token drawn for every architecture, and the Q-values known so far."""
        state = {f"network.{k}": v for k, v in self._frozen.network.state_dict().items()}
        if self._kept:
            state |= {"table": self._table, "known": self._known}
        if self._sweeper is not None:
            state["drawn"] = self._drawn
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        weights = {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}
        self._frozen.network.load_state_dict(weights)
        if self._kept:
            self._table, self._known = state["table"], state["known"]
        if self._sweeper is not None:
            self._drawn, self._embedded = state["drawn"], None


@dataclass(frozen=True)
class Form:
    """What kind of network an algorithm learns.

    Attributes:
        network: makes one: length of a token, settings, generator of the weights, whether to multiply in
            bfloat16.
        function: what greedy walks go by: the network in a process, under the settings.
        body: whether the network has a transformer, which can be moved by itself.
    """

    network: Callable[[int, Settings, torch.Generator, bool], TokenNetwork]
    function: Callable[[TokenNetwork, SearchProcess, Settings], QFunction]
    body: bool = True


def _q_network(features: int, settings: Settings, generator: torch.Generator, bfloat16: bool) -> TokenNetwork:
    return QNetwork(features, settings.network, generator, bfloat16)


def plain_function(network: TokenNetwork, process: SearchProcess, settings: Settings) -> QFunction:
    """A ``QFunction``, which needs no settings."""
    del settings
    return QFunction(network, process)


Q_FORM = Form(_q_network, plain_function)


def make_values(
    process: SearchProcess,
    settings: Settings,
    seed: int,
    device: torch.device = CPU,
    form: Form = Q_FORM,
    weights: Mapping[str, Tensor] | None = None,
) -> QFunction:
    """A network in a process.

    Args:
        process: what it sees.
        settings: sizes, and the precision of its arithmetic.
        seed: of the weights.
        device: where the network is.
        form: of what kind; a Q-network by default.
        weights: of the network; drawn from the seed if None.
    """
    precision = resolved_precision(settings.training.precision, settings.network.width, device)
    generator = make_generator(seed, "weights")
    network = form.network(process.features, settings, generator, precision == "bfloat16")
    if weights is not None:
        network.load_state_dict(dict(weights))
    return form.function(network.to(device), process, settings)
