"""The search methods by name.

In: a name, a function, a class, or ``module:function``. Out: the ``Method``. Next: ``loop`` makes an
optimizer of it. A method of one's own is a function given to ``search`` or ``compare``, one that
``register_method`` puts beside the shipped ones, or an entry point of the group ``archwalk.methods``.
"""

from __future__ import annotations

import importlib
import os
import sys
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from archwalk.errors import SearchError, unknown
from archwalk.searching.methods import (
    aio_p,
    arch_graph,
    botorch_gp,
    enas,
    evolution,
    forest,
    gp,
    graphpnas,
    in_context,
    ktnas,
    local,
    metaqnn,
    mnasnet,
    mtnas,
    ncp,
    optuna_tpe,
    random,
    reinforce,
    rl,
    robot,
    smac_forest,
    source_walk,
    syne_tune_bore,
    transfer_gp,
    zoph_le,
)
from archwalk.searching.optimizer import Method, make_method

__all__ = [
    "describe_methods",
    "find_method",
    "methods",
    "register_method",
]

DEFAULT = "agent"
SHIPPED = {DEFAULT: "transfer-gp"}  # the name of the shipped default, and which method that is
CLAIRVOYANT = "clairvoyant"  # a line in comparisons that knows the target; no method may have its name
GROUP = "archwalk.methods"
_IMPORTS = {
    "scikit-learn": ("sklearn", "pip install 'archwalk[search]'"),
    "optuna": ("optuna", "pip install 'archwalk[peers]'"),
    "smac": ("smac", "pip install 'archwalk[peers]'"),
    "botorch": ("botorch", "pip install 'archwalk[peers]'"),
    "syne-tune": ("syne_tune", "pip install 'archwalk[syne-tune]'"),
}
_MODULES = (
    *(random, local, evolution, reinforce, forest, gp, rl, transfer_gp, source_walk, in_context),
    *(metaqnn, zoph_le, mtnas, ktnas, graphpnas, robot, optuna_tpe),
    *(smac_forest, botorch_gp, syne_tune_bore, enas, mnasnet, ncp, arch_graph, aio_p),
)
_METHODS: dict[str, Method] = {module.METHOD.name: module.METHOD for module in _MODULES}


def register_method(method: Method) -> None:
    """Put a method beside the shipped ones.

    Raises:
        SearchError: its name is another method's, or cannot be a file's name.
    """
    if method.name in (*SHIPPED, CLAIRVOYANT) or _METHODS.get(method.name, method) is not method:
        raise SearchError("a name that no other method has", repr(method.name), "choose another name")
    if not method.name or set(method.name) & set("/\\:,@") or method.name.startswith("."):
        raise SearchError("a name without / \\ : @ and commas", repr(method.name), "choose another name")
    _METHODS[method.name] = method


@cache
def _load_entry_points() -> None:
    for point in entry_points(group=GROUP):
        given = point.load()
        register_method(given if isinstance(given, Method) else make_method(point.name, given))


def methods() -> dict[str, Method]:
    """All methods by name; the shipped default's other name is left out."""
    _load_entry_points()
    return dict(_METHODS)


def find_method(given: Any) -> Method:
    """A method by name, or of a function or class.

    Args:
        given: a ``Method``, a name (``agent`` is the shipped default), ``in-context@AGENT`` (a name in the
            box, or a file), ``module:function``, a function or a class.

    Raises:
        SearchError: an unknown name, something that is no method, or a library that is not installed.
    """
    if isinstance(given, Method):
        method = given
    elif not isinstance(given, str):
        method = make_method(getattr(given, "__name__", type(given).__name__), given)
    elif given.startswith(f"{in_context.NAME}@"):
        method = in_context.with_agent(given.partition("@")[2])
    elif ":" in given:
        method = _import_method(given)
    else:
        known = methods()
        if SHIPPED.get(given, given) not in known:
            raise SearchError(*unknown("method", given, [*known, *SHIPPED]))
        method = known[SHIPPED.get(given, given)]
    for need in method.needs:
        module, remedy = _IMPORTS.get(need, (need, f"install {need}"))
        if need not in ("listed", "sources") and find_spec(module) is None:
            raise SearchError(f"{need}, for the method {method.name}", "none", remedy)
    return method


def _import_method(name: str) -> Method:
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        given = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise SearchError(
            "a method module:function that can be imported",
            f"{name!r}: {type(error).__name__}: {error}",
            "run from the folder of the module, or put that folder on PYTHONPATH",
        ) from error
    return given if isinstance(given, Method) else make_method(attribute, given)


def is_default(name: str) -> bool:
    """Whether a method, by either of its names, is the one that ``search`` takes where none is named."""
    return SHIPPED.get(name, name) == SHIPPED[DEFAULT]


def describe_methods() -> list[dict[str, Any]]:
    """``name, also, summary, needs, source`` of all methods, plain values.

    ``also`` are other names, ``needs`` what a method cannot do without or is given if there: ``sources``
    (what is known of other tasks; only ``source-walk`` cannot do without), ``columns`` (training-free metrics
    or costs of a table), ``listed`` (a space that can be listed), a library.
    """
    return [
        {
            "name": name,
            "also": [other for other, meant in SHIPPED.items() if meant == name],
            "summary": method.summary,
            "needs": list(
                dict.fromkeys(
                    [
                        *method.needs,
                        *(["sources"] if method.knows_sources else []),
                        *(["columns"] if method.knows_columns else []),
                    ]
                )
            ),
            "source": method.source,
        }
        for name, method in methods().items()
    ]
