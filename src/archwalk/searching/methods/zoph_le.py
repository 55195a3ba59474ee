"""The LSTM controller of Zoph and Le (2017, arXiv:1611.01578), trained by REINFORCE."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from archwalk.searching.history import History
from archwalk.searching.methods.reinforce import follow_average
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Ints, Mask
from archwalk.searching.slots import Replayed, choose_slots, possible_choices

LAYERS, HIDDEN = 2, 35  # section 4.1
LEARNING_RATE, INITIAL, POWER = 6e-4, 0.08, 3  # section 4.1: Adam; weights uniform in ± .08; accuracy cubed


class Controller(nn.Module):
    """A distribution of each slot's choice given the choices before it.

    Args:
        possible: which choices a slot may have, absent first, [slots, choices + 1].
        seed: of the first weights.
        hidden: width.
        layers: of the LSTM.
        initial: the first weights are uniform in ± this.
        squash: what becomes of the scores of choices before their softmax.
    """

    possible: Tensor

    def __init__(
        self,
        possible: Mask,
        seed: int,
        *,
        hidden: int = HIDDEN,
        layers: int = LAYERS,
        initial: float = INITIAL,
        squash: Callable[[Tensor], Tensor] = lambda logits: logits,
    ) -> None:
        super().__init__()
        self.squash = squash
        slots, width = possible.shape
        with torch.device("meta"):  # no numbers yet, and none drawn from anybody's generator
            self.embedding = nn.Embedding(1 + slots * width, hidden)  # the first one begins a walk
            self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True)
            self.heads = nn.Linear(hidden, slots * width)
        self.to_empty(device="cpu")
        self.register_buffer("possible", torch.from_numpy(possible))
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -initial, initial, generator=generator)

    def forward(self, codes: Tensor) -> Tensor:
        """Log probabilities of the choices of the slots up to the one after the last, absent first.

        Args:
            codes: the first slots' choices, -1 absent, int64, [n, given].

        Returns:
            [n, min(given + 1, slots), choices + 1]; -inf for what is not possible.
        """
        slots, width = self.possible.shape
        tokens = 2 + torch.arange(codes.shape[1]) * width + codes
        tokens = torch.cat([torch.zeros(len(codes), 1, dtype=torch.int64), tokens], 1)
        steps = min(codes.shape[1] + 1, slots)
        hidden, _ = self.lstm(self.embedding(tokens[:, :steps]))
        weight = self.heads.weight.view(slots, width, -1)[:steps]
        bias = self.heads.bias.view(slots, width)[:steps]
        logits = self.squash(torch.einsum("nsh,swh->nsw", hidden, weight) + bias)
        return logits.masked_fill(~self.possible[:steps], -torch.inf).log_softmax(-1)

    @torch.no_grad()
    def draw(self, n: int, generator: np.random.Generator) -> Tensor:
        """Walks by the policy alone, whatever is visited, [n, slots]."""
        codes = torch.zeros(n, 0, dtype=torch.int64)
        for _ in range(len(self.possible)):
            logits = self(codes)[:, -1].double().numpy()
            choices = np.argmax(logits + generator.gumbel(size=logits.shape), axis=1) - 1
            codes = torch.cat([codes, torch.from_numpy(choices)[:, None]], 1)
        return codes


class ZophLe(Replayed):
    """LSTM controller trained by REINFORCE, accuracy cubed, moving-average baseline.

    One step of Adam an evaluation. The baseline is that of ``reinforce``, for the paper gives no rate. A walk
    samples the policy over the choices on offer: those that lead to an unvisited architecture.
    """

    def begin(self) -> None:
        """A new controller."""
        torch_seed = int(np.random.default_rng([self.seed, 0x20F7]).integers(2**31))
        self.controller = Controller(possible_choices(self.problem), torch_seed)
        self.adam = torch.optim.Adam(self.controller.parameters(), lr=LEARNING_RATE)
        self.average = 0.0

    def learn(self, codes: Ints, rewards: Floats) -> None:
        """A step along (reward - average) ∇ log π(architecture)."""
        reward = float(rewards[-1]) ** POWER
        self.average = follow_average(self.average, reward, len(rewards))
        code = torch.from_numpy(codes[-1:])
        chosen = self.controller(code).gather(2, code[:, :, None] + 1)
        self.adam.zero_grad()
        (-(reward - self.average) * chosen.sum()).backward()
        self.adam.step()

    @torch.no_grad()
    def propose(self, history: History, generator: np.random.Generator) -> int:
        """A walk by the policy."""

        def choose(made: Ints, offered: Ints) -> int:
            logits = self.controller(torch.from_numpy(made[None]))[0, -1].double().numpy()[offered + 1]
            return int(offered[np.argmax(logits + generator.gumbel(size=len(offered)))])

        return choose_slots(self.problem, history, choose, generator, self.seed)


METHOD = make_method("zoph-le", ZophLe, source="Zoph and Le 2017, arXiv:1611.01578")
