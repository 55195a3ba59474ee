"""Encoders from files and seeds, and the tokens that they make."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from archwalk.encoding.encoder import Encoder, draw
from archwalk.encoding.frozen import (
    FrozenEncoder,
    digest_of,
    open_encoder,
    random_encoder,
    read_encoder,
    save_encoder,
    settled_place,
)
from archwalk.encoding.tokens import EncodedTokens, encoded_table
from archwalk.encoding.weights import AUTOENCODER
from archwalk.errors import SettingsError
from archwalk.spaces.registry import make_listed, make_space


@pytest.fixture(scope="module")
def small() -> FrozenEncoder:
    torch.manual_seed(0)
    encoder = Encoder(16, 1).requires_grad_(False).eval()
    return FrozenEncoder(encoder, "small", digest_of(encoder.state_dict()))


def written(path: Path, seed: int = 1) -> Path:
    torch.manual_seed(seed)
    save_encoder(Encoder(16, 1), path, {"steps": 3})
    return path


def test_vectors_are_what_the_encoder_says_turned_and_scaled(small: FrozenEncoder) -> None:
    """Whitened: no direction differs from another, and none is turned more than need be."""
    space = make_space("nasbench201")
    codes = space.sample(1_024, np.random.default_rng(0))  # the reference itself
    vectors = small.vectors(space, codes).double().numpy()
    np.testing.assert_allclose(vectors.mean(0), 0, atol=1e-3)
    variance = np.linalg.eigvalsh(np.cov(vectors.T))
    assert variance.max() == pytest.approx(1, abs=1e-2)
    raw = small.encoder(draw(space, codes)).double().numpy()
    cross = np.linalg.lstsq(raw - raw.mean(0), vectors, rcond=None)[0]
    np.testing.assert_allclose(cross, cross.T, atol=2e-2 * np.abs(cross).max())  # ZCA: symmetric
    assert np.linalg.eigvalsh((cross + cross.T) / 2).min() > 0


def test_a_vector_is_the_same_in_whatever_company(small: FrozenEncoder) -> None:
    space = make_space("transnas-micro")
    codes = space.sample(40, np.random.default_rng(1))
    together = small.vectors(space, codes)
    alone = torch.cat([small.vectors(space, codes[[i]]) for i in range(40)])
    torch.testing.assert_close(together, alone, atol=2e-3, rtol=1e-3)
    assert small.vectors(space, codes[:0]).shape == (0, 16)


@pytest.mark.parametrize("threads", [1, 2])
def test_bits_do_not_depend_on_the_number_of_threads(small: FrozenEncoder, threads: int) -> None:
    space, before = make_space("nasbench201"), torch.get_num_threads()
    codes = space.sample(64, np.random.default_rng(2))
    expected = FrozenEncoder(small.encoder, "a", "b").vectors(space, codes)
    torch.set_num_threads(threads)
    try:
        found = FrozenEncoder(small.encoder, "a", "b").vectors(space, codes)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found, expected)


def test_a_table_and_an_open_space_show_the_same(small: FrozenEncoder) -> None:
    space = make_listed("transnas-macro")
    rows = np.arange(0, len(space), 37)
    table = encoded_table(space, small, rows)
    assert not table.random
    assert table.features == 16
    assert torch.equal(table.draw(torch.arange(len(rows)), torch.Generator()), torch.arange(len(rows)))
    tokens = EncodedTokens(space, small)
    codes = space.codes[rows].astype(np.int16)
    padded = np.concatenate([codes, np.full_like(codes[:1], -1)])
    shown = tokens.encode(padded)
    np.testing.assert_allclose(shown[:-1], table.rows.numpy(), atol=2e-3, rtol=1e-3)
    assert (shown[-1] == 0).all()
    assert np.array_equal(tokens.encode(padded[::-1])[::-1], shown)  # kept: the very same bits


def test_what_is_kept_of_an_open_space_goes_into_a_checkpoint(
    small: FrozenEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = make_space("darts")
    codes = space.sample(30, np.random.default_rng(3))
    tokens = EncodedTokens(space, small)
    parts = [tokens.encode(codes[i : i + 7]) for i in range(0, 21, 7)]
    state = {name: value.clone() for name, value in tokens.state_dict().items()}
    again = tokens.fresh()
    assert len(again.state_dict()["token_codes"]) == 0
    again.load_state_dict(state)
    with monkeypatch.context() as patched:
        patched.setattr(FrozenEncoder, "vectors", None)  # nothing is computed anew
        assert np.array_equal(again.encode(codes[:21]), np.concatenate(parts))
    assert np.array_equal(again.encode(codes), tokens.encode(codes))
    monkeypatch.setattr("archwalk.encoding.tokens.KEPT", 20)
    again.encode(codes[:4])  # full: begun anew
    assert len(again.state_dict()["token_codes"]) == 4


def test_a_file_and_a_seed_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = written(tmp_path / "ae.safetensors")
    encoder, card = read_encoder(path)
    assert card == {"steps": 3}
    opened = open_encoder(str(path))
    assert opened.digest == digest_of(encoder.state_dict())
    place = settled_place(str(path))
    assert place == f"{path}#{opened.digest}"
    assert settled_place(place) == place
    one, other = open_encoder("random:3"), open_encoder("random:4")
    assert one.digest != other.digest
    assert one.digest == digest_of(random_encoder(3).state_dict())
    assert settled_place("random:3") == f"random:3#{one.digest}"
    written(path, seed=2)
    with pytest.raises(SettingsError, match=f"digest {opened.digest}") as refused:
        open_encoder(place)
    assert str(path) in refused.value.got
    assert open_encoder(str(path)).digest != opened.digest  # without a digest the file counts


def test_the_encoder_of_an_in_context_agent_is_read(tmp_path: Path) -> None:
    from archwalk.searching.incontext.agent import Card, InContextAgent
    from archwalk.searching.incontext.model import InContext, Sizes

    torch.manual_seed(0)
    network = InContext(Sizes(width=16, encoder_layers=1))
    path = tmp_path / "agent.safetensors"
    InContextAgent(network, Card("agent", "", (), (), {})).save(path)
    encoder, _ = read_encoder(path)
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], value)


def changed(path: Path, change: dict[str, Tensor | None], **header: str) -> None:
    tensors = {**load_file(path), **change}
    kept = {name: value for name, value in tensors.items() if value is not None}
    save_file(kept, path, {"kind": AUTOENCODER, "format": "1", "card": "{}"} | header)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:200]), "damaged"),
        (lambda p: p.write_bytes(b""), "damaged"),
        (lambda p: p.write_bytes(b"\x80\x04pickle"), "damaged"),
        (lambda p: p.unlink(), "No such file"),
        (lambda p: changed(p, {}, kind="a picture"), "something else"),
        (lambda p: changed(p, {}, format="2"), "format '2'"),
        (lambda p: changed(p, {}, card="[]"), "something else"),
        (lambda p: changed(p, {}, card="{"), "damaged"),
        (lambda p: changed(p, {"encoder.norm.bias": None}), "Missing key"),
        (lambda p: changed(p, {"encoder.norm.bias": torch.zeros(3)}), "size mismatch"),
        (lambda p: changed(p, {"encoder.norm.bias": torch.full((16,), torch.nan)}), "not finite"),
        (lambda p: changed(p, {"encoder.norm.bias": torch.zeros(16).double()}), "32 bits"),
        (lambda p: changed(p, {"encoder.word.weight": torch.zeros(100_000, 1)}), "of width 100000"),
        (lambda p: changed(p, {"encoder.word.weight": torch.zeros(())}), "damaged"),
        (lambda p: changed(p, {"encoder.spare": torch.zeros(1)}), "Unexpected key"),
    ],
)
def test_damaged_and_strange_files_are_refused(tmp_path: Path, damage: object, said: str) -> None:
    path = written(tmp_path / "ae.safetensors")
    assert callable(damage)
    damage(path)
    with pytest.raises(SettingsError, match=said) as refused:
        open_encoder(str(path))
    assert "archwalk encoder pretrain" in refused.value.remedy


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "ae.safetensors")
    monkeypatch.setattr("archwalk.encoding.weights.LARGEST", 1_000)
    with pytest.raises(SettingsError, match="none is larger"):
        read_encoder(path)


def test_pretraining_writes_a_file_with_a_card(tmp_path: Path) -> None:
    from archwalk.training.encoders import pretrain_encoder

    path, said = tmp_path / "ae.safetensors", list[str]()
    card = pretrain_encoder(
        path, spaces=["transnas-macro"], benchmarks=["synthetic"], steps=3, say=said.append
    )
    opened, kept = read_encoder(path)
    assert json.loads(json.dumps(card)) == kept
    assert len(kept["spaces"]) == 2
    assert kept["steps"] == 3
    assert digest_of(opened.state_dict()) != open_encoder("random:0").digest  # it has learned something
    again = tmp_path / "again.safetensors"
    pretrain_encoder(again, spaces=["transnas-macro"], benchmarks=["synthetic"], steps=3)
    assert digest_of(read_encoder(again)[0].state_dict()) == digest_of(opened.state_dict())
    for wrong in (
        {"spaces": ["nowhere"]},
        {},
        {"spaces": ["gnn"], "steps": 0},
        {"spaces": ["gnn"], "seed": -1},
    ):
        with pytest.raises(SettingsError):
            pretrain_encoder(tmp_path / "no.safetensors", **wrong)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="which is there"):
        pretrain_encoder(path, spaces=["gnn"])
    assert {p.name for p in tmp_path.iterdir()} == {"ae.safetensors", "again.safetensors"}
