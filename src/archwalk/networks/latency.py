"""How long a network takes on this device: measured, not predicted.

In: a network, and how to measure. Out: a ``Latency``: the median of many passes with its interval, and
everything that it depends on. Next: ``archwalk latency`` prints it; ``archwalk.searching.quantities`` holds
limits against it.
"""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from archwalk.config import LatencySettings, SkeletonSettings
from archwalk.errors import SettingsError
from archwalk.networks.build import build_network
from archwalk.spaces.base import SearchSpace


@dataclass(frozen=True)
class Latency:
    """One network's latency.

    Attributes:
        milliseconds: the median over the passes, of one batch.
        low: lower end of the median's 95 % interval (of order statistics, so no distribution is assumed).
        high: its upper end.
        passes: timed.
        warmup: passes before them.
        batch: images a pass.
        size: height and width of an image.
        threads: of the CPU; 0 on a GPU.
        device: what it ran on.
    """

    milliseconds: float
    low: float
    high: float
    passes: int
    warmup: int
    batch: int
    size: int
    threads: int
    device: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        on = self.device + (
            f", {self.threads} thread{'s' if self.threads > 1 else ''}" if self.threads else ""
        )
        image = f"{self.batch} x {self.size} x {self.size}"
        return (
            f"{self.milliseconds:.3g} ms [{self.low:.3g}, {self.high:.3g}], median of {self.passes} passes "
            f"of {image} after {self.warmup} to warm up, on {on}"
        )


def measure_latency(network: nn.Module, inputs: int, settings: LatencySettings) -> Latency:
    """Time passes without gradients, one after the other, each to its end.

    Args:
        network: images [n, inputs, size, size] → anything.
        inputs: channels.
        settings: how to measure.

    Raises:
        SettingsError: a device that is not there.
    """
    device = _device(settings.device)
    before, mode = torch.get_num_threads(), network.training
    network = network.eval().to(device)
    image = torch.zeros(settings.batch, inputs, settings.size, settings.size, device=device)
    times = np.empty(settings.passes)
    try:
        if device.type == "cpu":
            torch.set_num_threads(settings.threads)
        with torch.inference_mode():
            for i in range(-settings.warmup, settings.passes):
                began = time.perf_counter()
                network(image)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                times[max(i, 0)] = time.perf_counter() - began
    finally:
        torch.set_num_threads(before)
        network.train(mode)
    low, high = median_interval(times)
    return Latency(
        milliseconds=float(np.median(times)) * 1e3,
        low=low * 1e3,
        high=high * 1e3,
        passes=settings.passes,
        warmup=settings.warmup,
        batch=settings.batch,
        size=settings.size,
        threads=settings.threads if device.type == "cpu" else 0,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine() + " CPU",
    )


def latency_of(
    space: SearchSpace | str | None, architecture: str, skeleton: SkeletonSettings, settings: LatencySettings
) -> Latency:
    """``measure_latency`` of an architecture's network, untrained. Raises as ``build_network`` does."""
    network = build_network(space, architecture, **skeleton.model_dump())
    return measure_latency(network, skeleton.inputs, settings)


def median_interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a median by order statistics (Conover 1999, section 3.2); their range below 6
    values, where there is none of that level."""
    ordered, n = np.sort(values), len(values)
    from scipy.stats import binom  # a third of a second that no other command needs

    k = max(int(binom.ppf(0.025, n, 0.5)), 1)
    return float(ordered[k - 1]), float(ordered[n - k])


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(
            "a device that is there: cpu, cuda or cuda:N", name, "choose another one"
        ) from error
    return device
