"""The layers that cells and skeletons are made of, in plain PyTorch.

In: numbers of channels and strides. Out: modules, images [n, inputs, h, w] → [n, outputs, ⌈h/stride⌉,
⌈w/stride⌉] unless they say otherwise. Next: ``build`` puts them together, and ``export`` copies the source of
those that a network needs into its file; so nothing here uses any other part of the package, and each
definition uses earlier ones only.

Sources: Duan et al. 2021, Dong and Yang 2020, Liu et al. 2019 and Ying et al. 2019, with their public code
where the papers leave details open.
"""

import torch
from torch import Tensor, nn


class ConvBlock(nn.Sequential):
    """ReLU, then a convolution without bias, then batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        super().__init__(nn.ReLU(), convolution, nn.BatchNorm2d(outputs))


class FactorisedReduction(nn.Module):
    """What stands for the identity where the shape changes: two 1×1 convolutions, one pixel apart."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.here = nn.Conv2d(inputs, outputs // 2, 1, stride, bias=False)
        self.beside = nn.Conv2d(inputs, outputs // 2, 1, stride, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Half of the outputs read the pixels at the corner of each window, half those opposite."""
        x = torch.relu(x)
        shifted = nn.functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        y: Tensor = self.norm(torch.cat([self.here(x), self.beside(shifted)], 1))
        return y


def skip(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The identity, as far as the shape allows."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return FactorisedReduction(inputs, outputs, stride)


def conv1x1(inputs: int, outputs: int, stride: int) -> nn.Module:
    """A 1×1 convolution with its ReLU and normalisation."""
    return ConvBlock(inputs, outputs, 1, stride)


def conv3x3(inputs: int, outputs: int, stride: int) -> nn.Module:
    """A 3×3 convolution with its ReLU and normalisation."""
    return ConvBlock(inputs, outputs, 3, stride)


def avg_pool3x3(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The mean of the 3×3 pixels around, those outside left out; channels stay as they are."""
    assert inputs == outputs
    return nn.AvgPool2d(3, stride, 1, count_include_pad=False)


def max_pool3x3(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The largest of the 3×3 pixels around; channels stay as they are."""
    assert inputs == outputs
    return nn.MaxPool2d(3, stride, 1)


class SeparableHalf(nn.Sequential):
    """ReLU, a convolution a channel, a 1×1 convolution across them, batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, dilation: int) -> None:
        padding = dilation * (kernel // 2)
        each = nn.Conv2d(inputs, inputs, kernel, stride, padding, dilation, groups=inputs, bias=False)
        across = nn.Conv2d(inputs, outputs, 1, bias=False)
        super().__init__(nn.ReLU(), each, across, nn.BatchNorm2d(outputs))


def sep_conv3x3(inputs: int, outputs: int, stride: int) -> nn.Module:
    """A separable 3×3 convolution, twice."""
    first = SeparableHalf(inputs, inputs, 3, stride, 1)
    return nn.Sequential(first, SeparableHalf(inputs, outputs, 3, 1, 1))


def sep_conv5x5(inputs: int, outputs: int, stride: int) -> nn.Module:
    """A separable 5×5 convolution, twice."""
    first = SeparableHalf(inputs, inputs, 5, stride, 1)
    return nn.Sequential(first, SeparableHalf(inputs, outputs, 5, 1, 1))


def dil_conv3x3(inputs: int, outputs: int, stride: int) -> nn.Module:
    """A separable 3×3 convolution of every second pixel."""
    return SeparableHalf(inputs, outputs, 3, stride, 2)


def dil_conv5x5(inputs: int, outputs: int, stride: int) -> nn.Module:
    """A separable 5×5 convolution of every second pixel."""
    return SeparableHalf(inputs, outputs, 5, stride, 2)


def fitted(inputs: int, outputs: int, halve: bool) -> nn.Module:
    """What a DARTS cell does first to an input: its channels, and half its resolution if it has too much."""
    return FactorisedReduction(inputs, outputs, 2) if halve else ConvBlock(inputs, outputs, 1, 1)


class NormalisedConv(nn.Sequential):
    """A convolution without bias, then batch normalisation, then ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def norm_conv1x1(inputs: int, outputs: int, stride: int) -> nn.Module:
    """A 1×1 convolution, normalised, with a ReLU behind it."""
    return NormalisedConv(inputs, outputs, 1, stride)


def norm_conv3x3(inputs: int, outputs: int, stride: int) -> nn.Module:
    """A 3×3 convolution, normalised, with a ReLU behind it."""
    return NormalisedConv(inputs, outputs, 3, stride)


def halving_pool() -> nn.Module:
    """The largest of each 2×2 pixels."""
    return nn.MaxPool2d(2, 2, ceil_mode=True)


def share(channels: int, parts: int, i: int) -> int:
    """Channels of the i-th of some parts; the first ones have one more where they do not divide."""
    return channels // parts + (i < channels % parts)


class Twice(nn.Module):
    """One tensor as both inputs of a cell that reads the last two."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The pair."""
        return x, x


class Last(nn.Module):
    """The second of a pair."""

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        """The output of the last cell."""
        return pair[1]


def zeros(x: Tensor, outputs: int, stride: int) -> Tensor:
    """What a node holds that sums nothing."""
    return x.new_zeros((x.shape[0], outputs, -(-x.shape[2] // stride), -(-x.shape[3] // stride)))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut: ResNet's basic block with the ReLU in front."""

    def __init__(self, inputs: int, outputs: int, stride: int, pooled: bool) -> None:
        """Where the shape changes, the shortcut is a 1×1 convolution: of 2×2 means, or normalised."""
        super().__init__()
        self.first = ConvBlock(inputs, outputs, 3, stride)
        self.second = ConvBlock(outputs, outputs, 3, 1)
        self.shortcut = nn.Sequential()  # the identity
        if pooled:
            self.shortcut.append(nn.AvgPool2d(stride, stride, ceil_mode=True))
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, bias=False))
        elif stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Their sum."""
        y: Tensor = self.shortcut(x) + self.second(self.first(x))
        return y


def plain_stem(inputs: int, outputs: int) -> nn.Sequential:
    """A 3×3 convolution at full resolution, normalised."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))


def reducing_stem(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3×3 convolutions of stride 2, normalised: a quarter of the resolution."""
    half = outputs // 2
    first = nn.Conv2d(inputs, half, 3, 2, 1, bias=False)
    return nn.Sequential(first, nn.BatchNorm2d(half), ConvBlock(half, outputs, 3, 2))


def closing(channels: int) -> nn.Sequential:
    """Normalisation and ReLU after the last cell."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


def classifier(inputs: int, classes: int) -> nn.Sequential:
    """The mean over all pixels, then a linear layer: [n, inputs, h, w] → scores [n, classes]."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))
