"""Pixel values: what white is, what is done with alpha and with values that are no numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.images.stain import DARK
from napari_selfseg.core.images.tile import TileError

WHITES = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # of 8, 10, 12, 14 and 16 bit
FLOAT_TOP = 2.0  # floats up to here have white at 1: resampling overshoots a little
BAND = 1024  # rows that are composited at once


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of a tile: array (M, N, C) with C = 1 or 3, the value of white, and notes."""

    array: Any
    white: float
    notes: tuple[str, ...] = ()


def is_lazy(array: Any) -> bool:
    """Whether an array is a dask array; without importing dask."""
    return hasattr(array, "dask") and hasattr(array, "compute")


def to_pixels(
    plane: Any,
    white: float | None = None,
    premultiplied: bool = False,
    name: str = "The image",
) -> Pixels:
    """Return a plane without alpha and without values that are no numbers.

    Parameters
    ----------
    plane : array, shape (M, N, C)
        Numpy, or dask (then nothing is computed). C = 1, 3, or 2 or 4 with alpha at the end.
    white : float, optional
        The value that means 1.0, where it is known. Else 1 for bool, 255 for 8 bit; for
        integers of more bits the white of 8, 10, 12, 14 or 16 bit that holds the largest
        value; for floats 1 where they hardly exceed it, else as for integers.
    premultiplied : bool
        Whether the colours are already multiplied by alpha.
    name : str
        The image, for messages.

    Raises
    ------
    TileError
        If the values are no real numbers.
    """
    if plane.dtype.kind not in "buif":
        raise TileError(f"{name} holds values of type {plane.dtype}, not grey values.")
    if plane.dtype.kind == "b":
        plane, white = plane.astype(np.uint8), white or 1.0
    elif not plane.dtype.isnative:  # the same pixels shall give the same hash
        plane = plane.astype(plane.dtype.newbyteorder("="))
    notes: list[str] = []
    n_colours = 1 if plane.shape[2] <= 2 else 3
    if white is None:
        colours = plane[..., :n_colours]
        white = _lazy_white(plane.dtype, notes) if is_lazy(plane) else _white(colours, name, notes)
    if plane.dtype.kind == "f":
        plane = _without_nan(plane, white, notes)
    if plane.shape[2] > n_colours:
        plane = _without_alpha(plane, white, premultiplied, notes)
    return Pixels(plane, white, tuple(notes))


def white_of(top: float, dtype: np.dtype[Any]) -> float:
    """Return the value of white in an image of this type whose largest value is `top`."""
    if dtype.kind == "f" and top <= FLOAT_TOP:
        return 1.0
    if dtype == np.uint8:
        return 255.0
    if dtype.kind in "iu" and dtype.itemsize > 2 and top <= 1:  # a mask in a large type
        return 1.0
    return next((white for white in WHITES if top <= white), float(top))


def _white(colours: NDArray[Any], name: str, notes: list[str]) -> float:
    """Find white from the values themselves, and say what was assumed."""
    dtype = colours.dtype
    if dtype == np.uint8:
        return 255.0
    top, bottom = colours.max(), colours.min()
    if not (np.isfinite(top) and np.isfinite(bottom)):
        finite = colours[np.isfinite(colours)]
        if finite.size == 0:
            raise TileError(f"{name} holds no numbers (only NaN).")
        top, bottom = finite.max(), finite.min()
    white = white_of(float(top), dtype)
    if bottom < 0:
        notes.append("Values below zero count as black.")
    if white not in WHITES and white != 1:
        notes.append(f"The largest value, {white:g}, counts as white.")
    elif dtype.kind in "iu" and dtype.itemsize == 2 and white < 65535:
        bits = int(white + 1).bit_length() - 1
        notes.append(f"The values end at {top}: {bits} bit in 16, so {white:.0f} counts as white.")
    return white


def _lazy_white(dtype: np.dtype[Any], notes: list[str]) -> float:
    """Return white for an array that must not be computed."""
    if dtype == np.uint8:
        return 255.0
    white = 1.0 if dtype.kind == "f" else 65535.0
    notes.append(f"The image was not loaded whole: {white:.0f} was taken as white.")
    return white


def _without_nan(plane: Any, white: float, notes: list[str]) -> Any:
    """Replace NaN by the background (white, or black under a dark one), infinity by its end."""
    if is_lazy(plane):
        notes.append("Values that are not numbers (NaN), if there are any, count as white.")
        return plane.map_blocks(_fill, white=white, background=white, dtype=plane.dtype)
    holes = ~np.isfinite(plane)
    n_holes = int(holes.any(axis=2).sum())
    if n_holes == 0:
        return plane
    dark = np.median(plane[~holes]) < DARK * white
    notes.append(
        f"{n_holes} pixels are not numbers (NaN or infinite); NaN counts as "
        f"{'black, the background' if dark else 'white'}."
    )
    return _fill(plane, white, 0.0 if dark else white)


def _fill(block: NDArray[Any], white: float, background: float) -> NDArray[Any]:
    filled: NDArray[Any] = np.nan_to_num(block, nan=background, posinf=white, neginf=0.0)
    return filled


def _without_alpha(plane: Any, white: float, premultiplied: bool, notes: list[str]) -> Any:
    """Drop alpha; where it varies, lay the image on white first."""
    if is_lazy(plane):
        notes.append("The image has an alpha channel; transparent parts count as white.")
        n_colours = plane.shape[2] - 1
        whole = plane.rechunk({2: -1})
        return whole.map_blocks(
            _on_white,
            white=white,
            premultiplied=premultiplied,
            dtype=plane.dtype,
            chunks=(*whole.chunks[:2], (n_colours,)),
        )
    alpha = plane[..., -1]
    if alpha.min() == alpha.max():
        return plane[..., :-1]
    notes.append("The image has an alpha channel that varies; transparent parts count as white.")
    bands = range(0, plane.shape[0], BAND)
    return np.concatenate([_on_white(plane[r : r + BAND], white, premultiplied) for r in bands])


def _on_white(plane: NDArray[Any], white: float, premultiplied: bool) -> NDArray[Any]:
    """Composite (m, n, C + alpha) on white: (m, n, C) of the same dtype."""
    opaque = float(np.iinfo(plane.dtype).max) if plane.dtype.kind in "iu" else white
    colours = plane[..., :-1].astype(np.float32)
    alpha = np.clip(plane[..., -1:].astype(np.float32) / opaque, 0, 1)
    if not premultiplied:
        colours *= alpha
    colours += np.float32(white) * (1 - alpha)
    if plane.dtype.kind in "iu":
        colours = np.rint(colours)
    return np.clip(colours, 0, white).astype(plane.dtype)
