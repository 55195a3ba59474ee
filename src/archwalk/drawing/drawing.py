"""``Drawing``: a finished picture of an architecture, as text, as a file, in a notebook.

In: a space and a code. Out: ``Drawing``. Next: ``archwalk.reporting.draw`` makes one of a string.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from archwalk.drawing.picture import picture_of
from archwalk.drawing.png import to_png
from archwalk.drawing.scene import Scene, make_scene
from archwalk.drawing.svg import to_svg
from archwalk.errors import SettingsError
from archwalk.files import write_atomically
from archwalk.spaces.base import SearchSpace

FORMS = (".svg", ".png")


@dataclass(frozen=True)
class Drawing:
    """A picture of an architecture. A notebook shows it where it is the value of a cell.

    Attributes:
        scene: every shape and its place, in pixels.
    """

    scene: Scene

    @property
    def svg(self) -> str:
        """A whole SVG document: no scripts, no outer references, readable on light and dark pages."""
        return to_svg(self.scene)

    def png(self, scale: float = 2.0) -> bytes:
        """A PNG in the light colours, with so many pixels a pixel of the SVG."""
        return to_png(self.scene, scale)

    def save(self, file: str | Path) -> Path:
        """Write the picture; the file's ending, .svg or .png, decides the form.

        Raises:
            SettingsError: another ending.
            RunError: the file cannot be written.
        """
        path = check_form(file)
        write_atomically(path, self.svg.encode() if path.suffix == ".svg" else self.png())
        return path

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Drawing {self.scene.title}, {self.scene.width:.0f} × {self.scene.height:.0f} pixels>"


def check_form(file: str | Path) -> Path:
    """A file that a picture can be written to. Raises ``SettingsError`` for another ending than those."""
    path = Path(file)
    if path.suffix not in FORMS:
        raise SettingsError("a file that ends in .svg or .png", str(file), "choose one of the two")
    return path


def drawing_of(space: SearchSpace, code: Sequence[int]) -> Drawing:
    """The picture of an architecture.

    Args:
        space: any.
        code: of one of its architectures.
    """
    return Drawing(make_scene(picture_of(space, code)))
