"""Trainings: the same bits after a kill, standardised inputs, and files that run without archwalk."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from archwalk.errors import SpaceError
from archwalk.fitting.data import Dataset, load_data
from archwalk.fitting.networks import SlotNetworks, choose_networks, write_source
from archwalk.fitting.training import (
    EVERY,
    Diverged,
    Examples,
    Keeper,
    Watch,
    _augmented,
    _order,
    make_recipe,
    measure,
    predict,
    standardised,
    train,
)
from archwalk.spaces.declared import DeclaredSpace
from tests.fitting.data import blobs, pictures

VECTORS = load_data(blobs())
PICTURES = load_data(pictures(), kind="images")
SERIES = load_data((pictures()[0].astype(np.float32), blobs(100)[0][:, 0]), kind="series")


def examples_of(data: Dataset, rows: Any = None) -> Examples:
    targets = torch.from_numpy(data.targets)
    rows = np.arange(len(data)) if rows is None else rows
    classes = len(data.classes)
    return Examples(torch.from_numpy(data.inputs), targets if classes else targets.float(), rows, classes)


def model_of(data: Dataset, seed: int = 0) -> Any:
    networks = choose_networks(data)
    assert networks.reference is not None
    return standardised(networks.build(networks.reference, seed), examples_of(data))


def weights(model: torch.nn.Module) -> Tensor:
    return torch.cat([p.flatten() for p in model.state_dict().values()])


class Dying(Exception):
    pass


@pytest.mark.parametrize("data", [VECTORS, PICTURES, SERIES], ids=["vectors", "images", "series"])
def test_a_training_that_was_killed_ends_with_the_same_bits(tmp_path: Path, data: Dataset) -> None:
    recipe = make_recipe(data, len(data), "accuracy", flip=True)
    whole, unwatched = model_of(data), model_of(data)
    before = torch.get_rng_state()

    def watch() -> Watch:
        inputs = torch.from_numpy(data.inputs)
        return Watch((3, 6, 12), lambda model: measure(model, data, inputs, np.arange(30)))

    looked = watch()
    train(whole, examples_of(data), 12, 3, recipe, watch=looked)
    assert len(looked.found) == 3
    train(unwatched, examples_of(data), 12, 3, recipe)
    assert torch.equal(weights(unwatched), weights(whole))
    assert torch.equal(torch.get_rng_state(), before)
    reads = [0]

    def clock() -> float:  # a checkpoint at every step, and the end at the eighth
        reads[0] += 1
        if reads[0] == 9:
            raise Dying
        return reads[0] * EVERY

    with pytest.raises(Dying):
        train(
            model_of(data), examples_of(data), 12, 3, recipe, Keeper(tmp_path, clock, "this"), watch=watch()
        )
    again, keeper, resumed = model_of(data), Keeper(tmp_path, lambda: 0.0, "this"), watch()
    train(again, examples_of(data), 12, 3, recipe, keeper, watch=resumed)
    assert resumed.found == looked.found
    stopped, short = model_of(data), watch()
    train(stopped, examples_of(data), 12, 3, recipe, stop=6, watch=short)
    assert short.found == looked.found[:2]
    assert keeper.before == 7 * EVERY
    assert torch.equal(weights(again), weights(whole))
    other = model_of(data)
    train(other, examples_of(data), 12, 3, recipe, Keeper(tmp_path, lambda: 0.0, "another"))
    assert torch.equal(weights(other), weights(whole))  # its own beginning, not this one's checkpoint
    changed = model_of(data)
    train(changed, examples_of(data), 12, 4, recipe)
    assert not torch.equal(weights(changed), weights(whole))


def test_every_example_is_seen_once_a_pass() -> None:
    rows = np.arange(10, 30)
    seen = [r.tolist() for r in _order(rows, 7, 0, 6)]
    assert [len(r) for r in seen] == [6] * 7
    for at in (0, 3):  # three full batches a pass
        assert len({i for r in seen[at : at + 3] for i in r}) == 18
    assert {i for r in seen for i in r} <= set(rows.tolist())


def test_inputs_and_targets_are_standardised_by_what_is_trained_on() -> None:
    rows = np.arange(0, 100, 2)
    model = standardised(torch.nn.Identity(), examples_of(SERIES, rows))
    x, y = SERIES.inputs[rows], SERIES.targets[rows]
    np.testing.assert_allclose(model.mean[0, :, 0], x.mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(model.deviation[0, :, 0], x.std((0, 2)), rtol=1e-5)
    assert float(model.target_mean) == pytest.approx(y.mean(), rel=1e-5)
    constant = replace(
        VECTORS, inputs=np.concatenate([VECTORS.inputs, np.full((120, 1), 7.0, np.float32)], 1)
    )
    assert float(standardised(torch.nn.Identity(), examples_of(constant)).deviation[0, -1]) == 1.0


def test_images_move_by_whole_pixels_and_keep_their_edge() -> None:
    recipe = make_recipe(PICTURES, 100, "accuracy", flip=False)
    assert recipe.shift == 1
    images = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(40, 1, 1, 1)
    moved = _augmented(images, recipe, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(images[:1], (1, 1, 1, 1), mode="replicate")[0, 0]
    views = [padded[y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
    which = [next(i for i, view in enumerate(views) if torch.equal(m[0], view)) for m in moved]
    assert set(which) == set(range(9))
    mirrored = _augmented(images, replace(recipe, shift=0, flip=True), torch.Generator().manual_seed(0))
    assert {float(m[0, 0, 0]) for m in mirrored} == {0.0, 7.0}


def test_networks_learn() -> None:
    recipe = make_recipe(PICTURES, 80, "accuracy", flip=False)
    model = model_of(PICTURES)
    train(model, examples_of(PICTURES, np.arange(80)), 60, 0, recipe)
    assert measure(model, PICTURES, torch.from_numpy(PICTURES.inputs), np.arange(80, 100))["accuracy"] >= 95
    series = replace(SERIES, targets=SERIES.inputs[:, 3].mean(1) * 100.0 + 5_000)
    model = model_of(series)
    train(model, examples_of(series), 80, 0, make_recipe(series, 80, "rmse", flip=False))
    assert measure(model, series, torch.from_numpy(series.inputs), np.arange(100))["r2"] > 0.6


def test_rare_classes_count_alike_where_classes_are_unbalanced() -> None:
    x = np.random.default_rng(0).standard_normal((400, 1))
    data = load_data(
        (x, (np.arange(400) % 8 == 0).astype(int))
    )  # nothing can be learned but how rare they are
    recipe = make_recipe(data, len(data), "balanced_accuracy", flip=False)
    assert recipe.weighted
    said = {}
    for weighted in (True, False):
        model = model_of(data)
        train(model, examples_of(data), 60, 0, replace(recipe, weighted=weighted))
        scores = predict(model, torch.from_numpy(data.inputs), np.arange(len(data)))
        said[weighted] = float((scores.argmax(1) == 1).mean())
    assert said[False] < 0.05
    assert said[True] > 0.2


def test_a_training_that_diverges_says_so() -> None:
    recipe = replace(make_recipe(SERIES, 100, "rmse", flip=False), learning_rate=1e30, clip=1e30)
    with pytest.raises(Diverged, match=r"after \d+ steps"):
        train(model_of(SERIES), examples_of(SERIES), 40, 0, recipe)


ALONE = """
import pathlib, runpy, sys, torch
from safetensors.torch import load_file
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    data = load_file(file.with_suffix(".safetensors"))
    inputs, wanted = data.pop("given_inputs"), data.pop("wanted")
    model = runpy.run_path(str(file))["Model"]()
    model.load_state_dict(data)
    torch.testing.assert_close(model.eval()(inputs), wanted)
    print("same", file.name)
assert not any(name.startswith("archwalk") for name in sys.modules)
"""


def test_sources_run_alone_and_give_the_same_numbers(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    count = 0
    for data in (VECTORS, PICTURES, SERIES):
        networks = choose_networks(data)
        for code in networks.space.sample(4, g).tolist():
            architecture = networks.space.format(code)
            model = standardised(networks.build(architecture, 1), examples_of(data)).eval()
            inputs = torch.from_numpy(data.inputs[:5]).float()
            with torch.no_grad():
                tensors = model.state_dict() | {"given_inputs": inputs, "wanted": model(inputs)}
            name = f"{data.kind}{count}"
            save_file(
                {k: v.contiguous().clone() for k, v in tensors.items()}, tmp_path / f"{name}.safetensors"
            )
            (tmp_path / f"{name}.py").write_text(write_source(networks, architecture, data))
            count += 1
    done = subprocess.run([sys.executable, "-c", ALONE, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.count("same") == count, done.stderr


def test_a_declaration_of_ones_own_names_choices_of_the_same_slots() -> None:
    mine = DeclaredSpace({"width": [16, 24], "dropout": [0.0, 0.2]}, name="mine")
    networks = choose_networks(VECTORS, mine)
    assert isinstance(networks, SlotNetworks)
    assert networks.reference is None
    widths = {networks.build(f"width={w},dropout=0.2", 0).first.out_features for w in (16, 24)}  # type: ignore[union-attr]
    assert widths == {16, 24}
    for slots in ({"depth": [1, 2]}, {"width": [16, 0.5]}, {"norm": ["batch", "group"]}):
        with pytest.raises(SpaceError):
            choose_networks(VECTORS, DeclaredSpace(slots, name="strange"))  # type: ignore[arg-type]
    with pytest.raises(SpaceError, match="networks for images"):
        choose_networks(PICTURES, "residual-mlp")


@pytest.mark.parametrize("space", ["nasbench201", "transnas-macro", "nasbench101", "darts"])
def test_other_spaces_of_images(space: str) -> None:
    networks = choose_networks(PICTURES, space)
    code = networks.space.sample(1, np.random.default_rng(0))[0].tolist()
    images = torch.from_numpy(PICTURES.inputs[:3]).float()
    assert networks.build(networks.space.format(code), 0)(images).shape == (3, 2)
    assert all(make(0)(images).shape == (3, 2) for make in networks.baselines().values())
