"""Which architectures exist, and who neighbours whom.

In: a space's name, or its slots. Out: ``SearchSpace`` (codes, strings, neighbours, canonical keys,
operation-on-node graphs) and token tables. Next: ``archwalk.benchmark`` attaches measurements.
"""

from archwalk.space.catalog import SPACE_NAMES, describe_space, make_space
from archwalk.space.cells import CellSpace
from archwalk.space.macro import MacroSpace
from archwalk.space.slots import SlotSpace
from archwalk.space.space import Graph, SearchSpace
from archwalk.space.tokens import TokenTable, make_tokens

__all__ = [
    "SPACE_NAMES",
    "CellSpace",
    "Graph",
    "MacroSpace",
    "SearchSpace",
    "SlotSpace",
    "TokenTable",
    "describe_space",
    "make_space",
    "make_tokens",
]
