"""``frozen-body``: the agent begins with the source's weights, some of which stay as they are.

In: a source. Out: its weights, and a learner that leaves some alone. Next: ``archwalk.training.loop``.

Layers that are kept are the oldest way to use a network elsewhere (Yosinski et al. 2014, section 3; paper,
section 5.2 moves the body alone).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from archwalk.agents.base import Agent
from archwalk.agents.dqn.agent import DQN
from archwalk.agents.networks import is_body
from archwalk.transferring.base import APEX, DISTRIBUTIONAL, Options, Schedule, Source, Target, TransferMethod


class FrozenOptions(Options):
    """What is frozen, and for how long."""

    layers: Literal["body", "embedding", "embedding-and-body"] = "body"
    """body: the transformer; embedding: the first layers, which read a token; or both."""
    steps: int = Field(0, ge=0)
    """Trained steps during which they are; 0: for good."""


class FrozenBody(TransferMethod):
    """The source's weights; those of some layers are not trained, for some steps or for good."""

    name = "frozen-body"
    options = FrozenOptions
    algorithms = (APEX, DISTRIBUTIONAL)
    given: FrozenOptions

    def _frozen(self, parameter: str) -> bool:
        embedding = self.given.layers != "body" and parameter.startswith("embedding.")
        return embedding or (self.given.layers != "embedding" and is_body(parameter))

    def prepare(self, agent: Agent, sources: Sequence[Source], target: Target) -> Schedule:
        """The learner leaves those weights alone."""
        del sources, target
        assert isinstance(agent, DQN)
        agent.learner.descent.freeze(self._frozen, self.given.steps or math.inf)
        return Schedule()
