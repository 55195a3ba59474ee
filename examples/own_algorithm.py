"""An algorithm of one's own: online Q-learning, in place of Ape-X, under the same loop.

    python examples/own_algorithm.py [FOLDER] [TRAINED_STEPS]

The loop counts, reports, evaluates and writes checkpoints; the algorithm walks and learns. This one has no
replay and no target network: it learns from each step of the walks once, and forgets it. That is the simplest
thing that works, not a good one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

import archwalk
from archwalk.agents.base import Agent, Update, Walked
from archwalk.agents.registry import register_algorithm
from archwalk.agents.values import make_values
from archwalk.config import Settings, load_preset
from archwalk.envs.process import SearchProcess, restart, start, take
from archwalk.seeding import Generators

EPSILON = 0.3  # share of the steps that explore


class OnlineQ(Agent):
    """Q-learning on the last step of every walk.

    Args:
        process: what is walked in.
        settings: of the run; its network, walks, discount and step size are used.
        generators: a random stream for each use, kept in checkpoints by the loop.
        device: of the network.
        weights: to begin with, where an agent is moved to another task.
    """

    metrics = ("loss", "q")

    def __init__(
        self,
        process: SearchProcess,
        settings: Settings,
        generators: Generators,
        device: torch.device,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.process, self.settings, self.generators = process, settings, generators
        self.walks = start(process, settings.exploration.walks, generators["starts"])
        if settings.reward.standardise:
            process.standardise(self.walks.architecture)
        self.values = make_values(process, settings, generators.seed, device)
        if weights is not None:
            self.values.network.load_state_dict(dict(weights))
        self.optimiser = torch.optim.SGD(self.values.network.parameters(), settings.learner.learning_rate)
        self.last: tuple[Tensor, ...] = ()  # state, offer, action, reward, next state

    def act(self) -> list[Walked]:
        """A step of every walk, greedy but for a few."""
        process, generators, here = self.process, self.generators, self.walks.architecture
        offered = process.offer(here, generators["offers"])
        with torch.no_grad():
            q = self.values.q(here, offered, generators["padding"]).cpu()
        exists = offered >= 0
        explored = torch.multinomial(exists.float(), 1, generator=generators["exploration"]).squeeze(1)
        explores = torch.rand(len(here), generator=generators["exploration"]) < EPSILON
        action = torch.where(explores, explored, q.argmax(1))
        outcome = take(process, self.walks, offered, action)
        self.last = (here, offered, action, outcome.reward, outcome.architecture)
        ended = outcome.terminated | outcome.truncated
        ended_steps = int(self.walks.age[ended].sum())
        restart(process, self.walks, ended, generators["starts"])
        return [Walked(outcome.architecture, len(action), int(ended.sum()), ended_steps)]

    def ready(self, sampled_steps: int) -> bool:
        """From the first step on."""
        return bool(self.last)

    def update(self) -> tuple[Update, list[Walked]]:
        """Towards the reward and the best that follows. An end never cuts the value off."""
        here, offered, action, reward, there = self.last
        draw = self.generators["padding"]
        with torch.no_grad():
            follows = self.values.q(there, self.process.offer(there, self.generators["offers"]), draw).amax(1)
            target = reward.to(follows.device) + self.settings.learner.discount * follows
        q = self.values.q(here, offered, draw).gather(1, action[:, None].to(target.device)).squeeze(1)
        loss = torch.nn.functional.smooth_l1_loss(q, target)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return Update(len(action), {"loss": loss.detach().cpu(), "q": q.detach().mean().cpu()}), []

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """All that has state: the loop puts it into checkpoints, from which a run that was killed goes on."""
        names = ("state", "offered", "action", "reward", "next")
        return {
            "network": dict(self.values.network.state_dict()),
            "walks": {"architecture": self.walks.architecture, "age": self.walks.age},
            "last": dict(zip(names, self.last, strict=True)) if self.last else {},
        }

    def load_parts(self, parts: dict[str, dict[str, Tensor]]) -> None:
        """The inverse of ``parts``."""
        self.values.network.load_state_dict(parts["network"])
        self.walks.architecture, self.walks.age = parts["walks"]["architecture"], parts["walks"]["age"]
        self.last = tuple(parts.get("last", {}).values())


def main() -> None:
    """Trained on a task of the embedded benchmark, then evaluated as every agent is."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/own_algorithm")
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    register_algorithm("online-q", OnlineQ)
    settings = load_preset("quick").replace(
        training={"sampled_per_trained": 1.0}
    )  # learn from each step once
    run = archwalk.train("digits", "jigsaw", folder, preset=settings, algorithm="online-q", steps=steps)
    result = archwalk.evaluate(run.path)
    print(f"validation score {result.validation_score:.2f} after {result.evaluations:,} evaluations")


if __name__ == "__main__":
    main()
