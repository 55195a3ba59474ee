"""archwalk: agents that learn to search for neural architectures, and move from task to task.

The public verbs and nothing else. Each is imported on first use, so that ``import archwalk`` and
``archwalk --version`` cost no torch. No subpackage has the name of a verb: once
imported it would stand in its place.
"""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from archwalk.api import evaluate, evaluate_policy, load_agent, train, transfer
    from archwalk.envs.gym import make_env, make_vec_env
    from archwalk.fitting.verbs import fit
    from archwalk.reporting.draw import draw
    from archwalk.reporting.html import report
    from archwalk.searching.asking import Failure, Optimizer
    from archwalk.searching.verbs import compare, search
    from archwalk.studies.study import study
    from archwalk.tasks.registry import load_benchmark

_HOME = {
    "load_benchmark": "archwalk.tasks.registry",
    "make_env": "archwalk.envs.gym",
    "make_vec_env": "archwalk.envs.gym",
    "train": "archwalk.api",
    "evaluate": "archwalk.api",
    "evaluate_policy": "archwalk.api",
    "transfer": "archwalk.api",
    "load_agent": "archwalk.api",
    "Failure": "archwalk.searching.asking",
    "Optimizer": "archwalk.searching.asking",
    "fit": "archwalk.fitting.verbs",
    "search": "archwalk.searching.verbs",
    "compare": "archwalk.searching.verbs",
    "study": "archwalk.studies.study",
    "report": "archwalk.reporting.html",
    "draw": "archwalk.reporting.draw",
}

__all__ = [
    "Failure",
    "Optimizer",
    "compare",
    "draw",
    "evaluate",
    "evaluate_policy",
    "fit",
    "load_agent",
    "load_benchmark",
    "make_env",
    "make_vec_env",
    "report",
    "search",
    "study",
    "train",
    "transfer",
]


if not TYPE_CHECKING:  # a checker knows the names above, and no others

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            near = get_close_matches(name, __all__, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise AttributeError(f"module 'archwalk' has no attribute {name!r}{hint}")
        found = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
        return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
