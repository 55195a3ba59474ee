"""``Agent``: a network in a process; and ``Snapshot``: Q-values of one frozen parameter version.

In: weights, tokens, a ``WalkProcess``. Out: Q-values, greedy policies, walks. Next: ``learner`` and
``archwalk.training`` read snapshots; ``archwalk.training.evaluation`` walks.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from archwalk.agents.networks import QNetwork
from archwalk.envs.process import WalkProcess
from archwalk.spaces.base import PAD
from archwalk.spaces.tokens import TokenTable

SWEEP_CHUNK = 512  # states a forward pass of a sweep: fits the cache, fills the cores
EMBED_CHUNK = 8_192  # architectures embedded at a time: their activations fit the cache


class Agent:
    """A Q-network that sees one process through one token table.

    Attributes:
        network: the weights.
        tokens: what architectures look like.
        process: what can be offered.
    """

    def __init__(self, network: QNetwork, tokens: TokenTable, process: WalkProcess) -> None:
        self.network, self.tokens, self.process = network, tokens, process

    def exists(self, offered: Int64[Tensor, "batch actions"]) -> Bool[Tensor, "batch actions"] | None:
        """Which actions exist; None if all do, which saves the mask."""
        exists = offered != PAD
        return None if bool(exists.all()) else exists

    def q(
        self, offered: Int64[Tensor, "batch actions"], generator: torch.Generator
    ) -> Float32[Tensor, "batch actions"]:
        """Q-values of what is offered, -inf where an action does not exist; differentiable.

        ``generator`` draws the tokens' padding, anew for every token.
        """
        return self.q_of_rows(offered, self.tokens.draw(offered, generator))

    def q_of_rows(
        self, offered: Int64[Tensor, "batch actions"], rows: Int64[Tensor, "batch actions"]
    ) -> Float32[Tensor, "batch actions"]:
        """``q`` where the token row of everything offered has been drawn before."""
        tokens = self.tokens.rows[rows].float()
        q: Float32[Tensor, "batch actions"] = self.network(tokens, self.exists(offered))
        return q

    @torch.no_grad()
    def embed_rows(self, rows: Int64[Tensor, " architectures"]) -> Float[Tensor, "architectures width"]:
        """Token rows encoded, one an architecture."""
        return torch.cat([self.network.embed(self.tokens.rows[r].float()) for r in rows.split(EMBED_CHUNK)])

    @torch.no_grad()
    def judge_states(
        self, states: Int64[Tensor, " states"], embedded: Float[Tensor, "architectures width"]
    ) -> Float32[Tensor, "states actions"]:
        """Q-values at some states, where all neighbours are offered, from ``embed_rows``."""
        out = []
        for offered in self.process.choices[states].split(SWEEP_CHUNK):
            out.append(self.network.judge(embedded[offered.clamp(min=0)], self.exists(offered)))
        return torch.cat(out)

    def sweep(self, generator: torch.Generator) -> Float32[Tensor, "architectures actions"]:
        """Q-values at every architecture, where all neighbours are offered."""
        every = torch.arange(len(self.process))
        return self.judge_states(every, self.embed_rows(self.tokens.draw(every, generator)))


class Snapshot:
    """Q-values at one frozen parameter version.

    The parameters of actors and target change only when they are copied. Where all neighbours are always
    offered, Q-values are computed once a state and kept until the next copy: in one sweep if most states will
    be looked at, else when a state is first looked at. Where so few looks will meet few of the architectures,
    a state's candidates are embedded with it, not all at once. Elsewhere a frozen copy of the network answers
    each look.

    Args:
        agent: whose present parameters are frozen.
        reuse: keep Q-values if the process allows it.
        looks: how many looks are expected; a space of at most as many states is swept at once.
        generator: draws the tokens' padding.
    """

    def __init__(self, agent: Agent, reuse: bool, looks: int, generator: torch.Generator) -> None:
        self._generator = generator
        self._kept = reuse and agent.process.offers_all
        network = copy.deepcopy(agent.network).requires_grad_(False)
        self._frozen = Agent(network, agent.tokens, agent.process)
        if self._kept:
            states = len(agent.process)
            self._at_once, self._embeds = states <= looks, states <= looks * agent.process.actions
            self._drawn = agent.tokens.draw(torch.arange(states), generator)
            self._embedded: Tensor | None = None  # of every architecture, once the first state is met
            self._table = torch.zeros(agent.process.choices.shape)
            self._known = torch.zeros(states, dtype=torch.bool)

    def _learn(self, states: Int64[Tensor, " states"]) -> None:
        if self._embeds and self._embedded is None:
            self._embedded = self._frozen.embed_rows(self._drawn)
        for part in states.split(SWEEP_CHUNK):
            if self._embedded is not None:
                self._table[part] = self._frozen.judge_states(part, self._embedded)
            else:
                offered = self._frozen.process.choices[part]
                self._table[part] = self._frozen.q_of_rows(offered, self._drawn[offered.clamp(min=0)])
        self._known[states] = True

    @torch.no_grad()
    def q(
        self, architecture: Int64[Tensor, " batch"], offered: Int64[Tensor, "batch actions"]
    ) -> Float32[Tensor, "batch actions"]:
        """Q-values of what is offered at each architecture, -inf where an action does not exist."""
        if not self._kept:
            return self._frozen.q(offered, self._generator)
        unknown = architecture[~self._known[architecture]]
        if len(unknown):
            self._learn(torch.arange(len(self._known)) if self._at_once else unknown.unique())
        return self._table[architecture]

    def state_dict(self) -> dict[str, Tensor]:
        """The frozen weights, the token drawn for every architecture, and the Q-values known so far."""
        state = {f"network.{k}": v for k, v in self._frozen.network.state_dict().items()}
        if self._kept:
            state |= {"drawn": self._drawn, "table": self._table, "known": self._known}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        weights = {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}
        self._frozen.network.load_state_dict(weights)
        if self._kept:
            self._drawn, self._table, self._known = state["drawn"], state["table"], state["known"]
            self._embedded = None
