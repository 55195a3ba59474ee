"""What was found, shown and carried away: ``report``, ``watch``, ``draw``, ``export``.

In: arguments. Out: calls to ``archwalk.reporting``, ``archwalk.drawing`` and ``archwalk.api``, printed by
``console``. Heavy imports happen inside the functions. ``commands`` puts the command line together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from archwalk.config import SkeletonSettings
from archwalk.errors import SettingsError


def report(run_dir: tyro.conf.Positional[Path], benchmark: str | None = None) -> None:
    """Make the report of a study, a search or a comparison, finished or not: report.html and its figures and
    tables in the folder.

    Args:
        run_dir: Folder of the study, search or comparison.
        benchmark: Of a study: name or file, if the benchmark is no longer where the study found it.
    """
    from archwalk.reporting.html import kind_of
    from archwalk.reporting.html import report as make_report
    from archwalk.studies.folder import StudyDir

    file = make_report(run_dir, benchmark=benchmark)
    if kind_of(run_dir) == "study":
        missing = len(StudyDir(run_dir).missing())
        print(f"unfinished: {missing} agents are missing" if missing else "every agent is done")
    print(f"written: {file}")


def watch(out: tyro.conf.Positional[Path], port: int = 0) -> None:
    """Follow a running search or study in a browser on this machine; Ctrl-C ends it. It only reads.

    Args:
        out: Folder of the search or study.
        port: Of the loopback address; any free one by default.
    """
    from archwalk.reporting.watching.server import Watch

    page = Watch(out, port)
    print(f"watching {out} at {page.url}    (Ctrl-C ends it)", flush=True)
    try:
        page.serve()
    except KeyboardInterrupt:
        print("ended")


def draw(architecture: tyro.conf.Positional[str], space: str | None = None, out: Path | None = None) -> None:
    """Draw an architecture: its graph with the operations in colour, or a table of its choices.

    Args:
        architecture: Its string.
        space: Name or declaration file of its space, or a table or .task file of that space; found by the
            architecture by default.
        out: File to write, .svg or .png; by default the SVG is printed.
    """
    from archwalk.reporting.draw import draw as make_drawing

    drawing = make_drawing(architecture, space, out)
    print(drawing.svg if out is None else f"written: {out}", end="" if out is None else "\n")


def export(
    architecture: tyro.conf.Positional[str],
    out: Path,
    space: str | None = None,
    skeleton: Annotated[SkeletonSettings, tyro.conf.arg(name="")] = SkeletonSettings(),  # noqa: B008 - frozen
    weights: Path | None = None,
    size: int = 32,
    seed: int = 0,
) -> None:
    """Write an architecture's network as PyTorch source (.py) or as ONNX (.onnx).

    Args:
        architecture: A cell or a chain of modules, as the space writes it.
        out: File to write; its ending decides the form.
        space: Name of a space whose architectures are networks; found by the architecture by default.
        skeleton: What stands around the cells; the published skeleton by default.
        weights: For .onnx: trained weights (safetensors); untrained ones by default.
        size: For .onnx: height and width of the images.
        seed: For .onnx: of the untrained weights.
    """
    from archwalk.files import write_atomically
    from archwalk.networks import export as exporting
    from archwalk.networks.build import build_network

    options = skeleton.model_dump()
    if out.suffix == ".py":
        write_atomically(out, exporting.network_code(space, architecture, **options).encode())
    elif out.suffix == ".onnx":
        network = build_network(space, architecture, seed=seed, **options)
        if weights:
            exporting.load_weights(network, weights)
        exporting.export_onnx(network, out, (skeleton.inputs, size, size))
    else:
        raise SettingsError("a file that ends in .py or .onnx", f"--out {out}", "choose one of the two")
    print(f"written: {out}")
