"""Shaping: from a benchmark's reward column to the reward of arriving at each architecture.

In: a benchmark, a task and ``RewardSettings``. Out: one float32 an architecture. Next: ``process``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from archwalk.config import RewardSettings
from archwalk.errors import SettingsError
from archwalk.spaces.base import Codes
from archwalk.tasks.base import Predicted, check_task
from archwalk.tasks.table import Benchmark


def shaped(rewards: NDArray[np.float64], task: str, settings: RewardSettings) -> NDArray[np.float64]:
    """R' = R^gamma where the settings name the task (paper, section 3.2), [n] → [n].

    Raises:
        SettingsError: gamma for a task with negative rewards, or an exponent that is not positive.
    """
    gamma = settings.gamma.get(task)
    if gamma is None:
        return rewards
    if gamma <= 0:
        raise SettingsError("a positive exponent", f"reward.gamma[{task!r}] = {gamma}", "correct it")
    if rewards.min() < 0:
        raise SettingsError(
            f"rewards of at least 0 on task {task!r}, which the gamma transform needs",
            f"a smallest reward of {rewards.min():.4g}",
            f"remove {task!r} from reward.gamma",
        )
    return rewards**gamma


def shaped_rewards(
    benchmark: Benchmark, task: str, settings: RewardSettings
) -> Float64[Tensor, " architectures"]:
    """r(s, a) by the architecture that a leads to: the task's validation metric, percent as fraction, shaped.

    Raises:
        BenchmarkError: unknown task, or missing rewards.
        SettingsError: as ``shaped``.
    """
    return torch.from_numpy(shaped(benchmark.reward(task), task, settings))


def shaped_evaluator(
    benchmark: Predicted, task: str, settings: RewardSettings
) -> Callable[[Codes], NDArray[np.float64]]:
    """What ``shaped_rewards`` is for a table: shaped rewards of architectures, [n, slots] → [n].

    Raises:
        BenchmarkError: unknown task.
        SettingsError: as ``shaped``, at the first architecture with a negative reward.
    """
    check_task(task, benchmark.tasks)
    scale = benchmark.rewards[task].scale
    return lambda codes: shaped(benchmark.values(task, codes) * scale, task, settings)


def standardised(
    rewards: Float64[Tensor, " architectures"], sample: Int64[Tensor, " sample"]
) -> Float32[Tensor, " architectures"]:
    """Rewards minus the mean, divided by the standard deviation, of a sample of architectures.

    Since every step is rewarded and no end cuts a value off, this changes no optimal policy. The sample's
    rewards are looked at, so the caller counts them as evaluations.
    """
    spread = rewards[sample].std()
    rounded = rewards.float().double()
    if bool((rounded - rewards).abs().max() <= 1e-5 * spread):  # as runs of 0.1 did, whose bits are published
        rewards = rounded
    seen = rewards[sample]
    smallest = 1e-8 * min(1.0, float(seen.abs().max()) or 1.0)
    return ((rewards - seen.mean()) / seen.std().clamp(min=smallest)).float()
