"""MnasNet (Tan et al. 2019, arXiv:1807.11626): a controller trained by PPO on accuracy and latency."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from archwalk.errors import SearchError
from archwalk.searching.experience.source import Source
from archwalk.searching.history import History
from archwalk.searching.methods.zoph_le import Controller
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Ints, Problem
from archwalk.searching.slots import Replayed, choose_slots, possible_choices
from archwalk.tasks.metrics import speaks_of_cost

EXPONENT = -0.07  # section 3, of latency over its target, on both sides of it
LAYERS, HIDDEN = 1, 100  # of the controller, which is that of NASNet (Zoph et al. 2018), as its optimiser:
LEARNING_RATE, CLIP, ENTROPY, DECAY = 3.5e-4, 0.2, 1e-5, 0.95
BATCH, PASSES = 10, 4  # evaluations between two updates, here fewer than the publication's; steps on each


def costs_of(problem: Problem) -> Source | None:
    """The column that is taken for latency: the first named that speaks of a cost; None without one."""
    return next((s for s in problem.experience if s.column and speaks_of_cost(s.column)), None)


def check(problem: Problem) -> None:
    """Raises ``SearchError`` if no column of latencies is named."""
    if costs_of(problem) is None:
        named = [source.column for source in problem.experience if source.column]
        raise SearchError(
            "a column of latencies or other costs (inference_ms, flops), for the method mnasnet",
            ", ".join(named) or "none among the experience",
            "name one of a table: --experience FILE:TASK/inference_ms, in a comparison --sources "
            "FILE:TASK/inference_ms",
        )


def reward_of(accuracy: Floats, latency: Floats, target: float) -> Floats:
    """accuracy · (latency / target)^w, equation 2, [n]."""
    return np.asarray(accuracy * (latency / target) ** EXPONENT)


def clipped_loss(ratio: Tensor, advantage: Tensor) -> Tensor:
    """What PPO minimises, one number an architecture: -min(r A, clip(r) A) (Schulman et al. 2017), [n]."""
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage)


class MnasNet(Replayed):
    """LSTM controller trained by PPO; the reward is accuracy · (latency / target)^-0.07.

    The latency is the column that is named, its target the median of it; an architecture without a latency
    counts as one at the target. The controller is updated every ``BATCH`` evaluations. A walk samples the
    policy over the choices on offer.
    """

    def begin(self) -> None:
        """A new controller."""
        check(self.problem)
        source = costs_of(self.problem)
        assert source is not None
        places = self.problem.locate(source.codes)
        latencies = np.abs(source.values)  # a cost changed its sign where its direction is known
        self._latency = dict(zip(places.tolist(), latencies.tolist(), strict=True))
        self.target = float(np.median(latencies))
        seed = int(np.random.default_rng([self.seed, 0x3A5]).integers(2**31))
        self.controller = Controller(possible_choices(self.problem), seed, hidden=HIDDEN, layers=LAYERS)
        self.adam = torch.optim.Adam(self.controller.parameters(), lr=LEARNING_RATE)
        self.baseline: float | None = None

    def latency(self, codes: Ints) -> Floats:
        """Of architectures, [n, S] → [n]; the target where it is not known or 0."""
        places = self.problem.locate(codes.astype(np.int16)).tolist()
        return np.array([self._latency.get(place) or self.target for place in places])

    def learn(self, codes: Ints, rewards: Floats) -> None:
        """After each complete batch, ``PASSES`` steps of PPO on it."""
        if len(rewards) % BATCH:
            return
        batch = codes[-BATCH:]
        reward = reward_of(rewards[-BATCH:], self.latency(batch), self.target)
        mean = float(reward.mean())
        self.baseline = mean if self.baseline is None else DECAY * self.baseline + (1 - DECAY) * mean
        self.update_policy(torch.from_numpy(batch), torch.from_numpy(reward - self.baseline).float())

    def update_policy(self, codes: Tensor, advantage: Tensor) -> None:
        """``PASSES`` steps on one batch, [n, S] and [n]."""
        before: Tensor | None = None
        for _ in range(PASSES):
            logs = self.controller(codes)
            chosen = logs.gather(2, codes[:, :, None] + 1)[..., 0].sum(1)
            before = chosen.detach() if before is None else before
            sure = torch.where(torch.isfinite(logs), logs, 0.0)
            entropy = -(sure.exp() * sure).sum((1, 2))
            loss = clipped_loss((chosen - before).exp(), advantage) - ENTROPY * entropy
            self.adam.zero_grad()
            loss.mean().backward()
            self.adam.step()

    @torch.no_grad()
    def propose(self, history: History, generator: np.random.Generator) -> int:
        """A walk by the policy."""

        def choose(made: Ints, offered: Ints) -> int:
            logits = self.controller(torch.from_numpy(made[None]))[0, -1].double().numpy()[offered + 1]
            return int(offered[np.argmax(logits + generator.gumbel(size=len(offered)))])

        return choose_slots(self.problem, history, choose, generator, self.seed)


METHOD = make_method(
    "mnasnet", MnasNet, source="Tan et al. 2019, arXiv:1807.11626", knows_columns=True, check=check
)
