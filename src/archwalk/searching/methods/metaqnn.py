"""MetaQNN (Baker et al. 2017, arXiv:1611.02167): tabular Q-learning over sequences of choices."""

from __future__ import annotations

import numpy as np

from archwalk.searching.history import History
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Ints, Problem
from archwalk.searching.slots import Replayed, choose_slots

LEARNING_RATE, FIRST_VALUE = 0.01, 0.5  # section 4.2 and appendix A; the discount is 1
REPLAYS = 100  # trajectories after each model, algorithm 1
SCHEDULE = (  # epsilon, models: table 1
    (1.0, 1500),
    *((epsilon, 100) for epsilon in (0.9, 0.8, 0.7)),
    *((epsilon, 150) for epsilon in (0.6, 0.5, 0.4, 0.3, 0.2, 0.1)),
)
PUBLISHED = sum(models for _, models in SCHEDULE)
SPAN = 100  # evaluations in which the whole schedule is run through here, in the same proportions


class MetaQNN(Replayed):
    """Tabular Q-learning over sequences of choices, epsilon-greedy on a schedule.

    A state is a slot and the choice in the slot before it, an action the choice in the slot, the reward the
    accuracy at the end. An absent slot is a choice of its own: it competes where it is on offer, and is all
    there is where a condition asks for it. A walk is offered what leads to an unvisited architecture, where
    the published form draws again, and replays what it knows already.

    Args:
        problem: what is searched.
        seed: decides all randomness.
        span: evaluations in which the schedule falls from 1 to 0.1; ``PUBLISHED`` are the paper's.
    """

    def __init__(self, problem: Problem, seed: int, span: int = SPAN) -> None:
        self.span = span
        super().__init__(problem, seed)

    def begin(self) -> None:
        """Every value is ``FIRST_VALUE``."""
        sizes = self.problem.space.slot_sizes
        before = (0, *sizes[:-1])  # of the first slot only one state is used
        self.values = [
            [[FIRST_VALUE] * (size + 1) for _ in range(states + 1)]
            for states, size in zip(before, sizes, strict=True)
        ]  # by slot, choice before + 1, choice + 1

    def epsilon(self, evaluations: int) -> float:
        """The share of random choices after so many evaluations."""
        passed = 0.0
        for epsilon, models in SCHEDULE:
            passed += models * self.span / PUBLISHED
            if evaluations < passed - 1e-9:
                return epsilon
        return SCHEDULE[-1][0]

    def learn(self, codes: Ints, rewards: Floats) -> None:
        """``REPLAYS`` trajectories drawn from all so far, each replayed from its end."""
        picks = np.random.default_rng([self.seed, len(rewards), 1]).integers(len(rewards), size=REPLAYS)
        walks, ends = (codes + 1).tolist(), rewards.tolist()
        for pick in picks.tolist():
            self.replay(walks[pick], ends[pick])

    def replay(self, walk: list[int], reward: float) -> None:
        """The rule of algorithm 3: Q += rate · (target - Q), the target of the last choice the reward.

        Args:
            walk: choices + 1, 0 where a slot is absent, [slots].
            reward: of the architecture.
        """
        target = reward
        for slot in range(len(walk) - 1, -1, -1):
            actions = self.values[slot][walk[slot - 1] if slot else 0]
            actions[walk[slot]] += LEARNING_RATE * (target - actions[walk[slot]])
            target = max(actions[1:]) if walk[slot] else actions[0]

    def propose(self, history: History, generator: np.random.Generator) -> int:
        """An epsilon-greedy walk."""
        epsilon = self.epsilon(len(history.touched))

        def choose(made: Ints, offered: Ints) -> int:
            if generator.random() < epsilon:
                return int(generator.choice(offered))
            actions = self.values[len(made)][int(made[-1]) + 1 if len(made) else 0]
            values = np.array([actions[choice + 1] for choice in offered.tolist()])
            return int(generator.choice(offered[values == values.max()]))

        return choose_slots(self.problem, history, choose, generator, self.seed)


METHOD = make_method("metaqnn", MetaQNN, source="Baker et al. 2017, arXiv:1611.02167")
