"""ENAS (Pham et al. 2018, arXiv:1802.03268): a controller rewarded by networks that share their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from archwalk.errors import SearchError
from archwalk.searching.history import History
from archwalk.searching.listed import ListedProblem
from archwalk.searching.methods.zoph_le import Controller
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Ints, Problem
from archwalk.searching.slots import possible_choices

BENCHMARK, SPACE = "digits", "digits-micro"
# Appendix A: the LSTM, its first weights, tanh constant, temperature; Adam, entropy, decay of the baseline.
HIDDEN, INITIAL, TANH, TEMPERATURE = 64, 0.1, 1.10, 5.0
CONTROLLER_RATE, ENTROPY, DECAY = 3.5e-3, 1e-4, 0.99
PERCENT = {"top1": 100.0, "mIoU": 100.0}  # rewards are fractions
CANDIDATES = 100  # drawn by the trained controller, to be evaluated in the order of their one-shot scores


@dataclass(frozen=True)
class Schedule:
    """How long is trained: the publication's order, the sizes fit for networks of a few thousand weights.

    Attributes:
        epochs: of the shared weights, each followed by the controller's steps.
        cells: drawn for each step of the shared weights.
        controller_steps: an epoch.
        rewarded: cells drawn for each of these.
        scenes: that a reward is measured on.
    """

    epochs: int = 12
    cells: int = 4
    controller_steps: int = 40
    rewarded: int = 16
    scenes: int = 125


@dataclass(frozen=True)
class Trained:
    """What training gives: the controller, the shared weights, and one-shot scores of all cells.

    Attributes:
        controller: over the slots of a cell.
        weights: by name.
        scores: on the whole validation split, larger is better, of the cells in the order of the space, [N].
    """

    controller: Controller
    weights: dict[str, Tensor]
    scores: Floats


def check(problem: Problem) -> None:
    """Raises ``SearchError`` for anything but a task of the embedded benchmark."""
    if problem.task is None or problem.task[0] != BENCHMARK or problem.space.name != SPACE:
        got = "an evaluator of one's own" if problem.task is None else "/".join(problem.task)
        raise SearchError(
            f"a task of {BENCHMARK}, whose networks share weights, for the method enas",
            f"{got}, in the space {problem.space.name!r}",
            f"search such a task: archwalk search --space {BENCHMARK} --task jigsaw --method enas; or choose "
            "another method: 'archwalk methods'",
        )


def make_controller(problem: Problem, seed: int) -> Controller:
    """A new controller: one layer, scores squashed."""

    def squash(logits: Tensor) -> Tensor:
        return TANH * torch.tanh(logits / TEMPERATURE)

    return Controller(
        possible_choices(problem), seed, hidden=HIDDEN, layers=1, initial=INITIAL, squash=squash
    )


def policy_step(
    controller: Controller, adam: torch.optim.Optimizer, codes: Tensor, rewards: Floats, baseline: float
) -> None:
    """One step along the mean of (reward - baseline) ∇ log π + ``ENTROPY`` ∇ entropy.

    Args:
        controller: the policy.
        adam: of its weights.
        codes: drawn by it, [n, slots].
        rewards: of these, [n].
        baseline: a moving average of rewards.
    """
    logs = controller(codes)
    chosen = logs.gather(2, codes[:, :, None] + 1)[..., 0].sum(1)
    sure = torch.where(torch.isfinite(logs), logs, 0.0)
    entropy = -(sure.exp() * sure * torch.isfinite(logs)).sum((1, 2))
    adam.zero_grad()
    advantage = torch.from_numpy(rewards - baseline).float()
    (-(advantage * chosen) - ENTROPY * entropy).mean().backward()
    adam.step()


def train(
    problem: ListedProblem, task_name: str, seed: int, schedule: Schedule, train_scenes: int
) -> Trained:
    """Shared weights and controller, in turns.

    Args:
        problem: the cells.
        task_name: of ``digits``.
        seed: decides all randomness.
        schedule: see there.
        train_scenes: how many scenes the shared weights see an epoch.
    """
    from archwalk.datasets.digits.supernet import SharedNetworks, one_shot, shared_weights
    from archwalk.datasets.digits.tasks import Data, losses, make_data, task_named
    from archwalk.datasets.digits.training import Settings, learning_rate

    settings, task = Settings(train=train_scenes, measured=min(300, train_scenes)), task_named(task_name)
    data, valid = make_data(task, "train", settings.train), make_data(task, "valid", settings.valid)
    weights = shared_weights(task, seed)
    generator = np.random.default_rng([seed, 0xE7A5])
    controller = make_controller(problem, int(generator.integers(2**31)))
    policy = torch.optim.Adam(controller.parameters(), lr=CONTROLLER_RATE)
    adam = torch.optim.Adam(list(weights.values()), betas=(0.9, 0.99))
    steps_an_epoch = settings.train // settings.batch
    baseline: float | None = None
    for epoch in range(schedule.epochs):
        order = torch.from_numpy(generator.permutation(settings.train))
        for step in range(steps_an_epoch):
            chosen = order[step * settings.batch : (step + 1) * settings.batch]
            done = epoch * steps_an_epoch + step
            for group in adam.param_groups:
                group["lr"] = learning_rate(done, schedule.epochs * steps_an_epoch, settings.learning_rate)
            codes = controller.draw(schedule.cells, generator).tolist()
            adam.zero_grad()
            predicted = SharedNetworks(codes, task, weights)(data.inputs[chosen], training=True)
            losses(task, predicted, data.targets[chosen]).mean().backward()
            for weight in weights.values():  # an operation that nobody drew has no gradient, not a zero one
                if weight.grad is not None and not bool(weight.grad.any()):
                    weight.grad = None
            adam.step()
        for _ in range(schedule.controller_steps):
            drawn = controller.draw(schedule.rewarded, generator)
            some = torch.from_numpy(generator.integers(len(valid), size=schedule.scenes))
            seen = Data(valid.inputs[some], valid.targets[some])
            rewards = one_shot(drawn.tolist(), task, weights, seen) / PERCENT.get(task.metric, 1.0)
            mean = float(rewards.mean())
            baseline = mean if baseline is None else DECAY * baseline + (1 - DECAY) * mean
            policy_step(controller, policy, drawn, rewards, baseline)
    distinct, which = np.unique(problem.tables[0], axis=0, return_inverse=True)
    scores = one_shot(distinct.tolist(), task, weights, valid)[which.ravel()]
    return Trained(controller, weights, scores)


def order_of(problem: ListedProblem, trained: Trained, seed: int) -> Ints:
    """Ids: ``CANDIDATES`` draws of the controller by their one-shot scores, then the rest likewise, [N]."""
    codes = torch.from_numpy(problem.codes(np.arange(len(problem))))
    with torch.no_grad():
        chosen = trained.controller(codes).gather(2, codes[:, :, None] + 1)[..., 0].sum(1).double().numpy()
    gumbel = np.random.default_rng([seed, 0xE7A6]).gumbel(size=len(chosen))
    drawn = np.argsort(-(chosen + gumbel), kind="stable")  # a sample without replacement
    parts = drawn[:CANDIDATES], drawn[CANDIDATES:]
    return np.concatenate([part[np.argsort(-trained.scores[part], kind="stable")] for part in parts])


@lru_cache(maxsize=4)
def _trained(problem: ListedProblem, task: str, seed: int) -> Trained:
    return train(problem, task, seed, Schedule(), 3_072)


class Enas:
    """Trains shared weights and a controller on the task's images, then evaluates in its order.

    Training comes before the first evaluation and takes a minute or two; nothing is learned from evaluations.

    Args:
        problem: a task of the embedded benchmark ``digits``.
        seed: decides all randomness.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        check(problem)
        assert isinstance(problem, ListedProblem)
        assert problem.task is not None
        self._problem, self._seed = problem, seed
        self._order = order_of(problem, _trained(problem, problem.task[1], seed), seed)

    def update(self, evaluations: History) -> None:
        """What is visited; what it was worth does not matter."""
        self._history = evaluations

    def suggest(self, n: int) -> Sequence[int]:
        """The next ones in the order."""
        free = self._order[~self._history.visited(self._order)]
        found: list[int] = []
        history = self._history
        for index in free.tolist():
            if len(found) == n:
                break
            if not history.visited(np.array([index]))[0]:
                found.append(index)
                history = history.with_pending([index])
        return found


METHOD = make_method(
    "enas", Enas, source="Pham et al. 2018, arXiv:1802.03268", needs=("scikit-learn",), check=check
)
