"""What is known of an architecture before it is trained: columns of tables, counts, measured latency.

In: a space, a table, files, functions, a skeleton. Out: ``Quantity``: exact for any number of architectures
at once, or measured one by one, kept, and foretold for the rest. Next: ``limits`` bars what breaks a limit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from archwalk.errors import SearchError
from archwalk.searching.problem import Floats
from archwalk.spaces.base import Codes, SearchSpace

SAMPLE = 20  # architectures measured before the first suggestion, where nothing was kept
RIDGE = 1e-3
MOST = 1_000  # values that a forecast is fitted to


@runtime_checkable
class Store(Protocol):
    """Keeps what was measured; the first value of an architecture counts."""

    def known(self, name: str) -> dict[str, float]:
        """Architecture → value."""
        ...

    def keep_known(self, name: str, architecture: str, value: float) -> float:
        """Keep one. Returns the value that counts."""
        ...


class Quantity(ABC):
    """A number that an architecture has before any training.

    Attributes:
        name: as in limits and metrics.
        unit: of the numbers.
        where: it comes from, for people.
        exact: whether ``values`` knows all that can be known at once; NaN is then what nobody knows.
    """

    name: str
    unit: str
    where: str
    exact: bool

    @abstractmethod
    def values(self, codes: Codes, foretold: bool = True) -> Floats:
        """Of architectures, [n, S] → [n]; NaN where nothing is known."""

    @abstractmethod
    def value(self, text: str) -> float:
        """Of one, measured if it must be; NaN where nothing is known."""


class Column(Quantity):
    """A column of a table or file.

    Args:
        name, unit, where: see ``Quantity``.
        space: of the architectures.
        codes: [n, S].
        numbers: [n].
    """

    exact = True

    def __init__(
        self, name: str, unit: str, where: str, space: SearchSpace, codes: Codes, numbers: Floats
    ) -> None:
        self.name, self.unit, self.where, self._space = name, unit, where, space
        pairs = zip(codes.astype(np.int16), numbers.tolist(), strict=True)
        self._values = {code.tobytes(): value for code, value in pairs}

    def values(self, codes: Codes, foretold: bool = True) -> Floats:
        """As the column has them."""
        return np.array([self._values.get(c.tobytes(), np.nan) for c in codes.astype(np.int16)])

    def value(self, text: str) -> float:
        """As the column has it."""
        return float(self.values(self._space.rows([text]))[0])


class Counted(Quantity):
    """A count that is a function of codes.

    Args:
        name, unit, where: see ``Quantity``.
        space: of the architectures.
        count: codes [n, S] → [n].
    """

    exact = True

    def __init__(
        self, name: str, unit: str, where: str, space: SearchSpace, count: Callable[[Codes], Floats]
    ) -> None:
        self.name, self.unit, self.where, self._space, self._count = name, unit, where, space, count

    def values(self, codes: Codes, foretold: bool = True) -> Floats:
        """Counted."""
        return self._count(codes)

    def value(self, text: str) -> float:
        """Counted."""
        return float(self._count(self._space.rows([text]))[0])


class Measured(Quantity):
    """What is measured one by one, or takes long to compute.

    What was not measured is foretold: a ridge regression on one column a slot and choice, of the logarithm
    where all values are positive. A forecast decides only what is suggested; whether a limit is kept is
    decided by measuring.

    Args:
        name, unit, where: see ``Quantity``.
        space: of the architectures.
        measure: an architecture's string → value.
    """

    exact = False

    def __init__(
        self, name: str, unit: str, where: str, space: SearchSpace, measure: Callable[[str], float]
    ) -> None:
        self.name, self.unit, self.where, self._space, self._measure = name, unit, where, space, measure
        self._store: Store | None = None
        self._known: dict[str, float] = {}
        self._codes: dict[bytes, float] = {}
        self._weights: tuple[int, Floats, bool] = (0, np.zeros(0), False)

    def attach(self, store: Store) -> None:
        """Keep measurements there from now on."""
        self._store = store

    def bind(self, store: Store) -> None:
        """Go on with what is kept there."""
        self.attach(store)
        for text, value in {**self._known, **store.known(self.name)}.items():
            self._note(text, store.keep_known(self.name, text, value))

    def _note(self, text: str, value: float) -> None:
        self._known[text] = value
        self._codes[self._space.rows([text])[0].tobytes()] = value

    def sample(self, space: SearchSpace) -> None:
        """Measure ``SAMPLE`` architectures as the space samples them."""
        texts = [space.format(code) for code in space.sample(SAMPLE, np.random.default_rng(0)).tolist()]
        for text in texts[: max(0, SAMPLE - len(self._known))]:
            self.value(text)

    def value(self, text: str) -> float:
        """Measured once, then kept."""
        if text not in self._known:
            try:
                value = float(self._measure(text))
            except (TypeError, ValueError) as error:
                raise SearchError(
                    f"a number for {self.name!r} of {text!r}", str(error), "correct what measures it"
                ) from error
            if self._store is not None:
                value = self._store.keep_known(self.name, text, value)
            self._note(text, value)
        return self._known[text]

    def values(self, codes: Codes, foretold: bool = True) -> Floats:
        """As measured; else foretold, or NaN."""
        codes = codes.astype(np.int16)
        found = np.array([self._codes.get(code.tobytes(), np.nan) for code in codes])
        missing = np.isnan(found)
        if foretold and missing.any() and len(self._known) >= SAMPLE // 2:
            found[missing] = self._foretell(codes[missing])
        return found

    def _foretell(self, codes: Codes) -> Floats:
        count, weights, logs = self._weights  # refitted whenever more is known
        if count != len(self._known):
            texts = [*self._known][-MOST:]
            y = np.array([self._known[text] for text in texts])
            logs = bool((y > 0).all())
            x = self._features(self._space.rows(texts))
            target = np.log(y) if logs else y
            target = np.where(np.isfinite(target), target, 0.0)
            weights = np.asarray(np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ target))
            self._weights = len(self._known), weights, logs
        told = self._features(codes) @ weights
        return np.exp(np.minimum(told, 700)) if logs else told

    def _features(self, codes: Codes) -> Floats:
        widths = np.array(self._space.slot_sizes) + 1
        first = np.concatenate([[0], np.cumsum(widths)[:-1]])
        features = np.zeros((len(codes), int(widths.sum()) + 1))
        features[:, -1] = 1
        np.put_along_axis(features, codes.astype(np.int64) + 1 + first, 1.0, axis=1)
        return features


def given(name: str, known: object, space: SearchSpace) -> Quantity:
    """A quantity that a user gives in Python: architecture → number, as a mapping or a function."""
    if isinstance(known, Mapping):
        texts = [str(text) for text in known]
        numbers = np.array([float(value) for value in known.values()], dtype=np.float64)
        where = f"given, of {len(texts):,} architectures"
        return Column(name, "as given", where, space, space.rows(texts), numbers)
    if callable(known):
        return Measured(name, "as given", "by the function given, one by one", space, known)
    raise SearchError(
        f"a mapping or a function, architecture → number, for what is known of {name!r}",
        repr(known),
        "give one of them",
    )
