"""Pictures of a result for a machine without a display: outlines over the tile, side by side.

Drawn with Pillow only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.session.label_files import written_beside

PANEL_SIDE = 1024  # px; larger tiles are shown smaller
SMALL_SIDE = 400  # px; smaller tiles are shown twice as large
CAPTION, GAP = 30, 8  # px
OUTLINE = (255, 221, 0)  # yellow: seen on blue, pink and brown alike
PAPER, INK = (255, 255, 255), (40, 40, 40)


def overlay_picture(tile: Tile, panels: Sequence[tuple[str, NDArray[Any] | None]]) -> Image.Image:
    """Return the tile several times, in a grid, each with a caption.

    Parameters
    ----------
    tile : Tile
        Shape (M, N).
    panels : sequence of (caption, array or None)
        Integers (M, N) are labels and drawn as outlines over the tile; floats (M, N) in 0..1
        are a confidence map and drawn in grey; None is the tile as it is.

    Raises
    ------
    ValueError
        If an array has another size than the tile.
    """
    step = max(1, -(-max(tile.shape) // PANEL_SIDE))
    zoom = 2 if max(tile.shape) < SMALL_SIDE else 1
    base = _as_rgb(tile.read(slice(None, None, step), slice(None, None, step)))
    shown = []
    for caption, array in panels:
        if array is not None and array.shape != tile.shape:
            raise ValueError(f"{caption}: {array.shape} is not the size of the tile {tile.shape}")
        small = None if array is None else array[::step, ::step]
        if small is None:
            pixels = base
        elif np.issubdtype(small.dtype, np.floating):
            pixels = np.repeat(_to_uint8(small)[..., np.newaxis], 3, axis=2)
        else:
            pixels = outlined(base, small)
        shown.append((caption, np.kron(pixels, np.ones((zoom, zoom, 1), np.uint8))))
    rows, columns = shown[0][1].shape[:2]
    across = math.ceil(math.sqrt(len(shown)))
    down = -(-len(shown) // across)
    size = across * (columns + GAP) - GAP, down * (rows + CAPTION)
    picture = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    for number, (caption, pixels) in enumerate(shown):
        left, top = number % across * (columns + GAP), number // across * (rows + CAPTION)
        pen.text((left + 4, top + 7), _fitting(caption, font, columns - 8), INK, font)
        picture.paste(Image.fromarray(pixels), (left, top + CAPTION))
    return picture


def outlined(
    pixels: NDArray[np.uint8],
    labels: NDArray[Any],
    colour: tuple[int, int, int] = OUTLINE,
) -> NDArray[np.uint8]:
    """Return an RGB image with the outlines of objects drawn on their own pixels.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (M, N, 3)
    labels : ndarray of integers, shape (M, N)
        0 is background. Objects that touch are told apart.
    colour : tuple of int
        Red, green and blue.
    """
    framed = np.pad(labels, 1, mode="edge")
    centre = framed[1:-1, 1:-1]
    neighbours = (framed[:-2, 1:-1], framed[2:, 1:-1], framed[1:-1, :-2], framed[1:-1, 2:])
    edge = np.zeros(labels.shape, bool)
    for neighbour in neighbours:
        edge |= neighbour != centre
    drawn = pixels.copy()
    drawn[edge & (centre > 0)] = colour
    return drawn


def _as_rgb(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    rgb = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    return _to_uint8(rgb)


def _to_uint8(values: NDArray[Any]) -> NDArray[np.uint8]:
    scaled = np.clip(np.nan_to_num(values), 0, 1) * 255
    return np.asarray(np.round(scaled), np.uint8)


def _fitting(text: str, font: Any, width: int) -> str:
    """Return the text, cut off with dots where it is too long."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def write_picture(path: str | Path, picture: Image.Image) -> None:
    """Write a picture as PNG.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    with written_beside(Path(path)) as beside:
        picture.save(beside, format="PNG")
