"""``Declaration``: a search space as its user writes it down, read and checked.

In: a TOML or JSON file, or a mapping. Out: a ``Declaration`` in numbers: slots, choices, conditions and
forbidden combinations as indices, contradictions refused. Next: ``declared.DeclaredSpace``. docs/spaces.md
describes the format.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeGuard, get_args

import numpy as np

from archwalk.errors import SpaceError, unknown

Choice = str | int | float
Kind = Literal["categorical", "ordinal", "integer"]
MAX_CHOICES = 32_767  # a code is an int16
_KEYS = ("name", "source", "slots", "forbidden")


@dataclass(frozen=True)
class Slot:
    """One slot as a user declares it.

    Attributes:
        choices: distinct texts, numbers or booleans; of an integer slot, none.
        kind: ``categorical`` (an edit takes any other choice), ``ordinal`` or ``integer`` (one step up or
            down).
        when: slot → the choices of it under which this slot exists; all must hold.
        low: smallest value of an integer slot.
        high: largest value of an integer slot, included if a step reaches it.
        step: distance of an integer slot's values, 1 by default.
    """

    choices: Sequence[Choice] = ()
    kind: Kind = "categorical"
    when: Mapping[str, Choice | Sequence[Choice]] = field(default_factory=dict)
    low: int | None = None
    high: int | None = None
    step: int | None = None


Among = dict[int, tuple[int, ...]]  # slot → some of its choices, both as indices


@dataclass(frozen=True)
class Declaration:
    """A checked declaration. Slots and choices are indices in the order of the declaration.

    Attributes:
        name: of the space.
        source: where it comes from; decides nothing.
        slots: their names.
        choices: of each slot, typed.
        texts: the same as text.
        kinds: of each slot.
        when: of each slot, its parents and the choices of them under which it exists.
        forbidden: combinations that no architecture holds, each over slots that are all there.
        order: the slots, parents before children.
    """

    name: str
    source: str
    slots: tuple[str, ...]
    choices: tuple[tuple[Choice, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    kinds: tuple[Kind, ...]
    when: tuple[Among, ...]
    forbidden: tuple[Among, ...]
    order: tuple[int, ...]

    def plain(self) -> dict[str, Any]:
        """The declaration as JSON values, name and source left out; ``read_declaration`` reads it again."""
        slots: dict[str, Any] = {}
        for s, slot in enumerate(self.slots):
            slots[slot] = {"kind": self.kinds[s], **self._written_choices(s)}
            if self.when[s]:
                slots[slot]["when"] = self._written(self.when[s])
        return {"slots": slots, "forbidden": [self._written(row) for row in self.forbidden]}

    def _written_choices(self, s: int) -> dict[str, Any]:
        choices = self.choices[s]
        if self.kinds[s] != "integer":
            return {"choices": list(choices)}
        step = int(choices[1]) - int(choices[0]) if len(choices) > 1 else 1
        return {"low": choices[0], "high": choices[-1], "step": step}

    def _written(self, among: Among) -> dict[str, list[Choice]]:
        return {self.slots[s]: [self.choices[s][v] for v in some] for s, some in among.items()}

    def words(self, among: Among) -> str:
        """A condition or forbidden combination as a reader would write it."""
        parts = [f"{self.slots[s]}={'|'.join(self.texts[s][v] for v in some)}" for s, some in among.items()]
        return " and ".join(parts)


def load_declaration(path: str | Path) -> Declaration:
    """A declaration from a .toml or .json file; the file's stem is the name where it gives none.

    Raises:
        SpaceError: no such file, not the format, or a declaration that contradicts itself.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:  # both decoders and UTF-8 raise ValueErrors
        form = "JSON" if path.suffix == ".json" else "TOML"
        raise SpaceError(
            f"a readable {form} file that declares a space",
            f"{path}: {getattr(error, 'strerror', None) or error}",
            "check the path and the file; docs/spaces.md shows the format",
        ) from error
    return read_declaration(values, name=path.stem, origin=str(path))


def read_declaration(values: Any, *, name: str = "declared", origin: str = "the declaration") -> Declaration:
    """Check a declaration given as a mapping.

    Args:
        values: ``slots`` (slot → ``Slot``, a table of its fields, or a plain list of choices), and perhaps
            ``name``, ``source`` and ``forbidden`` (rows of slot → choice or choices).
        name: where the mapping gives none.
        origin: whose fault it is, for messages.

    Raises:
        SpaceError: it contradicts itself; names the slot and what to do.
    """
    if not isinstance(values, Mapping):
        raise SpaceError(f"a table with slots in {origin}", _kind_of(values), "see docs/spaces.md")
    for key in values:
        if key not in _KEYS:
            raise SpaceError(*unknown(f"key of {origin}", str(key), _KEYS))
    given = {"name": values.get("name", name), "source": values.get("source", "")}
    for key, text in given.items():
        if not isinstance(text, str) or (key == "name" and not _usable(text)):
            raise SpaceError(f"{key} as text in {origin}", repr(text), f'write {key} = "..."')
    table = values.get("slots")
    if not isinstance(table, Mapping) or not table:
        raise SpaceError(
            f"at least one slot in {origin}",
            _kind_of(table) if table else "none",
            'declare one: [slots.op], below it choices = ["conv", "skip"]',
        )
    for slot in table:
        if not isinstance(slot, str) or not _usable(slot):
            raise SpaceError(
                f"slot names without ',' or '=' or blanks around in {origin}", repr(slot), "rename the slot"
            )
    slots = {slot: _read_slot(slot, value) for slot, value in table.items()}
    choices = {slot: _choices(slot, value) for slot, value in slots.items()}
    texts = {slot: tuple(text_of(c) for c in values) for slot, values in choices.items()}
    for slot, several in texts.items():
        _check_choices(slot, several)
    rows = values.get("forbidden", [])
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise SpaceError("forbidden as [[forbidden]] tables", _kind_of(rows), "write one table a combination")
    when = tuple(
        _among(value["when"], texts, f"the condition of slot {slot!r}") for slot, value in slots.items()
    )
    return Declaration(
        name=given["name"],
        source=given["source"],
        slots=tuple(slots),
        choices=tuple(choices.values()),
        texts=tuple(texts.values()),
        kinds=tuple(slot["kind"] for slot in slots.values()),
        when=when,
        forbidden=tuple(_forbidden(row, i, texts) for i, row in enumerate(rows)),
        order=_parents_first(when, tuple(slots)),
    )


def _read_slot(name: str, value: Any) -> dict[str, Any]:
    """The fields of a slot, as given; keys and kind are known to be right."""
    fields = {field.name: field for field in dataclasses.fields(Slot)}
    if isinstance(value, Slot):
        value = {key: getattr(value, key) for key in fields}
    elif isinstance(value, Sequence) and not isinstance(value, str):
        value = {"choices": value}
    elif not isinstance(value, Mapping):
        raise SpaceError(f"slot {name!r} as a table", _kind_of(value), 'write choices = ["a", "b"] below it')
    for key in value:
        if key not in fields:
            raise SpaceError(*unknown(f"key of slot {name!r}", str(key), fields))
    slot = {
        "choices": (),
        "kind": "categorical",
        "when": {},
        "low": None,
        "high": None,
        "step": None,
        **value,
    }
    if slot["kind"] not in get_args(Kind):
        raise SpaceError(*unknown(f"kind of slot {name!r}", str(slot["kind"]), get_args(Kind)))
    return slot


def _choices(name: str, slot: dict[str, Any]) -> tuple[Choice, ...]:
    bounds = {key: slot[key] for key in ("low", "high", "step") if slot[key] is not None}
    choices = slot["choices"]
    if isinstance(choices, str) or not isinstance(choices, Sequence):
        raise SpaceError(f"a list of choices in slot {name!r}", _kind_of(choices), "write choices = [...]")
    if slot["kind"] == "integer":
        if choices:
            raise SpaceError(
                f"low and high for the integer slot {name!r}", "choices", 'use kind = "ordinal" for a list'
            )
        return _steps(name, bounds)
    if bounds:
        raise SpaceError(
            f"no {', '.join(bounds)} in the {slot['kind']} slot {name!r}",
            _written(bounds),
            'give choices, or kind = "integer"',
        )
    if len(choices) > MAX_CHOICES:
        raise _too_many(name, f"{len(choices):,}")
    for choice in choices:
        if not isinstance(choice, str | int | float) or (
            isinstance(choice, float) and not math.isfinite(choice)
        ):
            raise SpaceError(
                f"texts, finite numbers or booleans as choices of slot {name!r}",
                f"{choice!r} ({_kind_of(choice)})",
                "write it as text",
            )
    return tuple(choices)


def _steps(name: str, bounds: Mapping[str, Any]) -> tuple[int, ...]:
    low, high, step = bounds.get("low"), bounds.get("high"), bounds.get("step", 1)
    if not (_whole(low) and _whole(high) and _whole(step)):
        raise SpaceError(
            f"whole numbers low and high, and perhaps step, of slot {name!r}",
            _written(bounds) or "none",
            "correct them",
        )
    if step < 1 or high < low:
        raise SpaceError(f"low <= high and step >= 1 in slot {name!r}", _written(bounds), "correct them")
    count = (high - low) // step + 1
    if count > MAX_CHOICES:
        raise _too_many(name, f"{count:,}" if count < 10**18 else "more than 10^18")
    return tuple(range(low, high + 1, step))


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _too_many(name: str, got: str) -> SpaceError:
    return SpaceError(
        f"at most {MAX_CHOICES:,} choices in slot {name!r}", got, "use a larger step, or split the slot"
    )


def _check_choices(name: str, texts: Sequence[str]) -> None:
    if not texts:
        raise SpaceError(f"at least one choice in slot {name!r}", "none", "declare choices, or leave it out")
    bad = [text for text in texts if not _usable(text)]
    if bad:
        raise SpaceError(
            f"choices without ',' or '=' or blanks around, and not empty, in slot {name!r}",
            repr(bad[0]),
            "rename the choice",
        )
    if len(set(texts)) != len(texts):
        again = next(text for i, text in enumerate(texts) if text in texts[:i])
        raise SpaceError(
            f"distinct choices in slot {name!r} (as text)", f"{again!r} more than once", "leave one out"
        )


def _among(value: Any, texts: Mapping[str, Sequence[str]], what: str) -> Among:
    """Slot → choices, from names and choices as written (compared as text) to indices in order."""
    if not isinstance(value, Mapping):
        raise SpaceError(f"slot = choices in {what}", _kind_of(value), 'write { op = ["conv"] }')
    slots = list(texts)
    among: Among = {}
    for slot, some in value.items():
        if slot not in texts:
            raise SpaceError(*unknown(f"slot in {what}", str(slot), slots))
        several = some if isinstance(some, Sequence) and not isinstance(some, str) else [some]
        if not several:
            raise SpaceError(
                f"at least one choice of {slot!r} in {what}", "none", "name one, or leave it out"
            )
        for choice in several:
            if not isinstance(choice, str | int | float) or text_of(choice) not in texts[slot]:
                raise SpaceError(*unknown(f"choice of slot {slot!r} in {what}", str(choice), texts[slot]))
        place = {text: i for i, text in enumerate(texts[slot])}
        among[slots.index(slot)] = tuple(sorted({place[text_of(c)] for c in several}))
    return among


def _forbidden(row: Any, i: int, texts: Mapping[str, Sequence[str]]) -> Among:
    among = _among(row, texts, f"forbidden combination {i + 1}")
    if not among:
        raise SpaceError(
            f"at least one slot in forbidden combination {i + 1}", "none", "name slots, or leave it out"
        )
    return among


def _parents_first(when: Sequence[Among], slots: Sequence[str]) -> tuple[int, ...]:
    """The slots in the declaration's order, except that parents stand before their children."""
    order: list[int] = []
    left = list(range(len(when)))
    while left:
        free = next((s for s in left if not any(p in left for p in when[s])), None)
        if free is None:
            raise _cycle(when, slots, left)
        order.append(free)
        left.remove(free)
    return tuple(order)


def _cycle(when: Sequence[Among], slots: Sequence[str], left: Sequence[int]) -> SpaceError:
    walk = [left[0]]
    while walk[-1] not in walk[:-1]:
        walk.append(next(p for p in when[walk[-1]] if p in left))
    names = " needs ".join(slots[s] for s in walk[walk.index(walk[-1]) :])
    return SpaceError(
        "conditions without a cycle", names, f"drop one of these conditions ({slots[walk[-1]]!r})"
    )


def _usable(text: str) -> bool:
    return text != "" and text == text.strip() and text.isprintable() and not set(text) & {",", "="}


def text_of(choice: object) -> str:
    """A choice as architectures have it; booleans as TOML and JSON write them."""
    return str(choice).lower() if isinstance(choice, bool | np.bool_) else str(choice)


def _written(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} = {value!r}" for key, value in values.items())


def _kind_of(value: object) -> str:
    return "nothing" if value is None else f"a value of type {type(value).__name__}"
