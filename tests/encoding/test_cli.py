"""``archwalk encoder`` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archwalk.cli import main
from archwalk.encoding.frozen import open_encoder


def test_an_encoder_is_made_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ae.safetensors"
    main(["encoder", "pretrain", "--space", "transnas-macro", "--steps", "2", "--out", str(out)])
    assert "told right" in capsys.readouterr().out
    main(["encoder", "show", str(out), "--json"])
    card = json.loads(capsys.readouterr().out)
    assert card["digest"] == open_encoder(str(out)).digest
    assert (card["steps"], card["seed"], card["width"]) == (2, 0, 64)
    assert card["spaces"][0]["name"] == "transnas-macro"
    main(["encoder", "show", str(out)])
    assert f"digest: {card['digest']}" in (shown := capsys.readouterr().out)
    assert "spaces: transnas-macro" in shown
    for arguments in (
        ["show", str(tmp_path / "no")],
        ["pretrain", "--out", str(tmp_path / "new.safetensors")],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["encoder", *arguments])
        assert stopped.value.code == 2
        assert "Remedy" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["ae.safetensors"]
