"""Training one network for a number of steps, and measuring it.

In: an untrained network, examples, a recipe, a seed. Out: the trained network, its metrics. Next: ``units``
does it for one entry of the ledger.

A training depends on its arguments alone: the order of the examples, their shifts and what is dropped come
from generators of the seed and the step, so one that was killed goes on from its checkpoint with the same
numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from archwalk.files import write_atomically
from archwalk.fitting.data import Dataset
from archwalk.fitting.layers import Standardised
from archwalk.fitting.metrics import Floats, measure_of, unbalanced
from archwalk.seeding import make_generator

MEASURED = 512  # examples measured at a time
LARGEST_WEIGHT = 10.0  # of a class
CHECKPOINT = "training.safetensors"
EVERY = 60.0  # seconds between two checkpoints within a training
_SEED = 2**62


class Diverged(Exception):
    """A training whose loss is no number any more."""


@dataclass(frozen=True)
class Recipe:
    """How networks are trained; the same for every network of a run.

    Attributes:
        batch: examples a step.
        learning_rate: of AdamW (Loshchilov and Hutter 2019), the highest: it rises over the first twentieth
            of the steps and falls to zero on half a cosine.
        decay: of weights; biases and normalisations have none.
        shift: pixels that images are moved by at most, along each axis.
        flip: whether half of the images are mirrored.
        weighted: whether classes count alike in the loss, however rare.
        loss: ``cross-entropy``, ``squared`` or ``absolute``.
        clip: largest norm of a gradient.
    """

    batch: int
    learning_rate: float
    decay: float
    shift: int
    flip: bool
    weighted: bool
    loss: str
    clip: float = 5.0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def make_recipe(data: Dataset, trained: int, metric: str, flip: bool) -> Recipe:
    """Defaults for a data set.

    Args:
        data: what is learned.
        trained: examples that are trained on.
        metric: to improve; the mean absolute error has a loss of its own.
        flip: whether mirrored images mean the same, which nobody can know but the user.
    """
    images = data.kind == "images"
    batch = min(128 if trained > 20_000 else 64, max(8, trained // 16))
    regression = "absolute" if metric == "mae" else "squared"
    return Recipe(
        batch=batch,
        learning_rate=3e-3 if images else 2e-3,
        decay=0.02,
        shift=max(1, min(data.shape[1:]) // 8) if images else 0,
        flip=flip,
        weighted=unbalanced(data),
        loss=regression if data.task == "regression" else "cross-entropy",
    )


@dataclass(frozen=True)
class Examples:
    """What a training sees.

    Attributes:
        inputs: all of the data's, on the device.
        targets: numbers of classes, int64, or quantities, float32, on the device.
        rows: those that are trained on, ascending.
        classes: how many; 0 for regression.
    """

    inputs: Tensor
    targets: Tensor
    rows: NDArray[np.int64]
    classes: int


def standardised(network: nn.Module, examples: Examples) -> Standardised:
    """The network behind the mean and deviation of the examples that are trained on."""
    inputs = examples.inputs
    model = Standardised(network, inputs.shape[1], inputs.ndim - 1)
    some = torch.from_numpy(examples.rows).to(inputs.device)
    over = [0, *range(2, inputs.ndim)]
    total = torch.zeros(inputs.shape[1], dtype=torch.float64, device=inputs.device)
    squares, count = torch.zeros_like(total), 0
    for rows in some.split(MEASURED):
        part = inputs[rows].double()
        total, squares = total + part.sum(over), squares + (part**2).sum(over)
        count += part.numel() // part.shape[1]
    mean = total / count
    deviation = (squares / count - mean**2).clamp(min=0).sqrt()
    deviation[deviation < 1e-8 * (1 + mean.abs())] = 1.0
    model.mean.copy_(mean.reshape(model.mean.shape))
    model.deviation.copy_(deviation.reshape(model.mean.shape))
    if not examples.classes:
        targets = examples.targets[some].double()
        model.target_mean.copy_(targets.mean())
        model.target_deviation.copy_(targets.std(unbiased=False).clamp(min=1e-12))
    return model.to(inputs.device)


@dataclass(frozen=True)
class Watch:
    """Measures a network on the way, so that it can be told when it was best.

    Attributes:
        at: steps after which it is measured, ascending.
        look: measures; nothing that it does changes the training.
        found: what it saw so far, one entry a point.
    """

    at: tuple[int, ...]
    look: Callable[[Standardised], dict[str, float]]
    found: list[dict[str, float]] = field(default_factory=list)


class Keeper:
    """The checkpoint of the training that is under way.

    Args:
        folder: where it is kept.
        clock: seconds.
        name: of the training; a checkpoint of another one is not used.
    """

    def __init__(self, folder: Path, clock: Callable[[], float], name: str) -> None:
        self._path, self._clock, self._name = folder / CHECKPOINT, clock, name
        self._last = self._began = clock()
        self.before = 0.0  # seconds that were spent up to the checkpoint

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer, watch: Watch | None = None) -> int:
        """Go back to the checkpoint, if there is one of this training. Returns the steps that are done."""
        try:
            with safe_open(self._path, "pt") as file:
                about = file.metadata() or {}
                if about.get("training") != self._name:
                    return 0
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        except (OSError, SafetensorError):
            return 0
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model/")})
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        for i, parameter in enumerate(parameters):
            optimiser.state[parameter] = {
                key: tensors[f"optimiser/{i}/{key}"].to("cpu" if key == "step" else parameter.device)
                for key in ("step", "exp_avg", "exp_avg_sq")
            }
        if watch is not None:
            watch.found[:] = json.loads(about["found"])
        self.before = float(about["seconds"])
        return int(about["step"])

    def keep(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, step: int, watch: Watch | None = None
    ) -> None:
        """Write a checkpoint, if the last one is old enough."""
        now = self._clock()
        if now - self._last < EVERY:
            return
        self._last = now
        tensors = {f"model/{k}": v.cpu().contiguous() for k, v in model.state_dict().items()}
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        for i, parameter in enumerate(parameters):
            for key, value in optimiser.state[parameter].items():
                tensors[f"optimiser/{i}/{key}"] = value.cpu().contiguous()
        seconds = self.before + now - self._began
        about = {"training": self._name, "step": str(step), "seconds": repr(seconds)}
        about["found"] = json.dumps([] if watch is None else watch.found)
        write_atomically(self._path, save(tensors, about))


def train(
    model: Standardised,
    examples: Examples,
    steps: int,
    seed: int,
    recipe: Recipe,
    keeper: Keeper | None = None,
    *,
    stop: int | None = None,
    watch: Watch | None = None,
) -> None:
    """Train in place.

    Args:
        model: on the device of the examples.
        examples: see there.
        steps: of the optimiser, over which the learning rate falls to zero.
        seed: of order, shifts and dropout.
        recipe: see there.
        keeper: where checkpoints are kept.
        stop: steps after which the training ends; all of them by default.
        watch: measures on the way.

    Raises:
        Diverged: the loss is no number any more.
    """
    device = examples.inputs.device
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.decay}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW([g for g in groups if g["params"]], lr=recipe.learning_rate)
    loss_of = _loss(model, examples, recipe)
    began = keeper.restore(model, optimiser, watch) if keeper else 0
    model.train()
    mixed = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if mixed else []):
        for step, rows in enumerate(_order(examples.rows, steps, seed, recipe.batch)):
            if step == stop:
                break
            if step < began:
                continue
            generator = make_generator(seed, f"step {step}")
            torch.manual_seed(int(torch.randint(_SEED, (), generator=generator)))
            rate = learning_rate(step, steps, recipe.learning_rate)
            for group in optimiser.param_groups:
                group["lr"] = rate
            at = rows.to(device)
            inputs = _augmented(examples.inputs[at].float(), recipe, generator)
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
                scores = model.network((inputs - model.mean) / model.deviation)
            loss = loss_of(scores.float(), examples.targets[at])
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            if step % 16 == 0 and not bool(torch.isfinite(norm)):
                raise Diverged(f"the gradient is {float(norm)} after {step} steps")
            optimiser.step()
            if watch and step + 1 in watch.at:
                watch.found.append(watch.look(model))
                model.train()
            if keeper:
                keeper.keep(model, optimiser, step + 1, watch)


def learning_rate(step: int, steps: int, highest: float) -> float:
    """Linear rise over the first twentieth of the steps, under half a cosine that ends at zero."""
    return highest * min(1.0, (step + 1) / (0.05 * steps)) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def _loss(model: Standardised, examples: Examples, recipe: Recipe) -> Callable[[Tensor, Tensor], Tensor]:
    if not examples.classes:
        error = F.l1_loss if recipe.loss == "absolute" else F.mse_loss
        mean, deviation = model.target_mean, model.target_deviation
        return lambda scores, targets: error(scores[:, 0], (targets - mean) / deviation)
    weight = None
    if recipe.weighted:
        counts = torch.bincount(examples.targets[torch.from_numpy(examples.rows)], minlength=examples.classes)
        weight = (counts.sum() / (examples.classes * counts.clamp(min=1))).clamp(max=LARGEST_WEIGHT).float()
    return lambda scores, targets: F.cross_entropy(scores, targets, weight)


def _order(rows: NDArray[np.int64], steps: int, seed: int, batch: int) -> Iterator[Tensor]:
    """Rows of each step, [batch]: every example once a pass, the last incomplete batch of a pass left out."""
    all_rows = torch.from_numpy(rows)
    batch = min(batch, len(all_rows))
    done, epoch = 0, 0
    while done < steps:
        order = torch.randperm(len(all_rows), generator=make_generator(seed, f"epoch {epoch}"))
        for at in range(0, len(order) - batch + 1, batch):
            if done == steps:
                return
            yield all_rows[order[at : at + batch]]
            done += 1
        epoch += 1


def _augmented(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Images moved by whole pixels, their edge repeated, and mirrored; anything else as it is."""
    if images.ndim != 4 or not (recipe.shift or recipe.flip):
        return images
    n, _, height, width = images.shape
    s = recipe.shift
    if s:
        padded = F.pad(images, (s, s, s, s), mode="replicate")
        moved = torch.randint(2 * s + 1, (2, n), generator=generator).to(images.device)
        y = (moved[0][:, None] + torch.arange(height, device=images.device))[:, None, :, None]
        x = (moved[1][:, None] + torch.arange(width, device=images.device))[:, None, None, :]
        some = torch.arange(n, device=images.device)[:, None, None, None]
        channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
        images = padded[some, channel, y, x]
    if recipe.flip:
        mirrored = (torch.rand(n, generator=generator) < 0.5).to(images.device)[:, None, None, None]
        images = torch.where(mirrored, images.flip(3), images)
    return images


@torch.no_grad()
def predict(model: nn.Module, inputs: Tensor, rows: NDArray[np.int64]) -> Floats:
    """What the model says of some rows, [rows, outputs]. Raises ``Diverged`` where that is no number."""
    model.eval()
    at = torch.from_numpy(rows).to(inputs.device)
    said = torch.cat([model(inputs[some].float()) for some in at.split(MEASURED)]).double().cpu().numpy()
    if not np.isfinite(said).all():
        raise Diverged("the network predicts numbers that are not finite")
    return said


def measure(model: nn.Module, data: Dataset, inputs: Tensor, rows: NDArray[np.int64]) -> dict[str, float]:
    """Every metric of the data's task on some rows. Raises ``Diverged``."""
    return measure_of(data)(predict(model, inputs, rows), data.targets[rows])
