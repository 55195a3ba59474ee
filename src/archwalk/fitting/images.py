"""A folder of images by class, as a ``Dataset``.

In: ``DATA/CLASS/image``, or ``DATA/train/CLASS/image`` and ``DATA/test/CLASS/image`` (and perhaps
    validation).
Out: images of one size, uint8. Next: as ``data``. Needs Pillow (extra ``fit``).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from archwalk.errors import DataError, SettingsError, enumerated, reason
from archwalk.fitting.data import SPLIT_WORDS, SPLITS, Dataset, checked

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
IGNORED = ("thumbs.db", "desktop.ini")
LARGEST = 64  # pixels a side that images are scaled down to by default
MOST_BYTES = 8 * 2**30
GREY, COLOUR = ("1", "L", "LA"), ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB")


class _File(NamedTuple):
    path: Path
    label: str
    split: int  # position in SPLITS; -1: the folder says none


def read_folder(folder: Path, image_size: int | None = None) -> Dataset:
    """Images of a folder, scaled to one size: the median height and width, at most ``image_size`` each.

    Args:
        folder: has a folder a class, or the folders train, test and perhaps validation, which have these.
        image_size: largest side in pixels, 64 by default.

    Raises:
        DataError: no classes, files that are no images or cannot be read (named), too much for memory.
        SettingsError: Pillow is not installed.
    """
    if find_spec("PIL") is None:
        raise SettingsError("what images are read with", "no package pillow", "pip install 'archwalk[fit]'")
    largest = LARGEST if image_size is None else image_size
    if largest < 4:
        raise DataError("images of at least 4 pixels a side", str(largest), "raise --image-size")
    files = list(_files(folder))
    if not files:
        raise DataError(
            "a folder for each class, with images in it",
            f"{folder}: {'files, but no folders' if any(folder.iterdir()) else 'empty'}",
            "sort the images into folders by class",
        )
    if len({f.label for f in files}) < 2:
        raise DataError(
            "at least two classes, a folder each", f"one, {files[0].label!r}", "add images of another class"
        )
    modes, sizes = _headers(files)
    height, width = (min(largest, max(4, int(np.median(side)))) for side in np.array(sizes).T)
    grey = all(mode in GREY for mode in modes)
    channels = 1 if grey else 3
    if len(files) * channels * height * width > MOST_BYTES:
        raise DataError(
            f"images that fit into {MOST_BYTES >> 30} GiB of memory",
            f"{len(files):,} of {channels} × {height} × {width} bytes",
            "lower --image-size",
        )
    images = np.empty((len(files), channels, height, width), dtype=np.uint8)
    unreadable = []
    for at, file in enumerate(files):
        try:
            images[at] = _pixels(file.path, grey, (width, height))
        except Exception as error:  # Pillow raises what its decoders raise
            unreadable.append(f"{file.path.relative_to(folder)} ({reason(error, 80)})")
    _refuse(unreadable)
    notes = []
    if len(set(sizes)) > 1 or (height, width) != sizes[0]:
        shapes = f" from {len(set(sizes))} sizes" if len(set(sizes)) > 1 else ""
        notes.append(f"images were scaled{shapes} to {height} × {width} pixels")
    given = np.array([f.split for f in files], dtype=np.int8)
    return checked(
        folder.resolve().name,
        "images",
        images,
        np.array([f.label for f in files]),
        "classification",
        tuple(f.path.relative_to(folder).as_posix() for f in files),
        (),
        None if (given < 0).all() else given,
        tuple(notes),
    )


def _files(folder: Path) -> Iterator[_File]:
    """Every image with its class, in an order of names alone."""
    inside = _folders(folder)
    words = {path.name: SPLIT_WORDS.get(path.name.lower()) for path in inside}
    if inside and all(words.values()):
        for path in inside:
            for label in _folders(path):
                yield from _images(label, SPLITS.index(str(words[path.name])))
        return
    if any(words.values()):
        raise DataError(
            "folders that are all classes, or all splits",
            enumerated(words, 12),
            "move the classes into train and test, or rename the class",
        )
    for label in inside:
        yield from _images(label, -1)


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images(label: Path, split: int) -> Iterator[_File]:
    strange = []
    for path in sorted(label.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(label).parts)
        if path.is_dir() or hidden or path.name.lower() in IGNORED:
            continue
        if path.suffix.lower() in SUFFIXES:
            yield _File(path, label.name, split)
        else:
            strange.append(str(path))
    if strange:
        raise DataError(
            f"images alone in a class's folder ({', '.join(SUFFIXES)})",
            enumerated(strange, 5),
            "move the other files elsewhere",
        )


def _headers(files: list[_File]) -> tuple[list[str], list[tuple[int, int]]]:
    """Mode and (height, width) of each image, read without decoding it."""
    from PIL import Image

    modes, sizes, unreadable = [], [], []
    for file in files:
        try:
            with Image.open(file.path) as image:
                turned = image.getexif().get(0x0112, 1) >= 5  # a quarter turn swaps the sides
                modes.append(image.mode)
                sizes.append(image.size if turned else image.size[::-1])
        except Exception as error:  # as above
            unreadable.append(f"{file.path} ({reason(error, 80)})")
            continue
        if image.mode not in (*GREY, *COLOUR):
            raise DataError(
                "images of 8 bits a channel",
                f"{file.path} of mode {image.mode}",
                "convert them, or give their numbers as an .npz file",
            )
    _refuse(unreadable)
    return modes, sizes


def _pixels(path: Path, grey: bool, size: tuple[int, int]) -> Any:
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
    if upright.size != size:
        upright = upright.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    pixels = np.asarray(upright, dtype=np.uint8)
    return pixels[None] if grey else np.moveaxis(pixels, 2, 0)


def _refuse(unreadable: list[str]) -> None:
    if unreadable:
        raise DataError(
            "images that can be read",
            f"{len(unreadable)} that cannot: {enumerated(unreadable, 5)}",
            "remove or replace these files",
        )
