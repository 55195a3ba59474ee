"""Spaces by name, file, object and description; names that others add; the command line over them."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from archwalk.cli import main
from archwalk.errors import ArchitectureError, SettingsError, SpaceError
from archwalk.spaces import (
    DeclaredSpace,
    ListedSpace,
    SlotSpace,
    listed,
    make_listed,
    make_space,
    open_space,
    register_space,
    registry,
    space_names,
)

NAMES = [
    *("transnas-micro", "transnas-macro", "nasbench201", "digits-micro", "synthetic-cells"),
    *("mnasnet", "gpt-s", "gnn", "nasbench-macro", "residual-mlp", "residual-conv1d"),
]


@pytest.fixture(autouse=True)
def _own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_added", {})
    registry._named.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_every_space_is_rebuilt_from_its_description(name: str) -> None:
    space = open_space(name)
    assert space.name == name
    again = make_space(**json.loads(json.dumps(space.describe())))
    assert again.describe() == space.describe()
    codes = space.sample(20, np.random.default_rng(0))
    texts = [
        space.format([v for v in code if v >= 0] if "macro" in name else code) for code in codes.tolist()
    ]
    np.testing.assert_array_equal(again.rows(texts), codes)
    np.testing.assert_array_equal(again.neighbours(codes), space.neighbours(codes))


def test_open_space_takes_whatever_says_which_space(tmp_path: Path) -> None:
    slots = {"a": ["x", "y"], "b": ["p", "q"]}
    space = DeclaredSpace(slots, name="mine")
    assert open_space(space) is space
    assert open_space(space.describe()).describe() == space.describe()
    assert open_space({"name": "mine", "slots": slots}).describe() == space.describe()
    product = open_space({"name": "slots", "slots": slots})
    assert isinstance(product, SlotSpace)
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"slots": slots}))
    assert open_space(file).describe() == open_space(str(file)).describe() == space.describe()
    assert open_space({"name": "gnn"}).size == 2_800


@pytest.mark.parametrize("wrong", ["gnnn", "", "mine.yaml", 3, None, ["gnn"]])
def test_open_space_refuses_the_rest(wrong: object) -> None:
    with pytest.raises(SettingsError, match=r"spaces list|among"):
        open_space(wrong)


def test_registered_spaces_have_names_of_their_own() -> None:
    def factory(width: int = 2) -> DeclaredSpace:
        return DeclaredSpace({"a": [str(i) for i in range(width)]}, name="toy")

    register_space("toy", factory, source="a test")
    register_space("toy", factory)  # the same again: a module may be imported twice
    assert space_names()["toy"] == "registered"
    assert open_space("toy") is make_space("toy")
    assert make_space("toy", width=5).size == 5
    for taken in ("toy", "nasbench201", "slots"):
        with pytest.raises(SettingsError, match="no other space"):
            register_space(taken, lambda: factory(3))


def test_spaces_of_other_packages_are_entry_points(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points = [
        EntryPoint("theirs", "archwalk.spaces.skeletons:MacroSpace", registry.GROUP),
        EntryPoint("broken", "no_such_module:f", registry.GROUP),
        EntryPoint("gnn", "archwalk.spaces.skeletons:MacroSpace", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else [])
    registry._installed.cache_clear()
    try:
        assert open_space("theirs").size == 3_256
        assert open_space("gnn").size == 2_800  # the package's own names stay its own
        main(["spaces", "list", "--json"])
        rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
        assert "no_such_module" in rows["broken"]["error"]
        assert rows["gnn"]["size"] == 2_800
    finally:
        monkeypatch.undo()
        registry._installed.cache_clear()


def test_small_declared_spaces_are_listed_where_a_table_asks() -> None:
    space = make_listed("gnn")
    assert isinstance(space, ListedSpace)
    assert len(space.architectures) == 2_800
    assert make_listed(**space.describe()).architectures == space.architectures
    with pytest.raises(ArchitectureError, match=r"of 1\.04e\+11 architectures"):
        listed(make_space("mnasnet"))


def test_spaces_list(capsys: pytest.CaptureFixture[str]) -> None:
    main(["spaces", "list", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows][: len(NAMES)] == NAMES
    by_name = {row["name"]: row for row in rows}
    assert by_name["gpt-s"]["size"] == 1_903_784_282_946
    assert by_name["nasbench201"] == {
        "name": "nasbench201",
        "size": 15_625,
        "slots": 6,
        "neighbours": 24,
        "listed": True,
        "source": "NAS-Bench-201 (Dong and Yang 2020)",
    }
    assert (by_name["mnasnet"]["listed"], by_name["gnn"]["listed"]) == (False, True)
    main(["spaces", "list"])
    assert "1.0e11" in capsys.readouterr().out


def test_spaces_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[slots.a]\nchoices = ["x", "y"]\n[slots.b]\nchoices = [1, 2, 3]\nwhen = { a = ["x"] }\n')
    main(["spaces", "check", str(file)])
    out = capsys.readouterr().out
    assert "architectures 4\n" in out
    example = next(line for line in out.splitlines() if line.startswith("example")).split()[1]
    assert open_space(file).format(open_space(file).parse(example)) == example
    assert "\n  neighbour   a=" in out
    file.write_text(file.read_text().replace('a = ["x"]', 'A = ["x"]'))
    with pytest.raises(SystemExit, match="2"):
        main(["spaces", "check", str(file)])
    assert "condition of slot 'b'" in capsys.readouterr().err


def test_config_space_objects() -> None:
    library = pytest.importorskip("ConfigSpace")
    c = library
    space = c.ConfigurationSpace(
        name="theirs", space={"op": ["conv", "skip"], "layers": (1, 6), "big": [0, 1]}
    )
    kernel = c.OrdinalHyperparameter("kernel", [3, 5, 7])
    heads = c.CategoricalHyperparameter("heads", [2, 4])
    wide = c.CategoricalHyperparameter("wide", [True, False])
    space.add(kernel, heads, wide, c.Constant("version", 1))
    space.add(c.EqualsCondition(kernel, space["op"], "conv"))
    space.add(
        c.AndConjunction(
            c.InCondition(heads, space["layers"], [2, 3, 4]),
            c.LessThanCondition(heads, space["layers"], 4),
            c.NotEqualsCondition(heads, space["big"], 1),
        )
    )
    space.add(
        c.OrConjunction(
            c.LessThanCondition(wide, space["layers"], 2), c.GreaterThanCondition(wide, space["layers"], 2)
        )
    )
    space.add(
        c.ForbiddenAndConjunction(
            c.ForbiddenEqualsClause(space["op"], "skip"), c.ForbiddenInClause(space["layers"], [5, 6])
        )
    )
    mine = open_space(space)
    assert isinstance(mine, DeclaredSpace)
    assert mine.name == "theirs"
    space.seed(0)
    for configuration in space.sample_configuration(300):
        code = mine.encode(dict(configuration))
        assert list(mine.values(code)) == [slot for slot in mine.declaration.slots if slot in configuration]
    drawn = mine.sample(300, np.random.default_rng(0))
    for code in drawn.tolist():  # each of mine is one of theirs
        c.Configuration(space, values=mine.values(code)).check_valid_configuration()
    assert open_space(mine.describe()).describe() == mine.describe()


def test_config_space_beyond_a_declaration_is_refused() -> None:
    c = pytest.importorskip("ConfigSpace")
    with pytest.raises(SpaceError, match="UniformFloatHyperparameter 'rate'"):
        open_space(c.ConfigurationSpace(space={"rate": (0.1, 1.0)}))
    space = c.ConfigurationSpace(space={"a": [1, 2], "b": [1, 2], "x": [1, 2]})
    space.add(
        c.OrConjunction(
            c.EqualsCondition(space["x"], space["a"], 1), c.EqualsCondition(space["x"], space["b"], 1)
        )
    )
    with pytest.raises(SpaceError, match="OrConjunction"):
        open_space(space)
    space = c.ConfigurationSpace(space={"a": [1, 2], "b": [1, 2], "x": [1, 2]})
    space.add(c.EqualsCondition(space["b"], space["a"], 1), c.NotEqualsCondition(space["x"], space["b"], 1))
    with pytest.raises(SpaceError, match="'b' may be absent"):
        open_space(space)
    space = c.ConfigurationSpace(space={"a": (1, 4), "b": (3, 9)})
    space.add(c.ForbiddenEqualsRelation(space["a"], space["b"]))
    with pytest.raises(SpaceError, match="ForbiddenEqualsRelation"):
        open_space(space)
