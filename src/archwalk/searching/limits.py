"""Limits: what an architecture must keep to, before its evaluation or by it.

In: texts such as ``params <= 1e6``, and the quantities that are known before training. Out: which ids of a
problem are barred, so that no method spends an evaluation on them; and rewards that put feasible evaluations
first, where a limit can only be judged afterwards. Next: ``asktell`` asks at every suggestion.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import SearchError
from archwalk.searching.problem import Floats, Ints, Mask, Problem
from archwalk.searching.quantities import Measured, Quantity, Store
from archwalk.tasks.ledger import Evaluation

_FORM = re.compile(r"\s*(?P<name>[^<>=]+?)\s*(?P<sign><=|>=|<|>|==?)\s*(?P<value>[^<>=]*?)\s*")
_SAMPLED, _ROUNDS, _FEW = 2_000, 4, 5  # of an open space; rounds of a search for one that fits, measured each
_PENALTY = 0.1  # of the range of feasible rewards: how far the least violating one is below the worst of them


@dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes:
        name: of the metric or quantity, in whose unit the value is.
        sign: ``<=``, ``<``, ``>=`` or ``>``.
        value: the bound.
    """

    name: str
    sign: str
    value: float

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.value:g}"

    def met(self, values: Floats) -> Mask:
        """Elementwise; NaN, which is not known, does not meet it."""
        bound = self.value
        with np.errstate(invalid="ignore"):
            if self.sign[0] == "<":
                return np.asarray(values <= bound if "=" in self.sign else values < bound)
            return np.asarray(values >= bound if "=" in self.sign else values > bound)

    def violation(self, value: float) -> float:
        """By which share of the bound a value breaks it; 0 if it does not."""
        if bool(self.met(np.array([value]))[0]):
            return 0.0
        if not math.isfinite(value):
            return 1e9
        return max(abs(value - self.value) / max(abs(self.value), 1e-9), 1e-9)


def parse_limit(text: str) -> Limit:
    """Read ``NAME <= NUMBER``, with ``<``, ``>=`` and ``>`` as well. Raises ``SearchError``."""
    found = _FORM.fullmatch(text)
    sign, number = (found["sign"], found["value"]) if found else ("", "")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if found is None or "==" in sign or sign == "=" or not math.isfinite(value):
        raise SearchError(
            "a limit such as 'params <= 1e6': a name, one of <= < >= >, a number in the metric's own unit",
            repr(text),
            "write it so, in quotes; units are those of the metric: latency_ms in milliseconds",
        )
    return Limit(found["name"], sign, value)


class Limits:
    """Limits of a search.

    Args:
        before: limits on what is known before training, each with what knows it.
        after: limits that only an evaluation can judge.
        reported: quantities that evaluations report as well.

    Attributes:
        screening: whether what is measured one by one is also foretold, so that suggestions that would
            probably break a limit are not made.
    """

    def __init__(
        self,
        before: Sequence[tuple[Limit, Quantity]],
        after: Sequence[Limit],
        reported: Sequence[Quantity] = (),
    ) -> None:
        self.before, self.after = tuple(before), tuple(after)
        self._quantities = {q.name: q for q in (*(q for _, q in self.before), *reported)}
        self._measured = [q for q in self._quantities.values() if isinstance(q, Measured)]
        self.screening = True

    @property
    def all(self) -> tuple[Limit, ...]:
        """All of them."""
        return (*(limit for limit, _ in self.before), *self.after)

    def known_of_all(self, name: str) -> Quantity | None:
        """What is known of every architecture at once, by name; None: nothing is."""
        quantity = self._quantities.get(name)
        return quantity if quantity is not None and quantity.exact else None

    @property
    def before_text(self) -> str:
        """Those known before training, for messages."""
        return ", ".join(str(limit) for limit, _ in self.before)

    def said(self) -> list[str]:
        """What a user should know, a line a limit."""
        lines = [f"{limit}: {q.unit}; {q.where}; known before training" for limit, q in self.before]
        return lines + [f"{limit}: known only from an evaluation, so a constraint" for limit in self.after]

    def bind(self, store: Store) -> None:
        """Keep what is measured, so that it is measured once and a search repeats itself."""
        for quantity in self._measured:
            quantity.bind(store)

    def attach(self, store: Store) -> None:
        """Keep what is measured there from now on; the ledger of whichever thread asks."""
        for quantity in self._measured:
            quantity.attach(store)

    def check(self, problem: Problem) -> str:
        """See that the limits known before training can be met; measures a few architectures for it.

        Returns:
            How many architectures do, for people.

        Raises:
            SearchError: none was found that does.
        """
        if not self.before:
            return ""
        for quantity in self._measured:
            quantity.sample(problem.space)
        listed = problem.listed
        if listed:
            codes = problem.codes(np.arange(len(problem))).astype(np.int16)
        else:
            codes = problem.space.sample(_SAMPLED, np.random.default_rng(0))
        broken = self.broken(codes)
        share = f"{(~broken).sum():,} of {len(codes):,} {'' if listed else 'random '}architectures"
        if all(quantity.exact for _, quantity in self.before):
            if broken.all():
                raise self._unmeetable(problem, codes)
            return f"{share} keep to {self.before_text}"
        if broken.all() and not self._search(problem, codes):
            raise self._unmeetable(problem, codes)
        return f"{share} would keep to {self.before_text}, as far as can be foretold"

    def _search(self, problem: Problem, codes: NDArray[np.int16]) -> bool:
        """Whether an architecture that keeps to the limits can be found, from the least violating ones."""
        for _ in range(_ROUNDS):
            best = codes[np.argsort(self._distance(codes), kind="stable")[:_FEW]]
            if any(self.met_before(problem.space.format(code.tolist())) for code in best):
                return True
            if problem.listed:  # all of them are looked at already
                continue
            around = problem.space.neighbours(best)
            around = around.reshape(-1, around.shape[-1])
            codes = np.concatenate([best, around[(around >= 0).any(1)].astype(np.int16)])
        return False

    def _distance(self, codes: NDArray[np.int16]) -> Floats:
        """By how much limits are broken, as far as is known or foretold, [n]; NaN counts as far."""
        total = np.zeros(len(codes))
        for limit, quantity in self.before:
            values = quantity.values(codes)
            gap = np.abs(values - limit.value) / max(abs(limit.value), 1e-9)
            total += np.where(limit.met(values), 0.0, np.where(np.isnan(gap), 1e9, gap))
        return total

    def _unmeetable(self, problem: Problem, codes: NDArray[np.int16]) -> SearchError:
        least = codes[int(self._distance(codes).argmin())]
        text = problem.space.format(least.tolist())
        there = []
        for limit, quantity in self.before:
            values = quantity.values(codes)
            values = values[np.isfinite(values)]
            span = f"{values.min():.4g} to {values.max():.4g}" if len(values) else "not known of any"
            there.append(f"{limit.name} is {span} ({quantity.unit}; {quantity.where})")
        return SearchError(
            f"limits that some architecture meets: {self.before_text}",
            f"none that does; {'; '.join(there)}; nearest to it is {text}",
            "loosen a limit, and see that it is in that unit",
        )

    def bar(self, problem: Problem) -> Problem:
        """The problem, with what breaks a limit barred."""
        whole: Mask | None = None
        if problem.listed and all(quantity.exact for _, quantity in self.before):
            whole = self.broken(problem.codes(np.arange(len(problem))).astype(np.int16))

        def barred(ids: Ints) -> Mask:
            if whole is not None:
                return whole[ids]
            return self.broken(problem.codes(ids).astype(np.int16), foretold=self.screening)

        return problem.with_barred(barred) if self.before else problem

    def broken(self, codes: NDArray[np.int16], foretold: bool = True) -> Mask:
        """Which architectures break a limit known before training, [n, S] → [n].

        Args:
            codes: of them.
            foretold: whether to go by forecasts where nothing was measured; else these do not break it.
        """
        found = np.zeros(len(codes), dtype=np.bool_)
        for limit, quantity in self.before:
            values = quantity.values(codes, foretold)
            unknown = np.isnan(values)  # of what is exact nobody knows it, and it cannot be chosen
            found |= ~limit.met(values) & (~unknown | quantity.exact)
        return found

    def met_before(self, text: str) -> bool:
        """Whether an architecture keeps to all limits known before training; measures what it must."""
        return all(bool(limit.met(np.array([q.value(text)]))[0]) for limit, q in self.before)

    def known(self, text: str) -> dict[str, float]:
        """What is known of an architecture before training."""
        return {name: quantity.value(text) for name, quantity in self._quantities.items()}

    def violation(self, metrics: Mapping[str, float]) -> float:
        """By how much an evaluation breaks limits, 0 if it does not. What the evaluation itself says of a
        quantity known before counts as well."""
        return sum(limit.violation(metrics[limit.name]) for limit in self.all if limit.name in metrics)

    def feasible(self, evaluations: Sequence[Evaluation]) -> Mask:
        """Which evaluations succeeded and break nothing, [n]."""
        return np.array(
            [e.status == "ok" and not self.violation(e.metrics) for e in evaluations], dtype=np.bool_
        )

    def feasible_first(self, evaluations: Sequence[Evaluation], rewards: Floats) -> Floats:
        """Rewards in which every evaluation that breaks a limit lies below all that do not, the more the
        further (Deb 2000, section 3), [n] → [n]; NaN stays."""
        broken = np.array([self.violation(e.metrics) if e.status == "ok" else 0.0 for e in evaluations])
        if not broken.any():
            return rewards
        good = rewards[(broken == 0) & np.isfinite(rewards)]
        if not len(good):
            return np.where(broken > 0, -np.log1p(broken), rewards)
        low, reach = float(good.min()), float(good.max() - good.min())
        reach = reach or abs(low) or 1.0
        steps = np.log1p(broken) / np.log1p(broken.max())
        return np.where(broken > 0, low - reach * (_PENALTY + steps), rewards)
