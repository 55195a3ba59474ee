"""``MacroSpace``: skeletons of TransNAS-Bench-101, written ``64-xxxx-basic``.

In: nothing. Out: the 3,256 skeletons of four to six modules as a ``SearchSpace``; one edit changes, inserts
or deletes a module such that the result is a skeleton again.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from functools import cached_property
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from archwalk.spaces.base import PAD, Code, Graph, ListedSpace

DEPTHS = (4, 5, 6)
# Module types (Duan et al. 2021, section 3.1): plain, doubled channels, halved resolution, both.
MODULES = ("plain", "double_channels", "halve_resolution", "double_and_halve")
DOUBLING, HALVING = (1, 3), (2, 3)
MAX_DOUBLINGS, MAX_HALVINGS = 3, 4


class MacroSpace(ListedSpace):
    """Chains of 4 to 6 modules with one to three channel doublings and one to four halvings.

    Codes hold module types 0-3 (written 1-4), -1 after the last one; the order is that of the strings.
    """

    def __init__(self, name: str = "transnas-macro") -> None:
        self.name = name
        self.vocabulary = ("input", "output", *MODULES)
        self.max_nodes = max(DEPTHS) + 2
        self.slot_sizes = (len(MODULES),) * max(DEPTHS)

    @staticmethod
    def _valid(code: Sequence[int]) -> bool:
        doublings = sum(m in DOUBLING for m in code)
        halvings = sum(m in HALVING for m in code)
        return len(code) in DEPTHS and 1 <= doublings <= MAX_DOUBLINGS and 1 <= halvings <= MAX_HALVINGS

    @cached_property
    def _chains(self) -> tuple[Code, ...]:
        chains = (c for depth in DEPTHS for c in product(range(len(MODULES)), repeat=depth))
        return tuple(sorted((c for c in chains if self._valid(c)), key=self.format))

    @cached_property
    def codes(self) -> NDArray[np.int8]:
        """Module types, [3256, 6]; -1 where the chain is shorter."""
        codes = np.full((len(self._chains), max(DEPTHS)), -1, dtype=np.int8)
        for row, chain in zip(codes, self._chains, strict=True):
            row[: len(chain)] = chain
        return codes

    def parse(self, text: str) -> Code:
        """Read ``64-xxxx-basic``; the code has one value a module."""
        match = re.fullmatch(r"64-([1-4]+)-basic", text, re.ASCII)
        code = tuple(int(d) - 1 for d in match.group(1)) if match else ()
        if not self._valid(code):
            raise self._stranger(text, "64-xxxx-basic with 4 to 6 modules 1-4, 1-3 doublings, 1-4 halvings")
        return code

    def format(self, code: Sequence[int]) -> str:
        """Write ``64-xxxx-basic``."""
        return f"64-{''.join(str(m + 1) for m in code if m >= 0)}-basic"

    def neighbour_table(self) -> NDArray[np.int32]:
        """Skeletons one change, insertion or deletion away, each once, in order of their index."""
        index = {chain: i for i, chain in enumerate(self._chains)}
        rows = []
        for chain in self._chains:
            edited = {index.get(other, PAD) for other in self._edits(chain)} - {PAD, index[chain]}
            rows.append(sorted(edited))
        table = np.full((len(rows), max(map(len, rows))), PAD, dtype=np.int32)
        for out, row in zip(table, rows, strict=True):
            out[: len(row)] = row
        return table

    @staticmethod
    def _edits(chain: Code) -> set[Code]:
        modules = range(len(MODULES))
        change = {(*chain[:i], m, *chain[i + 1 :]) for i in range(len(chain)) for m in modules}
        insert = {(*chain[:i], m, *chain[i:]) for i in range(len(chain) + 1) for m in modules}
        delete = {(*chain[:i], *chain[i + 1 :]) for i in range(len(chain))}
        return change | insert | delete

    def canonical(self, code: Sequence[int]) -> Hashable:
        """The chain itself: no two skeletons compute the same function."""
        return tuple(m for m in code if m >= 0)

    def graph(self, code: Sequence[int]) -> Graph:
        """A chain: input, the modules, output."""
        operations = (0, *(m + 2 for m in code if m >= 0), 1)
        return Graph(operations, tuple(pairwise(range(len(operations)))))
