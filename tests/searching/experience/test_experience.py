"""What a user names as experience: what of it reaches the problem, what is kept, what is refused."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archwalk
from archwalk.cli import main
from archwalk.errors import ArchwalkError
from archwalk.searching.experience.source import Source, make_source
from archwalk.searching.experience.trials import read_trials
from archwalk.searching.history import History
from archwalk.searching.optimizer import Method, make_method
from archwalk.searching.problem import Problem
from archwalk.spaces import make_space
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.product import SlotSpace
from archwalk.spaces.registry import open_space
from archwalk.tasks import Column, load_benchmark
from archwalk.tasks.metrics import METRICS, Metric, metric_to_search
from archwalk.tasks.table import Benchmark, make_benchmark
from tests.conftest import small_settings, three_tasks, tiny_benchmark, two_tasks
from tests.searching.formula import Formula, declaration

SLOTS = {"a": ["x", "y", "z"], "b": ["p", "q"], "c": ["1", "2", "3"], "d": ["u", "v", "w"]}


def watching() -> tuple[Method, list[tuple[Source, ...]]]:
    """A method that keeps what it is given, and then goes through a random order."""
    seen: list[tuple[Source, ...]] = []

    def watch(problem: Problem, history: History, seed: int) -> Any:
        seen.append(problem.experience)
        known = sum(float(s.values.sum()) for s in problem.experience)  # what is known decides
        generator = np.random.default_rng([seed, len(history), abs(int(known * 1_000))])
        while True:
            index = problem.sample(1, generator)
            if not history.visited(index)[0]:
                return int(index[0])

    return make_method("watch", watch, knows_sources=True), seen


def quality(architecture: str) -> dict[str, float]:
    return {"acc": float(sum(map(ord, architecture)) % 17)}


def flaky(architecture: str) -> dict[str, float]:
    if "y" in architecture:
        raise RuntimeError("y")
    return {"acc": float(len(architecture) + ord(architecture[0]))}


def by_text(space: SearchSpace, source: Source) -> dict[str, float]:
    return {space.format(c): v for c, v in zip(source.codes.tolist(), source.values.tolist(), strict=True)}


def reordered(values: dict[str, float], slots: str) -> dict[str, float]:
    """The same by strings with the slots in another order."""
    return {",".join(t.split(",")["abcd".index(s)] for s in slots): v for t, v in values.items()}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def seen_by(out: str, *, space: Any = None, evaluator: Any = quality, **options: Any) -> tuple[Source, ...]:
    """The experience of a search's problem."""
    method, seen = watching()
    given = {"space": SLOTS_SPACE if space is None else space, "method": method, "budget": 1}
    given |= ({} if options.get("task") else {"metric": "acc"}) | options
    archwalk.search(evaluator, out, **given)
    return seen[0]


SLOTS_SPACE = SlotSpace(SLOTS)


# ---- trials


def trials(rows: list[dict[str, Any]]) -> str:
    return pl.DataFrame(rows, infer_schema_length=None).write_csv()


def read(text: str, space: Any = SLOTS_SPACE, named: str = "", goal: str = "acc") -> list[Any]:
    frame = pl.read_csv(io.BytesIO(text.encode()), infer_schema=False)
    return read_trials(frame, Path("t.csv"), named, space, [METRICS[goal]], metric_to_search)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_order_of_columns_and_rows_of_trials_does_not_matter(data: st.DataObject) -> None:
    row = st.fixed_dictionaries(
        {slot: st.sampled_from(choices) for slot, choices in SLOTS.items()}
        | {"acc": st.floats(0, 100).map(lambda v: round(v, 2)) | st.none()}
    )
    rows = data.draw(st.lists(row, min_size=1, max_size=12))
    rows += [rows[0] | {"acc": value} for value in (10.0, 20.0, 30.0)]  # whose sum depends on the order
    slow: dict[str, list[float]] = {}
    for one in rows:
        if one["acc"] is not None:
            slow.setdefault(",".join(one[slot] for slot in SLOTS), []).append(0.01 * one["acc"])
    columns = data.draw(st.permutations(list(rows[0])))
    shuffled = data.draw(st.permutations(rows))
    made = []
    for text in (trials(rows), trials([{c: one[c] for c in columns} for one in shuffled])):
        (found,) = read(text)
        good = np.isfinite(found.values)
        assert (~good).sum() == sum(one["acc"] is None for one in rows)
        made.append(make_source("t", found.codes[good], found.values[good]))
    np.testing.assert_array_equal(made[0].codes, made[1].codes)
    np.testing.assert_array_equal(made[0].values, made[1].values)  # to the bit
    assert by_text(SLOTS_SPACE, made[0]) == pytest.approx({k: np.mean(v) for k, v in slow.items()})


def test_trials_of_a_declared_space_with_types_and_absent_slots() -> None:
    slots = {
        "depth": {"choices": [2, 4], "kind": "ordinal"},
        "rate": {"choices": [0.1, 0.001]},
        "bias": {"choices": [True, False]},
        "kernel": {"choices": [3, 5], "when": {"depth": [4]}},
    }
    space = open_space({"name": "typed", "slots": slots})
    text = (
        "bias,acc,kernel,depth,rate\nTrue,1,3.0,4,1e-3\nfalse,2,,2,0.10\ntrue,3,5,2,0.1\ntrue,4,,4,0.1\n"
        "true,5,,2,0.2\n"
    )
    (found,) = read(text, space)
    expected = [[1, 1, 0, 0], [0, 0, 1, -1], [-1] * 4, [-1] * 4, [-1] * 4]  # the last three are none of it
    assert found.codes.tolist() == expected
    assert found.values.tolist() == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])


def test_which_metric_of_trials_and_what_has_failed() -> None:
    head = "arch,task,status,loss,mAP@0.5,acc\n"
    text = head + '"x,p,1,u",s,ok,2,0.5,10\n"y,p,1,u",t,FAILED,1,0.6,20\n"y,q,1,u",t,Complete,,crash,inf\n'
    first, second = read(text)
    assert (first.name, second.name) == ("t/s", "t/t")
    assert first.values.tolist() == [0.1]
    assert np.isnan(second.values).all()
    assert read(text, named="loss")[0].values.tolist() == [-2.0]  # less is better
    assert read(text, named="mAP@0.5")[0].values.tolist() == [0.5]
    only = 'architecture,note,f1\n"x,p,1,u",fine,3\n"z,p,1,u",,4\n'
    assert read(only)[0].values.tolist() == [3.0, 4.0]
    both = 'architecture,a,c,f1\n"x,p,1,u",x,1,3\n"z,p,1,u",z,1,4\n'
    assert read(both)[0].values.tolist() == [3.0, 4.0]
    other = make_space("digits-micro")
    text = "arch,acc\n64-41414-0_12_333,1\n64-41414-1_12_333,2\nnonsense,3\n"
    with pytest.raises(ArchwalkError, match="nonsense"):
        read("arch,acc\nnonsense,3\n", other)
    (found,) = read(text.replace("nonsense,3\n", ""), other)  # strings of a like space
    assert found.codes.tolist() == [[0, 1, 2, 3, 3, 3], [1, 1, 2, 3, 3, 3]]


# ---- earlier searches


def test_a_ledger_is_a_source(here: Path) -> None:
    before = archwalk.search(flaky, "past", space=SLOTS_SPACE, method="random", budget=12)
    files = {p.name: p.read_bytes() for p in Path("past").iterdir()}
    assert 0 < before["failed"] < 10
    (source,) = seen_by("new", experience="past")
    assert source.name == "past"
    expected = {e["architecture"]: e["acc"] / 100 for e in before["looks"] if e["status"] == "ok"}
    assert by_text(SLOTS_SPACE, source) == pytest.approx(expected)
    assert {p.name: p.read_bytes() for p in Path("past").iterdir()} == files
    said = json.loads(Path("new/experience.json").read_text())
    assert said["given"] == ["past"]
    assert said["sources"][0]["architectures"] == before["ok"]
    assert f"{before['ok']} of {before['ok']} architectures; {before['failed']} failed" in said["said"][0]
    turned = SlotSpace({k: SLOTS[k][::-1] for k in "dbac"}, name="turned")  # another name and order
    (again,) = seen_by("turned", space=turned, experience="past")
    assert by_text(turned, again) == pytest.approx(reordered(expected, "dbac"))


def test_a_ledger_of_less_is_better_and_of_an_open_space(here: Path) -> None:
    def size(architecture: str) -> float:
        return float(len(architecture))

    options: dict[str, Any] = {"space": declaration(), "method": "random", "minimise": ["ms"]}
    past = archwalk.search(size, "past", metric="ms", budget=5, **options)
    renamed = declaration() | {"name": "another"}
    (source,) = seen_by("new", space=renamed, experience="past")
    got = by_text(open_space(renamed), source)
    assert got == {e["architecture"]: -e["ms"] for e in past["looks"]}
    text = "\n".join(["architecture,acc", *(f'"{e["architecture"]}",{e["ms"]}' for e in past["looks"])])
    Path("t.csv").write_text(text)
    (source,) = seen_by("csv", space=renamed, experience="t.csv")
    assert by_text(open_space(renamed), source) == pytest.approx({k: -v / 100 for k, v in got.items()})


# ---- tables


def test_tasks_of_a_table_and_a_part_of_it(here: Path) -> None:
    table = two_tasks()
    table.save(here / "two.parquet")
    one, two = seen_by("all", experience="two.parquet")
    assert (one.name, two.name) == ("two/one", "two/two")
    np.testing.assert_array_equal(two.values, table.reward("two"))
    np.testing.assert_array_equal(two.codes, table.space.codes)
    (named,) = seen_by("named", experience="two.parquet:two")
    np.testing.assert_array_equal(named.values, two.values)
    (test,) = seen_by("test", experience="two.parquet:two/acc/test")
    np.testing.assert_array_equal(test.values, table.values("two", "test") * 0.01)
    some = tiny_benchmark(keep=20, seed=3)
    lines: list[str] = []
    part = seen_by("part", space=some, experience=table, say=lines.append)
    assert [len(s) for s in part] == [20, 20]
    assert lines == ["known beforehand: two: 2 tasks, 20 of 54 architectures"]
    np.testing.assert_array_equal(part[1].values, table.reward("two")[some.rows])


def micro(values: dict[str, float]) -> Benchmark:
    """A few cells of TransNAS-Bench-101's space with columns by address."""
    space = make_space("transnas-micro")
    columns = {Column(*name.split("/")): np.arange(4.0) * factor for name, factor in values.items()}
    metrics = {c.metric: METRICS.get(c.metric) or Metric(c.metric, "max", "") for c in columns}
    rewards = {c.task: c for c in columns if c.split == "valid" and c.epoch == "final"}
    return make_benchmark("few", space, np.arange(4) * 7, columns, metrics, rewards)


def test_protocols_and_metrics_without_training(here: Path) -> None:
    few = micro(
        {
            "class_object/top1/valid/final": 1.0,
            "class_object/top1/valid/best": 2.0,
            "class_object/zen/none/none": 3.0,
            "class_object/params/none/none": 4.0,
        }
    )
    few.save(here / "few.parquet")
    for i, name in enumerate(("{}@{}", "{}:class_object@{}", "{}@{}:class_object")):
        given = name.format("few.parquet", "transnas-best")
        (source,) = seen_by(f"p{i}", space="transnas-micro", experience=given)
        assert source.name == "few@transnas-best/class_object"
        assert source.values.tolist() == [0.0, 0.02, 0.04, 0.06]
    zen, params = seen_by("zero", space="transnas-micro", experience="few.parquet:zen,class_object/params")
    assert zen.values.tolist() == [0, 3, 6, 9]
    assert params.values.tolist() == [0, -4, -8, -12]
    assert len(seen_by("plain", space="transnas-micro", experience="few.parquet")) == 1
    tidy = [
        {"arch": few.architectures[i], "task": "t", "metric": m, "split": "none", "epoch": "none", "value": i}
        for i in range(4)
        for m in ("zen", "flow")
        if (m, i) != ("flow", 2)
    ]
    Path("tidy.csv").write_text(pl.DataFrame(tidy).write_csv())
    lines: list[str] = []
    flow, zen = seen_by("tidy", space=few, experience="tidy.csv:flow,t/zen", say=lines.append)
    assert (flow.name, flow.values.tolist(), len(zen)) == ("tidy/t/flow", [0, 1, 3], 4)
    assert lines == [
        "known beforehand: tidy: 2 tasks, architectures: t/flow 3 of 3, t/zen 4 of 4; "
        "1 failed or missing left out"
    ]


# ---- agents


def test_an_agent_is_two_sources_in_any_space_of_its_slots(here: Path) -> None:
    table = tiny_benchmark()
    table.save(here / "tiny.parquet")
    run = archwalk.train(
        "tiny.parquet", "main", here / "run", preset=small_settings(training={"trained_steps": 512})
    )
    measured, opinion = seen_by("agent", space=table, agent=run.path)
    np.testing.assert_array_equal(measured.values, table.reward("main"))
    assert np.isfinite(opinion.values).all()
    assert np.unique(opinion.values).size > 10
    also = seen_by("also", space=None, experience=run.path)
    np.testing.assert_array_equal(also[1].values, opinion.values)
    turned = SlotSpace({k: SLOTS[k] for k in "dbac"}, name="turned")
    moved, thought = seen_by("moved", space=turned, agent=run.path)
    assert by_text(turned, thought) == reordered(by_text(table.space, opinion), "dbac")
    assert len(moved) == 54
    with pytest.raises(ArchwalkError, match="this very task"):
        seen_by("self", space=table, evaluator=None, task="main", agent=run.path)
    shutil.copytree(run.path, here / "unfinished")
    (here / "unfinished" / "weights.safetensors").unlink()
    with pytest.raises(ArchwalkError, match="finished run"):
        seen_by("broken", space=turned, experience="unfinished")
    assert not Path("broken").exists()


def test_an_agent_of_several_tasks_is_two_sources_a_task(here: Path) -> None:
    table = three_tasks()
    table.save(here / "three.parquet")
    short = small_settings(training={"trained_steps": 512})
    run = archwalk.train("three.parquet", "three,one", here / "run", preset=short)
    known = seen_by("agent", space=table, evaluator=None, task="two", agent=run.path)
    opinions = ("run/three: agent", "run/one: agent")
    assert [s.name for s in known] == ["run/three", opinions[0], "run/one", opinions[1]]
    np.testing.assert_array_equal(known[2].values, table.reward("one"))
    assert (known[1].values != known[3].values).any()
    with pytest.raises(ArchwalkError, match="this very task"):
        seen_by("self", space=table, evaluator=None, task="one", agent=run.path)


# ---- what comes with the package


def test_digits_is_known_beforehand(here: Path) -> None:
    digits = load_benchmark("digits")
    lines: list[str] = []
    known = seen_by("micro", space="transnas-micro", say=lines.append)
    assert [s.name for s in known] == [f"digits/{task}" for task in digits.tasks]
    np.testing.assert_array_equal(known[0].values, digits.reward(digits.tasks[0]))
    assert len(lines) == 1
    assert "4,096 of 4,096" in lines[0]
    assert "none begins without" in lines[0]
    assert seen_by("off", space="transnas-micro", experience="none") == ()
    assert not Path("off/experience.json").exists()
    assert seen_by("unknown", space="digits") == ()  # whoever evaluates there may be one of its tasks
    others = seen_by("own", space="digits", evaluator=None, task="jigsaw")
    assert [s.name for s in others] == [f"digits/{t}" for t in digits.tasks if t != "jigsaw"]
    assert seen_by("elsewhere", space="synthetic-cells") == ()
    few = seen_by("few", space=micro({"t/top1/valid/final": 1.0}), evaluator=None, task="t")
    assert {len(s) for s in few} == {4}
    method = make_method("deaf", lambda problem, history, seed: len(history))
    archwalk.search(quality, "deaf", space="transnas-micro", method=method, budget=1)
    assert not Path("deaf/experience.json").exists()


# ---- killed and resumed


def stopping(after: int) -> Callable[[str], dict[str, float]]:
    left: Iterator[int] = iter(range(after))

    def evaluate(architecture: str) -> dict[str, float]:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return quality(architecture)

    evaluate.__qualname__, evaluate.__module__ = quality.__qualname__, quality.__module__
    return evaluate


def test_a_killed_search_goes_on_with_what_was_known_then(here: Path) -> None:
    archwalk.search(flaky, "past", space=SLOTS_SPACE, method="random", budget=9)
    options: dict[str, Any] = {"space": SLOTS_SPACE, "experience": ["past"], "budget": 8}
    whole = archwalk.search(quality, "whole", method=watching()[0], **options)
    with pytest.raises(KeyboardInterrupt):
        archwalk.search(stopping(3), "cut", method=watching()[0], **options)
    archwalk.search(flaky, "past", space=SLOTS_SPACE, method="random", budget=20)  # it went on meanwhile
    assert archwalk.search(quality, "cut", method=watching()[0], **options)["looks"] == whole["looks"]
    fresh = archwalk.search(quality, "fresh", method=watching()[0], **options)
    assert fresh["looks"] != whole["looks"]  # so it does depend on what is known
    kept = {p.name: p.read_bytes() for p in Path("cut").iterdir()}
    for other in ([], ["none"], ["past", "fresh"], ["fresh"]):
        with pytest.raises(ArchwalkError, match="began with: past"):
            archwalk.search(quality, "cut", method=watching()[0], **options | {"experience": other})
    assert {p.name: p.read_bytes() for p in Path("cut").iterdir()} == kept
    elsewhere = options | {"experience": [str(here / "past")], "budget": 9}
    archwalk.search(quality, "fresh", method=watching()[0], **elsewhere)  # the same by another path
    (Path("cut") / "experience.safetensors").write_bytes(b"x" * 40)
    with pytest.raises(ArchwalkError, match="checksum"):
        archwalk.search(quality, "cut", method=watching()[0], **options)
    archwalk.search(quality, "without", method="random", space=SLOTS_SPACE, budget=1)
    with pytest.raises(ArchwalkError, match="began with: none"):
        archwalk.search(quality, "without", method="random", **options)


# ---- refused


def test_what_is_refused_before_the_first_evaluation(here: Path) -> None:
    two = two_tasks()
    two.save(here / "two.parquet")
    rows = [
        {**dict(zip("abcd", t.split(","), strict=True)), "acc": i}
        for i, t in enumerate(two.architectures[:4])
    ]
    files = {
        "good.csv": trials(rows),
        "renamed.csv": trials([{("e" if k == "a" else k): v for k, v in r.items()} for r in rows]),
        "strange.csv": trials([r | {"a": "nothing"} for r in rows]),
        "empty.csv": "a,b,c,d,acc\n",
        "blank.csv": "",
        "failed.csv": trials([r | {"acc": None} for r in rows]),
        "several.csv": trials([{**{k: r[k] for k in "abcd"}, "f1": 1, "f2": 2} for r in rows]),
        "loss.csv": trials([{**{k: r[k] for k in "abcd"}, "val_error": 1 + r["acc"]} for r in rows]),
        "own.csv": trials([r | {"task": "one"} for r in rows]),
        "damaged.parquet": "PAR1 and nothing else",
        "pickle.csv": "\x80\x04 a pickle",
    }
    for name, text in files.items():
        Path(name).write_text(text, encoding="latin-1")
    renamed = {Column("b" if c.task == "one" else "a", *c[1:]): values for c, values in two.columns.items()}
    rewards = {task: Column(task, "acc", "valid", "final") for task in "ab"}
    make_benchmark("copy", two.space, two.rows, renamed, two.metrics, rewards).save(here / "copy.parquet")
    cut = bytearray(Path("two.parquet").read_bytes())
    cut[100] ^= 1
    Path("flipped.parquet").write_bytes(cut)
    three: dict[str, Any] = {"space": SLOTS_SPACE, "method": "random", "budget": 3}
    archwalk.search(quality, "past", **three)
    archwalk.search(lambda a: 1.0, "less", metric="f1", minimise=["f1"], **three)
    archwalk.search(lambda a: 1 / 0, "allfailed", **three)
    archwalk.search(None, "mine", task="one", **three | {"space": "two.parquet"})
    archwalk.search(quality, "cells", **three | {"space": "synthetic-cells"})
    shutil.copytree("past", "torn")
    Path("torn/evaluations.sqlite").write_bytes(b"no database" * 100)
    mine: dict[str, Any] = {"space": "two.parquet", "evaluator": None, "task": "one"}
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("renamed.csv", {}, "of the space 'slots': .* or one a slot: a, b, c, d"),
        ("strange.csv", {}, "choice of slot 'a'.*\n.*'nothing'"),
        ("empty.csv", {}, "at least one row"),
        ("blank.csv", {}, "readable CSV"),
        ("failed.csv", {}, "none with a result, 4 failed"),
        ("several.csv", {}, "(?s)f1, f2.*--experience several.csv:METRIC"),
        ("good.csv:f9", {}, "metric of good.csv among: acc"),
        ("loss.csv", {}, "(?s)direction of 'val_error'.*--minimise val_error"),
        ("good.csv@transnas-best", {}, "protocol"),
        ("two.parquet:two", mine | {"minimise": ["acc"]}, "no --minimise"),
        ("own.csv", mine, "trials of 'one', which is searched"),
        ("damaged.parquet", {}, "readable CSV or Parquet"),
        ("pickle.csv", {}, "pickle"),
        ("flipped.parquet", {}, "intact"),
        ("two.parquet@transnas-best", {}, "protocol"),
        ("two.parquet:three", {}, "task of two.*among: one, two"),
        ("two.parquet:one/f1", {}, "column of two"),
        ("two.parquet", mine, "(?s)the task 'one', which is searched.*FILE:two"),
        ("two.parquet", {"maximise": ["f9"]}, "directions"),
        ("copy.parquet:b", mine, "rewards of the searched one"),
        ("digits", {}, "slots"),
        ("past", {}, "(?s)this very task.*--out past"),
        ("mine", mine, "this very task"),
        ("less", {"metric": "f1"}, "'f1' is to be maximised"),
        ("allfailed", {}, "none with a result"),
        ("cells", {}, "slots"),
        ("torn", {}, "intact cache"),
        ("nowhere", {}, "no such file or folder"),
        ("nowhere/at.csv:acc", {}, "no such file or folder"),
        (".", {}, "folder of another kind"),
    ]
    before = sorted(p for p in here.rglob("*"))
    for name, options, says in cases:
        with pytest.raises(ArchwalkError, match=says):
            seen_by("new", **{"experience": name} | options)
    for experience in (["none", "good.csv"], ["good.csv", "good.csv"]):
        with pytest.raises(ArchwalkError):
            seen_by("new", experience=experience)
    short = Source("short", np.zeros((2, 3), dtype=np.int16), np.zeros(2))
    with pytest.raises(ArchwalkError, match="4 slots"):
        seen_by("new", experience=short)
    assert sorted(p for p in here.rglob("*")) == before
    assert len(seen_by("new", experience=["good.csv", "two.parquet:two"])) == 2
    (loss,) = seen_by("loss", experience="loss.csv", minimise=["val_error"])
    assert loss.values.tolist() == [-1, -2, -3, -4]


EVALUATOR = """
def evaluate(architecture):
    return {"top1": float(architecture.count("3"))}
"""
SCRIPT = """#!/bin/sh
test "$1" = food && echo '{"top1": 1}' || echo '{"top1": 2}'
"""


def test_the_commands_of_the_documentation(here: Path, capsys: pytest.CaptureFixture) -> None:
    """Those of docs/search.md, with smaller budgets."""
    text = (Path(__file__).parents[3] / "docs" / "search.md").read_text()
    section = text.partition("\n## Experience\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```(\w*)\n(.*?)```", section, re.DOTALL)
    (csv,) = [block for kind, block in blocks if kind == "text"]
    Path("trials.csv").write_text(csv)
    Path("mine.py").write_text(EVALUATOR)
    Path("train.sh").write_text(SCRIPT)
    Path("train.sh").chmod(0o755)
    commands = "".join(block for kind, block in blocks if not kind).replace("\\\n", " ").splitlines()
    said = {}
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "archwalk"
        words[words.index("--budget") + 1] = "2"
        main(words)
        said[words[words.index("--out") + 1]] = capsys.readouterr().err.splitlines()[:-2]
    digits = "known beforehand: digits: {} tasks, 4,096 of 4,096 architectures"
    by_default = f"{digits} (embedded; --experience none begins without)"
    assert said == {
        "runs/jigsaw": [by_default.format(6)],
        "runs/normal": ["known beforehand: jigsaw: 2 of 2 architectures"],
        "runs/mine": [
            "known beforehand: trials: 2 tasks, 2 of 2 architectures; 1 failed or missing left out",
            digits.format(2),
        ],
        "runs/plain": [by_default.format(7)],
        "runs/three": [by_default.format(4)],
        "runs/two": [by_default.format(7)],
    }
    result = json.loads(Path("runs/two/result.json").read_text())
    assert result["tasks"]["food"]["value"] == 1
    assert result["tasks"]["plants"]["value"] == 2


def test_experience_makes_a_search_shorter(here: Path) -> None:
    """With the shipped default, out of the box and from a ledger in a space of 10^15."""
    rewards = np.sort(load_benchmark("digits").values("class_object"))
    ranks = []
    for experience in (None, "none"):
        out, digits = f"digits-{experience}", {"space": "digits", "task": "class_object"}
        found = archwalk.search(None, out, budget=5, experience=experience, **digits)
        ranks.append(len(rewards) - int(np.searchsorted(rewards, found["value"])))
    assert ranks[0] < 50 < ranks[1]
    task = Formula()

    def score(architecture: str) -> float:
        return float(task.values("soft", task.space.rows([architecture]))[0])

    options: dict[str, Any] = {"space": declaration(), "metric": "score"}
    archwalk.search(lambda a: score(a) ** 3, "past", budget=60, method="random", **options)
    informed = archwalk.search(score, "informed", budget=4, experience="past", **options)
    alone = archwalk.search(score, "alone", budget=4, **options)
    assert informed["value"] > alone["value"] + 1


def test_the_command_line(here: Path, capsys: pytest.CaptureFixture) -> None:
    two_tasks().save(here / "two.parquet")
    search = ["search", "--space", "two.parquet", "--budget", "6", "--json"]
    main([*search, "--task", "one", "--out", "first"])
    capsys.readouterr()
    main([*search, "--task", "two", "--experience", "first", "--out", "second"])
    printed = capsys.readouterr()
    assert "known beforehand: first: 6 of 6 architectures" in printed.err
    result = json.loads(printed.out)
    assert result["experience"] == ["first: 6 of 6 architectures"]
    assert result["evaluations"] == 6
    main([*search[:-1], "--tasks", "one,two", "--out", "both"])
    assert "all tasks    6 evaluations" in capsys.readouterr().out
    for wrong in (
        ["--task", "three"],
        [],
        ["--tasks", "one,one"],
        ["--experience", "none", "--experience", "first"],
    ):
        with pytest.raises(SystemExit) as stop:
            main([*search, *wrong, "--out", "wrong"])
        assert stop.value.code == 2
        assert "Remedy" in capsys.readouterr().err
    assert not Path("wrong").exists()


def test_a_method_that_needs_sources_has_those_that_are_named(tiny: Benchmark, tmp_path: Path) -> None:
    known = Source("other", tiny.space.codes.astype(np.int16), tiny.reward("main"))
    found = archwalk.search(
        lambda text: 1.0,
        tmp_path / "a",
        space=tiny,
        method="source-walk",
        metric="q",
        budget=3,
        experience=known,
    )
    best = np.argsort(-tiny.reward("main"), kind="stable")[:3]
    assert [look["architecture"] for look in found["looks"]] == [tiny.architectures[i] for i in best]
    with pytest.raises(ArchwalkError, match="source-walk"):
        archwalk.search(
            lambda text: 1.0, tmp_path / "b", space=tiny, method="source-walk", metric="q", budget=3
        )
    assert not (tmp_path / "b").exists()
