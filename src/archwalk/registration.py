"""Registers the environments with Gymnasium, without importing torch.

Gymnasium finds this through the package's entry point, so that ``gymnasium.make("archwalk/Walk-v0",
benchmark=..., task=...)`` works where archwalk is installed.
"""

from __future__ import annotations

import gymnasium


def register_envs() -> None:
    """Called by Gymnasium within the namespace ``archwalk``."""
    gymnasium.register(
        "Walk-v0",
        entry_point="archwalk.walk.gym:WalkEnv",
        vector_entry_point="archwalk.walk.gym:WalkVectorEnv",
    )
