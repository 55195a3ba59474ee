"""``ModelBasedAgent``: learns what architectures are worth, and plans where to walk; where steps lead it
knows.

In: a process and settings. Out: an ``Agent`` for the loop. A reward that was evaluated is known and stays
known; elsewhere an ensemble predicts it, and how far its members disagree is what it does not know. Walks go
by plans over both, some of them with optimism (Auer et al. 2002; Dyna, Sutton 1991, for planning in a learned
model). Next: ``agents.registry``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from archwalk.agents.base import Agent, Update, Walked, begin_walks
from archwalk.agents.descent import Descent
from archwalk.agents.dqn.planner import backed_up, known_of
from archwalk.agents.modelbased.network import RewardNetwork
from archwalk.agents.modelbased.plan import REWARD_FORM, RewardFunction
from archwalk.agents.values import CPU, make_values
from archwalk.config import Settings
from archwalk.envs.process import SearchProcess, restart, take
from archwalk.envs.tabular import TabularProcess
from archwalk.seeding import Generators
from archwalk.spaces.base import PAD

MOST_NORM = 40.0  # of a gradient
BEST = 32  # fewest that count as the best; else a tenth of what was evaluated


class ModelBasedAgent(Agent):
    """Reward model, plans, walks.

    Args:
        process: where the walks are.
        settings: of ``model_based``, and of the others discount, batch size and the ratio of steps.
        generators: of the run.
        device: where the network is; walks and plans are on the CPU.
        weights: of the network to begin with; drawn from the seed if None.
    """

    form = REWARD_FORM
    metrics = ("loss", "deviation", "grad_norm")

    def __init__(
        self,
        process: SearchProcess,
        settings: Settings,
        generators: Generators,
        device: torch.device = CPU,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.process, self.settings, self.generators = process, settings, generators
        own = settings.model_based
        self.walks = begin_walks(process, settings, own.walks, generators)
        self.values = make_values(process, settings, generators.seed, device, self.form, weights)
        self.descent = Descent(self.values.network, own.learning_rate, own.halving_steps, MOST_NORM)
        self.daring = torch.linspace(0, own.optimism, own.levels)
        self.level = torch.arange(own.walks) % own.levels  # of each walk
        self._known = torch.zeros(0, dtype=torch.bool)  # rewards that the plans have
        self._rewards = torch.zeros(0)  # of those
        self._shares = torch.zeros(0, own.members)  # weight of each state to each member
        self._arrival = torch.zeros(own.levels, 0)  # r + γ V of arriving, by level; of a table
        self._offered = process.offer(self.walks.architecture, generators["offers"])
        self._take_in()
        self._plan()

    # ---- what is known

    def _take_in(self) -> Int64[Tensor, " n"]:
        """States evaluated since the last time, with their rewards taken down."""
        more = len(self.process) - len(self._known)
        if more > 0:
            self._known = torch.cat([self._known, torch.zeros(more, dtype=torch.bool)])
            self._rewards = torch.cat([self._rewards, torch.zeros(more)])
            drawn = torch.rand(more, self._shares.shape[1], generator=self.generators["shares"])
            self._shares = torch.cat([self._shares, -torch.log1p(-drawn)])
        new = (self.process.evaluated & ~self._known).nonzero().squeeze(1)
        self._rewards[new] = self.process.reward(new)
        self._known[new] = True
        return new

    # ---- plans

    def _plan(self) -> None:
        """A plan a level: known rewards, and elsewhere mean plus so many deviations."""
        if not isinstance(self.process, TabularProcess):
            return
        function = self._function()
        told = function.predicted(self.generators["padding"])
        mean, deviation = told.mean(0), told.std(0)
        hoped = mean + self.daring[:, None] * deviation
        self._arrival = function.plan(torch.where(self._known, self._rewards, hoped))

    def _correct(self, new: Int64[Tensor, " n"]) -> None:
        """What has turned out, in the plans as they are: staying there, or going on from there."""
        if len(new) and self._arrival.shape[1]:
            discount, choices = self.settings.learner.discount, self.process.choices
            for arrival in self._arrival:
                arrival[new] = self._rewards[new] / (1 - discount)
                arrival[new] = backed_up(new, arrival, choices, self._rewards, discount)

    def _scores(
        self, state: Int64[Tensor, " walks"], offered: Int64[Tensor, "walks actions"]
    ) -> Float32[Tensor, "walks actions"]:
        """What each walk takes the largest of: its plan; in an open space the rewards a step ahead."""
        known = self.process.known(state, offered)
        if self._arrival.shape[1]:
            by_level = torch.stack([known_of(known, arrival) for arrival in self._arrival])
            return by_level[self.level, torch.arange(len(state))]
        tokens = self.process.observe(state, offered, self.generators["padding"])
        with torch.no_grad():
            told = self._network().rewards(tokens.flatten(0, 1).to(self.values.device).float()).to(CPU)
        told = told.view(-1, *offered.shape)
        hoped = told.mean(0) + self.daring[self.level][:, None] * told.std(0)
        met = (known != PAD) & self._known[known.clamp(min=0)]
        scores = torch.where(met, self._rewards[known.clamp(min=0)], hoped)
        return scores.masked_fill(offered == PAD, -torch.inf)

    # ---- the loop's side

    def act(self) -> list[Walked]:
        """One step of every walk by its plan; those that end begin anew elsewhere."""
        process, gen, walks = self.process, self.generators, self.walks
        self._correct(self._take_in())
        action = self._scores(walks.architecture, self._offered).argmax(1)
        outcome = take(process, walks, self._offered, action)
        ended = outcome.terminated | outcome.truncated
        ended_steps = int(walks.age[ended].sum())
        restart(process, walks, ended, gen["starts"])
        self._offered = process.offer(walks.architecture, gen["offers"])
        return [Walked(outcome.architecture, len(action), int(ended.sum()), ended_steps)]

    def ready(self, sampled_steps: int) -> bool:
        """As soon as a step was walked."""
        return sampled_steps > 0

    def update(self) -> tuple[Update, list[Walked]]:
        """Some steps of Adam on a batch of what was evaluated, a share of it from the best; a new plan if it
        has come due."""
        own, batch = self.settings.model_based, self.settings.learner.batch_size
        generator = self.generators["learner"]
        self._take_in()
        seen = self._known.nonzero().squeeze(1)
        before = self.descent.trained_steps
        drawn = torch.where(
            torch.rand(batch, generator=generator) < own.best_share,
            self._drawn(self._best(seen), batch),
            self._drawn(seen, batch),
        )
        told = [self._learn(state) for state in drawn.split(own.batch_size)]
        if before // own.plan_every != self.descent.trained_steps // own.plan_every:
            self._plan()
        means = torch.stack([torch.stack(numbers) for numbers in told]).mean(0)
        return Update(batch, dict(zip(self.metrics, means, strict=True))), []

    def _best(self, seen: Int64[Tensor, " n"]) -> Int64[Tensor, " best"]:
        """Those of the largest rewards, where the plans end: there errors count most."""
        count = min(len(seen), max(BEST, len(seen) // 10))
        return seen[self._rewards[seen].topk(count).indices]

    def _drawn(self, among: Int64[Tensor, " n"], count: int) -> Int64[Tensor, " count"]:
        return among[torch.randint(len(among), (count,), generator=self.generators["learner"])]

    def _learn(self, state: Int64[Tensor, " n"]) -> tuple[Tensor, Tensor, Tensor]:
        """One step of Adam; its ``metrics``."""
        generator, device = self.generators["learner"], self.values.device
        here = self.process.offer(state, generator)[:, :1]
        tokens = self.process.observe(state, here, generator).squeeze(1).to(device).float()
        told = self._network().rewards(tokens)
        error = (told - self._rewards[state].to(device)).square()
        loss = (error * self._shares[state].T.to(device)).mean()
        norm = self.descent.step(loss, len(state))
        return loss.detach().to(CPU), told.detach().std(0).mean().to(CPU), norm.detach().to(CPU)

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """Learner, walks and plans."""
        walks = {"architecture": self.walks.architecture, "age": self.walks.age, "offered": self._offered}
        plans = {"known": self._known, "shares": self._shares, "arrival": self._arrival}
        return {"learner": self.descent.state_dict(), "walks": walks, "plans": plans}

    def load_parts(self, parts: dict[str, dict[str, Tensor]]) -> None:
        """The inverse of ``parts``; the process has been restored before."""
        self.descent.load_state_dict(parts["learner"])
        walks, plans = parts["walks"], parts["plans"]
        self.walks.architecture, self.walks.age = walks["architecture"], walks["age"]
        self._offered = walks["offered"]
        self._known, self._shares, self._arrival = plans["known"], plans["shares"], plans["arrival"]
        self._rewards = torch.zeros(len(self._known))
        seen = self._known.nonzero().squeeze(1)
        self._rewards[seen] = self.process.reward(seen)

    def _function(self) -> RewardFunction:
        values = self.values
        assert isinstance(values, RewardFunction)
        return values

    def _network(self) -> RewardNetwork:
        return self._function().network
