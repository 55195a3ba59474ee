"""What each training-free metric computes, on any network of convolutions and linear layers.

In: an untrained ``nn.Module``, images [n, channels, h, w], labels [n]. Out: one number; NaN where a metric
is not defined for the network. Nothing of the network is changed but the running means of its
normalisations. Next: ``measuring`` builds the networks.

Definitions are those of Abdelfattah et al. 2021 (arXiv:2101.08134, section 3) where they have one; each
function names its own source. The loss is the mean cross-entropy of the batch; the weights are those of
convolutions and linear layers; networks are in training mode, so normalisations use the batch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

JITTER = 1e-5  # of the eigenvalues of correlations (Mellor et al. 2020)
REPEATS, PERTURBATION = 32, 1e-2  # of zen: draws of weights and images; size of the change of an image
Measure = Callable[[nn.Module, Tensor, Tensor], float]


def weighted(network: nn.Module) -> list[nn.Module]:
    """Its convolutions and linear layers, in order."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def _weights(network: nn.Module) -> list[nn.Parameter]:
    return [layer.weight for layer in weighted(network) if isinstance(layer.weight, nn.Parameter)]


def _loss(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(network.train()(images), labels)


def _gradients(of: Tensor, weights: list[nn.Parameter], **options: Any) -> list[Tensor]:
    """Of a number by each weight; zeros where it does not depend on one."""
    if not of.requires_grad:
        return [torch.zeros_like(w) for w in weights]
    found = torch.autograd.grad(of, weights, allow_unused=True, **options)
    return [torch.zeros_like(w) if g is None else g for g, w in zip(found, weights, strict=True)]


@contextmanager
def _watched(
    layers: list[nn.Module], look: Callable[[nn.Module, tuple[Any, ...], Tensor], None]
) -> Iterator[None]:
    """While it is open, ``look`` sees what goes into each layer and what comes out."""
    handles = [layer.register_forward_hook(look) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Σ over layers of ‖∂L/∂w‖₂ (Abdelfattah et al. 2021, section 3.1)."""
    gradients = _gradients(_loss(network, images, labels), _weights(network))
    return float(sum(g.norm() for g in gradients))


def snip(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Σ |w · ∂L/∂w| (Lee et al. 2019, arXiv:1810.02340)."""
    weights = _weights(network)
    gradients = _gradients(_loss(network, images, labels), weights)
    return float(sum((w.detach() * g).abs().sum() for w, g in zip(weights, gradients, strict=True)))


def grasp(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """-Σ w · (H ∂L/∂w), H the Hessian of the loss (Wang et al. 2020, arXiv:2002.07376), without their
    temperature."""
    weights = _weights(network)
    gradients = _gradients(_loss(network, images, labels), weights, create_graph=True)
    product = sum(((g.detach() * g).sum() for g in gradients), torch.zeros(()))
    curved = _gradients(product, weights)
    return -float(sum((w.detach() * h).sum() for w, h in zip(weights, curved, strict=True)))


def fisher(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Σ over channels of 1/2n Σ over images of (Σ over pixels of a · ∂L/∂a)², a the outputs of convolutions
    and linear layers (Turner et al. 2020, arXiv:1906.04113, equation 3)."""
    outputs: list[Tensor] = []

    def keep(layer: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        outputs.append(output)

    with _watched(weighted(network), keep):
        loss = _loss(network, images, labels)
    gradients = torch.autograd.grad(loss, outputs, allow_unused=True)
    total = 0.0
    for output, gradient in zip(outputs, gradients, strict=True):
        if gradient is not None:
            by_channel = (output.detach() * gradient).flatten(2).sum(2) if output.dim() > 2 else None
            of = output.detach() * gradient if by_channel is None else by_channel
            total += float(of.square().mean(0).sum()) / 2
    return total


def synflow(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """log(1 + Σ w · ∂R/∂w) of the network with |w| for w and without normalisations, R the sum of its
    scores for one image of ones (Tanaka et al. 2020, arXiv:2006.05467).

    The logarithm, as in published tables, because sums span a hundred powers of ten; the images give their
    shape alone.
    """
    linear = copy.deepcopy(network).double()
    for parent in list(linear.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.abs_()
    weights = _weights(linear)
    scores = linear(torch.ones(1, *images.shape[1:], dtype=torch.float64)).sum()
    flow = sum((w.detach() * g).sum() for w, g in zip(weights, _gradients(scores, weights), strict=True))
    return math.log1p(float(flow))


def jacov(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """-Σ (log(v + k) + 1/(v + k)) over the eigenvalues v of the correlations between images of the
    derivatives of the scores' sum by the pixels, k = ``JITTER`` (Mellor et al. 2020, arXiv:2006.04647v1)."""
    given = images.clone().requires_grad_()
    scores = network.train()(given)
    derivative = (
        torch.autograd.grad(scores.sum(), given, allow_unused=True)[0] if scores.requires_grad else None
    )
    if derivative is None:
        return math.nan
    rows = derivative.flatten(1).double()
    rows = rows - rows.mean(1, keepdim=True)
    lengths = rows.norm(dim=1, keepdim=True)
    if not bool((lengths > 0).all()) or not bool(torch.isfinite(lengths).all()):
        return math.nan
    values = torch.linalg.eigvalsh((rows / lengths) @ (rows / lengths).T).clamp_min(0) + JITTER
    return -float((values.log() + 1 / values).sum())


def naswot(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """log |det K|, K[i, j] the number of rectified units that are on for both images or off for both
    (Mellor et al. 2021, arXiv:2006.04647, equation 2)."""
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64)

    def count(layer: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        on = (output.detach().flatten(1) > 0).double()
        kernel.add_(on @ on.T + (1 - on) @ (1 - on).T)

    rectifiers: list[nn.Module] = [layer for layer in network.modules() if isinstance(layer, nn.ReLU)]
    with torch.no_grad(), _watched(rectifiers, count):
        network.train()(images)
    determinant = float(torch.linalg.slogdet(kernel)[1])
    return determinant if math.isfinite(determinant) else math.nan


def zen(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """log E ‖f(x) - f(x + α ε)‖ + Σ over normalisations of log √(mean variance of what goes in), of weights,
    images x and changes ε that are all standard normal, f the features before the classifier (Lin et al.
    2021, arXiv:2102.01063, algorithm 1), the mean of ``REPEATS`` draws.

    The images given say the shape alone. The classifier is the module ``head``; without one f is all.
    """
    changed = copy.deepcopy(network).train()
    head = getattr(changed, "head", None)
    if isinstance(head, nn.Module):
        changed.head = nn.Identity()
    generator = torch.Generator().manual_seed(0)
    scales: list[Tensor] = []

    def spread(layer: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        scales.append(given[0].var((0, 2, 3), correction=0).mean().sqrt().log())

    norms: list[nn.Module] = [layer for layer in changed.modules() if isinstance(layer, nn.BatchNorm2d)]
    total = 0.0
    with torch.no_grad():
        for _ in range(REPEATS):
            for weight in _weights(changed):
                weight.normal_(generator=generator)
            x, epsilon = (torch.randn(images.shape, generator=generator) for _ in range(2))
            scales.clear()
            with _watched(norms, spread):
                here = changed(x)
            there = changed(x + PERTURBATION * epsilon)
            apart = (here - there).flatten(1).norm(dim=1).mean().log()
            total += float(apart + sum(scales))
    return total / REPEATS if math.isfinite(total) else math.nan


def params(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Parameters."""
    return float(sum(p.numel() for p in network.parameters()))


def flops(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Floating-point operations of convolutions and linear layers on one image: two a multiply-add."""
    total = 0

    def add(layer: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, Tensor)
        total += 2 * weight[0].numel() * output[0].numel()

    with torch.no_grad(), _watched(weighted(network), add):
        network.train()(images)
    return float(total)


PROXIES: dict[str, Measure] = {
    measure.__name__: measure
    for measure in (synflow, snip, grad_norm, grasp, fisher, jacov, naswot, zen, params, flops)
}
