"""Which architectures exist, who neighbours whom, and the networks that they stand for.

In: a space's name, or its slots. Out: ``SearchSpace`` (codes, strings, neighbours, canonical keys,
operation-on-node graphs), token tables, and networks as modules, source code and ONNX. Next:
``archwalk.benchmark`` attaches measurements.
"""

from archwalk.space.build import build_network
from archwalk.space.catalog import SPACE_NAMES, find_space, make_space
from archwalk.space.cells import CellSpace
from archwalk.space.export import export_onnx, network_code
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
    "build_network",
    "export_onnx",
    "find_space",
    "make_space",
    "make_tokens",
    "network_code",
]
