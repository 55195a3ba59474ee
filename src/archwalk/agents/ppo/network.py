"""The policy network: the Q-network's parts, whose heads are a policy and a value.

In: tokens of the current architecture (first) and its neighbours. Out: a logit an action, and the value of
the state. Next: ``agent``.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from archwalk.agents.networks import QNetwork, TokenNetwork
from archwalk.agents.values import Form, plain_function
from archwalk.config import Settings


class PolicyNetwork(QNetwork):
    """Tokens to logits: the head of advantages gives them, and the head of values the value.

    The policy is the softmax of the logits over the actions that exist; an absent one has probability zero.
    The value is the mean reward a step of the discounted future, (1 - γ) V, so that it has the size of a
    reward whatever the discount.
    """

    def judge(
        self, embedded: Float[Tensor, "batch actions width"], exists: Bool[Tensor, "batch actions"] | None
    ) -> Float[Tensor, "batch actions"]:
        """Logits, -inf where an action does not exist."""
        return self._logits(self.compare(embedded, exists), exists)

    def both(
        self, tokens: Float[Tensor, "batch actions features"], exists: Bool[Tensor, "batch actions"] | None
    ) -> tuple[Float[Tensor, "batch actions"], Float[Tensor, " batch"]]:
        """Logits, and (1 - γ) V."""
        x = self.compare(self.embed(tokens), exists)
        value = self.value[-1](self.value[:-1](x[:, 0]).float())
        return self._logits(x, exists), value.squeeze(1)

    def _logits(self, x: Tensor, exists: Bool[Tensor, "batch actions"] | None) -> Tensor:
        logits: Tensor = self.advantage[-1](self.advantage[:-1](x).float()).squeeze(-1)
        return logits if exists is None else logits.masked_fill(~exists, -torch.inf)


def _network(features: int, settings: Settings, generator: torch.Generator, bfloat16: bool) -> TokenNetwork:
    return PolicyNetwork(features, settings.network, generator, bfloat16)


POLICY_FORM = Form(_network, plain_function)
