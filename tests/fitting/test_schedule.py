"""Which training is next: held to slow versions, to the budget, and to itself after a kill."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.errors import SearchError
from archwalk.fitting.schedule import (
    Suggester,
    Trial,
    extrapolated,
    load,
    per_step,
    predicted,
    promotion,
    reserved,
    search,
    useless,
    winner,
    worthwhile,
)
from archwalk.searching.open import make_problem
from archwalk.searching.registry import find_method
from archwalk.spaces import make_space

RUNGS = (20, 60, 180)
SPACE = make_space("slots", {slot: ["p", "q", "r", "s"] for slot in "abcd"})
NAMES = [SPACE.format(code) for code in SPACE.codes.tolist()]  # type: ignore[attr-defined]


class Training:
    """Curves that cross: short trainings mislead about some architectures. Counts what it is asked."""

    def __init__(self, failing: Sequence[str] = ()) -> None:
        self.asked: list[tuple[str, int]] = []
        self._failing = failing

    def __call__(self, architecture: str, steps: int) -> Trial:
        self.asked.append((architecture, steps))
        seconds = steps * (0.01 + 0.002 * (hash_of(architecture) % 5))
        if architecture in self._failing:
            return Trial(architecture, steps, math.nan, 0.0, seconds, "broken", seconds, seconds)
        noise = np.random.default_rng([hash_of(architecture), steps]).normal(0, 40 / steps)
        value = hash_of(architecture) % 17 - 30 / steps + noise
        return Trial(architecture, steps, float(value), 0.0, seconds + 0.05, "", seconds, seconds)


def hash_of(text: str) -> int:
    return sum((i + 1) * ord(c) for i, c in enumerate(text))


def suggester(seed: int = 0) -> Suggester:
    return Suggester(make_problem(SPACE, measured_apart=False), find_method("evolution"), seed)


def spending(budget: float, finals: float = 0.0):  # type: ignore[no-untyped-def]
    return lambda done: budget - finals - sum(t.seconds for t in done) - reserved(done, RUNGS)


trials_of = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 2), st.one_of(st.just(math.nan), st.floats(-5, 5))),
    max_size=25,
    unique_by=lambda t: t[:2],
).map(lambda rows: [Trial(a, RUNGS[r], v, 0.0, 1.0, "", 1.0) for a, r, v in rows])


@given(trials_of)
def test_a_third_of_a_rung_goes_on_the_best_first(trials: list[Trial]) -> None:
    wanted = None

    def worse(low: int, high: int) -> bool:  # every training for longer was, of three at least
        short = {t.architecture: t.reward for t in trials if t.steps == low}
        pairs = [(short.get(t.architecture, math.nan), t.reward) for t in trials if t.steps == high]
        known = [(a, b) for a, b in pairs if not math.isnan(a + b)]
        return len(known) >= 3 and all(a > b for a, b in known)

    for low, high in ((60, 180), (20, 60)):  # the definition, read slowly
        if worse(20, 60) or worse(low, high):
            continue
        on = {t.architecture: t.reward for t in trials if t.steps == low}
        ranked = sorted(on, key=lambda a: (math.isnan(on[a]), -on[a] if not math.isnan(on[a]) else 0))
        for name in ranked[: len(on) // 3]:
            if not math.isnan(on[name]) and not any(
                t.architecture == name and t.steps == high for t in trials
            ):
                wanted = wanted or (name, high)
    found = promotion(trials, RUNGS)
    if found is None or wanted is None:
        assert found == wanted
    else:
        value = {(t.architecture, t.steps): t.reward for t in trials}
        below = {180: 60, 60: 20}
        assert found[1] == wanted[1]
        assert value[found[0], below[found[1]]] == value[wanted[0], below[wanted[1]]]


def test_what_an_architecture_is_expected_to_reach() -> None:
    trials = [Trial(a, s, v) for a, s, v in (("a", 20, 1.0), ("b", 20, 2.0), ("c", 20, 0.0), ("a", 60, 4.0))]
    trials += [Trial("b", 60, 4.0), Trial("b", 180, 4.5), Trial("d", 20, math.nan)]
    expected = extrapolated(trials, RUNGS)
    # from 20 to 60: +3 and +2, a mean of 2.5; from 60 to 180: +0.5
    assert expected["a"] == 4.5
    # of its best training, though a longer one was worse
    worse = extrapolated([*trials, Trial("a", 180, 3.0)], RUNGS)
    assert worse["a"] == 4.0
    assert expected["b"] == 4.5
    assert expected["c"] == 3.0
    assert math.isnan(expected["d"])


def test_seconds_of_a_training_to_come() -> None:
    def trial(architecture: str, steps: int, seconds: float, training: float, work: float) -> Trial:
        return Trial(architecture, steps, 1.0, 0.0, seconds, "", training, work)

    # the machine was busy during the second training, which took six times as long as it should
    trials = [trial("a", 20, 3.0, 2.0, 1.0), trial("a", 60, 18.0, 18.0, 3.0), trial("a", 180, 9.0, 9.0, 9.0)]
    trials += [trial("b", 20, 4.0, 3.0, 3.0)]
    assert load(trials) == 2.0  # 32 seconds for 16 of work
    assert per_step(trials, "a") == pytest.approx(0.1)  # 0.05 of work, whichever training
    assert predicted(trials, "a", 100) == pytest.approx(10.0)
    # a new one: the mean of 0.05 and 0.15 of work, twice, and the suggestion: the mean of 1, 0, 0, 1
    assert predicted(trials, "new", 100) == pytest.approx(20.5)


def test_how_long_to_train_is_chosen_as_well() -> None:
    trials = [Trial("a", 20, 1.0), Trial("b", 20, 2.0), Trial("a", 60, 0.5), Trial("a", 180, 0.9)]
    trials += [Trial("c", 20, 0.0), Trial("c", 60, 3.0), Trial("c", 180, math.nan)]
    # "b" and "c" were not looked at for as long as "a"; of "a" the shortest training was best
    assert winner(trials) == Trial("a", 20, 1.0)
    # now no longer training is better, so all count that were trained
    trials = [Trial(a, 20, v) for a, v in (("a", 1.0), ("b", 1.0), ("c", 0.9), ("d", 1.1), ("e", 0.0))]
    trials += [Trial("a", 60, 0.9), Trial("b", 60, 0.9)]
    assert not useless(trials, 20, 60)
    assert not useless([*trials, Trial("c", 60, 1.0)], 20, 60)
    trials += [Trial("c", 60, 0.8)]
    assert useless(trials, 20, 60)
    assert winner(trials) == Trial("d", 20, 1.1)
    assert promotion(trials, RUNGS) is None
    assert extrapolated(trials, RUNGS) == {"a": 1.0, "b": 1.0, "c": 0.9, "d": 1.1, "e": 0.0}
    # and the way to the highest rung is not gone to its end
    assert reserved([t for t in trials if t.architecture != "c"], RUNGS) == 0.0
    again = search(
        suggester(), RUNGS, [], lambda a, s: Trial(a, s, 1 / s, 0.0, s, "", s, s, s), spending(900)
    )
    assert {t.steps for t in again} == {20, 60}
    assert sum(t.steps == 60 for t in again) == 3


def test_equal_values_are_decided_by_the_loss() -> None:
    trials = [Trial("a", 20, 1.0, -0.5), Trial("b", 20, 1.0, -0.1), Trial("c", 20, 0.5, -0.7)]
    assert promotion(trials, RUNGS) == ("b", 60)
    assert winner(trials).architecture == "b"


def test_the_loss_of_short_trainings_says_which_are_repeated_for_longer() -> None:
    trials = [Trial("a", 20, 3.0, -0.5), Trial("b", 20, 1.0, -0.1), Trial("c", 20, 0.5, -0.2)]
    assert promotion(trials, RUNGS) == ("b", 60)
    assert winner(trials).architecture == "a"  # of those that went as far, the metric


@settings(max_examples=15, deadline=None)
@given(st.floats(3, 40), st.integers(0, 5))
def test_a_search_keeps_to_its_seconds_and_ends_on_the_highest_rung(budget: float, seed: int) -> None:
    train = Training()
    trials = search(suggester(seed), RUNGS, [], train, spending(budget), NAMES[0])
    assert trials[0].architecture == NAMES[0]
    assert len({(t.architecture, t.steps) for t in trials}) == len(trials)
    best, top = winner(trials).architecture, worthwhile(trials, RUNGS)[-1]
    assert (best, top) in train.asked
    # a training is at most 1.8 times as dear as a mean one, and the last is predicted
    assert sum(t.seconds for t in trials) <= max(budget, 8.0) + 1.0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 60), st.integers(0, 3))
def test_a_search_that_was_killed_goes_on_as_it_would_have(at: int, seed: int) -> None:
    whole = search(suggester(seed), RUNGS, [], Training(), spending(20.0), NAMES[0])
    again = Training()
    resumed = search(suggester(seed), RUNGS, whole[:at], again, spending(20.0), NAMES[0])
    assert resumed == whole
    assert len(again.asked) == max(0, len(whole) - at)


def test_a_search_that_was_short_of_time_for_a_while_is_the_same_after_a_kill() -> None:
    def slow_at_first(architecture: str, steps: int) -> Trial:
        trial = Training()(architecture, steps)
        times = 12.0 if (architecture, steps) == (NAMES[0], RUNGS[0]) else 1.0  # the machine was busy
        return replace(
            trial, seconds=times * trial.seconds, training=times * trial.training, work=times * trial.work
        )

    whole = search(suggester(), RUNGS, [], slow_at_first, spending(24.0, 14.0), NAMES[0])
    assert [t.steps for t in whole[:3]] == list(
        RUNGS
    )  # nothing seemed to fit but the way to the highest rung
    assert len(whole) > 5
    for at in range(len(whole)):
        assert search(suggester(), RUNGS, whole[:at], slow_at_first, spending(24.0, 14.0), NAMES[0]) == whole


def test_the_rest_of_the_time_goes_to_longer_trainings_where_all_are_trained() -> None:
    space = make_space("slots", {"a": ["p", "q"], "b": ["p", "q"]})
    few = Suggester(make_problem(space, measured_apart=False), find_method("random"), 0)
    trials = search(few, RUNGS, [], Training(), spending(1e6))
    assert sorted(t.steps for t in trials) == [20] * 4 + [60] * 4 + [180] * 4


def test_failed_trainings_are_never_repeated_and_end_a_search_only_if_all_fail() -> None:
    trials = search(suggester(), RUNGS, [], Training(NAMES[:1]), spending(10.0), NAMES[0])
    assert [t.steps for t in trials if t.architecture == NAMES[0]] == [20]
    with pytest.raises(SearchError, match="broken"):
        search(suggester(), RUNGS, [], Training(NAMES), spending(10.0), NAMES[0])
