"""``PPOAgent``: proximal policy optimisation (Schulman et al. 2017) over walks in one process.

In: a process and settings. Out: an ``Agent`` for the loop: ``act`` walks a whole horizon by the present
policy, and the loop then asks for as many minibatches as its ratio of steps allows: with 1/E steps walked a
trained step each step is trained on E times. Next: ``agents.registry``.

Ends never cut the value (docs/architecture.md, decision 3). To keep an architecture is a step that leads to
itself, and the step limit an accident; so the value that is learned is that of walking on for ever, though
walks begin anew: what is sampled on policy is which states are met, not what they are worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from archwalk.agents.base import Agent, Update, Walked, begin_walks
from archwalk.agents.descent import Descent
from archwalk.agents.dqn.rollout import stored_columns
from archwalk.agents.ppo.network import POLICY_FORM, PolicyNetwork
from archwalk.agents.ppo.objective import advantages, draw, objective
from archwalk.agents.values import CPU, make_values
from archwalk.config import Settings
from archwalk.envs.process import SearchProcess, restart, take
from archwalk.seeding import Generators


class Steps(NamedTuple):
    """Steps of walks, each field [steps] or [steps, actions].

    Attributes:
        state: where a step was taken.
        offer: what was offered there; empty (0 columns) where offers are a function of the state.
        action: taken.
        log: its log-probability then.
        advantage: of it.
        goal: (1 - γ) times the λ-return, for the value head.
    """

    state: Int64[Tensor, " n"]
    offer: Int64[Tensor, "n columns"]
    action: Int64[Tensor, " n"]
    log: Float32[Tensor, " n"]
    advantage: Float32[Tensor, " n"]
    goal: Float32[Tensor, " n"]


class PPOAgent(Agent):
    """Walks, minibatches and updates.

    Args:
        process: where the walks are.
        settings: of ``ppo``, and of the others the number of walks, discount, batch size, the ratio of steps,
            and how long the body is kept.
        generators: of the run.
        device: where the network is; walks are on the CPU.
        weights: of the network to begin with; drawn from the seed if None.
    """

    form = POLICY_FORM
    metrics = ("loss", "policy_loss", "value_loss", "entropy", "moved", "clipped", "grad_norm")

    def __init__(
        self,
        process: SearchProcess,
        settings: Settings,
        generators: Generators,
        device: torch.device = CPU,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.process, self.settings, self.generators = process, settings, generators
        self.walks = begin_walks(process, settings, settings.exploration.walks, generators)
        self.values = make_values(process, settings, generators.seed, device, self.form, weights)
        own = settings.ppo
        self.descent = Descent(
            self.values.network,
            own.learning_rate,
            own.halving_steps,
            own.max_grad_norm,
            settings.learner.frozen_body_steps,
        )
        self._offered = process.offer(self.walks.architecture, generators["offers"])
        self._steps: Steps | None = None
        self._order = torch.empty(0, dtype=torch.long)  # of the steps, the next to be trained on first

    @torch.no_grad()
    def _look(
        self, state: Int64[Tensor, " n"], offered: Int64[Tensor, "n actions"]
    ) -> tuple[Float32[Tensor, "n actions"], Float32[Tensor, " n"]]:
        """Logits and V at states, on the CPU."""
        logits, value = self._network_at(state, offered, self.generators["padding"])
        return logits.to(CPU), value.to(CPU) / (1 - self.settings.learner.discount)

    def _network_at(
        self, state: Tensor, offered: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        network = self.values.network
        assert isinstance(network, PolicyNetwork)
        tokens = self.process.observe(state, offered, generator).to(self.values.device).float()
        return network.both(tokens, self.values.exists(offered))

    def act(self) -> list[Walked]:
        """A horizon of every walk by the present policy, in place of the last one."""
        process, gen, walks = self.process, self.generators, self.walks
        discount, columns = self.settings.learner.discount, stored_columns(process)
        walked: list[Walked] = []
        taken: list[tuple[Tensor, ...]] = []
        logits, value = self._look(walks.architecture, self._offered)
        for _ in range(self.settings.ppo.horizon):
            state, offer = walks.architecture, self._offered[:, :columns]
            action = draw(logits, torch.rand(len(state), generator=gen["exploration"]))
            log = logits.log_softmax(1).gather(1, action[:, None]).squeeze(1)
            outcome = take(process, walks, self._offered, action)
            ended = outcome.terminated | outcome.truncated
            self._offered = process.offer(outcome.architecture, gen["offers"])
            logits, following = self._look(outcome.architecture, self._offered)
            taken.append((state, offer, action, log, outcome.reward, value, following, ended))
            ended_steps = int(walks.age[ended].sum())
            walked.append(Walked(outcome.architecture, len(state), int(ended.sum()), ended_steps))
            restart(process, walks, ended, gen["starts"])
            value = following.clone()
            fresh = ended.nonzero().squeeze(1)
            if len(fresh):
                begun = walks.architecture[fresh]
                self._offered[fresh] = process.offer(begun, gen["offers"])
                logits[fresh], value[fresh] = self._look(begun, self._offered[fresh])
        self._steps = self._finished(taken, discount)
        self._order = self._order[:0]
        return walked

    def _finished(self, taken: list[tuple[Tensor, ...]], discount: float) -> Steps:
        """The steps of a horizon with their advantages."""
        state, offer, action, log, reward, value, following, ended = (
            torch.stack(field) for field in zip(*taken, strict=True)
        )
        ahead = advantages(reward, value, following, ended, discount, self.settings.ppo.trace)
        goal = (ahead + value) * (1 - discount)
        return Steps(*(field.flatten(0, 1) for field in (state, offer, action, log, ahead, goal)))

    def ready(self, sampled_steps: int) -> bool:
        """Always: a horizon is walked before anything is learned."""
        return sampled_steps > 0

    def update(self) -> tuple[Update, list[Walked]]:
        """One minibatch of the last horizon; each of its steps comes once before any comes again."""
        assert self._steps is not None
        own, batch = self.settings.ppo, self.settings.learner.batch_size
        while len(self._order) < batch:
            more = torch.randperm(len(self._steps.state), generator=self.generators["batches"])
            self._order = torch.cat([self._order, more])
        at, self._order = self._order[:batch], self._order[batch:]
        steps = Steps(*(field[at] for field in self._steps))
        generator, device = self.generators["learner"], self.values.device
        offered = self.process.offer(steps.state, generator) if self.process.offers_all else steps.offer
        logits, value = self._network_at(steps.state, offered, generator)
        found = objective(
            logits,
            value,
            steps.action.to(device),
            steps.log.to(device),
            normalised(steps.advantage).to(device),
            steps.goal.to(device),
            own.clip,
            own.entropy,
            own.value_weight,
        )
        norm = self.descent.step(found.loss, batch)
        numbers = [number.detach().to(CPU) for number in (*found, norm)]
        return Update(batch, dict(zip(self.metrics, numbers, strict=True))), []

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """Learner, walks, and the horizon with what is left of its order."""
        walks = {"architecture": self.walks.architecture, "age": self.walks.age, "offered": self._offered}
        horizon = {} if self._steps is None else self._steps._asdict() | {"order": self._order}
        return {"learner": self.descent.state_dict(), "walks": walks, "horizon": horizon}

    def load_parts(self, parts: dict[str, dict[str, Tensor]]) -> None:
        """The inverse of ``parts``."""
        self.descent.load_state_dict(parts["learner"])
        walks = parts["walks"]
        self.walks.architecture, self.walks.age = walks["architecture"], walks["age"]
        self._offered = walks["offered"]
        horizon = dict(parts.get("horizon", {}))
        if horizon:
            self._order = horizon.pop("order")
            self._steps = Steps(**horizon)


def normalised(advantage: Float32[Tensor, " batch"]) -> Float32[Tensor, " batch"]:
    """Less the mean, divided by the standard deviation."""
    return (advantage - advantage.mean()) / (advantage.std() + 1e-8)
