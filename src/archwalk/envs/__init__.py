"""The decision process: stand at an architecture, be offered its neighbours, step or stop.

In: a benchmark and a task. Out: a ``SearchProcess`` (``TabularProcess`` over a table, ``OpenProcess`` in a
space that nobody lists) with ``start``, ``take`` and ``restart`` for a whole batch of walks, and Gymnasium
environments over the same. Next: ``archwalk.agents``.
"""

from archwalk.envs.build import greedy_process, task_process
from archwalk.envs.multitask import MultiTaskProcess
from archwalk.envs.open import OpenProcess
from archwalk.envs.process import SearchProcess, Walks, restart, start, take
from archwalk.envs.reward import shaped_rewards, standardised
from archwalk.envs.tabular import TabularProcess, make_process

__all__ = [
    "MultiTaskProcess",
    "OpenProcess",
    "SearchProcess",
    "TabularProcess",
    "Walks",
    "greedy_process",
    "make_process",
    "restart",
    "shaped_rewards",
    "standardised",
    "start",
    "take",
    "task_process",
]
