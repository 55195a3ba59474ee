"""Several new tasks at once: turns, one budget, what each is told of the others, killed and repeated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archwalk
from archwalk.errors import ArchwalkError
from archwalk.searching.experience.source import Source
from archwalk.searching.history import History
from archwalk.searching.joint import JointTask, search_jointly
from archwalk.searching.open import make_problem
from archwalk.searching.optimizer import Method, make_method
from archwalk.searching.problem import Problem
from archwalk.spaces import make_space
from archwalk.spaces.product import SlotSpace
from archwalk.tasks.evaluators import TableEvaluator
from archwalk.tasks.ledger import Evaluation, Ledger
from archwalk.tasks.metrics import METRICS
from tests.conftest import two_tasks
from tests.searching.experience.test_experience import by_text, watching
from tests.searching.formula import Formula

MODULE = """
def evaluate(architecture, task):
    return {"acc": len(architecture) + (task == "b")}
def by_slots(architecture: dict, task):
    return len(architecture["a"]) + (task == "b")
def alone(architecture):
    return {"acc": 1.0}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    two_tasks().save(tmp_path / "two.parquet")
    (tmp_path / "mine_joint.py").write_text(MODULE)
    return tmp_path


def joint(out: str, budget: int, method: Any = "random", **options: Any) -> dict[str, Any]:
    given = {"space": "two.parquet", "tasks": ["two", "one"], "method": method} | options
    return archwalk.search(given.pop("evaluator", None), out, budget=budget, **given)


def looks(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {task: found["looks"] for task, found in result["tasks"].items()}


def test_every_suggestion_knows_what_the_others_found(here: Path) -> None:
    method, seen = watching()
    told: list[int] = []
    result = joint("out", 7, method, on_evaluation=lambda evaluation, count: told.append(count))
    assert told == [1, 2, 3, 4, 5, 6, 7]
    assert {task: r["evaluations"] for task, r in result["tasks"].items()} == {"two": 4, "one": 3}
    assert result["evaluations"] == 7
    found = looks(result)
    space = two_tasks().space
    for step, sources in enumerate(seen):  # two, one, two, one, ...
        other = "one" if step % 2 == 0 else "two"
        before = found[other][: (step + 1) // 2 if other == "two" else step // 2]
        if len(before) < 2:
            assert sources == ()
            continue
        (source,) = sources
        assert source.name == other
        assert by_text(space, source) == pytest.approx({e["architecture"]: e["acc"] / 100 for e in before})
    assert json.loads(Path("out/result.json").read_text()) == result
    assert json.loads(Path("out/one/result.json").read_text()) == result["tasks"]["one"]
    table = two_tasks()
    for task, evaluations in found.items():
        for one in evaluations:
            assert one["acc"] == table.values(task)[table.index(one["architecture"])]
    assert found["two"][0]["architecture"] != found["one"][0]["architecture"]  # each has its own stream
    # and all of it is experience for another search
    other_method, later = watching()
    archwalk.search(lambda a: 1.0, "later", space=table, method=other_method, experience="out", budget=1)
    assert [(s.name, len(s)) for s in later[0]] == [("out/two", 4), ("out/one", 3)]
    archwalk.search(lambda a: 1.0, "one", space=table, method=other_method, experience="out:one", budget=1)
    assert [s.name for s in later[-1]] == ["out/one"]


class Stop(Exception):
    pass


@pytest.mark.parametrize("space", ["listed", "open"])
def test_killed_at_any_moment_it_repeats_itself(here: Path, space: str) -> None:
    options: dict[str, Any] = {}
    if space == "open":
        options = {"space": Formula(), "tasks": ["hard", "soft"]}
    method = "gp" if space == "open" else watching()[0]
    budget = 14
    whole = joint("whole", budget, method, **options)
    for stop in (1, 6, 11):

        def tell(evaluation: Evaluation, count: int, stop: int = stop) -> None:
            if count == stop:
                raise Stop

        with pytest.raises(Stop):
            joint("cut", budget, method, on_evaluation=tell, **options)
    assert looks(joint("cut", budget, method, **options)) == looks(whole)
    more = joint("cut", budget + 3, method, **options)
    assert more["evaluations"] == budget + 3
    assert {t: e[:6] for t, e in looks(more).items()} == {t: e[:6] for t, e in looks(whole).items()}


def test_a_task_that_is_done_leaves_its_share_to_the_others() -> None:
    table = two_tasks()
    problem = make_problem(table.space, measured_apart=True)
    known = Source("known", table.space.codes[:2].astype(np.int16), np.zeros(2))

    def enough(evaluations: Sequence[Evaluation]) -> bool:
        return len(evaluations) >= 3

    method, seen = watching()
    acc = METRICS["acc"]
    one, two = (Ledger(TableEvaluator(table, task), ("acc",)) for task in ("one", "two"))
    tasks = [
        JointTask("one", problem, one, acc, done=enough),
        JointTask("two", problem.with_experience([known]), two, acc),
    ]
    found = search_jointly(tasks, method, budget=200, seed=3)
    assert {name: len(evaluations) for name, evaluations in found.items()} == {"one": 3, "two": 54}
    assert problem.experience == ()
    assert [s.name for s in seen[-1]] == ["known", "one"]
    assert len(seen[-1][1]) == 3


def first(problem: Problem, history: History, seed: int) -> int:
    return int(np.flatnonzero(~history.visited(np.arange(len(problem))))[0])


FIRST: Method = make_method("first", first)


def test_evaluators_are_told_the_task(here: Path) -> None:
    space = SlotSpace({"a": ["x", "yy"], "b": ["p", "q"]})

    def evaluate(architecture: str, task: str) -> float:
        if task == "b" and architecture == "x,p":
            raise ValueError("no")
        return len(architecture) + (task == "b")

    options: dict[str, Any] = {"space": space, "tasks": ["a", "b"], "metric": "acc"}
    (Path("script.sh")).write_text('test "$2" = b && echo 4 || echo 3\n')
    results = [
        joint("callable", 4, FIRST, evaluator=evaluate, **options),
        joint("module", 4, FIRST, evaluator="mine_joint:evaluate", **options),
        joint("mapping", 2, FIRST, evaluator="mine_joint:by_slots", **options),
        joint("command", 4, FIRST, command="sh script.sh {} {task}", **options),
    ]
    values = [{task: [e.get("acc") for e in some] for task, some in looks(r).items()} for r in results]
    assert values[0] == {"a": [3, 3], "b": [None, 4]}
    assert values[1] == {"a": [3, 3], "b": [4, 4]}
    assert values[2] == {"a": [1], "b": [2]}
    assert values[3] == {"a": [3, 3], "b": [4, 4]}
    # a task of it can be gone on with as a search of its own, if the command is the same
    alone = archwalk.search(
        None, "command/b", command="sh script.sh {} b", space=space, metric="acc", method=FIRST, budget=3
    )
    assert [e["acc"] for e in alone["looks"]] == [4, 4, 4]


def test_what_is_refused(here: Path) -> None:
    cells = make_space("synthetic-cells")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"tasks": ["one"]}, "two tasks or more"),
        ({"tasks": ["one", "one"]}, "each once"),
        ({"tasks": ["one", "three"]}, "task"),
        ({"tasks": ["one", "../two"]}, "folders"),
        ({"task": "one"}, "no --task with --tasks"),
        ({"executor": "ray"}, "--executor ray"),
        ({"evaluator": lambda a: 1.0}, "(?s)architecture and a task's name.*second parameter"),
        ({"evaluator": "mine_joint:alone"}, "architecture and a task's name"),
        ({"command": "echo {}"}, r"\{task\}"),
        ({"experience": "two.parquet"}, "which is searched"),
        ({"space": cells}, "--evaluator"),
        ({"metric": "f9"}, "metric of two/two among"),
    ]
    before = sorted(here.rglob("*"))
    for options, says in cases:
        with pytest.raises(ArchwalkError, match=says):
            joint("new", 4, **options)
    assert sorted(here.rglob("*")) == before
    joint("new", 2)
    kept = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
    for options, says in (
        ({"tasks": ["one", "two"]}, "--tasks two,one"),
        ({"tasks": (), "task": "one"}, "--tasks two,one"),
        ({"experience": "two.parquet:x"}, "began with: none"),
    ):
        with pytest.raises(ArchwalkError, match=says):
            joint("new", 4, **options)
    assert {p: p.read_bytes() for p in here.rglob("*") if p.is_file()} == kept
    archwalk.search(None, "single", space="two.parquet", task="one", method="random", budget=1)
    with pytest.raises(ArchwalkError, match="one task"):
        joint("single", 4)
