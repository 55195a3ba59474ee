"""Choices slot by slot: what is on offer, where walks end, and learning once from each evaluation."""

from __future__ import annotations

import numpy as np

from archwalk.searching.history import History, make_history
from archwalk.searching.listed import list_problem
from archwalk.searching.open import OpenProblem
from archwalk.searching.slots import Replayed, as_accuracies, choose_slots, possible_choices
from archwalk.spaces import make_listed
from archwalk.tasks import Benchmark
from tests.searching.formula import Formula


def test_of_a_listed_problem_only_what_is_left_is_on_offer() -> None:
    space = make_listed("slots", {"a": ["x", "y", "z"], "b": ["p", "q"], "c": ["1", "2", "3"]})
    problem = list_problem(space)
    seen: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def last(made: np.ndarray, offered: np.ndarray) -> int:
        seen.append((tuple(made.tolist()), tuple(offered.tolist())))
        return int(offered[-1])

    gone = [i for i, code in enumerate(space.codes.tolist()) if code[0] == 2 and code[1:] != [0, 1]]
    gone += [i for i, code in enumerate(space.codes.tolist()) if code[:2] == [1, 1]]
    history = make_history(problem, gone, [0.0] * len(gone))
    generator = np.random.default_rng(0)
    assert problem.codes(np.array([choose_slots(problem, history, last, generator, 0)])).tolist() == [
        [2, 0, 1]
    ]
    assert seen == [((), (0, 1, 2))]  # there is nothing to choose after that
    history = make_history(problem, [*gone, space.index("z,p,2")], [0.0] * (len(gone) + 1))
    choose_slots(problem, history, last, generator, 0)
    assert seen[1:] == [((), (0, 1)), ((1, 0), (0, 1, 2))]


def test_in_an_open_space_walks_keep_to_the_conditions(tiny: Benchmark) -> None:
    product = OpenProblem(tiny.space, measured_apart=True)
    sizes = tiny.space.slot_sizes
    offers: list[tuple[int, int]] = []

    def first(made: np.ndarray, offered: np.ndarray) -> int:
        offers.append((len(made), len(offered)))
        return int(offered[0])

    found = choose_slots(product, make_history(product, [], []), first, np.random.default_rng(0), 0)
    assert product.codes(np.array([found])).tolist() == [[0] * len(sizes)]
    assert offers == list(enumerate(sizes))
    blocks = OpenProblem(Formula().space, measured_apart=True)
    nothing, generator = make_history(blocks, [], []), np.random.default_rng(1)
    for _ in range(5):
        walked = choose_slots(blocks, nothing, lambda _, o: int(generator.choice(o)), generator, 0)
        text = blocks.text(walked)
        assert blocks.space.rows([text]).tolist() == blocks.codes(np.array([walked])).tolist()  # parses


def test_possible_choices() -> None:
    macro = list_problem(make_listed("transnas-macro"))
    absent = possible_choices(macro)[:, 0]
    np.testing.assert_array_equal(absent, (macro.tables[2] == -1).any(0))
    assert absent.any()
    assert not absent.all()
    assert possible_choices(OpenProblem(Formula().space, measured_apart=True))[:, 0].all()


def test_rewards_as_accuracies() -> None:
    assert as_accuracies(np.array([0.2, 0.9])).tolist() == [0.2, 0.9]
    assert as_accuracies(np.array([-3.0, -1.0, -2.0])).tolist() == [0.0, 1.0, 0.5]
    assert as_accuracies(np.array([7.0, 7.0])).tolist() == [0.5, 0.5]


class Told(Replayed):
    def begin(self) -> None:
        self.told: list[tuple[int, float]] = []

    def learn(self, codes: np.ndarray, rewards: np.ndarray) -> None:
        self.told.append((len(codes), float(rewards[-1])))

    def propose(self, history: History, generator: np.random.Generator) -> int:
        return int(history.free[0])


def test_each_evaluation_is_learned_once_and_another_past_anew(tiny: Benchmark) -> None:
    problem = list_problem(tiny.space)
    told = Told(problem, 0)
    told.update(make_history(problem, [3], [0.5]))
    told.update(make_history(problem, [3, 1], [0.5, 0.25]))
    assert told.told == [(1, 0.5), (2, 0.25)]
    assert told.suggest(2) == [0, 2]
    told.update(make_history(problem, [3, 2], [0.5, 0.75]))
    assert told.told == [(1, 0.5), (2, 0.75)]
    told.update(make_history(problem, [3, 2, 0], [0.5, 0.75, -0.5]))  # now in a scale of their own
    assert told.told == [(1, 0.8), (2, 1.0), (3, 0.0)]
