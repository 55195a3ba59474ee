"""What PPO is made of: advantages, and the clipped objective.

In: steps of walks; logits and values. Out: advantages; a loss. Next: ``agent``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


def advantages(
    reward: Float[Tensor, "steps walks"],
    value: Float[Tensor, "steps walks"],
    value_next: Float[Tensor, "steps walks"],
    ended: Bool[Tensor, "steps walks"],
    discount: float,
    trace: float,
) -> Float[Tensor, "steps walks"]:
    """Generalised advantage estimation (Schulman et al. 2016, equation 16), ends never cutting the value.

    A_t = δ_t + γ λ (1 - ended_t) A_{t+1} with δ_t = r_t + γ V(arrived at)_t - V_t. An end cuts the trace,
    since the next step is of another walk, but not the value: δ bootstraps from the architecture arrived at,
    whether the walk went on, kept it or came to its step limit. After the last step there is nothing to add.

    Args:
        reward: of each step.
        value: V where the step was taken.
        value_next: V of where it led.
        ended: whether the walk ended with it.
        discount: γ.
        trace: λ.
    """
    delta = reward + discount * value_next - value
    found, later = torch.empty_like(delta), torch.zeros_like(delta[0])
    for t in range(len(delta) - 1, -1, -1):
        later = delta[t] + discount * trace * torch.where(ended[t], 0.0, later)
        found[t] = later
    return found


class Objective(NamedTuple):
    """What is minimised, and what is told of it; each a scalar.

    Attributes:
        loss: policy, value and entropy together.
        policy: -mean of min(ratio A, clip(ratio) A).
        value: half the mean squared error of the value head.
        entropy: mean over states, in nats.
        moved: mean of (ratio - 1) - log ratio, an estimate of the divergence from the policy that walked.
        clipped: share of the steps whose ratio is outside the clip.
    """

    loss: Float[Tensor, ""]
    policy: Float[Tensor, ""]
    value: Float[Tensor, ""]
    entropy: Float[Tensor, ""]
    moved: Float[Tensor, ""]
    clipped: Float[Tensor, ""]


def objective(
    logits: Float[Tensor, "batch actions"],
    value: Float[Tensor, " batch"],
    action: Int64[Tensor, " batch"],
    log_before: Float[Tensor, " batch"],
    advantage: Float[Tensor, " batch"],
    goal: Float[Tensor, " batch"],
    clip: float,
    entropy_weight: float,
    value_weight: float,
) -> Objective:
    """The clipped objective (Schulman et al. 2017, equations 7 and 9).

    Args:
        logits: of the present policy, -inf where an action does not exist.
        value: of the value head.
        action: that was taken.
        log_before: its log-probability under the policy that took it.
        advantage: of it, less the mean and divided by the deviation of the batch.
        goal: what the value head should say.
        clip: ε.
        entropy_weight: c2.
        value_weight: c1.
    """
    log = logits.log_softmax(1)
    ratio = (log.gather(1, action[:, None]).squeeze(1) - log_before).exp()
    policy = -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()
    error = 0.5 * (value - goal).square().mean()
    spread = entropy(logits).mean()
    with torch.no_grad():
        moved = (ratio - 1 - ratio.log()).mean()
        clipped = ((ratio - 1).abs() > clip).float().mean()
    loss = policy + value_weight * error - entropy_weight * spread
    return Objective(loss, policy.detach(), error.detach(), spread.detach(), moved, clipped)


def entropy(logits: Float[Tensor, "batch actions"]) -> Float[Tensor, " batch"]:
    """Of the policy over the actions that exist, in nats."""
    log = logits.log_softmax(1)
    absent = logits == -torch.inf
    return -(log.exp() * log.masked_fill(absent, 0.0)).sum(1)


def draw(logits: Float[Tensor, "walks actions"], u: Float[Tensor, " walks"]) -> Int64[Tensor, " walks"]:
    """An action of each walk by its probabilities; one that does not exist is never drawn.

    Args:
        logits: -inf where an action does not exist.
        u: draws from [0, 1).
    """
    upto = logits.double().softmax(1).cumsum(1)
    found = (upto > u[:, None] * upto[:, -1:]).int().argmax(1)
    return found
