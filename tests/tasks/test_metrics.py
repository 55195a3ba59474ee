"""A metric's name means one thing, in every spelling and from whomever it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archwalk.errors import SettingsError
from archwalk.tasks.metrics import (
    METRICS,
    Metric,
    directions,
    is_aside,
    metric_to_search,
    said_of,
    speaks_of_cost,
    split_name,
)

VALID = ("val", "valid", "validation", "Val", "VALID", "dev")
TEST = ("test", "Test", "TEST", "testing")
BETWEEN = ("_", "-", " ", ".")
KNOWN = st.sampled_from([m for m in METRICS if m not in ("time_elapsed", "inference_ms")])


@given(KNOWN, st.sampled_from(VALID + TEST), st.sampled_from(BETWEEN), st.booleans())
def test_a_split_in_any_spelling_leaves_the_metric(metric: str, word: str, between: str, first: bool) -> None:
    if word == "dev" and not first:
        return  # std_dev, acc_dev: a deviation
    name = f"{word}{between}{metric}" if first else f"{metric}{between}{word}"
    assert split_name(name) == (metric, "test" if word in TEST else "valid")
    assert metric_to_search(name).direction == METRICS[metric].direction
    assert metric_to_search(name).name == name


@pytest.mark.parametrize(
    ("name", "metric", "split"),
    [
        ("accTest", "acc", "test"),
        ("valLoss", "Loss", "valid"),
        ("valloss", "loss", "valid"),
        ("testacc", "acc", "test"),
        ("train_loss", "loss", "train"),
        ("max_val", "max_val", None),  # the largest value
        ("std_dev", "std_dev", None),
        ("valid", "valid", None),
        ("latest_run", "latest_run", None),
        ("validity", "validity", None),
        ("top1", "top1", None),
    ],
)
def test_where_a_name_says_its_split_and_where_not(name: str, metric: str, split: str | None) -> None:
    assert split_name(name) == (metric, split)


COSTS = [
    *(
        "error",
        "top1_error",
        "val_error",
        "err",
        "test_err",
        "perplexity",
        "val-ppl",
        "latency",
        "gpulat_a100",
    ),
    *(
        "Latency (ms)",
        "energy_j",
        "modelSize",
        "size_mb",
        "train_time",
        "wallTime",
        "runtime",
        "hours",
        "rmse",
    ),
    *(
        "MSE",
        "nll",
        "WER",
        "n_params",
        "model_FLOPs",
        "peak memory",
        "cross_entropy",
        "KL",
        "co2",
        "inference_ms2",
    ),
]
MERITS = [
    "score",
    "f1",
    "auc",
    "sentiment",
    "bleu",
    "mAP",
    "throughput",
    "R2",
    "psnr",
    "reward",
    "quality",
    "x",
]


@pytest.mark.parametrize("name", COSTS)
def test_a_name_that_speaks_of_a_cost_is_asked_for(name: str) -> None:
    assert speaks_of_cost(name)
    with pytest.raises(SettingsError, match="--minimise"):
        metric_to_search(name)
    for said in ("min", "max"):
        assert metric_to_search(name, said).direction == said


@pytest.mark.parametrize("name", MERITS)
def test_other_names_are_better_when_larger(name: str) -> None:
    assert metric_to_search(name).direction == "max"
    assert metric_to_search(name, "min").direction == "min"


@given(
    st.sampled_from(COSTS + MERITS), st.sampled_from(["min", "max"]), st.sampled_from(["min", "max", None])
)
def test_what_the_table_declares_holds_and_is_not_contradicted(
    name: str, declared: str, said: str | None
) -> None:
    table = {name: Metric(name, declared, "")}
    if said in (None, declared):
        assert metric_to_search(name, said, table).direction == declared
        assert metric_to_search(f"val_{split_name(name)[0]}", said, table).direction == declared
    else:
        with pytest.raises(SettingsError, match="as the table declares it"):
            metric_to_search(name, said, table)


@given(KNOWN)
def test_the_direction_of_a_known_metric_is_obeyed_or_refused(name: str) -> None:
    other = "min" if METRICS[name].direction == "max" else "max"
    for spelling in (name, f"val_{name}", name.upper()):
        with pytest.raises(SettingsError, match="is declared"):
            metric_to_search(spelling, other)


def test_directions_of_a_command() -> None:
    said = directions(["val_rmse"], ["speed"])
    assert said_of("rmse", said) == "min"
    assert said_of("speed", said) == "max"
    assert said_of("other", said) is None
    with pytest.raises(SettingsError, match="both"):
        directions(["rmse"], ["val_rmse"])


def test_names_of_rows_runs_counts_and_deviations() -> None:
    aside = [
        "",
        "Unnamed: 0",
        "id",
        "run_id",
        "runId",
        "runid",
        "std",
        "acc_std",
        "std_dev",
        "stderr",
        "n",
        "seed",
    ]
    aside += [
        "n_seeds",
        "index",
        "idx",
        "row",
        "count",
        "val_std",
        "acc_var",
        "epoch",
        "trial",
        "hash",
        "ci95",
    ]
    assert [name for name in aside if not is_aside(name)] == []
    meant = ["acc", "val_acc", "valid", "loss", "f1", "hybrid", "grid_score", "score", "mean_reward"]
    assert [name for name in meant if is_aside(name)] == []
