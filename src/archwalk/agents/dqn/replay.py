"""Replay: n-step windows over walks under way, and a prioritised store of what they yield.

In: steps of a batch of walks. Out: ``Transitions``, sampled with their importance weights. Next: ``learner``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from archwalk.config import ReplaySettings

PRIORITY_FLOOR = 1e-6  # keeps every transition reachable (Schaul et al. 2016, section 3.3)


class Transitions(NamedTuple):
    """Transitions over up to n steps, each field [transitions] or [transitions, actions].

    Attributes:
        s_tm1: architecture where the window begins.
        offer_tm1: what was offered there; empty (0 columns) where offers are a function of the state.
        a_tm1: action taken there.
        r_t: rewards summed over the window, discounted to its beginning.
        discount_t: the discount multiplied over the window's real number of steps; the factor of the
            bootstrap value, also where the walk ended (partial-episode bootstrapping).
        s_t: architecture where the window ends.
        offer_t: what was offered there, or would have been.
    """

    s_tm1: Int64[Tensor, " n"]
    offer_tm1: Int64[Tensor, "n columns"]
    a_tm1: Int64[Tensor, " n"]
    r_t: Float32[Tensor, " n"]
    discount_t: Float32[Tensor, " n"]
    s_t: Int64[Tensor, " n"]
    offer_t: Int64[Tensor, "n columns"]


class Held(NamedTuple):
    """The last n steps of every walk, the oldest first.

    Attributes:
        s: where the walk stood.
        offer: what it was offered; empty (0 columns) where offers are a function of the state.
        a: the action it took.
        r: the reward of that step.
        q: the actor's Q-value of that action.
        steps: how many of them are of the present walk.
    """

    s: Int64[Tensor, "n walks"]
    offer: Int64[Tensor, "n walks columns"]
    a: Int64[Tensor, "n walks"]
    r: Float32[Tensor, "n walks"]
    q: Float32[Tensor, "n walks"]
    steps: Int64[Tensor, " walks"]


class Completed(NamedTuple):
    """The windows that end with a step, by length, of which only some are complete.

    Attributes:
        transitions: the windows, each field [n times walks].
        error: the actor's absolute TD error of each (paper, section 4: first priorities are computed where
            the experience is collected).
        complete: whether it is one.
    """

    transitions: Transitions
    error: Float32[Tensor, " windows"]
    complete: Bool[Tensor, " windows"]


def slide(
    held: Held,
    s: Int64[Tensor, " walks"],
    offer: Int64[Tensor, "walks columns"],
    a: Int64[Tensor, " walks"],
    r: Float32[Tensor, " walks"],
    q: Float32[Tensor, " walks"],
    s_next: Int64[Tensor, " walks"],
    offer_next: Int64[Tensor, "walks columns"],
    v_next: Float32[Tensor, " walks"],
    ended: Bool[Tensor, " walks"],
    discount: float,
) -> tuple[Held, Completed]:
    """Add one step of every walk.

    Each step completes the window that began n steps ago; the end of a walk completes all shorter windows
    too, so that every step taken becomes exactly one transition and none reaches into another walk.

    Args:
        held: before the step.
        s: where each walk stood.
        offer: what it was offered.
        a: the action it took.
        r: the reward of that step.
        q: the actor's Q-value of that action.
        s_next: where the step led.
        offer_next: what is offered there.
        v_next: the actor's largest Q-value there.
        ended: the walk ended with this step, by its own choice or at the step limit.
        discount: discount a step.
    """
    n_step = len(held.s)
    pairs = zip(held[:-1], (s, offer, a, r, q), strict=True)
    kept = [torch.cat([old[1:], new[None]]) for old, new in pairs]
    now = Held._make([*kept, (held.steps + 1).clamp(max=n_step)])
    windows, errors, complete = [], [], []
    rewards = torch.zeros_like(r)
    for length in range(1, n_step + 1):
        at = n_step - length  # where a window of this length begins
        rewards = now.r[at] + discount * rewards
        factor = torch.full_like(r, discount**length)
        windows.append(Transitions(now.s[at], now.offer[at], now.a[at], rewards, factor, s_next, offer_next))
        errors.append((rewards + factor * v_next - now.q[at]).abs())
        whole = now.steps >= length
        complete.append(whole if length == n_step else whole & ended)
    fields = (torch.cat(field) for field in zip(*windows, strict=True))
    made = Completed(Transitions(*fields), torch.cat(errors), torch.cat(complete))
    return now._replace(steps=torch.where(ended, 0, now.steps)), made


class Windows:
    """The last n steps of every walk, turned into transitions as soon as they are complete (``slide``).

    Args:
        walks: number of walks.
        n_step: longest window.
        discount: discount a step.
        columns: actions stored with an offer, 0 where offers need not be stored.
    """

    def __init__(self, walks: int, n_step: int, discount: float, columns: int) -> None:
        self.discount, self.columns = discount, columns
        self._held = Held(
            s=torch.zeros(n_step, walks, dtype=torch.long),
            offer=torch.zeros(n_step, walks, columns, dtype=torch.long),
            a=torch.zeros(n_step, walks, dtype=torch.long),
            r=torch.zeros(n_step, walks),
            q=torch.zeros(n_step, walks),
            steps=torch.zeros(walks, dtype=torch.long),
        )

    def push(self, **step: Tensor) -> tuple[Transitions, Float32[Tensor, " n"]]:
        """Add one step of every walk, as ``slide`` takes it; the complete transitions and their errors."""
        self._held, made = slide(self._held, **step, discount=self.discount)
        kept = made.complete
        return Transitions(*(field[kept] for field in made.transitions)), made.error[kept]

    def state_dict(self) -> dict[str, Tensor]:
        """All that is held."""
        return self._held._asdict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        self._held = Held(**state)


class Sample(NamedTuple):
    """A batch from replay: the transitions, where they lie, and their importance weights, each [batch]."""

    transitions: Transitions
    slots: Int64[Tensor, " batch"]
    weight: Float32[Tensor, " batch"]


class Found(NamedTuple):
    """Transitions from a replay, where they lie, priority^alpha of each, and that of all it holds."""

    transitions: Transitions
    slots: Int64[Tensor, " n"]
    mass: Float64[Tensor, " n"]
    total: Float64[Tensor, ""]


def strata(batch: int, generator: torch.Generator) -> Float64[Tensor, " batch"]:
    """One uniform draw from each of ``batch`` equal parts of [0, 1)."""
    u = torch.rand(batch, generator=generator, dtype=torch.float64)
    return (torch.arange(batch) + u) / batch


def to_mass(error: Float32[Tensor, "*shape"], alpha: float) -> Float64[Tensor, "*shape"]:
    """priority^alpha from the size of a TD error."""
    return (error.double() + PRIORITY_FLOOR) ** alpha


def importance(
    mass: Float64[Tensor, " batch"], total: Float64[Tensor, ""], size: int | Int64[Tensor, ""], beta: float
) -> Float32[Tensor, " batch"]:
    """(N P(i))^-beta divided by their maximum in the batch (Schaul et al. 2016, section 3.4).

    Args:
        mass: priority^alpha of each sample.
        total: that of all that is held.
        size: how many are held, N.
        beta: exponent.
    """
    weight = (size * mass / total) ** -beta
    return (weight / weight.max()).float()


class Replay:
    """Proportional prioritised replay (Schaul et al. 2016), a ring of the newest transitions.

    P(i) = p_i^alpha / sum of p^alpha with p_i = |TD error| + 1e-6. One cumulative sum a batch finds the
    samples: at these sizes it takes less than a hundredth of an update, so no tree is needed.

    Args:
        settings: capacity and exponents.
        columns: actions stored with an offer, 0 where offers need not be stored.

    Attributes:
        kept: transitions that stay for good, in the first slots; the ring is behind them.
    """

    kept = 0

    def __init__(self, settings: ReplaySettings, columns: int) -> None:
        self.settings = settings
        n = settings.capacity
        self._store = Transitions(
            s_tm1=torch.zeros(n, dtype=torch.long),
            offer_tm1=torch.zeros(n, columns, dtype=torch.long),
            a_tm1=torch.zeros(n, dtype=torch.long),
            r_t=torch.zeros(n),
            discount_t=torch.zeros(n),
            s_t=torch.zeros(n, dtype=torch.long),
            offer_t=torch.zeros(n, columns, dtype=torch.long),
        )
        self._mass = torch.zeros(n, dtype=torch.float64)  # priority^alpha
        self._next = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, transitions: Transitions, error: Float32[Tensor, " n"]) -> None:
        """Store transitions with priorities from their TD errors; the oldest ones go."""
        room, first = self.settings.capacity - self.kept, self.kept
        n = len(error)
        keep = slice(max(0, n - room), None)  # of more than fit at once only the last ones stay
        index = first + (torch.arange(n)[keep] + self._next - first) % room
        for store, new in zip(self._store, transitions, strict=True):
            store[index] = new[keep]
        self._mass[index] = to_mass(error[keep], self.settings.alpha)
        self._next = first + (self._next - first + n) % room
        self._size = min(self._size + n, self.settings.capacity)

    def sample(self, batch: int, generator: torch.Generator) -> Sample:
        """Draw a batch: one sample from each of ``batch`` strata of equal probability."""
        found = self.find(strata(batch, generator))
        weight = importance(found.mass, found.total, self._size, self.settings.beta)
        return Sample(found.transitions, found.slots, weight)

    def find(self, at: Float64[Tensor, " n"]) -> Found:
        """What lies at shares of the probability mass, each from 0 up to 1; at least one is held."""
        mass = self._mass[: self._size]
        upto = mass.cumsum(0)
        index = torch.searchsorted(upto, at * upto[-1], right=True).clamp(max=self._size - 1)
        return Found(Transitions(*(field[index] for field in self._store)), index, mass[index], upto[-1])

    def set_errors(self, slots: Int64[Tensor, " batch"], error: Float32[Tensor, " batch"]) -> None:
        """New priorities after an update. Where a slot stands twice, either error is as new."""
        self._mass[slots] = to_mass(error, self.settings.alpha)

    @property
    def mass(self) -> float:
        """The sum of priority^alpha of everything held."""
        return float(self._mass[: self._size].sum())

    def probabilities(self) -> Float64[Tensor, " size"]:
        """P(i) of everything held, oldest slot first."""
        mass = self._mass[: self._size]
        return mass / mass.sum()

    def state_dict(self) -> dict[str, Tensor]:
        """What is held, without the empty part."""
        fields = {name: field[: self._size] for name, field in self._store._asdict().items()}
        return fields | {"mass": self._mass[: self._size], "next": torch.tensor(self._next)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        self._size = len(state["mass"])
        self._next = int(state["next"])
        self._mass[: self._size] = state["mass"]
        for name, field in self._store._asdict().items():
            field[: self._size] = state[name]
