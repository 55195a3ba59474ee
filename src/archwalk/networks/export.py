"""A found network as a file that needs no archwalk: readable PyTorch source, or ONNX.

In: an architecture and its skeleton, or a module. Out: source text, an ONNX file. Next: whoever deploys it.
"""

from __future__ import annotations

import copy
import inspect
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from archwalk.config import parse_skeleton
from archwalk.errors import SettingsError, enumerated, reason
from archwalk.files import write_atomically
from archwalk.networks import layers
from archwalk.networks.build import Plan, plan_network
from archwalk.spaces.base import SearchSpace


def network_code(space: SearchSpace | str | None, architecture: str, **skeleton: Any) -> str:
    """The network as one Python file on PyTorch alone, with a class ``Network`` that takes no arguments.

    It has the parameters of ``build_network`` with the same arguments, under the same names: weights saved
    from one load into the other, and then both give the same numbers. Its first weights are PyTorch's own.

    Args:
        space: a space or its name; None finds it by the string.
        architecture: a cell or a chain of modules, as the space writes it.
        **skeleton: as for ``build_network``.

    Raises:
        ArchitectureError, SettingsError: as ``build_network``.
    """
    plan = plan_network(space, architecture, parse_skeleton(skeleton))
    used = {p.written for p in plan.parts}
    definitions = [source for name, source in plan.sources.items() if name in used]
    definitions.append(_network_source(plan))
    # A definition uses earlier ones only, so one pass from the last to the first finds all that are needed.
    for name, definition in reversed(vars(layers).items()):
        ours = getattr(definition, "__module__", None) == layers.__name__
        if ours and re.search(rf"\b{name}\(", "\n".join(definitions)):
            definitions.insert(0, inspect.getsource(definition))
    body = "\n\n\n".join(text.strip() for text in definitions)
    imports = "import torch\nfrom torch import " if "torch." in body else "from torch import "
    imports += "Tensor, nn" if "Tensor" in body else "nn"
    title = f'"""A network of the space {plan.space}, written by archwalk:\n\n{plan.architecture}\n"""'
    return f"{title}\n\n{imports}\n\n\n{body}\n"


def _network_source(plan: Plan) -> str:
    """A class ``Network``: the parts of the plan, one a line."""
    made = [
        f"        self.{p.name} = {p.written or p.make.__name__}({', '.join(map(repr, p.arguments))})"
        for p in plan.parts
    ]
    last = plan.parts[-1]
    result = f"scores [n, {last.arguments[-1]}]" if last.name == "head" else "features [n, channels, h', w']"
    return "\n".join(
        [
            "class Network(nn.Sequential):",
            f'    """Images [n, {plan.inputs}, h, w] → {result}."""',
            "",
            "    def __init__(self) -> None:",
            "        super().__init__()",
            *made,
        ]
    )


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Read a module's parameters and buffers from a safetensors file, in place.

    Raises:
        SettingsError: no such file, not safetensors, or the weights of another network.
    """
    remedy = (
        "save them with safetensors.torch.save_file(network.state_dict(), FILE), and give the same "
        "architecture and skeleton here"
    )
    try:
        weights = load_file(path)
        strange = _what_differs(module.state_dict(), weights)
        if not strange:
            module.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError) as error:
        strange = reason(error)
    if strange:
        raise SettingsError(
            "a safetensors file with the weights of this network", f"{path}: {strange}", remedy
        )


def _what_differs(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """Which names and shapes of weights do not fit; empty if all do."""
    missing, extra = (sorted(a.keys() - b.keys()) for a, b in ((wanted, given), (given, wanted)))
    shapes = [
        f"{name} is {tuple(given[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & given.keys())
        if wanted[name].shape != given[name].shape
    ]
    said = [
        f"{len(names)} {what}: {enumerated(names, 4)}"
        for what, names in (("missing", missing), ("too many", extra), ("of another shape", shapes))
        if names
    ]
    prefix = "module."
    if missing and all(name.startswith(prefix) for name in extra) and extra:
        said.append(f"every name begins with {prefix!r}, as DataParallel saves them: take it off")
    return "; ".join(said)


def export_onnx(module: nn.Module, path: str | Path, input_shape: Sequence[int]) -> Path:
    """Write a module in evaluation mode as ONNX: input ``images``, output ``scores``, any number of images.

    Needs the extra ``archwalk[onnx]``. The module itself stays as it is.

    Args:
        module: images [n, channels, height, width] → a tensor with the images as first axis.
        path: file to write.
        input_shape: (channels, height, width), which the file fixes.

    Returns:
        The path.

    Raises:
        SettingsError: the extra is not installed, or a shape that the module cannot take.
        RunError: the file cannot be written.
    """
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise SettingsError(
            "what ONNX files are written with",
            f"no package {' and no package '.join(missing)}",
            "install it: pip install 'archwalk[onnx]'",
        )
    module = copy.deepcopy(module).cpu().eval()
    try:
        images = torch.zeros(2, *input_shape)  # one image would be taken for a constant
        with torch.no_grad():
            module(images)
    except (RuntimeError, TypeError) as error:
        raise SettingsError(
            "the shape (channels, height, width) of one image that the network takes",
            f"{tuple(input_shape)}: {reason(error)}",
            "give the channels that it was built with (inputs), and sides of at least 1",
        ) from error
    # The exporter warns of its own internals, and of other packages that it could have used.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (images,),
                input_names=["images"],
                output_names=["scores"],
                dynamic_shapes=({0: torch.export.Dim("n")},),
                dynamo=True,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None
    write_atomically(Path(path), program.model_proto.SerializeToString())
    return Path(path)
