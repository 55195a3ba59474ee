"""Walks of any policy: a function from what is offered to what is taken, whatever library it comes from.

In: a policy and a process. Out: where its walks stand after every step, as ``greedy_walks`` says
it of an agent. Next: ``evaluation`` measures them, for ``archwalk.evaluate_policy``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from archwalk.envs.process import SearchProcess
from archwalk.errors import SettingsError
from archwalk.spaces.base import PAD

__all__ = [
    "Policy",
    "policy_walks",
]

# (observation, mask) → action: the observation float32 [actions, features] and the mask bool [actions] of
# ``WalkEnv``; of a batched one both with a first axis of walks, and an action for each.
Policy = Callable[[Any, Any], Any]


def policy_walks(
    policy: Policy,
    batched: bool,
    process: SearchProcess,
    starts: Int64[Tensor, " starts"],
    generator: torch.Generator,
) -> Int64[Tensor, "steps starts"]:
    """Where the walks of a policy stand after every step, the starts first, [1 + longest, starts].

    A walk that has ended stays where it ended, and the policy is not asked any more.

    Raises:
        SettingsError: an action that is no whole number, out of range or masked.
    """
    here, path = starts, [starts]
    under_way = torch.ones_like(starts, dtype=torch.bool)
    while bool(under_way.any()) and len(path) <= process.step_limit:
        offered = process.offer(here, generator)
        exists = offered != PAD
        seen = (process.observe(here, offered, generator).float() * exists[..., None])[under_way].numpy()
        mask = exists[under_way].numpy()
        asked = policy(seen, mask) if batched else [policy(s, m) for s, m in zip(seen, mask, strict=True)]
        action = torch.zeros_like(starts)
        action[under_way] = torch.from_numpy(_checked(asked, mask))
        here = process.arrive(here, offered, action)
        under_way = under_way & (action != 0)
        path.append(here)
    return torch.stack(path)


def _checked(asked: Any, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Actions as whole numbers that exist, [walks]."""
    try:
        action = np.asarray([np.asarray(a).item() for a in asked])
    except (TypeError, ValueError):
        action = np.asarray(asked)
    walks, actions = mask.shape
    if action.dtype.kind not in "iu" or action.shape != (walks,):
        raise SettingsError(
            f"one action a walk, a whole number from 0 to {actions - 1}",
            f"{asked!r:.80}",
            "let the policy return the action alone, such as model.predict(...)[0]",
        )
    wrong = (action < 0) | (action >= actions)
    wrong[~wrong] = ~mask[np.flatnonzero(~wrong), action[~wrong]]
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise SettingsError(
            f"one of the actions {np.flatnonzero(mask[first]).tolist()}, as the mask says",
            f"{int(action[first])}",
            "let the policy take the best of the actions that exist",
        )
    return action.astype(np.int64)
