"""``DistributionalAgent``: DQN whose network has quantiles of the return, and explores by its own noise.

In: a process and settings. Out: an ``Agent`` for the loop. Walks, windows, replay, planner, copies and loop
are those of ``dqn``: this says which network, which loss, and that no walk has an epsilon. Next:
``agents.registry``.
"""

from __future__ import annotations

import torch

from archwalk.agents.distributional.learner import QuantileLearner, QuantileTarget
from archwalk.agents.distributional.network import QUANTILE_FORM, QuantileFunction, QuantileSnapshot
from archwalk.agents.dqn.agent import DQNAgent
from archwalk.agents.dqn.learner import Learner
from archwalk.agents.dqn.targets import TargetNetwork
from archwalk.agents.values import Snapshot
from archwalk.envs.process import Walks


class DistributionalAgent(DQNAgent):
    """Quantile regression (Dabney et al. 2018) with noisy heads (Fortunato et al. 2018).

    With ``learner.planning`` targets are exact values of what has been evaluated, so the distribution that is
    learned is of what the network cannot tell apart yet; without, it is bootstrapped from a copy of the
    network.
    """

    form = QUANTILE_FORM

    def make_learner(self) -> Learner:
        """With the quantile loss."""
        settings, values = self.settings, self._function()
        generator, reuse = self.generators["learner"], settings.training.reuse
        return QuantileLearner(values, settings.learner, generator, reuse, settings.distributional)

    def make_target(self, frozen: Snapshot) -> TargetNetwork:
        """Quantiles of the copy."""
        return QuantileTarget(frozen, self.settings.learner.double)

    def snapshot(self) -> Snapshot:
        """With noise for walks, without for targets."""
        gen = self.generators
        return QuantileSnapshot(self._function(), gen["padding"], gen["noise"])

    def set_up(self, walks: Walks, policy: Snapshot) -> None:
        """Walks without epsilons."""
        self.epsilon = torch.zeros_like(self.epsilon)
        super().set_up(walks, policy)

    def _function(self) -> QuantileFunction:
        values = self.values
        assert isinstance(values, QuantileFunction)
        return values
