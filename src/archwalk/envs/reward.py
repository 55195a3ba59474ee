"""Shaping: from a benchmark's reward column to the reward of arriving at each architecture.

In: a benchmark, a task and ``RewardSettings``. Out: one float32 an architecture. Next: ``dynamics``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from archwalk.config import RewardSettings
from archwalk.errors import SettingsError
from archwalk.tasks.table import Benchmark


def shaped_rewards(
    benchmark: Benchmark, task: str, settings: RewardSettings
) -> Float32[Tensor, " architectures"]:
    """r(s, a) by the architecture that a leads to: the task's validation metric, percent as fraction, raised
    to gamma where the settings name the task (paper, section 3.2: R' = R^gamma).

    Raises:
        BenchmarkError: unknown task, or missing rewards.
        SettingsError: gamma for a task with negative rewards, or an exponent that is not positive.
    """
    rewards = benchmark.reward(task)
    gamma = settings.gamma.get(task)
    if gamma is not None:
        if gamma <= 0:
            raise SettingsError("a positive exponent", f"reward.gamma[{task!r}] = {gamma}", "correct it")
        if rewards.min() < 0:
            raise SettingsError(
                f"rewards of at least 0 on task {task!r}, which the gamma transform needs",
                f"a smallest reward of {rewards.min():.4g}",
                f"remove {task!r} from reward.gamma",
            )
        rewards = rewards**gamma
    return torch.from_numpy(rewards).float()


def standardised(
    rewards: Float32[Tensor, " architectures"], sample: Int64[Tensor, " sample"]
) -> Float32[Tensor, " architectures"]:
    """Rewards minus the mean, divided by the standard deviation, of a sample of architectures.

    Since every step is rewarded and no end cuts a value off, this changes no optimal policy. The sample's
    rewards are looked at, so the caller counts them as evaluations.
    """
    seen = rewards[sample].double()
    spread = seen.std().clamp(min=1e-8)
    return ((rewards.double() - seen.mean()) / spread).float()
