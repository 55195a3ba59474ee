"""Exported networks: the source runs alone and gives the same numbers; ONNX gives the same numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from archwalk.errors import SettingsError
from archwalk.networks import build_network, export_onnx, network_code
from archwalk.networks.export import load_weights
from archwalk.spaces import find_space, make_space
from archwalk.spaces.graphs import write_cell
from tests.networks.test_build import NB201, SMALL, generator, shaken, some
from tests.spaces.test_darts import DARTS_V2
from tests.spaces.test_graphs import FIRST

ALL_DARTS = (
    "normal:max_pool_3x3~0+avg_pool_3x3~1,skip_connect~0+sep_conv_3x3~2,sep_conv_5x5~1+dil_conv_3x3~3,"
    "dil_conv_5x5~0+skip_connect~4:reduce:skip_connect~0+dil_conv_5x5~1,max_pool_3x3~0+avg_pool_3x3~1,"
    "sep_conv_5x5~0+skip_connect~3,dil_conv_3x3~2+sep_conv_3x3~4"
)
CASES: list[tuple[str, dict[str, object]]] = [
    ("64-41414-1_23_301", SMALL),
    ("64-41414-0_20_021", SMALL | {"stem_stride": 4, "cells": 2}),  # a convolution of nothing
    ("64-41414-0_00_000", SMALL),
    ("64-41414-3_00_100", SMALL | {"live_only": True}),
    ("64-1234-basic", {"inputs": 1, "channels": 4, "cells": 1, "classes": None}),
    (
        NB201.format("avg_pool_3x3", "nor_conv_3x3", "skip_connect", "none", "nor_conv_1x1", "nor_conv_3x3"),
        {"inputs": 1, "channels": 4, "cells": 1, "classes": 5},
    ),
    (NB201.format(*["none"] * 6), SMALL | {"live_only": True}),
    (DARTS_V2, {"inputs": 1, "channels": 4, "cells": 3}),
    (ALL_DARTS, {"inputs": 1, "channels": 4, "cells": 4, "classes": None}),
    (write_cell(FIRST), {"inputs": 1, "channels": 6, "cells": 1}),
    ("1:input,output", {"inputs": 1, "channels": 6, "cells": 1, "modules": "12"}),
]

# Runs every file it finds against the weights beside it, in a process that must not know archwalk.
ALONE = """
import pathlib, runpy, sys, torch
from safetensors.torch import load_file
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    data = load_file(file.with_suffix(".safetensors"))
    images, wanted = data.pop("images"), data.pop("wanted")
    network = runpy.run_path(str(file))["Network"]()
    network.load_state_dict(data)
    torch.testing.assert_close(network.eval()(images), wanted)  # not equal: threads may differ
    print("same", file.name)
assert not any(name.startswith("archwalk") for name in sys.modules)
"""


def test_the_source_stands_alone_and_computes_the_same(tmp_path: Path) -> None:
    images = torch.randn(3, 1, 16, 16, generator=generator())
    for i, (text, options) in enumerate(CASES):
        (tmp_path / f"network{i}.py").write_text(network_code(None, text, **options))
        network = shaken(build_network(None, text, **options), seed=i)
        data = network.state_dict() | {"images": images, "wanted": network(images)}
        save_file({k: v.contiguous() for k, v in data.items()}, tmp_path / f"network{i}.safetensors")
    command = [sys.executable, "-W", "error", "-c", ALONE, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("same") == len(CASES)


def test_published_networks_have_the_same_parameters_as_source() -> None:
    for name in ("transnas-micro", "transnas-macro", "nasbench201"):
        for text in some(name, 2):
            scope: dict[str, type[nn.Module]] = {}
            with torch.device("meta"):
                exec(network_code(name, text), scope)
                shapes = {k: v.shape for k, v in scope["Network"]().state_dict().items()}
            assert {k: v.shape for k, v in build_network(name, text).state_dict().items()} == shapes


def test_the_source_is_clean(tmp_path: Path) -> None:
    for i, (text, options) in enumerate(CASES):
        code = network_code(None, text, **options)
        assert find_space(text).parse(code.splitlines()[2]) == find_space(text).parse(text)
        assert "archwalk" not in code.partition("\n")[2]
        (tmp_path / f"network{i}.py").write_text(code)
    config = Path(__file__).parents[2] / "pyproject.toml"
    for check in (("check", "--no-cache"), ("format", "--check", "--no-cache")):
        command = [Path(sys.executable).parent / "ruff", *check, "--config", config, tmp_path]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_onnx_gives_the_same_scores(tmp_path: Path) -> None:
    pytest.importorskip("onnx", exc_type=ImportError)
    pytest.importorskip("onnxscript", exc_type=ImportError)
    from onnx.reference import ReferenceEvaluator

    for i in (2, 5, 7, 9):
        text, options = CASES[i]
        network = shaken(build_network(None, text, **options), seed=i).train()
        file = export_onnx(network, tmp_path / f"{i}.onnx", (1, 8, 8))
        assert network.training
        network.eval()
        for n in (1, 3):
            images = torch.randn(n, 1, 8, 8, generator=generator(n))
            (scores,) = ReferenceEvaluator(str(file)).run(None, {"images": images.numpy()})
            np.testing.assert_allclose(scores, network(images).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_onnx_refuses_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network(None, "64-41414-1_23_301", **SMALL)
    monkeypatch.setattr("archwalk.networks.export.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'archwalk\[onnx\]'"):
        export_onnx(network, tmp_path / "n.onnx", (1, 8, 8))
    monkeypatch.setattr("archwalk.networks.export.find_spec", lambda name: name)
    for shape in ((3, 8, 8), (1, 8), (1, 0, 0), (1, -1, 8)):
        with pytest.raises(SettingsError, match="channels, height, width"):
            export_onnx(network, tmp_path / "n.onnx", shape)
    assert not list(tmp_path.iterdir())


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    space = make_space("transnas-micro")
    network = build_network(space, "64-41414-1_23_301", **SMALL)
    good, other, broken = (tmp_path / name for name in ("good", "other", "broken"))
    save_file(build_network(space, "64-41414-1_23_301", **SMALL, seed=1).state_dict(), good)
    save_file(build_network(space, "64-41414-1_23_302", **SMALL).state_dict(), other)
    broken.write_bytes(good.read_bytes()[:100])
    load_weights(network, good)
    for path in (other, broken, tmp_path / "nothing", tmp_path):
        with pytest.raises(SettingsError, match="weights of this network"):
            load_weights(network, path)
    state = build_network(space, "64-41414-1_23_301", **SMALL).state_dict()
    first = min(state)
    for change, says in (
        (
            {f"module.{name}": value for name, value in state.items()},
            f"module.{first}.*begins with 'module.'",
        ),
        ({name: value for name, value in state.items() if name != first}, f"1 missing: {first}"),
        (state | {"extra.weight": state[first].clone()}, "1 too many: extra.weight"),
        (state | {first: torch.zeros(1, 2, 3)}, rf"1 of another shape: {first} is \(1, 2, 3\)"),
    ):
        save_file({name: value.clone() for name, value in change.items()}, other)
        with pytest.raises(SettingsError, match=says):
            load_weights(network, other)
