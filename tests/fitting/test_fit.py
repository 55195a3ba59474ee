"""The verb: from data to files within the time, again after a kill; what is refused leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import archwalk
from archwalk.cli.entry import main
from archwalk.errors import ArchwalkError, InUseError, RunError, SettingsError
from archwalk.files import hold
from archwalk.fitting import plan, run, verbs
from archwalk.fitting import result as results
from archwalk.fitting.data import load_data
from archwalk.fitting.metrics import METRICS
from archwalk.fitting.result import FitResult, compared
from archwalk.fitting.splits import TEST, kept_blocks
from archwalk.fitting.verbs import Progress
from archwalk.tasks.ledger import Evaluation
from archwalk.tasks.metrics import Metric
from tests.fitting.data import Stepping, blobs, pictures, write_npz

QUICK: dict[str, Any] = {"minutes": 1.25, "method": "evolution", "experience": "none"}


def quick(data: Any, out: Path, *, seconds: float = 0.125, onnx: bool = False, **options: Any) -> FitResult:
    """A fit of a few hundred steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "SHORTEST", 3)
        if not onnx:
            patch.setattr(run, "ONNX_NEEDS", ("no_such_package",))
        return archwalk.fit(data, out, clock=Stepping(patch, seconds), **(QUICK | options))


def without_time(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text()) | {"folder": ""}


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x, y = blobs(200)
    return write_npz(tmp_path_factory.mktemp("data") / "blobs.npz", vectors=x, labels=y)


@pytest.fixture(scope="module")
def fitted(vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Progress], FitResult]:
    out, seen = tmp_path_factory.mktemp("whole") / "out", list[Progress]()
    return out, seen, quick(vectors, out, onnx=True, on_progress=seen.append)


def test_what_comes_out(fitted: tuple[Path, list[Progress], FitResult], vectors: Path) -> None:
    out, seen, result = fitted
    assert 0.6 * result.budget_seconds <= result.seconds <= 1.1 * result.budget_seconds
    assert all(result.trainings.values())
    assert len(result.trainings) == 3
    assert result.seconds == pytest.approx(seen[-1].spent)
    assert [p.spent for p in seen] == sorted(p.spent for p in seen)
    assert len(result.test.values) == 3
    assert {b.name for b in result.baselines} == {"plain perceptron", "gradient boosting"}
    assert sum(result.trainings.values()) == sum(p.searching for p in seen)
    for name in result.files:
        assert (out / name).stat().st_size > 0
    # the weights, in the file's own source, reach what is reported of the first seed
    spaced: dict[str, Any] = {}
    exec((out / "model.py").read_text(), spaced)
    model = spaced["Model"]()
    model.load_state_dict(load_file(out / "model.safetensors"))
    data = load_data(vectors)
    test = kept_blocks(out, data) == TEST
    with torch.no_grad():
        said = model.eval()(torch.from_numpy(data.inputs[test])).argmax(1).numpy()
    assert 100 * (said == data.targets[test]).mean() == pytest.approx(result.test.values[0])
    card = (out / "card.md").read_text()
    for part in (result.architecture, data.digest, "gradient boosting", result.verdict, "0 (", "## Limits"):
        assert part in card


def test_trials_are_experience_for_the_next_search(
    fitted: tuple[Path, list[Progress], FitResult], tmp_path: Path
) -> None:
    out, _, result = fitted
    frame = pl.read_csv(out / "trials.csv")
    assert frame["architecture"].to_list()[0].startswith("blocks=2,width=128")
    assert result.architecture in frame["architecture"].to_list()
    said: list[str] = []

    def stop(line: str) -> None:
        said.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(blobs(200, seed=1), tmp_path, method="transfer-gp", experience=out / "trials.csv", say=stop)
    assert "known beforehand: trials" in said[0]


DYING = """
import os, signal, sys
from pathlib import Path
from tests.fitting.test_fit import quick
left = [int(sys.argv[3])]
def die(progress):
    left[0] -= progress.searching if sys.argv[4] == "search" else not progress.searching
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
quick(Path(sys.argv[1]), Path(sys.argv[2]), on_progress=die)
"""


def test_killed_twice_the_result_is_the_same(
    fitted: tuple[Path, list[Progress], FitResult], vectors: Path, tmp_path: Path
) -> None:
    whole, _, result = fitted
    for count, phase in ((4, "search"), (2, "final")):
        arguments = [str(vectors), str(tmp_path / "out"), str(count), phase]
        done = subprocess.run([sys.executable, "-c", DYING, *arguments], capture_output=True, text=True)
        assert done.returncode == -9, done.stderr
        assert not (tmp_path / "out" / "result.json").exists()
    assert quick(vectors, tmp_path / "out").architecture == result.architecture
    wanted = without_time(whole)
    wanted["files"].remove("model.onnx")
    assert without_time(tmp_path / "out") == wanted
    for name in ("model.safetensors", "model.py", "trials.csv", "card.md", "splits.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes()
    again = quick(vectors, tmp_path / "out")  # finished: nothing is trained any more
    assert json.loads(json.dumps(again.to_json() | {"folder": ""})) == wanted


def test_a_folder_of_another_run_is_refused(
    fitted: tuple[Path, list[Progress], FitResult], vectors: Path, tmp_path: Path
) -> None:
    out, _, _ = fitted
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    x, y = blobs(200)
    x[3, 1] += 1
    changed = write_npz(tmp_path / "blobs.npz", vectors=x, labels=y)
    for data, options, said in (
        (changed, {}, "data that have changed"),
        (vectors, {"seed": 1}, "seed 1"),
        (vectors, {"minutes": 3.0}, "minutes 3"),
        (vectors, {"metric": "macro_f1"}, "metric macro_f1"),
        (vectors, {"method": "random"}, "method random"),
    ):
        with pytest.raises(RunError, match=said):
            quick(data, out, **options)
    with hold(out / ".lock"), pytest.raises(InUseError):
        quick(vectors, out)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"minutes": 0.3}, SettingsError, r"at least [0-9.]+ minutes"),
        ({"minutes": 0.0}, SettingsError, "positive number of minutes"),
        ({"minutes": float("nan")}, SettingsError, "positive number of minutes"),
        ({"metric": "speed"}, SettingsError, "metric of classification"),
        ({"space": "nasbench201"}, ArchwalkError, "declared space"),
        ({"flip": True}, SettingsError, "--flip with images"),
        ({"device": "cuda:99"}, SettingsError, "device"),
        ({"method": "nobody"}, ArchwalkError, "method"),
        ({"experience": "nowhere.csv"}, ArchwalkError, "nowhere"),
        ({"image_size": 8}, ArchwalkError, "--image-size with a folder"),
    ],
)
def test_bad_options_change_nothing_on_disk(
    vectors: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        quick(vectors, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_budget_that_is_called_enough_is_enough(vectors: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        quick(vectors, tmp_path / "out", minutes=0.3)
    needed = float(refused.value.expected.split(" minutes")[0].split()[-1])
    assert quick(vectors, tmp_path / "out", minutes=needed).seconds <= 1.1 * 60 * needed


def test_a_search_that_took_too_long_makes_the_final_trainings_shorter(vectors: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "SHORTEST", 3)
        patch.setattr(run, "ONNX_NEEDS", ("no_such_package",))
        clock = Stepping(patch)

        def slower(progress: Progress) -> None:  # one training takes much longer than it should
            clock.seconds = 1.0 if 18 <= progress.spent < 24 else 0.125

        result = archwalk.fit(vectors, tmp_path / "out", clock=clock, on_progress=slower, **QUICK)
    longest = json.loads((tmp_path / "out" / "plan.json").read_text())["plan"]["rungs"][-1]
    assert result.steps < longest
    assert 0.85 * result.budget_seconds <= result.seconds <= 1.1 * result.budget_seconds


def test_quantities(tmp_path: Path) -> None:
    x, _ = blobs(150)
    numbers = quick((x, 1000 + 50.0 * x[:, 0]), tmp_path / "numbers", metric="mae")
    assert numbers.direction == "min"
    assert numbers.test.metrics["r2"] > 0.5
    assert numbers.test.mean == pytest.approx(numbers.test.metrics["mae"])


def test_verdicts() -> None:
    def of(values: list[float], metric: Metric) -> Any:
        return results.tested(
            [
                Evaluation(str(i), "ok", {metric.name: v, "seconds": 2.0}, "", 9.0)
                for i, v in enumerate(values)
            ],
            metric,
        )

    accuracy, error = METRICS["classification"]["accuracy"], METRICS["regression"]["rmse"]
    ours = of([90.0, 91.0, 92.0], accuracy)
    assert ours.mean == 91.0
    assert ours.ci95 == pytest.approx((91 - 4.3027 / 3**0.5, 91 + 4.3027 / 3**0.5), abs=1e-3)  # Student, 2
    assert ours.seconds == 6.0
    for theirs, verdict in (
        ([80.0, 81.1, 82.0], "better"),
        ([95.0, 96.0, 97.1], "worse"),
        ([90.0, 91.0, 92.0], "equal"),
        ([85.0, 91.5, 91.0], "no difference shown"),
    ):
        assert compared("b", of(theirs, accuracy), ours, accuracy, 1).verdict == verdict
    # three seeds that agree on two examples of a hundred are no proof
    seeds, hits = np.array(ours.values) - np.array([89.0, 90.0, 91.0]), np.zeros((3, 100))
    hits[:, :1] = 100.0
    for rows, verdict in ((None, "better"), (hits, "no difference shown"), (hits * 0 + 1.0, "better")):
        assert compared("b", of([89.0, 90.1, 91.0], accuracy), ours, accuracy, 1, rows).verdict == verdict
    assert seeds.mean() == hits.mean()
    assert of([99.0, 100.0, 100.0], accuracy).ci95[1] == 100.0
    small = of([1.0, 1.1, 1.2], error)
    assert compared("b", of([2.0, 2.1, 2.3], error), small, error, 1).verdict == "better"


def test_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "SHORTEST", 3)
    monkeypatch.setattr(run, "ONNX_NEEDS", ("no_such_package",))
    clock = Stepping(monkeypatch)
    monkeypatch.setattr(verbs, "time", SimpleNamespace(monotonic=clock, process_time=clock))
    images, labels = pictures(60)
    data = write_npz(tmp_path / "bars.npz", images=images, labels=labels)
    command = ["fit", str(data), "--minutes", "1.25", "--method", "evolution", "--experience", "none"]
    main([*command, "--out", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert "residual network" in said.out
    assert "min; then the winner and 2 baselines" in said.err
    assert " left  " in said.err
    main([*command, "--out", str(tmp_path / "out"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "out" / "result.json").read_text())
    assert found["skeleton"]["modules"] == "14"
    with pytest.raises(SystemExit) as end:
        main([*command, "--out", str(tmp_path / "other"), "--metric", "speed"])
    assert end.value.code == 2


def test_onnx(fitted: tuple[Path, list[Progress], FitResult]) -> None:
    onnx = pytest.importorskip("onnx.reference")
    pytest.importorskip("onnxscript")
    out, _, _ = fitted
    x = blobs(200)[0][:7]
    spaced: dict[str, Any] = {}
    exec((out / "model.py").read_text(), spaced)
    model = spaced["Model"]()
    model.load_state_dict(load_file(out / "model.safetensors"))
    with torch.no_grad():
        wanted = model.eval()(torch.from_numpy(x)).numpy()
    found = onnx.ReferenceEvaluator(str(out / "model.onnx")).run(None, {"images": x})[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_where_long_trainings_overfit_the_winner_and_the_baselines_are_trained_for_less(
    tmp_path: Path,
) -> None:
    g = np.random.default_rng(0)
    x = g.standard_normal((80, 20)).astype(np.float32)
    y = ((x[:, 0] > 0) ^ (g.random(80) < 0.3)).astype(np.int64)  # three of ten labels are wrong
    result = quick((x, y), tmp_path / "out", metric="log_loss", seconds=0.0625)
    longest = json.loads((tmp_path / "out" / "plan.json").read_text())["plan"]["rungs"][-1]
    assert result.steps < longest
    assert result.test.mean < 0.75  # nats; trained to the end it is sure of what is wrong
    steps = {b.name: b.steps for b in result.baselines}
    assert steps["plain perceptron"] < longest
    assert steps["gradient boosting"] < plan.TREES
