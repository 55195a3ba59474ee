"""Plans over rewards, known and predicted; and what greedy walks go by.

In: a reward model in a process. Out: values of arriving at each architecture of a table; in the open a look
one step ahead. Next: ``agent``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from archwalk.agents.dqn.planner import CHUNK, known_of
from archwalk.agents.modelbased.network import RewardNetwork
from archwalk.agents.networks import TokenNetwork
from archwalk.agents.values import CPU, EMBED_CHUNK, Form, QFunction, Snapshot
from archwalk.config import Settings
from archwalk.envs.process import SearchProcess
from archwalk.envs.tabular import TabularProcess


def arrivals(
    rewards: Float32[Tensor, "plans architectures"],
    choices: Int64[Tensor, "architectures choices"],
    discount: float,
    backups: int,
) -> Float32[Tensor, "plans architectures"]:
    """r(x) + γ V(x) of arriving at each architecture, where V is of the best walk of at most so many steps
    that stays where it then is: r / (1 - γ), backed up so often or until nothing changes.

    Args:
        rewards: of arriving at each, in each plan.
        choices: each architecture, then its neighbours; ``PAD`` fills up.
        discount: γ.
        backups: steps ahead.
    """
    nowhere = torch.full((len(rewards), 1), -torch.inf)  # what the index of padding, -1, reads
    found = rewards / (1 - discount)
    for _ in range(backups):
        open_ended = torch.cat([found, nowhere], 1)
        best = torch.cat([open_ended[:, part].amax(2) for part in choices.split(CHUNK)], 1)
        after = torch.maximum(rewards + discount * best, found)
        if torch.equal(after, found):
            break
        found = after
    return found


class RewardFunction(QFunction):
    """A reward model in a process: greedy walks go by a plan over its mean rewards.

    Args:
        network: the model.
        process: a table, over which is planned; in an open space walks look one step ahead.
        discount: γ.
        backups: of a plan.
    """

    network: RewardNetwork

    def __init__(self, network: TokenNetwork, process: SearchProcess, discount: float, backups: int) -> None:
        super().__init__(network, process)
        self._discount, self._backups = discount, backups

    def over(self, process: SearchProcess, network: TokenNetwork | None = None) -> RewardFunction:
        """See ``QFunction``."""
        return RewardFunction(network or self.network, process, self._discount, self._backups)

    def frozen(self, reuse: bool, requests: int, generator: torch.Generator) -> Snapshot:
        """A plan, where there is a table."""
        if isinstance(self.process, TabularProcess):
            return Plan(self, generator)
        return super().frozen(reuse, requests, generator)

    def sweep(self, generator: torch.Generator) -> Float32[Tensor, "architectures actions"]:
        """Planned values at every architecture of a table."""
        return known_of(self.process.choices, self.plan(self.predicted(generator).mean(0, keepdim=True))[0])

    @torch.no_grad()
    def predicted(self, generator: torch.Generator) -> Float32[Tensor, "members architectures"]:
        """Rewards of every architecture of a table, as each member sees them, on the CPU."""
        process = self.process
        assert isinstance(process, TabularProcess)
        rows = process.tokens.draw(torch.arange(len(process)), generator)
        parts = [process.tokens.rows[part].to(self.device).float() for part in rows.split(EMBED_CHUNK)]
        return torch.cat([self.network.rewards(part).to(CPU) for part in parts], 1)

    def plan(self, rewards: Float32[Tensor, "plans architectures"]) -> Float32[Tensor, "plans architectures"]:
        """``arrivals`` under the settings."""
        return arrivals(rewards, self.process.choices, self._discount, self._backups)


class Plan(Snapshot):
    """Values planned over the present model's mean rewards of a table.

    Args:
        values: the model in its process.
        generator: draws the tokens' padding.
    """

    def __init__(self, values: RewardFunction, generator: torch.Generator) -> None:
        self._values = values
        self._arrival = values.plan(values.predicted(generator).mean(0, keepdim=True))[0]

    def q(
        self, state: Int64[Tensor, " batch"], offered: Int64[Tensor, "batch actions"]
    ) -> Float32[Tensor, "batch actions"]:
        """Planned values of what is offered, -inf where there is nothing."""
        return known_of(self._values.process.known(state, offered), self._arrival)


def _network(features: int, settings: Settings, generator: torch.Generator, bfloat16: bool) -> TokenNetwork:
    members = settings.model_based.members
    return RewardNetwork(features, settings.network, generator, bfloat16, members)


def _function(network: TokenNetwork, process: SearchProcess, settings: Settings) -> QFunction:
    return RewardFunction(network, process, settings.learner.discount, settings.model_based.backups)


REWARD_FORM = Form(_network, _function, body=False)
