"""The whole training loop on one screen: act, store, learn, report.

In: a benchmark, a task, ``Settings``, a seed, weights to begin with if any. Out: rows of metrics, and a
``Trainer`` that can be saved and restored bit for bit. Next: ``rundir`` keeps it on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from archwalk.agent.agent import Agent, Snapshot
from archwalk.agent.exploration import choose, epsilons
from archwalk.agent.learner import Learner
from archwalk.agent.network import QNetwork
from archwalk.agent.planner import Planner
from archwalk.agent.replay import Replay, Windows
from archwalk.benchmark.table import Benchmark
from archwalk.config import Settings
from archwalk.seeding import Generators, make_generator
from archwalk.space.space import PAD
from archwalk.space.tokens import make_tokens
from archwalk.training.evaluate import evaluate_agent
from archwalk.walk.dynamics import make_process, offer, restart, start, take
from archwalk.walk.reward import shaped_rewards, standardised

Row = dict[str, float | int]
CURVE = ("validation_score", "valid_mean", "test_mean", "rank_mean", "walk_length_mean")


@dataclass
class Counters:
    """Where a run stands. A trained step is one transition in a batch, a sampled step one step of a walk."""

    trained_steps: int = 0
    sampled_steps: int = 0
    updates: int = 0
    owed: float = 0.0  # trained steps that the sampled ones allow and that are not taken yet
    walks_ended: int = 0
    walk_steps: int = 0  # of the walks ended since the last row


class Trainer:
    """The roles of Ape-X (actors, replay, learner) over one process, and the state they share.

    Args:
        benchmark: what is looked up.
        task: whose reward is learned.
        settings: everything else.
        seed: of every generator.
        weights: network weights to begin with; drawn from the seed if None.
        cut: trained steps at which a row with an evaluation comes in any case, as if the run ended there; 0
            for none. It has no effect on training.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        task: str,
        settings: Settings,
        seed: int,
        weights: Mapping[str, Tensor] | None = None,
        cut: int = 0,
    ) -> None:
        self.benchmark, self.task, self.settings, self.cut = benchmark, task, settings, cut
        self.at_cut = False  # whether the last update was the one that reached the cut
        self.generators = Generators(seed)
        self.counters = Counters()
        rewards = shaped_rewards(benchmark, task, settings.reward)
        process = make_process(benchmark, rewards, settings.walk)
        self.walks = start(process, settings.exploration.walks, self.generators["starts"])
        self.evaluated = torch.zeros(len(process), dtype=torch.bool)  # architectures looked up
        if settings.reward.standardise:
            self.evaluated[self.walks.architecture] = True
            process = make_process(benchmark, standardised(rewards, self.walks.architecture), settings.walk)
        self.agent = make_agent(benchmark, settings, seed, process_rewards=process.rewards)
        if weights is not None:
            self.agent.network.load_state_dict(dict(weights))

        stored_columns = 0 if process.offers_all else process.actions
        self.epsilon = epsilons(settings.exploration)
        self.windows = Windows(
            settings.exploration.walks, settings.learner.n_step, settings.learner.discount, stored_columns
        )
        self.replay = Replay(settings.replay, stored_columns)
        self.learner = Learner(self.agent, settings.learner, self.generators["learner"])
        self.actors = self.snapshot()
        learner = settings.learner
        self.target: Snapshot | Planner = (
            Planner(process, learner.discount) if learner.planning else self.actors
        )
        self.offered = offer(process, self.walks.architecture, self.generators["offers"])
        self.q = self.actors.q(self.walks.architecture, self.offered)
        self.sums = torch.zeros(
            4, dtype=torch.float64
        )  # loss, |TD error|, q, gradient norm since the last row

    def snapshot(self) -> Snapshot:
        """The present parameters, frozen until the next copy."""
        training, learner = self.settings.training, self.settings.learner
        trained = 0 if learner.planning else max(learner.target_period, training.actor_period)
        looks = trained + round(max(trained, training.actor_period) * training.sampled_per_trained)
        return Snapshot(self.agent, training.reuse, looks, self.generators["padding"])

    def run(self) -> Iterator[Row]:
        """Train to the end. Yields a row whenever one is due; the caller may save between rows."""
        training = self.settings.training
        while self.counters.trained_steps < training.trained_steps:
            self.act()
            if len(self.replay) < self.settings.replay.warmup:
                continue
            self.counters.owed += len(self.epsilon) / training.sampled_per_trained
            while (
                self.counters.owed >= self.settings.learner.batch_size
                and self.counters.trained_steps < training.trained_steps
            ):
                yield from self.learn()

    def act(self) -> None:
        """One step of every walk; what it completes goes to replay with its first priority."""
        process, gen, state = self.agent.process, self.generators, self.walks.architecture
        action = choose(self.q, self.offered != PAD, self.epsilon, gen["exploration"])
        q_taken = self.q.gather(1, action[:, None]).squeeze(1)
        outcome = take(process, self.walks, self.offered, action)
        ended = outcome.terminated | outcome.truncated
        offered = offer(process, outcome.architecture, gen["offers"])
        q = self.actors.q(outcome.architecture, offered)
        columns = self.windows.columns
        complete, error = self.windows.push(
            s=state,
            offer=self.offered[:, :columns],
            a=action,
            r=outcome.reward,
            q=q_taken,
            s_next=outcome.architecture,
            offer_next=offered[:, :columns],
            v_next=q.amax(1),
            ended=ended,
        )
        self.replay.add(complete, error)
        self.evaluated[outcome.architecture] = True
        self.counters.sampled_steps += len(action)
        self.counters.walks_ended += int(ended.sum())
        self.counters.walk_steps += int(self.walks.age[ended].sum())
        restart(process, self.walks, ended, gen["starts"])
        fresh = ended.nonzero().squeeze(1)
        offered[fresh] = offer(process, self.walks.architecture[fresh], gen["offers"])
        q[fresh] = self.actors.q(self.walks.architecture[fresh], offered[fresh])
        self.offered, self.q = offered, q

    def learn(self) -> Iterator[Row]:
        """One update; then whatever has come due: copies to target and actors, evaluation, a row."""
        counters, learner, training = self.counters, self.settings.learner, self.settings.training
        if isinstance(self.target, Planner):
            self.target.refresh(self.evaluated)
        sample = self.replay.sample(learner.batch_size, self.generators["replay"])
        update = self.learner.update(sample, self.target)
        self.replay.set_errors(sample.slots, update.error)
        self.sums += torch.stack([update.loss, update.error.mean(), update.q, update.grad_norm])
        before = counters.trained_steps
        counters.owed -= learner.batch_size
        counters.trained_steps += learner.batch_size
        counters.updates += 1

        def due(period: int) -> bool:
            return before // period != counters.trained_steps // period

        to_target = due(learner.target_period) and not learner.planning
        to_actors = due(training.actor_period)
        if to_target or to_actors:
            frozen = self.snapshot()
            self.target = frozen if to_target else self.target
            self.actors = frozen if to_actors else self.actors
        finished = counters.trained_steps >= training.trained_steps
        self.at_cut = before < self.cut <= counters.trained_steps
        evaluate = due(training.evaluate_every) or finished or self.at_cut
        if due(training.log_every) or evaluate:
            yield self.report() | (self.evaluate() if evaluate else {})

    def report(self) -> Row:
        """A row of metrics since the last one; docs/metrics.md explains each."""
        c = self.counters
        updates = max(c.updates - self._reported_updates, 1)
        loss, error, q, norm = (self.sums / updates).tolist()
        row: Row = {
            "trained_steps": c.trained_steps,
            "sampled_steps": c.sampled_steps,
            "updates": c.updates,
            "evaluations": int(self.evaluated.sum()),
            "loss": loss,
            "td_error": error,
            "q": q,
            "grad_norm": norm,
            "walks_ended": c.walks_ended,
            "walk_length": c.walk_steps / c.walks_ended if c.walks_ended else 0.0,
        }
        self.sums.zero_()
        c.walks_ended = c.walk_steps = 0
        self._reported_updates = c.updates
        return row

    _reported_updates = 0

    def evaluate(self) -> Row:
        """Greedy evaluation on the training task, as ``greedy_...`` columns; has no effect on training."""
        c = self.counters
        result = evaluate_agent(
            self.agent,
            self.benchmark,
            self.task,
            split=self.benchmark.reward_column(self.task).split,
            most_starts=self.settings.training.evaluation_starts,
            generator=make_generator(self.generators.seed, f"evaluation {c.trained_steps}"),
        )
        return {f"greedy_{name}": getattr(result, name) for name in CURVE}

    def state_dict(self) -> dict[str, Tensor]:
        """Everything a bit-exact continuation needs, as flat tensors."""
        counters = asdict(self.counters) | {"reported_updates": self._reported_updates}
        parts: dict[str, dict[str, Tensor]] = {
            "counters": {k: torch.tensor(v, dtype=torch.float64) for k, v in counters.items()},
            "generators": self.generators.state_dict(),
            "walks": {
                "architecture": self.walks.architecture,
                "age": self.walks.age,
                "offered": self.offered,
                "q": self.q,
            },
            "windows": self.windows.state_dict(),
            "replay": self.replay.state_dict(),
            "learner": self.learner.state_dict(),
            "actors": self.actors.state_dict(),
            "target": self.target.state_dict(),
            "progress": {"evaluated": self.evaluated, "sums": self.sums},
        }
        return {f"{part}/{name}": value for part, state in parts.items() for name, value in state.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        parts: dict[str, dict[str, Tensor]] = {}
        for key, value in state.items():
            part, name = key.split("/", 1)
            parts.setdefault(part, {})[name] = value
        counters: dict[str, Any] = {k: v.item() for k, v in parts["counters"].items()}
        self._reported_updates = int(counters.pop("reported_updates"))
        owed = counters.pop("owed")
        self.counters = Counters(owed=owed, **{k: int(v) for k, v in counters.items()})
        self.actors = self.snapshot()  # a shell, filled below
        if isinstance(self.target, Snapshot):
            self.target = self.snapshot()
        self.actors.load_state_dict(parts["actors"])
        self.target.load_state_dict(parts["target"])
        self.generators.load_state_dict(parts["generators"])
        self.walks.architecture = parts["walks"]["architecture"]
        self.walks.age = parts["walks"]["age"]
        self.offered, self.q = parts["walks"]["offered"], parts["walks"]["q"]
        self.windows.load_state_dict(parts["windows"])
        self.replay.load_state_dict(parts["replay"])
        self.learner.load_state_dict(parts["learner"])
        self.evaluated = parts["progress"]["evaluated"]
        self.sums = parts["progress"]["sums"]


def make_agent(
    benchmark: Benchmark, settings: Settings, seed: int, process_rewards: Tensor | None = None
) -> Agent:
    """An agent with weights drawn from the seed, standing in the benchmark's process.

    Args:
        benchmark: gives neighbours and tokens.
        settings: sizes and limits.
        seed: of the weights.
        process_rewards: [architectures]; zeros by default, which is enough to walk greedily.
    """
    rewards = torch.zeros(len(benchmark)) if process_rewards is None else process_rewards
    process = make_process(benchmark, rewards, settings.walk)
    tokens = make_tokens(benchmark.space, settings.observation.tokens, benchmark.rows)
    network = QNetwork(tokens.features, settings.network, make_generator(seed, "weights"))
    return Agent(network, tokens, process)
