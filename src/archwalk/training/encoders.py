"""An autoencoder of architectures, from names of spaces to a file: no measurement is read.

In: spaces and benchmarks by name or file. Out: a file with an encoder, which ``--observation.encoder`` takes.
Next: the command line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.encoding.encoder import draw
from archwalk.encoding.frozen import random_encoder, save_encoder
from archwalk.encoding.pretraining import pretrain
from archwalk.errors import SettingsError
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.correspondence import whole_of
from archwalk.spaces.registry import open_space
from archwalk.tasks.registry import load_benchmark
from archwalk.training.runner import threads

SAMPLE = 4_096  # architectures of a space that are trained on


@threads(1)  # on several, the bits are others each time
def pretrain_encoder(
    out: str | Path,
    *,
    spaces: Sequence[str | SearchSpace] = (),
    benchmarks: Sequence[str | Path] = (),
    steps: int = 3_000,
    seed: int = 0,
    command: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Train an encoder to remember architectures, and write it (paper, section 5.2).

    Args:
        out: the file, which ends in ``.safetensors``; it must not be there.
        spaces: by name or declaration file.
        benchmarks: by name or file; of these the spaces alone count.
        steps: of the training, at least 1.
        seed: decides all randomness, at least 0.
        command: repeats the training; for the card.
        say: told how it goes.

    Returns:
        The card: ``spaces``, ``steps``, ``seed``, the share of counts ``told_right`` in the end, ``seconds``
        and ``command``.

    Raises:
        ArchwalkError: no space, an unknown one, or a file that is there; before any training.
    """
    path = Path(out)
    if path.suffix != ".safetensors" or path.exists():
        raise SettingsError(
            "--out with a new file that ends in .safetensors",
            f"{path}{', which is there' if path.exists() else ''}",
            "choose another --out",
        )
    if steps < 1 or seed < 0:
        raise SettingsError("at least 1 step and a seed of at least 0", f"{steps}, {seed}", "correct it")
    found = [open_space(one) for one in spaces]
    found += [whole_of(load_benchmark(one).space) for one in benchmarks]
    if not found:
        raise SettingsError("at least one space to learn", "none", "name --space or --benchmark")
    began, generator = time.monotonic(), np.random.default_rng([seed, 2])
    drawings = [draw(space, space.sample(SAMPLE, generator)) for space in found]
    encoder = random_encoder(seed)
    told = pretrain(encoder, drawings, steps, seed, say)
    card = {
        "spaces": [space.describe() for space in found],
        "steps": steps,
        "seed": seed,
        "told_right": told,
        "seconds": round(time.monotonic() - began, 1),
        "command": command,
    }
    save_encoder(encoder, path, card)
    return card
