"""``Agent``: a network in a process; and ``Snapshot``: Q-values of one frozen parameter version.

In: weights, tokens, a ``WalkProcess``. Out: Q-values, greedy policies, walks. Next: ``learner`` and
``archwalk.training`` read snapshots; ``archwalk.training.evaluate`` walks.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from archwalk.agent.network import QNetwork
from archwalk.space.space import PAD
from archwalk.space.tokens import TokenTable
from archwalk.walk.dynamics import WalkProcess

SWEEP_CHUNK = 512  # states a forward pass of a sweep: fits the cache, fills the cores


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
        rows = self.tokens.draw(offered, generator)
        q: Float32[Tensor, "batch actions"] = self.network(
            self.tokens.rows[rows].float(), self.exists(offered)
        )
        return q

    @torch.no_grad()
    def sweep(self, generator: torch.Generator) -> Float32[Tensor, "architectures actions"]:
        """Q-values at every architecture, where all neighbours are offered.

        Each architecture is encoded once, with one draw of its padding, and the embedding shared by all
        states that offer it.
        """
        rows = self.tokens.draw(torch.arange(len(self.process)), generator)
        embedded = self.network.embed(self.tokens.rows[rows].float())
        out = []
        for offered in self.process.choices.split(SWEEP_CHUNK):
            out.append(self.network.judge(embedded[offered.clamp(min=0)], self.exists(offered)))
        return torch.cat(out)


class Snapshot:
    """Q-values at one frozen parameter version.

    The parameters of actors and target change only when they are copied, so that, where all neighbours are
    always offered, one sweep serves every look until the next copy. Elsewhere a frozen copy of the network
    answers each look.

    Args:
        agent: whose present parameters are frozen.
        reuse: sweep if the process allows it.
        generator: draws the tokens' padding.
    """

    def __init__(self, agent: Agent, reuse: bool, generator: torch.Generator) -> None:
        self._generator = generator
        self._swept = reuse and agent.process.offers_all
        self._frozen = agent
        if self._swept:
            self.table = agent.sweep(generator)
        else:
            network = copy.deepcopy(agent.network).requires_grad_(False)
            self._frozen = Agent(network, agent.tokens, agent.process)

    @torch.no_grad()
    def q(
        self, architecture: Int64[Tensor, " batch"], offered: Int64[Tensor, "batch actions"]
    ) -> Float32[Tensor, "batch actions"]:
        """Q-values of what is offered at each architecture, -inf where an action does not exist."""
        return self.table[architecture] if self._swept else self._frozen.q(offered, self._generator)

    def state_dict(self) -> dict[str, Tensor]:
        """The sweep, or the frozen weights."""
        return {"table": self.table} if self._swept else dict(self._frozen.network.state_dict())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        if self._swept:
            self.table = state["table"]
        else:
            self._frozen.network.load_state_dict(state)
