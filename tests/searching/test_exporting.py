"""What a search evaluated, as a CSV and in an Optuna storage; and both as experience of another search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import archwalk
from archwalk.cli import main
from archwalk.errors import SearchError
from archwalk.searching.experience.storage import read_storage
from archwalk.searching.exporting import export
from archwalk.spaces.registry import open_space
from tests.searching.experience.test_experience import by_text, watching
from tests.searching.formula import declaration

optuna = pytest.importorskip("optuna")


def evaluate(architecture: str) -> dict[str, float]:
    if "depth=3" in architecture:
        raise ValueError("no, thrice")
    return {"quality": float(len(architecture)), "loss": 1 / len(architecture), "beside": 2.5}


def searched(out: Path, **options: Any) -> dict[str, Any]:
    options = {"space": declaration(), "metric": "quality", "method": "random", "budget": 12} | options
    return archwalk.search(evaluate, out, **options)


def as_experience(tmp_path: Path, file: Path, result: dict[str, Any]) -> None:
    """Another search is told of exactly what succeeded."""
    method, seen = watching()
    searched(tmp_path / "next", method=method, experience=str(file), budget=1)
    ((source,),) = seen
    good = {e["architecture"]: e["quality"] for e in result["looks"] if e["status"] == "ok"}
    assert 2 < len(good) < 12
    assert by_text(open_space(declaration()), source) == pytest.approx(good)


def test_the_csv_has_slots_and_what_failed(tmp_path: Path) -> None:
    result = searched(tmp_path / "s")
    file = export(tmp_path / "s", "csv")
    as_experience(tmp_path, file, result)
    frame = pl.read_csv(file)
    assert frame["architecture"].to_list() == [e["architecture"] for e in result["looks"]]
    assert frame["status"].to_list() == [e["status"] for e in result["looks"]]
    assert [str(d) for d in frame["depth"]] == [e["architecture"][6] for e in result["looks"]]
    assert (
        frame.filter(pl.col.depth == 3)["message"].to_list() == ["ValueError: no, thrice"] * result["failed"]
    )


def test_optuna_and_its_dashboard_read_the_study(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    result = searched(tmp_path / "s", cost="loss")
    file = tmp_path / "o.db"
    main(["data", "export", str(tmp_path / "s"), "--to", f"optuna:{file}", "--name", "mine"])
    assert f"written: {file}" in capsys.readouterr().out
    as_experience(tmp_path, file, result)
    study = optuna.load_study(study_name="mine", storage=f"sqlite:///{file}")
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["quality", "loss"]
    states = {"ok": "COMPLETE", "failed": "FAIL"}
    for trial, one in zip(study.trials, result["looks"], strict=True):
        assert trial.state.name == states[one["status"]]
        assert trial.user_attrs["architecture"] == one["architecture"]
        assert trial.params == dict(part.split("=") for part in one["architecture"].split(","))
        if one["status"] == "ok":
            assert trial.values == [one["quality"], one["loss"]]
            assert trial.user_attrs["metric beside"] == 2.5
    for to, says in [("xml", "one of csv"), ("optuna", "one of csv"), (f"optuna:{file}", "study name")]:
        with pytest.raises(SearchError, match=says):
            export(tmp_path / "s", to, name="mine")
    with pytest.raises(SearchError, match="a search's folder"):
        export(tmp_path, "csv")


def test_a_study_made_by_optuna_itself_is_experience(tmp_path: Path) -> None:
    file = tmp_path / "theirs.db"
    study = optuna.create_study(storage=f"sqlite:///{file}", study_name="birds", direction="minimize")

    def objective(trial: Any) -> float:
        choices = {"depth": [2, 3, 4], "op": ["conv", "skip"]}
        got = {name: trial.suggest_categorical(name, some) for name, some in choices.items()}
        if got["op"] == "conv":
            got["kernel"] = trial.suggest_int("kernel", 3, 7, step=2)
        return got["depth"] + got.get("kernel", 0) / 10

    study.optimize(objective, n_trials=12)
    (frame, said), *_ = read_storage(file).values()
    assert said == {"value": "min"}
    assert len(frame) == 12
    slots = {"depth": {"choices": [2, 3, 4]}, "op": {"choices": ["conv", "skip"]}}
    slots["kernel"] = {"choices": [3, 5, 7], "when": {"op": ["conv"]}}  # type: ignore[dict-item]
    space = {"name": "mine", "slots": slots}
    method, seen = watching()
    options: dict[str, Any] = {"space": space, "method": method, "metric": "q", "budget": 1}
    archwalk.search(lambda a: 1.0, tmp_path / "s", experience=f"{file}:birds", **options)
    ((source,),) = seen
    for text, value in by_text(open_space(space), source).items():
        got = dict(part.split("=") for part in text.split(","))
        assert value == pytest.approx(-(int(got["depth"]) + int(got.get("kernel", 0)) / 10))  # less is better
    with pytest.raises(SearchError, match="did you mean 'birds'"):
        archwalk.search(lambda a: 1.0, tmp_path / "t", experience=f"{file}:brids", **options)
