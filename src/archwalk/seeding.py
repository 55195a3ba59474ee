"""Randomness: named, explicit generators derived from one seed. Nothing touches a global generator."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def make_generator(seed: int, name: str) -> torch.Generator:
    """A generator whose stream depends on the seed and its name, and on nothing else."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Generators:
    """The generators of one run, by name, made on first use.

    Args:
        seed: of the run.
        owner: put before every name, where several have generators of the same names.
    """

    def __init__(self, seed: int, owner: str = "") -> None:
        self.seed, self._owner = seed, owner
        self._made: dict[str, torch.Generator] = {}

    def __getitem__(self, name: str) -> torch.Generator:
        if name not in self._made:
            self._made[name] = make_generator(self.seed, self._owner + name)
        return self._made[name]

    def state_dict(self) -> dict[str, Tensor]:
        """Where every stream stands."""
        return {name: generator.get_state() for name, generator in self._made.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        for name, value in state.items():
            self[name].set_state(value)
