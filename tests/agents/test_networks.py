"""The Q-network against the framework's own layers, and the properties that it must have."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from archwalk.agents.networks import EncoderLayer, QNetwork, resolved_precision
from archwalk.config import NetworkSettings
from archwalk.seeding import make_generator

SMALL = NetworkSettings(width=32, feedforward=48, heads=4)


def network(features: int = 10, seed: int = 0) -> QNetwork:
    return QNetwork(features, SMALL, make_generator(seed, "weights"))


def example(seed: int, batch: int = 5, actions: int = 7, features: int = 10):
    g = make_generator(seed, "example")
    tokens = torch.randint(0, 2, (batch, actions, features), generator=g).float()
    exists = torch.rand(batch, actions, generator=g) < 0.6
    exists[:, 0] = True
    return tokens, exists


def framework_layer(layer: EncoderLayer, width: int, feedforward: int) -> nn.TransformerEncoderLayer:
    """torch's own layer with our weights."""
    theirs = nn.TransformerEncoderLayer(width, layer.heads, feedforward, dropout=0.0, batch_first=True)
    theirs.self_attn.in_proj_weight = layer.qkv.weight
    theirs.self_attn.in_proj_bias = layer.qkv.bias
    theirs.self_attn.out_proj, theirs.linear1, theirs.linear2 = layer.out, layer.up, layer.down  # type: ignore
    theirs.norm1, theirs.norm2 = layer.norm1, layer.norm2
    return theirs


@pytest.mark.parametrize("masked", [False, True])
def test_encoder_layer_is_the_frameworks(masked: bool) -> None:
    layer = EncoderLayer(32, 4, 48)
    x = torch.randn(5, 7, 32, generator=make_generator(0, "x"))
    exists = example(1)[1] if masked else None
    theirs = framework_layer(layer, 32, 48)(x, src_key_padding_mask=None if exists is None else ~exists)
    ours = layer(x, None if exists is None else exists[:, None, None, :])
    kept = exists if exists is not None else torch.ones(5, 7, dtype=torch.bool)
    torch.testing.assert_close(ours[kept], theirs[kept], atol=1e-5, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_of_neighbours_changes_nothing(seed: int) -> None:
    net, (tokens, exists) = network(seed=seed), example(seed)
    order = torch.cat(
        [torch.zeros(1, dtype=torch.long), 1 + torch.randperm(6, generator=make_generator(seed, "p"))]
    )
    torch.testing.assert_close(net(tokens, exists)[:, order], net(tokens[:, order], exists[:, order]))
    torch.testing.assert_close(net(tokens, None)[:, order], net(tokens[:, order], None))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_padding_is_as_if_it_were_not_there(seed: int) -> None:
    net, (tokens, exists) = network(seed=seed), example(seed)
    q = net(tokens, exists)
    assert torch.isinf(q[~exists]).all()
    noise = torch.where(exists[..., None], tokens, 100 * torch.rand_like(tokens))
    torch.testing.assert_close(net(noise, exists), q)
    for row in range(len(tokens)):
        alone = net(tokens[row : row + 1, exists[row]], None)
        torch.testing.assert_close(alone[0], q[row][exists[row]])


@torch.no_grad()
def test_dueling_heads_by_their_formula() -> None:
    net, (tokens, exists) = network(), example(3)
    q = net(tokens, exists)
    x = net.embed(tokens)
    x = torch.cat([x[:, :1] + net.current, x[:, 1:]], 1)
    for layer in net.encoder:
        x = layer(x, exists[:, None, None, :])
    for row in range(len(tokens)):
        a = net.advantage(x[row]).squeeze(-1)
        kept = [float(a[k]) for k in range(len(a)) if exists[row, k]]
        v = float(net.value(x[row, 0]))
        for k in range(len(a)):
            if exists[row, k]:
                assert float(q[row, k]) == pytest.approx(v + float(a[k]) - sum(kept) / len(kept), abs=1e-5)


def test_the_current_architecture_is_marked() -> None:
    net, (tokens, _) = network(), example(4)
    swapped = tokens[:, [1, 0, *range(2, 7)]]
    assert not torch.allclose(net(tokens, None)[:, 0], net(swapped, None)[:, 1])


def test_published_sizes() -> None:
    net = QNetwork(104, NetworkSettings(), make_generator(0, "weights"))
    embedding = 104 * 256 + 256 + 2 * (256 * 256 + 256)
    layer = 4 * (256 * 256 + 256) + 2 * 256 * 2048 + 2048 + 256 + 4 * 256
    head = 2 * (256 * 256 + 256) + 257
    assert sum(p.numel() for p in net.parameters()) == embedding + 256 + 2 * layer + 2 * head


def test_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = network(seed=5).state_dict()
    torch.manual_seed(2)
    two = network(seed=5).state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not torch.equal(network(seed=6).current, one["current"])


def test_bfloat16_rounds_little_and_never_the_sum() -> None:
    exact = network()
    rounded = QNetwork(10, SMALL, make_generator(0, "weights"), bfloat16=True)
    tokens, exists = example(5, batch=64)
    q, near = exact(tokens, exists), rounded(tokens, exists)
    assert near.dtype == torch.float32
    assert not torch.equal(near, q)
    size = float(q[exists].detach().abs().max())
    torch.testing.assert_close(near[exists], q[exists], rtol=0, atol=2**-6 * size)
    (near[exists] ** 2).mean().backward()
    (q[exists] ** 2).mean().backward()
    ours, theirs = (torch.cat([p.grad.flatten() for p in net.parameters()]) for net in (rounded, exact))
    assert ours.dtype == torch.float32
    assert 0 < (ours - theirs).norm() < 0.05 * theirs.norm()
    with torch.no_grad():  # a value a thousand times the advantages must not swallow them
        rounded.value[-1].bias += 1_000.0
        high = rounded(tokens, exists)
    torch.testing.assert_close(high[exists] - 1_000, near[exists], rtol=0, atol=2e-4)


def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, precision in (
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": False}, "float32"),
        ({}, "float32"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert resolved_precision("auto", 128, torch.device("cpu")) == precision
        assert resolved_precision("auto", 127, torch.device("cpu")) == "float32"
        assert resolved_precision("float32", 256, torch.device("cpu")) == "float32"
        assert resolved_precision("bfloat16", 16, torch.device("cpu")) == "bfloat16"
