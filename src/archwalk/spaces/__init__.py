"""Which architectures exist, and who neighbours whom.

In: a space's name, its slots, or a declaration. Out: ``SearchSpace`` (codes, strings, neighbours, canonical
keys, operation-on-node graphs) and tokens. Next: ``archwalk.networks`` builds what they stand for;
``archwalk.tasks`` attaches measurements.
"""

from archwalk.spaces.base import Graph, ListedSpace, SearchSpace, listed
from archwalk.spaces.cells import CellSpace
from archwalk.spaces.darts import DartsSpace
from archwalk.spaces.declaration import Declaration, Slot, load_declaration, read_declaration
from archwalk.spaces.declared import DeclaredSpace
from archwalk.spaces.graphs import NasBench101Space
from archwalk.spaces.product import SlotSpace
from archwalk.spaces.registry import (
    find_space,
    make_listed,
    make_space,
    open_space,
    register_space,
    space_names,
)
from archwalk.spaces.skeletons import MacroSpace
from archwalk.spaces.tokens import TokenTable, make_tokens

__all__ = [
    "CellSpace",
    "DartsSpace",
    "Declaration",
    "DeclaredSpace",
    "Graph",
    "ListedSpace",
    "MacroSpace",
    "NasBench101Space",
    "SearchSpace",
    "Slot",
    "SlotSpace",
    "TokenTable",
    "find_space",
    "listed",
    "load_declaration",
    "make_listed",
    "make_space",
    "make_tokens",
    "open_space",
    "read_declaration",
    "register_space",
    "space_names",
]
