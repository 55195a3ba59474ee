"""``policy-reuse``: walks follow the source's policy now and then, less and less often.

In: sources. Out: an agent whose walks are guided. Next: ``archwalk.training.loop``.

Probabilistic policy reuse (Fernandez and Veloso 2006, section 3, the pi-reuse exploration strategy, and
section 4, PRQ-learning): each walk follows one of the policies, chosen by a softmax of their gains whose
temperature falls with every walk that ends; a walk that follows a source takes the source's action with a
probability that decays by a factor a step, and else its own. The agent's own policy is one of those that are
chosen among, so sources that gain less are soon left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float64, Int64
from pydantic import Field
from torch import Tensor

from archwalk.agents.base import Agent
from archwalk.agents.dqn.agent import DQNAgent
from archwalk.agents.dqn.rollout import Guide
from archwalk.agents.values import Snapshot
from archwalk.envs.process import Outcome, Walks
from archwalk.seeding import Generators
from archwalk.transferring.base import APEX, DISTRIBUTIONAL, Options, Schedule, Source, Target, TransferMethod
from archwalk.transferring.scale import begin_agreeing

MANY = 10**9  # states that a source is asked about in all: those of a table at once


class ReuseOptions(Options):
    """How often sources are followed."""

    probability: float = Field(1.0, ge=0, le=1)
    """That a walk follows its source at its first step, psi."""
    decay: float = Field(0.95, ge=0, le=1)
    """What the probability is multiplied by at each step, upsilon."""
    cooling: float = Field(0.05, ge=0)
    """Added to the inverse temperature, tau, by every walk that ends."""
    begin: Literal["fresh", "source", "agreeing"] = "agreeing"
    """Weights to begin with: drawn anew; the first source's; or those, if what the first source takes
    for rewards agrees with the rewards of the first starts, with a correlation of at least 0.5. (These are
    evaluations, but with reward.standardise they are made anyway.)"""


def chances(gain: Float64[Tensor, " policies"], inverse: float) -> Float64[Tensor, " policies"]:
    """The softmax e^(tau W) / sum of e^(tau W) (Fernandez and Veloso 2006, equation 3)."""
    return (inverse * gain).softmax(0)


class Reuse(Guide, Schedule):
    """The sources' say in the walks, and what is remembered of how much each policy gained.

    The gain of a walk is its discounted return, in which the last architecture is kept for ever, times 1 - γ:
    a mean reward a step. Policy 0 is the agent's own.

    Args:
        policies: the sources', in the target's process.
        given: how often.
        walks: how many there are.
        discount: of the return.
        generators: of the run; ``reuse`` is drawn from.
        own: where the sources' tokens are padded from.
    """

    def __init__(
        self,
        policies: Sequence[Snapshot],
        given: ReuseOptions,
        walks: int,
        discount: float,
        generators: Generators,
        own: Generators,
    ) -> None:
        super().__init__()
        self._policies, self._given, self._discount = policies, given, discount
        self._generators, self._own = generators, own
        n = 1 + len(policies)
        self.gain = torch.zeros(n, dtype=torch.float64)
        self.used = torch.zeros(n, dtype=torch.float64)
        self.inverse = 0.0
        self._return = torch.zeros(walks, dtype=torch.float64)
        self.follows = self._choose(walks)

    def _choose(self, walks: int) -> Int64[Tensor, " walks"]:
        """A policy for each walk that begins."""
        of = chances(self.gain, self.inverse)
        return torch.multinomial(of, walks, replacement=True, generator=self._generators["reuse"])

    def act(self, walks: Walks, offered: Tensor, action: Tensor) -> Tensor:
        """The source's action where its walk follows it at this step."""
        u = torch.rand(len(action), generator=self._generators["reuse"])
        taken = u < self._given.probability * self._given.decay ** walks.age.double()
        for i, policy in enumerate(self._policies, start=1):
            at = (taken & (self.follows == i)).nonzero().squeeze(1)
            if len(at):
                action[at] = policy.q(walks.architecture[at], offered[at]).argmax(1)
        self._age = walks.age.clone()
        return action

    def after(self, outcome: Outcome, ended: Bool[Tensor, " walks"]) -> None:
        """Gains of walks that end; those that begin choose a policy."""
        factor = self._discount ** self._age.double()
        self._return += factor * outcome.reward
        if not bool(ended.any()):
            return
        last = factor[ended] * self._discount * outcome.reward[ended] / (1 - self._discount)
        gained = (1 - self._discount) * (self._return[ended] + last)
        follows = self.follows[ended]
        self.used.index_add_(0, follows, torch.ones_like(gained))
        total = torch.zeros_like(self.gain).index_add_(0, follows, gained)
        times = torch.bincount(follows, minlength=len(self.gain))
        self.gain += (total - times * self.gain) / self.used.clamp(min=1)
        self.inverse += self._given.cooling * len(gained)
        self._return[ended] = 0
        self.follows[ended] = self._choose(len(gained))

    def report(self) -> dict[str, float]:
        """The share of the walks that follow a source."""
        return {"follow_a_source": float((self.follows > 0).double().mean())}

    def state_dict(self) -> dict[str, Tensor]:
        """Gains, and what each walk is about; and what sources have said, which padding is drawn for."""
        state = {
            "gain": self.gain,
            "used": self.used,
            "inverse": torch.tensor(self.inverse, dtype=torch.float64),
            "return": self._return,
            "follows": self.follows,
        }
        for i, policy in enumerate(self._policies):
            state |= {f"policy.{i}.{name}": value for name, value in policy.state_dict().items()}
        return state | {f"own.{name}": value for name, value in self._own.state_dict().items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        self.gain, self.used, self.inverse = state["gain"], state["used"], float(state["inverse"])
        self._return, self.follows = state["return"], state["follows"]

        def part(begins: str) -> dict[str, Tensor]:
            return {k.removeprefix(begins): v for k, v in state.items() if k.startswith(begins)}

        for i, policy in enumerate(self._policies):
            policy.load_state_dict(part(f"policy.{i}."))
        self._own.load_state_dict(part("own."))


class PolicyReuse(TransferMethod):
    """Walks that reuse the sources' policies.

    As it is (zero-shot), it has the first source's agent. It costs no evaluation beyond those of the walks.
    """

    name = "policy-reuse"
    options = ReuseOptions
    algorithms = (APEX, DISTRIBUTIONAL)
    many = True
    given: ReuseOptions

    def weights(self, sources: Sequence[Source], target: Target) -> dict[str, Tensor] | None:
        """As ``begin`` says."""
        return super().weights(sources, target) if self.given.begin == "source" else None

    def prepare(self, agent: Agent, sources: Sequence[Source], target: Target) -> Schedule:
        """The sources have a say from now on."""
        assert isinstance(agent, DQNAgent)
        if self.given.begin == "agreeing":
            begin_agreeing(agent, sources[0], target.seed)
        process, own = agent.process, Generators(target.seed, "reuse ")
        policies = [source.values(process).frozen(True, MANY, own["padding"]) for source in sources]
        reuse = Reuse(
            policies,
            self.given,
            agent.settings.exploration.walks,
            agent.settings.learner.discount,
            agent.generators,
            own,
        )
        agent.rollout.guide = reuse
        return reuse
