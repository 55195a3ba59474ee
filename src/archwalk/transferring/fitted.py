"""A network fitted to what is known of every architecture, before anything is walked.

In: the value of arriving at each state of a table. Out: updates of the agent's network towards it, at random
states, which need no reward. Next: ``mapping`` and ``successor_features`` begin with them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor

from archwalk.agents.base import Agent, Update, Walked
from archwalk.agents.dqn.agent import DQNAgent
from archwalk.agents.dqn.planner import known_of
from archwalk.agents.dqn.replay import Sample, Transitions
from archwalk.agents.dqn.targets import Goals, Online
from archwalk.envs.tabular import TabularProcess
from archwalk.seeding import make_generator
from archwalk.transferring.base import Schedule
from archwalk.transferring.scale import line, rescaled


class Fixed:
    """Targets that are known of every architecture (``Target``).

    Args:
        arrival: r + γ V of arriving at each, [states].
    """

    def __init__(self, arrival: Float32[Tensor, " states"]) -> None:
        self._arrival = arrival

    def goals(self, batch: Transitions, online: Online) -> Goals:
        """Of every action offered."""
        del batch
        return Goals(known_of(online.known(), self._arrival).index_select(0, online.at), None)

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing changes."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        return


class Fitting(Schedule):
    """The first updates fit the network to ``arrival``; then the walks begin by it.

    Before them its heads are re-scaled, so that what is left to learn is no difference of units.

    Args:
        agent: whose network it is.
        arrival: value of arriving at each state of its table.
        steps: trained steps of fitting, which count as all others do.
        trained: the network has been trained elsewhere, so that a line over its Q-values means something; of
            a fresh one the level alone is set.
    """

    def __init__(
        self, agent: DQNAgent, arrival: Float32[Tensor, " states"], steps: int, trained: bool
    ) -> None:
        super().__init__()
        process, network = agent.process, agent.values.network
        assert isinstance(process, TabularProcess)
        q = agent.values.sweep(make_generator(agent.generators.seed, "levels"))
        y = known_of(process.choices, arrival)
        real = y > -torch.inf
        scale = line(q[real], y[real])
        if not trained:
            scale = scale._replace(slope=1.0, offset=float(y[real].mean() - q[real].mean()))
        network.load_state_dict(rescaled(network.state_dict(), scale, 0.0))
        self._agent, self._target, self._steps = agent, Fixed(arrival), steps

    def preparing(self, trained_steps: int) -> bool:
        """Whether fitting goes on."""
        return trained_steps < self._steps

    def update(self, agent: Agent) -> tuple[Update, list[Walked]]:
        """One update, of fitting or of the agent's own."""
        mine = self._agent
        assert agent is mine
        before = mine.learner.trained_steps
        if not self.preparing(before):
            return agent.update()
        learned = mine.learner.update(self._draw(), self._target)
        if not self.preparing(mine.learner.trained_steps):
            mine.renew()
        numbers = (learned.loss, learned.error.mean(), learned.q, learned.grad_norm)
        trained = mine.learner.trained_steps - before
        return Update(trained, dict(zip(mine.metrics, numbers, strict=True))), []

    def _draw(self) -> Sample:
        """A batch of random states."""
        n, generator = self._agent.settings.learner.batch_size, self._agent.generators["fitting"]
        states = torch.randint(len(self._agent.process), (n,), generator=generator)
        none, zeros = states[:, None][:, :0], torch.zeros(n)
        nothing = Transitions(states, none, torch.zeros_like(states), zeros, zeros, states, none)
        return Sample(nothing, torch.arange(n), torch.ones(n))
