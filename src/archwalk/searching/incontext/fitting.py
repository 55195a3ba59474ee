"""Training a network on many tasks of many spaces.

In: ``Pool``s of architectures and ``Training``. Out: an ``InContext`` network. Next: ``agent`` keeps it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from archwalk.encoding.pretraining import pretrain
from archwalk.errors import RunError, reason
from archwalk.files import write_atomically
from archwalk.searching.incontext.model import InContext, Sizes
from archwalk.searching.incontext.tasks import Lesson, Mix, Pool, make_lesson
from archwalk.training.runner import threads

Pretrained = Literal["none", "frozen", "fine-tuned"]
WARM_UP, SAY_EVERY = 200, 250  # steps


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        steps: lessons, of 16 tasks each.
        rate: largest step size of AdamW, reached after 200 steps; it then falls to 0 along a cosine.
        seed: decides all randomness.
        pretraining: steps of the autoencoder, before anything is learned of tasks.
        encoder: what becomes of the pretrained encoder; ``none``: there is no pretraining.
        sizes: of the network.
        mix: what tasks there are.
    """

    steps: int = 6_000
    rate: float = 1e-3
    seed: int = 0
    pretraining: int = 3_000
    encoder: Pretrained = "none"
    sizes: Sizes = field(default_factory=Sizes)
    mix: Mix = field(default_factory=Mix)


def loss_of(network: InContext, lesson: Lesson) -> Float[Tensor, ""]:
    """Mean negative log likelihood of the targets, less log √(2π)."""
    vectors = network.embed(lesson.drawings)
    mean, log = network(vectors[lesson.context], lesson.rewards, lesson.known, vectors[lesson.queries])
    return (log + ((lesson.targets - mean) / log.exp()) ** 2 / 2).mean()


@threads(1)  # on several, gradients are added up in any order, and the bits are others each time
def train(
    pools: Sequence[Pool],
    training: Training,
    say: Callable[[str], None] = lambda text: None,
    checkpoint: Path | None = None,
) -> InContext:
    """Train a network. A step is a lesson of one pool.

    A pool is chosen in proportion to the square root of one more than its number of real tasks.

    Args:
        pools: at least one.
        training: how.
        say: told how it goes.
        checkpoint: a file of which a training that was killed goes on, to the same bits; removed by the
            caller once the network is kept.

    Raises:
        RunError: the checkpoint is of another training, or damaged.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        network = InContext(training.sizes)
    begun = checkpoint is not None and checkpoint.exists()
    if training.encoder != "none":
        if not begun:
            drawings = [pool.drawings for pool in pools]
            pretrain(network.encoder, drawings, training.pretraining, training.seed, say)
        network.encoder.requires_grad_(training.encoder == "fine-tuned")
    learned = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=training.rate, betas=(0.9, 0.98), weight_decay=1e-4)
    generator = np.random.default_rng(training.seed)
    weights = np.sqrt([1.0 + len(pool.scores) for pool in pools])
    state = _State(network, optimizer, generator, _identity(pools, training))
    losses: list[float] = []
    for step in range(state.load(checkpoint) if checkpoint and begun else 0, training.steps):
        if checkpoint and step % SAY_EVERY == 0 and step:
            state.save(checkpoint, step)
        for group in optimizer.param_groups:
            group["lr"] = training.rate * _share(step, training.steps)
        pool = pools[int(generator.choice(len(pools), p=weights / weights.sum()))]
        loss = loss_of(network, make_lesson(pool, training.mix, generator))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % SAY_EVERY == 0:
            say(f"step {step + 1:,} of {training.steps:,}: loss {np.mean(losses[-SAY_EVERY:]):.3f}")
    return network.requires_grad_(True).eval()


def _identity(pools: Sequence[Pool], training: Training) -> str:
    """What decides the bits of a training."""
    digest = hashlib.sha256(json.dumps(asdict(training), sort_keys=True).encode())
    for pool in pools:
        digest.update(
            np.ascontiguousarray(pool.codes).tobytes() + np.ascontiguousarray(pool.scores).tobytes()
        )
    return digest.hexdigest()


class _State:
    """All that a training has changed so far, as one safetensors file."""

    def __init__(
        self,
        network: InContext,
        optimizer: torch.optim.Optimizer,
        generator: np.random.Generator,
        identity: str,
    ) -> None:
        self._network, self._optimizer = network, optimizer
        self._generator, self._identity = generator, identity

    def save(self, file: Path, step: int) -> None:
        """After so many steps. Raises ``RunError`` where it cannot be written."""
        tensors = {f"network/{name}": t for name, t in self._network.state_dict().items()}
        for i, kept in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{i}/{name}": t for name, t in kept.items()}
        header = {
            "step": str(step),
            "identity": self._identity,
            "generator": json.dumps(self._generator.bit_generator.state),
        }
        write_atomically(
            file, save({name: t.detach().contiguous().clone() for name, t in tensors.items()}, header)
        )

    def load(self, file: Path) -> int:
        """Take it up; the steps that were made. Raises ``RunError``."""
        try:
            with safe_open(file, framework="pt") as opened:
                header = opened.metadata() or {}
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            if header["identity"] != self._identity:
                raise RunError(
                    "the training that was begun, to go on with",
                    f"{file}, of another one",
                    "give the command that began it, or remove that file",
                )
            network = {n.removeprefix("network/"): t for n, t in tensors.items() if n.startswith("network/")}
            kept: dict[int, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                if name.startswith("optimizer/"):
                    _, i, what = name.split("/")
                    kept.setdefault(int(i), {})[what] = tensor
            self._network.load_state_dict(network)
            groups = self._optimizer.state_dict()["param_groups"]
            self._optimizer.load_state_dict({"state": kept, "param_groups": groups})
            self._generator.bit_generator.state = json.loads(header["generator"])
            return int(header["step"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunError(
                "an intact checkpoint", f"{file}: {reason(error)}", "remove that file to begin anew"
            ) from error


def _share(step: int, steps: int) -> float:
    """Of the largest step size."""
    return min(1.0, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / max(steps, 1))) / 2
