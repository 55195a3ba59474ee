"""``successor-features``: what the sources' policies would earn here, and the best of them at every step.

In: sources. Out: an agent whose network begins with the values of generalised policy improvement. Next:
``archwalk.training.loop``.

Rewards are linear in features of the architecture arrived at, r(x) = φ(x) · w. Where following a policy π_i
leads, discounted and summed, is ψ_i(x) = φ(x) + γ ψ_i(π_i(x)), its successor features; they do not depend on
the task, whose values under π_i are ψ_i · w. Generalised policy improvement takes the best of them, Q(s, a) =
max_i ψ_i(x) · w with x where a leads, and is no worse than any π_i as far as w is right (Barreto et al. 2017,
equations 2 to 4, theorem 1).

Where steps lead is known, so ψ_i is no network but solved exactly from the source's greedy policy, which
costs no evaluation. What costs is w: ridge regression on the target's evaluations, at first those of the
first starts, and again whenever they have grown by a tenth.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from archwalk.agents.base import Agent
from archwalk.agents.dqn.agent import DQNAgent
from archwalk.agents.dqn.planner import Planner
from archwalk.envs.process import SearchProcess
from archwalk.envs.tabular import TabularProcess
from archwalk.spaces.base import Codes
from archwalk.tasks.table import Benchmark
from archwalk.transferring.base import APEX, Options, Schedule, Source, Target, TransferMethod, source_q
from archwalk.transferring.fitted import Fitting
from archwalk.transferring.plans import OpinionatedPlanner
from archwalk.transferring.scale import at_starts

MOST = 2_000  # features; pairs of slots are left out where there would be more
GROWTH = 1.1  # of the evaluations, until weights are fitted anew
FORGOTTEN = 1e-9  # of what lies so far away that its discount is less, nothing is summed


class SuccessorOptions(Options):
    """How features are weighed, and how long the network is fitted to what they say."""

    ridge: float = Field(1.0, gt=0)
    """Of the regression of standardised rewards on features of spread one."""
    fitting: int = Field(15_360, ge=1)
    """Trained steps of fitting the network to the values, without walks."""
    unknown: bool = False
    """Whether a plan has targets, by the values, for what has not been evaluated."""


def features(codes: Codes, sizes: Sequence[int]) -> NDArray[np.float32]:
    """What rewards are linear in: the choice of each slot and of each two, one-hot, of mean 0, [n, d].

    Args:
        codes: [n, slots]; -1 where a slot is absent, which is a choice too.
        sizes: choices of each slot.
    """
    single = [np.eye(size + 1, dtype=np.float32)[codes[:, i]] for i, size in enumerate(sizes)]
    parts = list(single)
    widths = [one.shape[1] for one in single]
    if sum(widths) + sum(a * b for a, b in combinations(widths, 2)) <= MOST:
        parts += [
            (single[i][:, :, None] * single[j][:, None, :]).reshape(len(codes), -1)
            for i, j in combinations(range(len(sizes)), 2)
        ]
    every = np.concatenate(parts, 1)
    every = every[:, every.std(0) > 0]
    return ((every - every.mean(0)) / np.sqrt(len(parts))).astype(np.float32)


def successors(
    phi: Float32[Tensor, "states d"], policy: Int64[Tensor, " states"], discount: float
) -> Float32[Tensor, "states d"]:
    """ψ(x) = φ(x) + γ ψ(π(x)), exactly but for rounding, by doubling the steps summed.

    Args:
        phi: φ of each state.
        policy: π, the state that follows each.
        discount: γ, below 1.
    """
    psi, follows, factor = phi.double(), policy, discount
    while factor > FORGOTTEN:
        psi = psi + factor * psi[follows]
        follows = follows[follows]
        factor = factor * factor
    return psi.float()


def ridge(
    phi: Float32[Tensor, "n d"], rewards: Float32[Tensor, " n"], strength: float
) -> tuple[Float64[Tensor, " d"], float]:
    """w and b of r = φ · w + b, least squares with a penalty on w.

    Args:
        phi: features of what was evaluated.
        rewards: of it.
        strength: of the penalty, times the variance of the rewards' unit: rewards are scaled to spread one.
    """
    x, y = phi.double(), rewards.double()
    mean_x, mean_y, spread = x.mean(0), y.mean(), y.std(correction=0).clamp(min=1e-9)
    x, y = x - mean_x, (y - mean_y) / spread
    if len(x) < x.shape[1]:  # the same, by as many unknowns as there are evaluations
        inverse = torch.linalg.solve(x @ x.T + strength * torch.eye(len(x), dtype=x.dtype), y)
        w = x.T @ inverse * spread
    else:
        w = torch.linalg.solve(x.T @ x + strength * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y) * spread
    return w, float(mean_y - mean_x @ w)


class Improvement:
    """Values of generalised policy improvement, of the evaluations so far.

    Args:
        process: what has been evaluated, and its rewards.
        phi: features of each state.
        psi: successor features of each state under each source, ψ of arriving there.
        strength: of the ridge.
        discount: γ.
    """

    def __init__(
        self,
        process: SearchProcess,
        phi: Float32[Tensor, "states d"],
        psi: Sequence[Float32[Tensor, "states d"]],
        strength: float,
        discount: float,
    ) -> None:
        self._process, self._phi, self._psi = process, phi, psi
        self._strength, self._discount = strength, discount
        self._known = 0
        self._arrival = torch.empty(0)

    def arrival(self) -> Float32[Tensor, " states"]:
        """max_i ψ_i · w of arriving at each state; w is fitted anew if enough has been evaluated since."""
        seen = self._process.evaluated
        if int(seen.sum()) >= GROWTH * self._known:
            self._fit(seen.nonzero().squeeze(1))
        return self._arrival

    def _fit(self, at: Int64[Tensor, " n"]) -> None:
        w, b = ridge(self._phi[at], self._process.reward(at), self._strength)
        each = torch.stack([psi @ w.float() for psi in self._psi])
        self._arrival = each.amax(0) + b / (1 - self._discount)
        self._known = len(at)

    def state_dict(self) -> dict[str, Tensor]:
        """The values, and of how many evaluations they are."""
        return {"arrival": self._arrival, "known": torch.tensor(self._known)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        self._arrival, self._known = state["arrival"], int(state["known"])


class Improving(Fitting):
    """Fitting to the values of the first starts; a plan goes on asking for those of all evaluations."""

    def __init__(self, agent: DQNAgent, improvement: Improvement, steps: int) -> None:
        self._improvement = improvement
        super().__init__(agent, improvement.arrival(), steps, True)

    def state_dict(self) -> dict[str, Tensor]:
        """Those of ``Improvement``."""
        return self._improvement.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        self._improvement.load_state_dict(state)


class SuccessorFeatures(TransferMethod):
    """Generalised policy improvement over the sources' policies.

    As it is (zero-shot), it acts by that improvement, which the network is fitted to: it costs the
    evaluations of the first starts, and trained steps, but no walk.
    """

    name = "successor-features"
    options = SuccessorOptions
    algorithms = (APEX,)
    many = True
    listed = True
    given: SuccessorOptions

    def zero_shot_steps(self, sources: Sequence[Source], target: Target) -> int:
        """Those of fitting."""
        return self.given.fitting

    def prepare(self, agent: Agent, sources: Sequence[Source], target: Target) -> Schedule:
        """Successor features of every source, weights of the first starts, and a network to be fitted."""
        process, table = agent.values.process, target.benchmark
        assert isinstance(agent, DQNAgent)
        assert isinstance(process, TabularProcess)
        assert isinstance(table, Benchmark)
        discount = agent.settings.learner.discount
        phi = torch.from_numpy(
            features(table.space.codes[table.rows].astype(np.int16), table.space.slot_sizes)
        )
        states, psi = torch.arange(len(process)), []
        for source in sources:
            best = source_q(source, process, target.seed).argmax(1)
            psi.append(successors(phi, process.choices[states, best], discount))
        at_starts(agent)
        improvement = Improvement(process, phi, psi, self.given.ridge, discount)
        if isinstance(agent.target, Planner) and self.given.unknown:
            agent.target = OpinionatedPlanner(process, discount, improvement.arrival)
        return Improving(agent, improvement, self.given.fitting)
