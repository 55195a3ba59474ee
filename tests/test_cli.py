"""The command line as a user types it: the contract, and what is refused with status 2."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from archwalk import __version__
from archwalk.cli import main
from tests.conftest import small_settings, three_tasks, tiny_benchmark
from tests.spaces.test_darts import DARTS_V2


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    file = tmp_path / "small.toml"
    file.write_text(small_settings(training={"trained_steps": 1_024}).to_toml())
    return file


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tiny_benchmark().save(tmp_path / "tiny.parquet")


def call(*arguments: object) -> int:
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_version_needs_no_torch() -> None:
    code = "import sys; from archwalk.cli import main; main(['--version']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"archwalk {__version__}\nFalse\n"


def test_help_needs_no_torch_and_names_every_setting() -> None:
    code = (
        "import sys\nfrom archwalk.cli import main\n"
        "try:\n    main(['train', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
    for flag in ("--benchmark", "--task", "--preset", "--seed", "--run-dir", "--init", "--steps"):
        assert flag in done.stdout
    for flag in ("--learner.discount", "--walk.step-limit", "--network.width", "--training.reuse"):
        assert flag in done.stdout


def test_the_overview_looks_at_no_flag() -> None:
    code = (
        "import sys\nfrom archwalk.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    print(end.code)\n"
        "print(sorted({'torch', 'numpy', 'typeguard'} & set(sys.modules)))"  # the last one checks arguments
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n0\n[]\n")
    assert "\n  train     Train an agent on a task" in done.stdout
    assert "\n  data      Benchmarks: list, check, import.\n" in done.stdout


def test_completion_for_a_shell_knows_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--tyro-print-completion", "bash") == 0
    assert "--learner.discount" in capsys.readouterr().out


def test_a_search_imports_what_it_needs_alone(tmp_path: Path) -> None:
    code = (
        "import sys, archwalk\n"
        f"archwalk.search(None, {str(tmp_path / 's')!r}, space='digits', task='jigsaw', budget=6)\n"
        "print(sorted({'scipy.stats', 'matplotlib', 'jinja2', 'gymnasium', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_train_evaluate_transfer(
    table: Path, toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = tmp_path / "run"
    given = ("--benchmark", table, "--task", "main", "--preset", toml, "--seed", 1, "--run-dir", run)
    assert call("train", *given) == 0
    assert (run / "weights.safetensors").exists()
    captured = capsys.readouterr()
    assert "1,024 of 1,024 trained steps" in captured.err
    assert call("train", *given) == 0  # again: nothing left to do
    capsys.readouterr()
    assert call("evaluate", run, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    contract = (
        "task split metric seed validation_score valid_mean test_mean test_std rank_mean oracle_test starts "
        "trained_steps sampled_steps evaluations seconds"
    )
    assert set(contract.split()) <= set(result)
    assert (result["task"], result["split"], result["metric"], result["seed"]) == ("main", "test", "acc", 1)
    assert call("evaluate", run, "--task", "main", "--split", "valid") == 0
    assert "valid acc" in capsys.readouterr().out
    for regime in ("zero-shot", "fine-tune", "retrain"):
        out = tmp_path / regime
        given = ("--source", run, "--task", "main", "--regime", regime, "--run-dir", out, "--json")
        assert call("transfer", *given) == 0
        assert json.loads(capsys.readouterr().out)["regime"] == regime


def test_an_agent_of_several_tasks(toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    table, run = three_tasks().save(tmp_path / "three.parquet"), tmp_path / "run"
    given = ("--benchmark", table, "--task", "three,one", "--preset", toml, "--run-dir", run, "--steps", 512)
    assert call("train", *given, "--multitask.scale", "table") == 0
    assert "score" in capsys.readouterr().err
    assert call("evaluate", run, "--json") == 0
    each = json.loads(capsys.readouterr().out)
    assert [(task, one["task"]) for task, one in each.items()] == [("three", "three"), ("one", "one")]
    assert call("evaluate", run, "--task", "two", "--json") == 0
    assert json.loads(capsys.readouterr().out)["regime"] == "zero-shot"
    assert call("evaluate", run) == 0
    printed = capsys.readouterr().out
    assert "three,one → three" in printed
    assert "three,one → one" in printed
    assert call("train", *given) == 2  # the folder's rewards had another scale
    assert "multitask.scale: 'table' there, 'starts' asked" in capsys.readouterr().err


def test_preset_gives_defaults_and_flags_override(table: Path, toml: Path, tmp_path: Path) -> None:
    from archwalk.training.rundir import RunDir

    run = tmp_path / "run"
    given = ("--benchmark", table, "--task", "main", f"--preset={toml}", "--run-dir", run)
    assert call("train", *given, "--steps", 256, "--learner.discount", 0.8) == 0
    settings = RunDir(run).spec().settings
    assert settings.learner.discount == 0.8
    assert settings.network.width == small_settings().network.width
    assert settings.training.trained_steps == 256


def test_data_commands(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert call("data", "list") == 0
    assert "synthetic" in capsys.readouterr().out
    assert call("data", "check", "synthetic") == 0
    assert "nothing missing" in capsys.readouterr().out
    source, out = tmp_path / "mine.csv", tmp_path / "mine.parquet"
    source.write_text("op,k,acc,cost\nconv,3,70,1.5\nconv,5,80,2.5\npool,3,60,0.5\n")
    given = (
        "--space",
        "slots",
        "--slots",
        "op,k",
        "--out",
        out,
        "--minimise",
        "cost",
        "--reward",
        "main=acc",
    )
    assert call("data", "import", "table", source, *given) == 0
    assert f"written: {out}" in capsys.readouterr().out
    assert call("data", "check", out) == 0
    assert "reward acc/valid/final" in capsys.readouterr().out


def test_export(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    cell = "64-41414-1_23_301"
    small = ("--channels", 4, "--modules", 14, "--cells", 1, "--stem-stride", 1, "--classes", 7)
    out = tmp_path / "found.py"
    assert call("export", cell, "--out", out, "--inputs", 1, *small) == 0
    assert f"written: {out}" in capsys.readouterr().out
    assert "self.head = classifier(8, 7)" in out.read_text()
    assert call("export", "64-1234-basic", "--space", "transnas-macro", "--out", out) == 0
    assert "self.head = classifier(256, 10)" in out.read_text()
    assert call("export", DARTS_V2, "--cells", 8, "--out", out) == 0
    assert "self.cell8 = NormalCell(576, 576, 144, False)" in out.read_text()
    bad: list[tuple[tuple[object, ...], str]] = [
        (("64-41414-9_00_000",), "transnas-micro"),
        ((cell, "--space", "transnas-macro"), "64-xxxx-basic"),
        ((cell, "--channels", 3), "multiple of 2"),
        ((DARTS_V2.replace("max_pool_3x3", "max_pool_7x7"),), "quotes"),
        ((DARTS_V2, "--modules", 14), "number of cells"),
        ((cell, "--stem-stride", 2), "stem-stride"),
        ((cell, "--out", tmp_path / "found.txt"), ".onnx"),
        ((cell, "--out", tmp_path / "found.onnx", "--weights", tmp_path / "none"), "weights of this network"),
    ]
    out.unlink()
    for arguments, says in bad:
        given = arguments if "--out" in arguments else (*arguments, "--out", out)
        assert call("export", *given) == 2, arguments
        captured = capsys.readouterr()
        assert says in captured.err + captured.out, arguments
        assert not list(tmp_path.iterdir())


def test_what_is_refused(table: Path, toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    train = ("train", "--preset", toml, "--run-dir", out)
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(table.read_bytes()[:-9])
    cases: list[tuple[tuple[object, ...], str]] = [
        ((*train, "--benchmark", "nowhere", "--task", "main"), "synthetic"),
        ((*train, "--benchmark", bad, "--task", "main"), "intact benchmark file"),
        ((*train, "--benchmark", table, "--task", "mian"), "did you mean 'main'"),
        ((*train, "--benchmark", table, "--task", "main", "--init", tmp_path), "run folder"),
        ((*train, "--benchmark", table, "--task", "main", "--replay.warmup", 9**9), "warmup"),
        (("train", "--preset", "best", "--benchmark", table, "--task", "main", "--run-dir", out), "paper"),
        (("evaluate", out), "run folder"),
        (("data", "check", bad), "intact"),
        (("data", "import", "table", bad, "--space", "macro", "--out", out), "readable"),
        (("data", "import", "table", table, "--space", "transnas-mikro", "--out", out), "transnas-micro"),
        (("data", "import", "transnas-bench", table, "--out", out), "nothing in the file was executed"),
        (
            ("data", "import", "table", table, "--space", "slots", "--out", out, "--reward", "x"),
            "task=metric",
        ),
        (("train", "--steps", "many"), ""),
        (("trian", "--help"), "did you mean 'train'"),
        (("transform", "--task", "main"), "a command of 'archwalk' among: data, spaces"),
        (("data", "imprt", "table", "--help"), "did you mean 'import'"),
        (("data", "import", "tabel", "-h"), "did you mean 'table'"),
        (("spaces", "lst"), "did you mean 'list'"),
        (("agents", "shwo", "--help"), "did you mean 'show'"),
        (("encoder",), "pretrain  Train an encoder"),
    ]
    for arguments, says in cases:
        assert call(*arguments) == 2, arguments
        captured = capsys.readouterr()
        assert says in captured.err + captured.out, arguments
        assert "Traceback" not in captured.err
        assert not out.exists()


def test_as_a_program(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "archwalk"
    done = subprocess.run([program, "data", "check", "nothing"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("archwalk: Expected")
    assert "Remedy" in done.stderr
    assert done.stdout == ""


def test_a_search_without_a_result_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text("def f(a): raise (ValueError, KeyError)[len(a) % 2](a)\n")
    (tmp_path / "s.toml").write_text('slots.op.choices = ["a", "bb"]\n')
    search = ("search", "--space", "s.toml", "--evaluator", "bad:f", "--metric", "acc", "--method", "random")
    assert call(*search, "--budget", 2, "--out", "s") == 1
    assert "--retry-failed" in capsys.readouterr().out
    (tmp_path / "bad.py").write_text("def f(a): return {'acc': len(a), 'odd': float('nan')}\n")
    assert call(*search, "--budget", 2, "--out", "s") == 1
    capsys.readouterr()
    assert call(*search, "--budget", 2, "--out", "s", "--retry-failed", "--json") == 0
    printed = capsys.readouterr().out
    assert json.loads(printed, parse_constant=pytest.fail)["value"] > 1


def test_what_a_terminal_cannot_show_is_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "t.csv"
    file.write_text("öp,Täg→/acc\na,70\nb,71\n")
    for encoding in ("ascii", "latin-1", "cp1252"):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        importing = ("data", "import", "table", file, "--space", "slots")
        assert call(*importing, "--slots", "öp", "--out", tmp_path / "t.parquet") == 0
        assert call(*importing, "--slots", "→", "--out", tmp_path / "t.parquet") == 2
        for stream in streams:
            stream.flush()
            assert "\\u2192" in stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def test_an_empty_name_in_an_imported_list_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "t.csv"
    file.write_text("op0,op1,loss\na,x,1\na,y,2\nb,x,3\nb,y,4\n", "utf-8")
    importing = ("data", "import", "table", file, "--space", "slots", "--slots", "op0,op1")
    assert call(*importing, "--out", tmp_path / "t.parquet", "--minimise", "loss,") == 2
    assert "''" in capsys.readouterr().err
    assert not (tmp_path / "t.parquet").exists()
    assert call(*importing, "--out", tmp_path / "t.parquet", "--minimise", "loss") == 0


def test_proxies(capsys: pytest.CaptureFixture) -> None:
    small = ("--channels", 4, "--modules", 1, "--cells", 1, "--batch", 3)
    call("proxies", "64-41414-1_23_301", "--metrics", "params,jacov", *small, "--size", 8, "--json")
    result = json.loads(capsys.readouterr().out)
    assert (list(result["proxies"]), result["data"]) == (["params", "jacov"], "random")
    call(
        "proxies", "64-41414-0_00_000", "--data", "digits:class_scene", "--metrics", "jacov", *small, "--json"
    )
    result = json.loads(capsys.readouterr().out)
    assert (result["proxies"], result["data"]) == ({"jacov": None}, "digits:class_scene")
    call("proxies", "64-41414-1_23_301", "--metrics", "params", *small)
    assert "params" in capsys.readouterr().out
    assert call("proxies", "64-41414-1_23_301", "--metrics", "param", *small) == 2
    assert "params" in capsys.readouterr().err
