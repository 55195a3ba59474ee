"""The decision process: stand at an architecture, be offered its neighbours, step or stop.

In: a benchmark and a task. Out: ``WalkProcess`` (index arrays and rewards) with ``start``, ``offer`` and
``take`` for a whole batch of walks, and Gymnasium environments over the same. Next: ``archwalk.agents``.
"""

from archwalk.envs.process import WalkProcess, Walks, make_process, offer, restart, start, take
from archwalk.envs.reward import shaped_rewards, standardised

__all__ = [
    "WalkProcess",
    "Walks",
    "make_process",
    "offer",
    "restart",
    "shaped_rewards",
    "standardised",
    "start",
    "take",
]
