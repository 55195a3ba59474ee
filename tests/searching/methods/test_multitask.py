"""MTNAS and KTNAS: what is transferred, when, and what follows from it, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from archwalk.searching.experience.source import Source
from archwalk.searching.history import make_history
from archwalk.searching.listed import ListedProblem, list_problem
from archwalk.searching.methods import ktnas, mtnas
from archwalk.spaces import make_listed, make_space

SPACE = make_listed("synthetic-cells")
PROBLEM = list_problem(SPACE)
TEN = np.random.default_rng(0).permutation(len(SPACE))[:10].tolist()


def knowing(*tasks: dict[int, float]) -> ListedProblem:
    """The problem with other tasks' evaluations."""
    sources = [
        Source(str(n), SPACE.codes[[*task]].astype(np.int16), np.array([*task.values()]))
        for n, task in enumerate(tasks)
    ]
    problem = PROBLEM.with_experience(sources)
    assert isinstance(problem, ListedProblem)
    return problem


def test_the_best_of_another_task_that_is_unused_here() -> None:
    problem = knowing({1: 0.9, 2: 0.8, 3: 0.1, 4: 0.0}, {5: 30.0, 1: 20.0, 7: 10.0, 6: 5.0})
    generator = np.random.default_rng(0)
    nothing = make_history(problem, [], [])
    best = mtnas.best_elsewhere(problem, nothing, generator, 9).tolist()
    assert (set(best[:2]), best[2:]) == ({1, 5}, [2])  # by rank; the worse halves are no improvements
    used = make_history(problem, [1, 5], [0.0, 0.0])
    assert mtnas.best_elsewhere(problem, used, generator, 1).tolist() == [2]
    assert mtnas.best_elsewhere(PROBLEM, nothing, generator, 1).tolist() == []


def test_a_transfer_and_then_its_neighbours_of_the_highest_synflow(monkeypatch: pytest.MonkeyPatch) -> None:
    best = int(np.random.default_rng(1).integers(len(SPACE)))
    problem = knowing({best: 0.9, TEN[0]: 0.1})
    monkeypatch.setattr(mtnas, "_synflow", lambda space, text: float(text.count("3")))
    monkeypatch.setattr(mtnas, "wants", lambda *a: True)
    ids, rewards = [*TEN], [0.1 * i for i in range(10)]
    for place in range(10):
        found = mtnas.mtnas(problem, make_history(problem, ids, rewards), 0)
        if place == 0:
            assert found == best
        else:
            around = set(problem.edits[best].tolist()) - {-1}
            left = [i for i in around if i not in ids]
            assert found in left
            assert problem.text(found).count("3") == max(problem.text(i).count("3") for i in left)
        ids.append(found)
        rewards.append(0.0)
    after = mtnas.mtnas(problem, make_history(problem, ids, rewards), 0)
    assert after not in (set(problem.edits[best].tolist()) | set(TEN))  # nothing is left to give: a child ...
    assert any(after in problem.edits[i] for i in TEN[1:])  # ... of the first ten, none being better


def test_the_chance_of_a_transfer() -> None:
    """sigmoid(diversity + Q - P), Q and P one more after a good or bad transfer and a tenth less a turn."""
    same = [SPACE.index("synthetic-3_33_333")] * 10
    problem = knowing({1: 1.0, 2: 0.5})
    history = make_history(problem, [*same, *same, *same], [0.0] * 30)
    for given, expected in (
        ({}, 0.0),  # no two differ
        ({0: True}, 0.9),
        ({0: False}, -0.9),
        ({0: True, 1: True}, 1.9),
        ({0: True, 1: False}, -0.1),
    ):
        drawn = [mtnas.wants(problem, history, seed, 2, given) for seed in range(1_000)]
        assert np.mean(drawn) == pytest.approx(1 / (1 + np.exp(-expected)), abs=0.05)
    codes = [f"synthetic-{i}_{i}{i}_{i}{i}{i}" for i in range(4)]
    apart = [SPACE.index(codes[i % 4]) for i in range(10)]  # 45 pairs, 8 of them alike
    drawn = [
        mtnas.wants(problem, make_history(problem, apart, [0.0] * 10), seed, 0, {}) for seed in range(1_000)
    ]
    assert np.mean(drawn) == pytest.approx(1 / (1 + np.exp(-37 / 45)), abs=0.05)


def test_which_turns_were_transfers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mtnas, "wants", lambda p, h, s, turn, given: turn != 1)
    others = [i for i in range(100) if i not in TEN][:30]
    ids = [*TEN, *others]
    problem = knowing({others[0]: 1.0, others[10]: 0.9, others[20]: 0.8})
    rewards = [0.5] * 10 + [0.1] * 9 + [0.6] + [0.2] * 20
    assert mtnas.taken(problem, make_history(problem, ids, rewards), 0) == {0: True, 2: False}
    problem = knowing({others[0]: 1.0, others[10]: 0.9})  # nobody had what the third turn began with
    assert mtnas.taken(problem, make_history(problem, ids, rewards), 0) == {0: True}


def test_synflow_is_that_of_a_small_network() -> None:
    strong = "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"
    weak = "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|"
    closed = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    space = make_space("nasbench201")
    first, second, third = (mtnas._synflow(space, text) for text in (strong, weak, closed))
    assert first > second > third == 0.0
    assert mtnas._synflow(make_space("slots", {"a": ["x", "y"]}), "x") == 0.0


def test_the_population_takes_in_the_best_of_a_transfer_and_ages() -> None:
    rewards = np.arange(40) / 100  # each turn is better than the last one
    rewards[10:20] = [0.5, 0.0, 0.0, 0.4, *[0.0] * 6]  # a turn of transfers: two are among the ten best
    history = make_history(PROBLEM, list(range(40)), rewards.tolist())
    assert mtnas.population(history, 10, {}).tolist() == [*range(10)]
    assert mtnas.population(history, 20, {0: True}).tolist() == [*range(2, 10), 10, 13]
    assert mtnas.population(history, 25, {0: True}).tolist() == [*range(7, 10), 10, 13, *range(20, 25)]
    assert mtnas.population(history, 20, {}).tolist() == [*range(10, 20)]


def test_generations_of_ktnas() -> None:
    rewards = np.random.default_rng(3).permutation(26).astype(float).tolist()
    history = make_history(PROBLEM, list(range(26)), rewards)
    first, second, third = ktnas.populations(history)
    assert first.tolist() == list(range(10))
    assert second.tolist() == sorted(range(18), key=lambda i: -rewards[i])[:10]
    assert third.tolist() == sorted(range(26), key=lambda i: -rewards[i])[:10]
    assert len(ktnas.populations(make_history(PROBLEM, list(range(25)), rewards[:25]))) == 2


def test_transfers_of_ktnas_are_ranked_by_the_nearest_before() -> None:
    good, bad = SPACE.index("synthetic-3_33_333"), SPACE.index("synthetic-2_22_222")
    like_good, like_bad = SPACE.index("synthetic-3_33_332"), SPACE.index("synthetic-2_22_223")
    known = {like_bad: 0.9, like_good: 0.8, good: 0.7, bad: 0.6, 0: 0.5, 1: 0.4, 2: 0.3, 3: 0.2, 4: 0.1}
    problem = knowing(known)
    assert not {good, bad, like_good, like_bad} & set(TEN)
    before = make_history(problem, TEN, [0.1 * i for i in range(10)])
    assert ktnas.ktnas(problem, before, 0) == like_bad  # the best there; no transfer has been judged yet
    history = make_history(problem, [*TEN, good, bad], [0.1 * i for i in range(10)] + [0.95, 0.05])
    ids, labels = ktnas.labelled(problem, history)
    assert (ids.tolist(), labels.tolist()) == ([good, bad], [1, 0])
    assert ktnas.rank(problem, np.array([like_bad, like_good]), ids, labels).tolist() == [0, 1]
    assert ktnas.ktnas(problem, history, 0) == like_good


def test_with_nobody_to_learn_from_ktnas_takes_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    history, made = make_history(PROBLEM, TEN, [0.1 * i for i in range(10)]), list[int]()
    crossed = ktnas.crossed

    def noted(problem: ListedProblem, parents: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        assert set(parents.tolist()) <= set(TEN)
        child = crossed(problem, parents, generator)
        made.append(int(child[0]))
        return child

    monkeypatch.setattr(ktnas, "crossed", noted)
    monkeypatch.setattr(ktnas, "CLONED", 1.0)
    assert ktnas.ktnas(PROBLEM, history, 0) == made[-1]
    monkeypatch.setattr(ktnas, "CLONED", 0.0)
    assert ktnas.ktnas(PROBLEM, history, 0) in PROBLEM.edits[made[-1]]


def test_a_child_of_ktnas_has_each_slot_of_a_parent() -> None:
    generator, shares = np.random.default_rng(0), list[float]()
    for _ in range(200):
        parents = generator.choice(len(SPACE), 2, replace=False)
        a, b = SPACE.codes[parents]
        child = SPACE.codes[ktnas.crossed(PROBLEM, parents, generator)[0]]
        assert ((child == a) | (child == b)).all()
        shares.append(float((child == b)[a != b].mean()))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
    assert min(shares) < 0.3
    assert max(shares) > 0.7
