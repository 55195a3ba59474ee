"""ConfigSpace's ``ConfigurationSpace`` as a declaration, without importing that library.

In: an object of ConfigSpace 1.x. Out: a ``Declaration``. Next: ``declared``.

Slots stand in the object's own order (parents first, then by name). Defaults, weights and logarithmic scales
say how to sample, not which configurations exist, and are left aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from archwalk.errors import SpaceError
from archwalk.spaces.declaration import Choice, Declaration, Slot, read_declaration

_INTEGERS = ("UniformIntegerHyperparameter", "NormalIntegerHyperparameter", "BetaIntegerHyperparameter")
# What a comparison of ConfigSpace leaves of a list of choices; places, because an ordinal's order is its own.
_CONDITIONS = {
    "EqualsCondition": "==",
    "InCondition": "in",
    "NotEqualsCondition": "!=",
    "LessThanCondition": "<",
    "GreaterThanCondition": ">",
}
_CLAUSES = {
    "ForbiddenEqualsClause": "==",
    "ForbiddenInClause": "in",
    "ForbiddenLessThanClause": "<",
    "ForbiddenLessThanEqualsClause": "<=",
    "ForbiddenGreaterThanClause": ">",
    "ForbiddenGreaterThanEqualsClause": ">=",
}


def is_config_space(thing: object) -> bool:
    """Whether an object is ConfigSpace's ``ConfigurationSpace``."""
    return any(kind.__name__ == "ConfigurationSpace" for kind in type(thing).__mro__)


def read_config_space(space: Any) -> Declaration:
    """The declaration of the same configurations.

    Raises:
        SpaceError: what a declaration does not have: a continuous hyperparameter, alternatives between
            different parents, a relation between two hyperparameters, or "not equal" to one that may be
            absent (which ConfigSpace takes to hold then).
    """
    parameters = {parameter.name: parameter for parameter in space.values()}
    choices = {name: _choices(parameter) for name, parameter in parameters.items()}
    when: dict[str, dict[str, list[Choice]]] = {name: {} for name in parameters}
    for condition in space.conditions:
        _check_absence(condition, space.conditional_hyperparameters)
        for child, parent, some in _conditions(condition, choices):
            before = when[child].get(parent)
            when[child][parent] = some if before is None else [c for c in before if c in some]
    slots = {name: _slot(parameter, choices[name], when[name]) for name, parameter in parameters.items()}
    forbidden = [row for clause in space.forbidden_clauses for row in _rows(clause, choices)]
    values = {"slots": slots, "forbidden": forbidden}
    return read_declaration(values, name=space.name or "configspace", origin="the ConfigurationSpace")


def _choices(parameter: Any) -> list[Choice]:
    kind = type(parameter).__name__
    if kind == "CategoricalHyperparameter":
        return [_plain(c) for c in parameter.choices]
    if kind == "OrdinalHyperparameter":
        return [_plain(c) for c in parameter.sequence]
    if kind == "Constant":
        return [_plain(parameter.value)]
    if kind in _INTEGERS and parameter.lower is not None and parameter.upper is not None:
        low, high = int(parameter.lower), int(parameter.upper)
        return list(range(low, high + 1)) if high - low <= 1_000_000 else [low, high]  # the latter is refused
    raise SpaceError(
        "categorical, ordinal, integer and constant hyperparameters",
        f"{kind} {parameter.name!r}",
        "make it an OrdinalHyperparameter over the values to try",
    )


def _slot(parameter: Any, choices: Sequence[Choice], when: dict[str, list[Choice]]) -> Slot:
    kind = type(parameter).__name__
    if kind in _INTEGERS:
        return Slot(kind="integer", low=int(parameter.lower), high=int(parameter.upper), when=when)
    return Slot(choices, "ordinal" if kind == "OrdinalHyperparameter" else "categorical", when)


def _check_absence(condition: Any, conditional: Sequence[str]) -> None:
    for part in getattr(condition, "components", [condition]):
        if part is not condition:
            _check_absence(part, conditional)
        elif type(part).__name__ == "NotEqualsCondition" and part.parent.name in conditional:
            raise SpaceError(
                "conditions on the choice of a parent that is there",
                f"{condition}, where {part.parent.name!r} may be absent",
                "use an InCondition with the values meant",
            )


def _conditions(condition: Any, choices: dict[str, list[Choice]]) -> Iterable[tuple[str, str, list[Choice]]]:
    """Child, parent and the parent's choices under which the child exists; all of them must hold."""
    kind = type(condition).__name__
    if kind in _CONDITIONS:
        parent = condition.parent.name
        yield condition.child.name, parent, _leaves(_CONDITIONS[kind], condition, choices[parent])
    elif kind == "AndConjunction":
        for part in condition.components:
            yield from _conditions(part, choices)
    else:
        parts = [p for part in getattr(condition, "components", ()) for p in _conditions(part, choices)]
        if kind != "OrConjunction" or len({(child, parent) for child, parent, _ in parts}) != 1:
            raise SpaceError(
                "conditions that must all hold", f"{kind}: {condition}", "use one hyperparameter a case"
            )
        child, parent, _ = parts[0]
        yield child, parent, [c for c in choices[parent] if any(c in some for _, _, some in parts)]


def _rows(clause: Any, choices: dict[str, list[Choice]]) -> list[dict[str, Sequence[Choice]]]:
    kind = type(clause).__name__
    if kind in _CLAUSES:
        name = clause.hyperparameter.name
        some = _leaves(_CLAUSES[kind], clause, choices[name])
        return [{name: some}] if some else []
    if kind == "ForbiddenOrConjunction":
        return [row for part in clause.components for row in _rows(part, choices)]
    if kind == "ForbiddenAndConjunction":
        rows: list[dict[str, Sequence[Choice]]] = [{}]
        for part in clause.components:
            rows = [_both(row, more) for row in rows for more in _rows(part, choices)]
        return [row for row in rows if all(row.values())]
    raise SpaceError(
        "forbidden combinations of choices", f"{kind}: {clause}", "list the combinations of values instead"
    )


def _both(row: dict[str, Sequence[Choice]], more: dict[str, Sequence[Choice]]) -> dict[str, Sequence[Choice]]:
    shared = {name: [c for c in some if c in more[name]] for name, some in row.items() if name in more}
    return {**row, **more, **shared}


def _leaves(comparison: str, clause: Any, choices: Sequence[Choice]) -> list[Choice]:
    """The choices of which a clause holds."""
    values = [_plain(v) for v in clause.values] if comparison == "in" else [_plain(clause.value)]
    places = [choices.index(v) for v in values if v in choices]
    if not places:
        return []
    first = places[0]
    holds: dict[str, Callable[[int], bool]] = {
        "==": lambda i: i == first,
        "in": lambda i: i in places,
        "!=": lambda i: i != first,
        "<": lambda i: i < first,
        "<=": lambda i: i <= first,
        ">": lambda i: i > first,
        ">=": lambda i: i >= first,
    }
    return [c for i, c in enumerate(choices) if holds[comparison](i)]


def _plain(value: Any) -> Choice:
    """NumPy's scalars as Python's."""
    return value.item() if hasattr(value, "item") else value
