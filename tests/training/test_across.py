"""Agents across search spaces: encoded tokens, moved bodies, tasks of several tables."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import archwalk
from archwalk.config import Settings
from archwalk.encoding.encoder import Encoder
from archwalk.encoding.frozen import digest_of, read_encoder, save_encoder
from archwalk.errors import ArchwalkError, BenchmarkError, RunError, SettingsError
from archwalk.spaces.registry import make_listed
from archwalk.tasks import Benchmark, Column
from archwalk.tasks.metrics import METRICS
from archwalk.tasks.table import make_benchmark
from archwalk.training.loop import Loop
from archwalk.training.ordering import order_training
from archwalk.training.rundir import METRICS as ROWS
from archwalk.training.rundir import WEIGHTS, RunDir
from tests.conftest import small_settings, three_tasks


def cells() -> Benchmark:
    """81 cells of NAS-Bench-201, neighbours of each other; the task ``one`` likes large convolutions."""
    space = make_listed("nasbench201")
    rows = np.flatnonzero((space.codes[:, :4] >= 2).all(1) & (space.codes[:, 4:] == 1).all(1))
    quality = (space.codes[rows] == 3).sum(1) + np.random.default_rng(0).uniform(0, 0.5, 81)
    values = {Column("one", "acc", split, "final"): 50 + 5 * quality for split in ("valid", "test")}
    reward = {"one": Column("one", "acc", "valid", "final")}
    return make_benchmark("cells", space, rows, values, {"acc": METRICS["acc"]}, reward)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("across")
    three_tasks().save(folder / "three.parquet")
    cells().save(folder / "cells.parquet")
    torch.manual_seed(0)
    save_encoder(Encoder(16, 1), folder / "ae.safetensors", {})
    return folder


def encoded(folder: Path, form: str = "embedding", **training: object) -> Settings:
    return small_settings(
        observation={"tokens": "encoded", "encoder": str(folder / "ae.safetensors")},
        learner={"planning": True, "n_step": 1, "double": False},
        multitask={"form": form},
        training={"trained_steps": 512, "fine_tune_steps": 256, "evaluate_every": 512} | training,
    )


@pytest.fixture(scope="module")
def source(folder: Path) -> RunDir:
    settings = encoded(folder, trained_steps=4_096)
    return archwalk.train(folder / "three.parquet", "one", folder / "source", preset=settings)


@pytest.fixture(scope="module")
def both(folder: Path) -> RunDir:
    settings = encoded(folder, trained_steps=6_144)
    where = f"{folder}/three.parquet,{folder}/cells.parquet"
    return archwalk.train(where, "three:one, cells:one", folder / "both", preset=settings)


def test_an_agent_learns_from_encoded_tokens(source: RunDir, folder: Path) -> None:
    assert archwalk.evaluate(source.path)["validation_score"] > 0.9
    encoder, _ = read_encoder(folder / "ae.safetensors")
    place = f"{folder}/ae.safetensors#{digest_of(encoder.state_dict())}"
    assert source.spec().settings.observation.encoder == place
    assert source.weights()["embedding.0.weight"].shape == (16, 16)


def test_it_goes_on_with_the_same_bits(source: RunDir, folder: Path, tmp_path: Path) -> None:
    table, run = folder / "three.parquet", tmp_path / "r"
    archwalk.train(table, "one", run, preset=encoded(folder, trained_steps=1_024))
    archwalk.train(table, "one", run, preset=encoded(folder, trained_steps=4_096))
    assert (run / WEIGHTS).read_bytes() == (source.path / WEIGHTS).read_bytes()


def test_other_weights_than_the_run_was_made_with_are_refused(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.safetensors"
    shutil.copy(folder / "ae.safetensors", own)
    settings = encoded(folder).replace(observation={"encoder": str(own)})
    run = archwalk.train(folder / "three.parquet", "one", tmp_path / "r", preset=settings)
    score = archwalk.evaluate(run.path)["validation_score"]
    torch.manual_seed(9)
    save_encoder(Encoder(16, 1), own, {})
    with pytest.raises(SettingsError, match="whose weights have the digest"):
        archwalk.evaluate(run.path)
    with pytest.raises(ArchwalkError, match="encoder"):
        archwalk.train(folder / "three.parquet", "one", run.path, preset=settings)
    moved = (run.path / "settings.toml").read_text().replace(str(own), str(folder / "ae.safetensors"))
    (run.path / "settings.toml").write_text(moved)  # where the file lies is no part of what a run is
    assert archwalk.evaluate(run.path)["validation_score"] == score
    with pytest.raises(SettingsError, match="go together"):
        encoded(folder).replace(observation={"tokens": "slots"})


@pytest.mark.parametrize("regime", ["zero-shot", "fine-tune"])
def test_all_weights_move_to_another_space(source: RunDir, folder: Path, tmp_path: Path, regime: str) -> None:
    there = folder / "cells.parquet"
    run = archwalk.transfer(source.path, "one", regime, tmp_path / regime, benchmark=there)
    found = archwalk.evaluate(run.path)
    assert (found["benchmark"], found["regime"], found["source_trained_steps"]) == ("cells", regime, 4_096)
    if regime == "zero-shot":
        assert all(torch.equal(value, source.weights()[name]) for name, value in run.weights().items())
        as_it_is = archwalk.evaluate(source.path, benchmark=there)
        assert as_it_is["validation_score"] == found["validation_score"]
        walk = archwalk.load_agent(source.path, benchmark=there).improve(cells().architectures[3])
        assert walk[0].architecture == cells().architectures[3]


def test_other_tokens_say_how_to_move_across_spaces(folder: Path, tmp_path: Path) -> None:
    slots = small_settings(training={"trained_steps": 256, "fine_tune_steps": 256})
    run = archwalk.train(folder / "three.parquet", "one", tmp_path / "slots", preset=slots)
    with pytest.raises(RunError, match="a run made for the space") as refused:
        archwalk.transfer(run.path, "one", "fine-tune", tmp_path / "r", benchmark=folder / "cells.parquet")
    assert "--observation.tokens encoded" in refused.value.remedy
    assert "--part body" in refused.value.remedy
    assert "--transfer mapping" in refused.value.remedy
    with pytest.raises(SettingsError, match="training, for a body"):
        archwalk.transfer(run.path, "one", "zero-shot", tmp_path / "r", part="body")
    with pytest.raises(SettingsError, match="part"):
        archwalk.transfer(run.path, "one", "fine-tune", tmp_path / "r", part="head")
    with pytest.raises(SettingsError, match="a source, whose body"):
        archwalk.train(folder / "cells.parquet", "one", tmp_path / "r", preset=slots, init_part="body")
    assert not (tmp_path / "r").exists()
    moved = archwalk.transfer(
        run.path, "one", "fine-tune", tmp_path / "body", benchmark=folder / "cells.parquet", part="body"
    )
    assert moved.spec().source_part == "body"
    assert archwalk.evaluate(moved.path)["benchmark"] == "cells"


@pytest.mark.parametrize("tokens", ["slots", "encoded"])
def test_a_body_moves_alone(source: RunDir, folder: Path, tmp_path: Path, tokens: str) -> None:
    there, settings = folder / "cells.parquet", encoded(folder)
    if tokens == "slots":
        settings = settings.replace(observation={"tokens": "slots", "encoder": ""})
    order = order_training(there, "one", tmp_path / "r", settings, 5, source.path, init_part="body")
    assert order.initial is not None
    fresh = Loop(order.benchmark, "one", order.spec.settings, 5).agent.values.network.state_dict()
    assert fresh.keys() == order.initial.keys()
    for name, value in order.initial.items():
        body = name.startswith("encoder.") or name == "current"
        assert torch.equal(value, source.weights()[name] if body else fresh[name])


def test_a_frozen_body_stays_as_it_was_for_so_long(source: RunDir, tmp_path: Path) -> None:
    begun = source.weights()
    for frozen in (256, 512):
        run = archwalk.transfer(
            source.path,
            "two",
            "fine-tune",
            tmp_path / f"{frozen}",
            part="body",
            steps=512,
            frozen_body_steps=frozen,
        )
        for name, value in run.weights().items():
            body = name.startswith("encoder.") or name == "current"
            assert torch.equal(value, begun[name]) == (body and frozen == 512), name
    resumed = tmp_path / "resumed"
    for steps in (128, 384, 512):
        archwalk.transfer(
            source.path, "two", "fine-tune", resumed, part="body", steps=steps, frozen_body_steps=256
        )
    assert (resumed / WEIGHTS).read_bytes() == (tmp_path / "256" / WEIGHTS).read_bytes()


def test_one_network_learns_tasks_of_two_spaces(both: RunDir, folder: Path, tmp_path: Path) -> None:
    told = archwalk.evaluate(both.path)
    assert list(told) == ["three:one", "cells:one"]
    assert min(each["validation_score"] for each in told.values()) > 0.9
    last = both.rows()[-1]
    for task, each in told.items():
        assert (each["task"], each["regime"], each["benchmark"]) == (task, "scratch", task.split(":")[0])
        assert last[f"greedy_validation_score/{task}"] == pytest.approx(each["validation_score"], abs=1e-6)
        assert each["evaluations"] == last["evaluations"] <= 54 + 81
    alone = archwalk.evaluate(both.path, benchmark=folder / "cells.parquet", task="one")
    assert alone == told["cells:one"]
    other = archwalk.evaluate(both.path, benchmark=folder / "three.parquet", task="two")
    assert (other["regime"], other["evaluations"]) == ("zero-shot", 0)
    run = archwalk.transfer(both.path, "three:two", "fine-tune", tmp_path / "moved")
    assert run.spec().benchmark == str(folder / "three.parquet")
    assert archwalk.evaluate(run.path)["source_task"] == "three:one,cells:one"
    known = archwalk.transfer(both.path, "cells:one", "zero-shot", tmp_path / "known")
    assert archwalk.evaluate(known.path)["validation_score"] == told["cells:one"]["validation_score"]
    assert archwalk.load_agent(both.path, task="cells:one").improve(cells().architectures[0])


def test_runs_on_two_spaces_go_on_with_the_same_bits(folder: Path, tmp_path: Path) -> None:
    where = f"{folder}/three.parquet,{folder}/cells.parquet"
    names, short = "three:one,cells:one", encoded(folder, trained_steps=512)
    whole = archwalk.train(where, names, tmp_path / "whole", preset=encoded(folder, trained_steps=1_024))
    halves = archwalk.train(where, names, tmp_path / "halves", preset=short)
    halves = archwalk.train(where, names, tmp_path / "halves", preset=encoded(folder, trained_steps=1_024))
    assert (halves.path / WEIGHTS).read_bytes() == (whole.path / WEIGHTS).read_bytes()
    assert (halves.path / ROWS).read_bytes() == (whole.path / ROWS).read_bytes()
    more = archwalk.train(where, names, tmp_path / "more", preset=short, init=whole.path)
    assert more.spec().source_weights == whole.weights_digest()


def test_tables_that_cannot_be_trained_on_together(folder: Path, tmp_path: Path) -> None:
    where, run = f"{folder}/three.parquet,{folder}/cells.parquet", tmp_path / "r"
    slots = encoded(folder).replace(observation={"tokens": "slots", "encoder": ""})
    with pytest.raises(SettingsError, match="mean the same in every space"):
        archwalk.train(where, "three:one,cells:one", run, preset=slots)
    with pytest.raises(BenchmarkError, match="different names"):
        archwalk.train(f"{folder}/cells.parquet,{folder}/cells.parquet", "cells:one", run, preset=slots)
    with pytest.raises(BenchmarkError, match="three:one"):
        archwalk.train(where, "one", run, preset=encoded(folder))
    with pytest.raises(BenchmarkError, match="task among"):
        archwalk.train(where, "three:one,cells:two", run, preset=encoded(folder))
    assert not run.exists()


def test_tables_of_one_space_need_no_encoder(folder: Path, tmp_path: Path) -> None:
    whole = three_tasks(30)
    half = make_benchmark("half", whole.space, whole.rows, whole.columns, whole.metrics, whole.rewards)
    half.save(tmp_path / "half.parquet")
    slots = encoded(folder).replace(observation={"tokens": "slots", "encoder": ""})
    where = f"{folder}/three.parquet,{tmp_path}/half.parquet"
    run = archwalk.train(where, "three:one,half:three", tmp_path / "r", preset=slots)
    assert run.spec().space == three_tasks().space.describe()
    assert list(archwalk.evaluate(run.path)) == ["three:one", "half:three"]


def test_a_run_on_several_tables_is_no_experience_of_one(both: RunDir) -> None:
    with pytest.raises(RunError, match="a run on one table"):
        both.benchmark()
