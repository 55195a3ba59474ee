"""From an architecture to a PyTorch module, its source code and its ONNX file.

In: a ``SearchSpace`` and an architecture of it. Out: modules and files. Next: evaluators train them.
"""

from archwalk.networks.build import build_network
from archwalk.networks.export import export_onnx, network_code

__all__ = ["build_network", "export_onnx", "network_code"]
