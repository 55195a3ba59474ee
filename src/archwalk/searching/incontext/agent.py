"""``InContextAgent``: a trained network with its card, as one file.

In: a network and what it was trained on, or a file. Out: predictions for the architectures of a space, and
the file.
Next: ``box`` finds agents by name, the method ``in-context`` searches with them.

The file is safetensors: the weights, and the card as JSON in its header. Nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from archwalk.encoding.encoder import draw
from archwalk.encoding.weights import AGENT, FORMAT, read_weights, write_weights
from archwalk.encoding.words import FEATURES, KINDS, describe_words
from archwalk.errors import ArchitectureError, ArchwalkError, SearchError, reason
from archwalk.searching.incontext.model import InContext, Sizes
from archwalk.searching.problem import Floats
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.spaces.correspondence import slots_of, whole_of
from archwalk.spaces.matching import identical
from archwalk.spaces.registry import make_space

NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SMALLEST_SIZES, LARGEST_SIZES = (8, 1, 1, 1, 1), (1024, 16, 16, 16, 32)
SHARED = 0.75
BATCH = 4_096  # architectures embedded at once


@dataclass(frozen=True)
class Card:
    """What an agent is.

    Attributes:
        name: of the agent.
        summary: what it is for, in a sentence.
        spaces: descriptions of the spaces that it was trained on, as ``SearchSpace.describe`` gives them.
        tasks: what it learned from, an object each with ``space``, ``task``, ``architectures`` and where it
            came from: ``benchmark`` and ``checksum``.
        training: settings that it was trained with.
        command: repeats the training.
        good: what it is good at, as measured.
        bad: what it is bad at.
        seconds: that its training took.
    """

    name: str
    summary: str
    spaces: tuple[Mapping[str, Any], ...]
    tasks: tuple[Mapping[str, Any], ...]
    training: Mapping[str, Any]
    command: str = ""
    good: str = ""
    bad: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class InContextAgent:
    """A network that suggests evaluations of tasks that it was not trained on.

    Attributes:
        network: its weights are not to be changed.
        card: what it is.
        digest: SHA-256 of its file; empty if it has none.
    """

    network: InContext
    card: Card
    digest: str = ""

    @property
    def learned(self) -> frozenset[tuple[str, str]]:
        """Tasks of tables that it was trained on, as (checksum, task)."""
        return frozenset((str(task["checksum"]), str(task["task"])) for task in self.card.tasks)

    def trained_on(self, space: SearchSpace) -> bool:
        """Whether its training knew the space, or one with the same slots and choices."""
        whole = whole_of(space)
        slots = slots_of(whole)
        for description in self.card.spaces:
            if identical(dict(description), whole.describe()):
                return True
            known = _space(description)
            if known is not None and slots is not None and slots_of(known) == slots:
                return True
        return False

    def has_an_opinion(self, space: SearchSpace) -> bool:
        """Whether it can expect anything of a space before an evaluation: at least ``SHARED`` of the space's
        words are those of spaces in which it learned from measurements."""
        measured = {str(task["space"]) for task in self.card.tasks}
        specs = [spec for spec in self.card.spaces if spec.get("name") in measured]
        known = {row.tobytes() for spec in specs for row in _words(_space(spec))}
        words = [row.tobytes() in known for row in describe_words(whole_of(space))]
        return sum(words) >= SHARED * len(words)

    def check_reads(self, space: SearchSpace) -> None:
        """Refuse a space whose words mean nothing to the agent.

        Raises:
            SearchError: it was not trained on the space, and knows an operation or slot of it from no other.
        """
        if self.trained_on(space):
            return
        known = {row.tobytes() for spec in self.card.spaces for row in _words(_space(spec))}
        strange = [
            word
            for word, row in zip(space.vocabulary, describe_words(space), strict=True)
            if row[KINDS.index("unknown")] or (row[KINDS.index("choice")] and row.tobytes() not in known)
        ]
        if strange:
            names = ", ".join(str(spec.get("name")) for spec in self.card.spaces)
            raise SearchError(
                f"a space that the agent {self.card.name!r} can read; it was trained on {names}",
                f"{space.name!r}, with {len(strange)} words that none of them has, {strange[0]!r} the first",
                "choose another agent or method, or train one: 'archwalk agents train --help'",
            )

    @torch.no_grad()
    def embed(self, space: SearchSpace, codes: Codes) -> Float32[Tensor, "n width"]:
        """Vectors of architectures.

        Args:
            space: theirs.
            codes: [n, S].
        """
        parts = [
            self.network.embed(draw(space, codes[i : i + BATCH].astype(np.int16)))
            for i in range(0, len(codes), BATCH)
        ]
        return torch.cat(parts) if parts else torch.empty(0, self.network.encoder.width)

    @torch.no_grad()
    def predict(
        self,
        evaluated: Float32[Tensor, "k width"],
        rewards: Floats,
        candidates: Float32[Tensor, "n width"],
    ) -> tuple[Floats, Floats]:
        """Where candidates stand among all architectures of their space, as normal scores.

        Args:
            evaluated: vectors of evaluated architectures.
            rewards: of these, larger is better, in any unit, [k].
            candidates: vectors of what is asked for.

        Returns:
            Means and standard deviations, [n] each.
        """
        spread = max(float(rewards.std()), 1e-300) if len(rewards) else 1.0
        values = (rewards - (rewards.mean() if len(rewards) else 0.0)) / spread
        mean, log = self.network(
            evaluated[None],
            torch.from_numpy(values.astype(np.float32))[None],
            torch.ones(1, len(rewards), dtype=torch.bool),
            candidates[None],
        )
        return mean[0].double().numpy(), log[0].exp().double().numpy()

    def save(self, path: Path) -> None:
        """Write the file. Raises ``RunError`` where it cannot be written."""
        write_weights(path, AGENT, self.network.state_dict(), asdict(self.card))


def load_agent_file(path: Path) -> InContextAgent:
    """Read an agent from its file.

    Raises:
        SearchError: there is no file, it is damaged, of another version, or something else.
    """
    content, tensors, header = read_weights(path, _refused)
    if header.get("kind") != AGENT:
        raise _refused(path, "a safetensors file of something else")
    if header.get("format") != FORMAT:
        raise SearchError(
            f"an agent file of format {FORMAT}",
            f"{path}, of format {header.get('format')!r}",
            "train it again with this version, or install the version that made it",
        )
    try:
        plain: dict[str, Any] = json.loads(header["card"])
        card = Card(**{**plain, "spaces": tuple(plain["spaces"]), "tasks": tuple(plain["tasks"])})
        if not NAMES.fullmatch(card.name):
            raise ValueError(f"the name {card.name!r}")
        sizes = Sizes(**card.training["sizes"])
        numbers = tuple(asdict(sizes).values())
        within = zip(SMALLEST_SIZES, numbers, LARGEST_SIZES, strict=True)
        if not all(type(n) is int and low <= n <= high for low, n, high in within) or sizes.width % 4:
            raise ValueError(f"sizes {numbers}")
        network = InContext(sizes)
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise _refused(path, f"a damaged one: {reason(error)}") from error
    if not all(bool(t.isfinite().all()) for t in tensors.values()):
        raise _refused(path, "weights that are not finite")
    digest = hashlib.sha256(content).hexdigest()
    return InContextAgent(network.requires_grad_(False).eval(), card, digest)


def _refused(path: Path, got: str) -> SearchError:
    return SearchError(
        "the file of an in-context agent", f"{path}: {got}", "make one with 'archwalk agents train'"
    )


def _space(description: Mapping[str, Any]) -> SearchSpace | None:
    """A space of a card; None if this machine does not know it."""
    try:
        return make_space(**description)
    except (ArchwalkError, ArchitectureError, TypeError):
        return None


def _words(space: SearchSpace | None) -> NDArray[np.float32]:
    return np.empty((0, FEATURES), np.float32) if space is None else describe_words(space)
