"""Each training-free metric on a network small enough for a slow formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archwalk.proxies import measures
from archwalk.proxies.measures import PROXIES

N, SIDE, CLASSES = 4, 3, 3


def small(seed: int = 0, norm: bool = True) -> nn.Sequential:
    """A convolution of two channels, perhaps normalised, a ReLU, a classifier named as archwalk names it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential()
        network.add_module("first", nn.Conv2d(1, 2, 3, padding=1, bias=False))
        if norm:
            network.add_module("norm", nn.BatchNorm2d(2))
        network.add_module("relu", nn.ReLU())
        network.add_module(
            "head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, CLASSES))
        )
    return network


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randn(N, 1, SIDE, SIDE, generator=g), torch.tensor([0, 2, 1, 0])


def weights_of(network: nn.Module) -> list[nn.Parameter]:
    return [p for name, p in network.named_parameters() if p.dim() > 1]


def loss_at(network: nn.Module, values: Tensor, batch: tuple[Tensor, Tensor]) -> float:
    """The loss where the weights are ``values``, one after the other, in double precision."""
    at, before = 0, [w.detach().clone() for w in weights_of(network)]
    with torch.no_grad():
        for w in weights_of(network):
            w.copy_(values[at : at + w.numel()].view(w.shape))
            at += w.numel()
        loss = F.cross_entropy(network(batch[0].double()), batch[1])
        for w, old in zip(weights_of(network), before, strict=True):
            w.copy_(old)
    return float(loss)


def slow_gradient(
    network: nn.Module, at: Tensor, batch: tuple[Tensor, Tensor], h: float = 1e-5
) -> np.ndarray:
    """By differences, weight by weight."""
    steps = h * torch.eye(len(at), dtype=torch.float64)
    return np.array(
        [(loss_at(network, at + s, batch) - loss_at(network, at - s, batch)) / (2 * h) for s in steps]
    )


def test_gradients_against_differences(batch: tuple[Tensor, Tensor]) -> None:
    network = small()
    double = small().double().train()
    at = torch.cat([w.detach().flatten() for w in weights_of(double)])
    slow = slow_gradient(double, at, batch)
    sizes = np.cumsum([w.numel() for w in weights_of(double)])[:-1]
    norms = sum(np.linalg.norm(part) for part in np.split(slow, sizes))
    assert PROXIES["grad_norm"](network, *batch) == pytest.approx(norms, rel=1e-4)
    assert PROXIES["snip"](network, *batch) == pytest.approx(np.abs(at.numpy() * slow).sum(), rel=1e-4)
    # H g is the change of the gradient along g.
    direction, h = torch.from_numpy(slow), 1e-3
    curved = slow_gradient(double, at + h * direction, batch) - slow_gradient(
        double, at - h * direction, batch
    )
    assert PROXIES["grasp"](network, *batch) == pytest.approx(
        -(at.numpy() * curved / (2 * h)).sum(), rel=2e-3
    )


def test_fisher_by_hand(batch: tuple[Tensor, Tensor]) -> None:
    network = small().train()
    images, labels = batch
    one = network.first(images)
    one.retain_grad()
    pooled = network.norm(one).relu().mean((2, 3))
    scores = network.head[2](pooled)
    scores.retain_grad()
    F.cross_entropy(scores, labels).backward()
    expected = 0.0
    for of in (one.detach() * one.grad, scores.detach() * scores.grad):
        for channel in range(of.shape[1]):
            sums = [float(of[i, channel].sum()) for i in range(N)]
            expected += sum(s**2 for s in sums) / (2 * N)
    assert PROXIES["fisher"](network, *batch) == pytest.approx(expected, rel=1e-5)


def test_synflow_by_hand(batch: tuple[Tensor, Tensor]) -> None:
    """Without normalisation and with positive weights the network is a chain of sums: R is linear in each
    layer's weights, biases aside."""
    network = small()
    first = network.first.weight.detach().abs().double()
    head, bias = (t.detach().abs().double() for t in network.head[2].parameters())
    pooled = F.conv2d(torch.ones(1, 1, SIDE, SIDE).double(), first, padding=1).mean((2, 3))[0]
    through = float((head @ pooled).sum())  # what of R goes through both layers
    assert float((head @ pooled + bias).sum()) > through
    assert PROXIES["synflow"](network, *batch) == pytest.approx(math.log1p(2 * through), rel=1e-9)


def test_jacov_by_numpy(batch: tuple[Tensor, Tensor]) -> None:
    network = small(norm=False)
    images = batch[0]
    rows = []
    for i in range(N):  # without normalisation images do not hear of each other
        one = images[i : i + 1].clone().requires_grad_()
        network(one).sum().backward()
        rows.append(one.grad.flatten().double().numpy())
    values = np.linalg.eigvalsh(np.corrcoef(np.array(rows))).clip(0) + 1e-5
    expected = -np.sum(np.log(values) + 1 / values)
    assert PROXIES["jacov"](network, *batch) == pytest.approx(expected, rel=1e-3)


def test_naswot_by_counting(batch: tuple[Tensor, Tensor]) -> None:
    network = small().train()
    on = (network.norm(network.first(batch[0])) > 0).flatten(1).numpy()
    kernel = np.array([[float((a == b).sum()) for b in on] for a in on])
    expected = np.linalg.slogdet(kernel)[1]
    assert math.isfinite(expected)
    assert PROXIES["naswot"](network, *batch) == pytest.approx(expected)


def test_zen_of_a_linear_network(monkeypatch: pytest.MonkeyPatch, batch: tuple[Tensor, Tensor]) -> None:
    """One convolution of a pixel: f(x) - f(x + α ε) = α w ε, and the variance is that of w x."""
    monkeypatch.setattr(measures, "REPEATS", 1)
    network = nn.Sequential()
    network.add_module("first", nn.Conv2d(1, 1, 1, bias=False))
    network.add_module("head", nn.Flatten())
    with_norm = nn.Sequential()
    with_norm.add_module("first", nn.Conv2d(1, 1, 1, bias=False))
    with_norm.add_module("norm", nn.BatchNorm2d(1))
    g = torch.Generator().manual_seed(0)
    w = float(torch.empty(1).normal_(generator=g))
    x, epsilon = (torch.randn(batch[0].shape, generator=g) for _ in range(2))
    apart = float((0.01 * w * epsilon).flatten(1).norm(dim=1).mean())
    assert PROXIES["zen"](network, *batch) == pytest.approx(math.log(apart), rel=1e-3)
    spread = (w * x).var(correction=0).sqrt()
    y, z = (F.batch_norm(w * t, None, None, training=True) for t in (x, x + 0.01 * epsilon))
    expected = math.log((y - z).flatten(1).norm(dim=1).mean()) + math.log(spread)
    assert PROXIES["zen"](with_norm, *batch) == pytest.approx(expected, rel=1e-3)


def test_sizes(batch: tuple[Tensor, Tensor]) -> None:
    network = small()
    assert PROXIES["params"](network, *batch) == 18 + 4 + 6 + 3
    assert PROXIES["flops"](network, *batch) == 2 * (18 * SIDE**2 + 6)


def test_a_network_that_does_not_see_the_image(batch: tuple[Tensor, Tensor]) -> None:
    class Blind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(1, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.new_zeros(len(x), 1))

    found = {name: measure(Blind(), *batch) for name, measure in PROXIES.items()}
    assert [name for name, value in found.items() if math.isnan(value)] == ["jacov", "naswot", "zen"]
    assert found["synflow"] == found["snip"] == found["grad_norm"] == 0


def test_nothing_is_changed(batch: tuple[Tensor, Tensor]) -> None:
    network, state = small(), torch.random.get_rng_state()
    before = [p.detach().clone() for p in network.parameters()]
    for measure in PROXIES.values():
        measure(network, *batch)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(p.grad is None for p in network.parameters())
    assert not network.first._forward_hooks
    assert torch.equal(state, torch.random.get_rng_state())
