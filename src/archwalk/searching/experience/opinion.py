"""What a trained agent says of a task that it was trained on: one more source.

In: an agent. Out: a value for each architecture of its table. Next: ``inputs`` makes a ``Source`` of it.
"""

from __future__ import annotations

import torch

from archwalk.agents.values import QFunction
from archwalk.searching.problem import Floats
from archwalk.seeding import make_generator


def opinion(agent: QFunction) -> Floats:
    """Mean Q-value of arriving at each architecture, over the neighbours that offer it, [N].

    The network has seen every architecture's noise only through its own smoothness, so it is a denoised
    opinion of the task. Where not all neighbours are offered at every step, the sweep still sees all of them.
    """
    q = agent.sweep(make_generator(0, "opinion"))[:, 1:]
    to = agent.process.choices[:, 1:]
    real = to >= 0
    total = torch.zeros(len(to), dtype=torch.float64).index_add_(0, to[real], q[real].double())
    times = torch.zeros(len(to), dtype=torch.float64).index_add_(
        0, to[real], torch.ones_like(q[real]).double()
    )
    known = total / times.clamp(min=1)
    known[times == 0] = known[times > 0].mean() if bool((times > 0).any()) else 0.0
    return known.numpy()
