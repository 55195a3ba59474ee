"""ENAS: the controller's step by hand, a tiny training, the order that follows, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archwalk.errors import SearchError
from archwalk.searching.asktell import check_fit
from archwalk.searching.history import make_history
from archwalk.searching.listed import ListedProblem, list_problem
from archwalk.searching.methods import enas
from archwalk.searching.registry import find_method
from archwalk.spaces import make_listed
from archwalk.tasks import Benchmark, load_benchmark

SPACE = make_listed("digits-micro")
ROWS = np.sort(np.random.default_rng(0).permutation(len(SPACE))[:24])


@pytest.fixture
def problem() -> ListedProblem:
    found = list_problem(SPACE, ROWS).with_task(load_benchmark("digits"), "class_object")
    assert isinstance(found, ListedProblem)
    return found


def test_the_controllers_step(problem: ListedProblem) -> None:
    """Against a plain step along a loss that is written out choice by choice."""
    controller = enas.make_controller(problem, 0)
    codes = torch.from_numpy(problem.codes(np.arange(4)))
    rewards = np.array([0.2, 0.9, 0.4, 0.5])
    before = {name: p.detach().clone() for name, p in controller.named_parameters()}
    loss = torch.zeros(())
    for code, reward in zip(codes, rewards, strict=True):
        logs = controller(code[None])[0]
        chosen = sum(logs[slot, int(choice) + 1] for slot, choice in enumerate(code))
        entropy = -sum(p * p.log() for row in logs.exp() for p in row if p > 0)
        loss = loss - (reward - 0.45) * chosen - enas.ENTROPY * entropy
    loss.div(4).backward()
    gradients = {name: p.grad.clone() for name, p in controller.named_parameters()}
    enas.policy_step(controller, torch.optim.SGD(controller.parameters(), lr=1.0), codes, rewards, 0.45)
    for name, p in controller.named_parameters():
        torch.testing.assert_close(before[name] - p.detach(), gradients[name], rtol=1e-4, atol=1e-7)


def test_scores_of_choices_are_bounded(problem: ListedProblem) -> None:
    """tanh constant and temperature: no choice is more than exp(2.2) times as likely as another."""
    controller = enas.make_controller(problem, 0)
    with torch.no_grad():
        controller.heads.weight.mul_(1e4)
        logs = controller(torch.from_numpy(problem.codes(np.arange(8))))
    finite = [row[torch.isfinite(row)] for row in logs.flatten(0, 1)]
    widest = max(float(row.max() - row.min()) for row in finite)
    assert 1 < widest <= 2 * enas.TANH + 1e-5


def test_a_tiny_training_and_its_order(problem: ListedProblem, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = enas.Schedule(epochs=1, cells=2, controller_steps=2, rewarded=3, scenes=20)
    trained = enas.train(problem, "class_object", 0, schedule, 64)
    again = enas.train(problem, "class_object", 0, schedule, 64)
    np.testing.assert_array_equal(trained.scores, again.scores)
    assert len(trained.scores) == 24
    assert len(np.unique(trained.scores)) > 5
    assert ((trained.scores >= 0) & (trained.scores <= 100)).all()
    fresh = enas.train(problem, "class_object", 0, enas.Schedule(0, 2, 0, 3, 20), 64)
    assert not torch.equal(fresh.weights["head"], trained.weights["head"])
    monkeypatch.setattr(enas, "CANDIDATES", 6)
    order = enas.order_of(problem, trained, 0)
    assert sorted(order.tolist()) == list(range(24))
    assert (np.diff(trained.scores[order[:6]]) <= 0).all()
    assert (np.diff(trained.scores[order[6:]]) <= 0).all()
    monkeypatch.setattr(enas, "_trained", lambda *a: trained)
    optimizer = enas.Enas(problem, 0)
    optimizer.update(make_history(problem, order[:2].tolist(), [0.1, 0.2]))
    assert optimizer.suggest(3) == order[2:5].tolist()


def test_what_is_refused(tiny: Benchmark, problem: ListedProblem) -> None:
    method = find_method("enas")
    for other in (list_problem(SPACE), list_problem(tiny.space).with_task(tiny, "main")):
        with pytest.raises(
            SearchError, match=r"(?s)task of digits.*--space digits --task jigsaw --method enas"
        ):
            check_fit(method, other)
    check_fit(method, problem)
