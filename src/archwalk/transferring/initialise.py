"""``initialise``: the agent begins with the source's weights (paper, section 4).

In: a source. Out: its weights, and nothing else. Next: ``archwalk.training.loop``.
"""

from __future__ import annotations

from collections.abc import Sequence

from archwalk.agents.base import Agent
from archwalk.transferring.base import Schedule, Source, Target, TransferMethod


class Initialise(TransferMethod):
    """The source's weights, all of which are trained on; exploration, replay and targets begin anew."""

    name = "initialise"

    def prepare(self, agent: Agent, sources: Sequence[Source], target: Target) -> Schedule:
        """Nothing is left to do."""
        del agent, sources, target
        return Schedule()
