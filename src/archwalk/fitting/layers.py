"""Networks of vectors and of series, and what stands before and behind every fitted network, in plain
PyTorch.

In: numbers. Out: modules. Next: ``networks`` makes them from architectures, and copies the source of those
    that
a network needs into its file; so nothing here uses any other part of the package, and each definition uses
earlier ones only.

Sources: He et al. 2016 (residual connections); Gorishniy et al. 2021 (residual networks of tabular data);
Wang, Yan and Oates 2017 (residual convolutions of series).
"""

import torch
from torch import Tensor, nn


class ResidualMLP(nn.Module):
    """Vectors [n, inputs] → [n, outputs]: a linear layer, blocks of two linear layers each, a linear layer.

    Args:
        inputs: numbers a vector.
        outputs: numbers that come out.
        blocks: how many.
        width: between the blocks.
        expansion: times the width within a block.
        norm: "none", "batch" or "layer": normalisation before each block and before the last layer.
        activation: "relu", "gelu" or "silu".
        dropout: share of the numbers within a block that are dropped in training.
        skip: "identity" adds a block's input to its output; "none" does not.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        blocks: int,
        width: int,
        expansion: int,
        norm: str,
        activation: str,
        dropout: float,
        skip: str,
    ) -> None:
        super().__init__()
        norms = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
        acts = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}
        self.residual = skip == "identity"
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                norms[norm](width),
                nn.Linear(width, expansion * width),
                acts[activation](),
                nn.Dropout(dropout),
                nn.Linear(expansion * width, width),
                nn.Dropout(dropout),
            )
            for _ in range(blocks)
        )
        self.last = nn.Sequential(norms[norm](width), acts[activation](), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x) if self.residual else torch.relu(block(x))
        y: Tensor = self.last(x)
        return y


class SeriesBlock(nn.Module):
    """Series [n, inputs, l] → [n, outputs, ⌈l/stride⌉]: two convolutions beside a 1-wide one.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        kernel: width of the convolutions, odd.
        kind: "plain", "separable" (a convolution a channel, then one across) or "dilated" (every second
            step).
        stride: 1 or 2.
        dropout: share of whole channels that are dropped in training.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, kind: str, stride: int, dropout: float
    ) -> None:
        super().__init__()
        d = 2 if kind == "dilated" else 1
        pad = d * (kernel // 2)
        if kind == "separable":
            first: nn.Module = nn.Sequential(
                nn.Conv1d(inputs, inputs, kernel, stride, pad, groups=inputs, bias=False),
                nn.Conv1d(inputs, outputs, 1, bias=False),
            )
            second: nn.Module = nn.Sequential(
                nn.Conv1d(outputs, outputs, kernel, 1, pad, groups=outputs, bias=False),
                nn.Conv1d(outputs, outputs, 1, bias=False),
            )
        else:
            first = nn.Conv1d(inputs, outputs, kernel, stride, pad, d, bias=False)
            second = nn.Conv1d(outputs, outputs, kernel, 1, pad, d, bias=False)
        self.main = nn.Sequential(
            first,
            nn.BatchNorm1d(outputs),
            nn.ReLU(),
            nn.Dropout1d(dropout),
            second,
            nn.BatchNorm1d(outputs),
        )
        same = inputs == outputs and stride == 1
        self.beside: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv1d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm1d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """The sum, rectified."""
        return torch.relu(self.main(x) + self.beside(x))


class ResidualConv1d(nn.Module):
    """Series [n, inputs, l] → [n, outputs].

    Args:
        inputs: channels of the series.
        outputs: numbers that come out.
        stages: each after the first halves the length and doubles the channels.
        blocks: a stage.
        width: channels of the first stage.
        kernel: width of the convolutions, odd.
        kind: of the blocks: "plain", "separable" or "dilated".
        dropout: share of whole channels that are dropped within a block in training.
        pool: "mean" over the steps, or "max".
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stages: int,
        blocks: int,
        width: int,
        kernel: int,
        kind: str,
        dropout: float,
        pool: str,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv1d(inputs, width, kernel, 1, kernel // 2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
        ]
        channels = width
        for s in range(stages):
            for b in range(blocks):
                out = width * 2**s
                layers.append(SeriesBlock(channels, out, kernel, kind, 2 if s and not b else 1, dropout))
                channels = out
        self.features = nn.Sequential(*layers)
        self.pool = pool
        self.head = nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        x = self.features(x)
        x = x.amax(2) if self.pool == "max" else x.mean(2)
        y: Tensor = self.head(x)
        return y


class Standardised(nn.Module):
    """A network between its data as they are and its data as it was trained on.

    Inputs are brought to mean 0 and deviation 1 as the training examples were, channel by channel or feature
    by feature; what comes out is brought back to the units of the targets. Both are buffers, so that they are
    kept with the weights.

    Args:
        network: standardised inputs → scores, or standardised targets.
        channels: of the inputs, or features.
        axes: of one example: 1 a vector, 2 a series, 3 an image.
    """

    mean: Tensor
    deviation: Tensor
    target_mean: Tensor
    target_deviation: Tensor

    def __init__(self, network: nn.Module, channels: int, axes: int) -> None:
        super().__init__()
        shape = (1, channels) + (1,) * (axes - 1)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))
        self.register_buffer("target_mean", torch.zeros(()))
        self.register_buffer("target_deviation", torch.ones(()))
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Scores, or predictions in the targets' units."""
        y: Tensor = self.network((x - self.mean) / self.deviation)
        return y * self.target_deviation + self.target_mean
