"""What becomes the reward of somebody's table, and what is asked for instead."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archwalk.errors import ArchwalkError, BenchmarkError
from archwalk.tasks import Benchmark
from archwalk.tasks.importers import import_table

ARCHS = {"op": ["a", "b", "a", "b"], "k": ["x", "x", "y", "y"]}
VALUES = [70.5, 69.25, 72.0, 71.5]


def table(folder: Path, form: str = "csv", **columns: list) -> Path:
    frame = pl.DataFrame({**ARCHS, **columns})
    file = folder / f"t.{form}"
    frame.write_csv(file) if form == "csv" else frame.write_parquet(file)
    return file


def imported(folder: Path, form: str = "csv", said: dict | None = None, **columns: list) -> Benchmark:
    return import_table(table(folder, form, **columns), "slots", slots=["op", "k"], **(said or {}))


NEVER = {
    "": [0, 1, 2, 3],
    "Unnamed: 0": [0, 1, 2, 3],
    "run_id": [900, 901, 902, 903],
    "experiment": [17, 18, 20, 19],
    "std": [0.21, 0.15, 0.07, 0.33],
    "val_acc_std": [0.21, 0.15, 0.07, 0.33],
    "seed": [3, 1, 4, 1],
    "n_runs": [3, 3, 2, 1],
    "constant": [1.5] * 4,
    "val_acc": [70.0] * 4,
    "acc": [None] * 4,
    "uuid": [0.1, 0.7, 0.2, 0.4],
    "holdout_f1": VALUES,
}


@pytest.mark.parametrize("name", NEVER)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_what_is_no_validation_metric_is_never_the_reward(tmp_path: Path, name: str, form: str) -> None:
    with pytest.raises(BenchmarkError, match="--reward main="):
        imported(tmp_path, form, **{name: NEVER[name], "test_acc": VALUES})
    certain = (
        imported(tmp_path, form, **{name: NEVER[name], "val_loss": VALUES}) if name != "val_acc" else None
    )
    assert certain is None or certain.reward_column("main")[1:] == ("loss", "valid", "final")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    st.sampled_from(["val_acc", "valid-acc", "Validation Acc", "acc", "valLoss", "val_f1", "accuracy_val"]),
    st.lists(st.sampled_from([n for n in NEVER if "acc" not in n]), unique=True, max_size=3),
    st.sampled_from(["test acc", "testAcc", "acc_test", "test_loss", None]),
    st.randoms(),
)
def test_the_validation_metric_is_found_among_others_in_any_order(
    tmp_path: Path, meant: str, others: list[str], test: str | None, random: object
) -> None:
    names = [meant, *others, *([test] if test else [])]
    random.shuffle(names)  # type: ignore[attr-defined]
    columns = {name: NEVER.get(name, VALUES) for name in names if name != meant} | {meant: VALUES}
    found = imported(tmp_path, **{name: columns[name] for name in names})
    reward = found.reward_column("main")
    assert reward.split == "valid"
    assert found.columns[reward][found.index("a,y")] == 72.0
    assert found.metrics[reward.metric].direction == ("min" if meant == "valLoss" else "max")


@pytest.mark.parametrize(
    "name", ["error", "top1_error", "latency", "val_perplexity", "A/energy", "wall_time"]
)
def test_the_direction_of_a_reward_is_asked_for(tmp_path: Path, name: str) -> None:
    metric = name.removeprefix("A/").removeprefix("val_")
    with pytest.raises(ArchwalkError, match=f"--minimise {metric}"):
        imported(tmp_path, **{name: VALUES})
    for flag, direction in (("minimise", "min"), ("maximise", "max")):
        found = imported(tmp_path, said={flag: [metric]}, **{name: VALUES})
        assert found.metrics[metric].direction == direction


def test_a_known_direction_is_not_turned_round(tmp_path: Path) -> None:
    for flag, name in (("minimise", "top1"), ("minimise", "val_acc"), ("maximise", "val_loss")):
        with pytest.raises(ArchwalkError, match="is declared"):
            imported(tmp_path, said={flag: [name]}, **{name: VALUES})
    with pytest.raises(BenchmarkError, match="metric to minimise"):
        imported(tmp_path, said={"minimise": ["tpo1"]}, top1=VALUES)


def test_a_cost_beside_the_reward_has_no_direction_until_it_is_said(tmp_path: Path) -> None:
    plain = imported(tmp_path, val_acc=VALUES, latency=VALUES)
    assert "latency" not in plain.declared
    said = imported(tmp_path, said={"minimise": ["latency"]}, val_acc=VALUES, latency=VALUES)
    assert said.declared["latency"].direction == "min"


def test_fractions_are_said_to_be_fractions(tmp_path: Path) -> None:
    fractions = [value / 100 for value in VALUES]
    found = imported(tmp_path, val_acc=fractions, test_acc=fractions)
    assert found.metrics["acc"].unit == "fraction"
    assert found.reward("main").max() == 0.72
    percent = imported(tmp_path, val_acc=VALUES, test_acc=VALUES)
    assert percent.metrics["acc"].unit == "percent"
    assert percent.reward("main").tolist() == found.reward("main").tolist()
    with pytest.raises(BenchmarkError, match="one unit of 'acc'"):
        imported(tmp_path, val_acc=fractions, test_acc=VALUES)
    early = imported(tmp_path, **{"A/acc/valid/1": fractions, "A/acc/valid/200": VALUES})
    assert early.metrics["acc"].unit == "percent"  # after one epoch a percentage may be as small


@pytest.mark.parametrize("address", ["val_acc", "acc", "acc/val", "acc/valid/final", "validation acc"])
def test_a_reward_is_named_as_people_write_it(tmp_path: Path, address: str) -> None:
    found = imported(tmp_path, said={"rewards": {"main": address}}, val_acc=VALUES, val_f1=VALUES)
    assert found.reward_column("main")[1:] == ("acc", "valid", "final")


def test_the_forms_of_a_table_agree(tmp_path: Path) -> None:
    wide = imported(tmp_path, val_acc=VALUES, test_acc=VALUES)
    rows = [
        {
            "arch": f"64-41414-0_00_00{i}",
            "task": "main",
            "metric": m,
            "split": s,
            "epoch": "final",
            "value": v,
        }
        for i, v in enumerate(VALUES)
        for m, s in (("val_acc", None), ("acc", "testing"))
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "tidy.csv")
    tidy = import_table(tmp_path / "tidy.csv", "transnas-micro")
    assert set(tidy.columns) == set(wide.columns)
    assert tidy.reward_column("main") == wide.reward_column("main")
    rows[0]["split"] = "test"  # of val_acc
    pl.DataFrame(rows).write_csv(tmp_path / "tidy.csv")
    with pytest.raises(BenchmarkError, match="the split valid for the metric 'val_acc'"):
        import_table(tmp_path / "tidy.csv", "transnas-micro")


def test_a_task_without_variance_is_named(tmp_path: Path) -> None:
    constant = imported(tmp_path, said={"rewards": {"main": "acc"}}, acc=[70.0] * 4)
    with pytest.raises(BenchmarkError, match="differ in their reward"):
        constant.reward("main")
    with pytest.raises(BenchmarkError, match=r"at most 1e\+30"):
        imported(tmp_path, val_f1=[1.7976931348623157e308, 1.0, 2.0, 3.0])
