"""PNG, JPEG and the other plain image files, which can only be read whole."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_selfseg.core.images.scale import NO_SCALE, Scale, scale_from_resolution
from napari_selfseg.core.images.tile import TileError

LARGEST = 2 * 1024**3  # bytes that a file is read into at once
EXIF_ORIENTATION = 0x0112
INCH = 25400.0  # µm
PALETTES = ("P", "PA")
AS_THEY_ARE = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N", "F", "RGB", "RGBA")


@dataclass(frozen=True, eq=False)
class RawImage:
    """What a file holds, before anything was decided about axes and values.

    Parameters
    ----------
    levels : tuple of array
        Numpy or dask, all with the same axes; the first has the full resolution.
    axes : str
        A letter per axis, as tifffile names them.
    scale : Scale
        Of the first level.
    white : float, optional
        The value of white, where the file says how many bits are used.
    lazy : bool
        Whether the levels shall stay lazy: the file can be read piece by piece.
    orientation : int
        The TIFF orientation 1..8 that is still to be undone.
    premultiplied : bool
        Whether colours are already multiplied by alpha.
    dark_is_high : bool
        Whether high values mean dark ("white is zero").
    notes : tuple of str
        For the user.
    """

    levels: tuple[Any, ...]
    axes: str
    scale: Scale = NO_SCALE
    white: float | None = None
    lazy: bool = False
    orientation: int = 1
    premultiplied: bool = False
    dark_is_high: bool = False
    notes: tuple[str, ...] = ()


def check_size(n_bytes: float, n_pixels: float, name: str) -> None:
    """Refuse what would take too much memory; to be asked before any is taken.

    Raises
    ------
    TileError
        If it is more than `LARGEST` bytes.
    """
    if n_bytes > LARGEST:
        raise TileError(
            f"{name} has {n_pixels / 1e6:.0f} megapixels in one piece and would take "
            f"{n_bytes / 1024**3:.1f} GiB of memory; save it as a tiled TIFF or cut out a region."
        )


def check_raster(path: Path) -> None:
    """Look at the header only: raise `TileError` if this is not one image that can be read."""
    with _opened(path) as image:
        _picture(image, {}, path.name)


def open_raster(path: Path, index: Mapping[str, int] | None = None) -> tuple[RawImage, set[str]]:
    """Read a plain image file as grey or RGB, with or without alpha.

    Palettes, CMYK and YCbCr become RGB; what EXIF says about turning is done.

    Parameters
    ----------
    path : Path
        Of a file that Pillow can open.
    index : mapping of str to int, optional
        ``{"t": 3}`` takes a picture of an animation.

    Returns
    -------
    raw : RawImage
    used : set of str
        The keys of `index` that were used.

    Raises
    ------
    TileError
        If it is too large, or no image.
    """
    notes: list[str] = []
    with _opened(path) as image:
        used, number = _picture(image, index or {}, path.name)
        if used:
            image.seek(number)
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        scale = _scale(image)
        if _is_deep_png(path, image):
            pixels = _read_deep_png(path)
        else:
            image.load()  # before turning: Pillow turns a TIFF itself while it loads
            pixels, notes = _to_array(image)
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    axes = "YX" if pixels.ndim == 2 else "YXS"
    raw = RawImage((pixels,), axes, scale, orientation=orientation, notes=tuple(notes))
    return raw, used


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a file with Pillow and check its size; nothing is decoded yet."""
    # As an open file: by name, Pillow maps some TIFFs into memory and scrambles turned ones.
    with path.open("rb") as file, _identified(file, path.name) as image:
        yield image


def _identified(file: IO[bytes], name: str) -> Image.Image:
    """Return the image that an open file holds; `TileError` if it is none or too large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file)
    except Image.DecompressionBombError as error:
        raise TileError(
            f"{name} has too many pixels to be read in one piece; save it as a tiled TIFF or cut "
            "out a region."
        ) from error
    except UnidentifiedImageError as error:
        raise TileError(f"{name} is not an image that can be read (PNG, JPEG or TIFF).") from error
    bands = {"P": 4, "PA": 4}.get(image.mode, len(image.getbands()))
    wide = 4 if image.mode in ("I", "F") else 2 if "16" in image.mode else 1
    n_pixels = image.width * image.height
    check_size(n_pixels * bands * wide, n_pixels, name)
    return image


def _picture(image: Image.Image, index: Mapping[str, int], name: str) -> tuple[set[str], int]:
    """Return which picture of a file to take, and the key of `index` that says so."""
    n_pictures = getattr(image, "n_frames", 1)
    if n_pictures == 1 or image.format == "MPO":  # of a camera: the others are previews
        return set(), 0
    axis = "z" if image.format == "TIFF" else "t"
    if axis not in index:
        raise TileError(
            f"{name} is a stack ({axis} of {n_pictures}); choose one plane, for instance with "
            f"index={{'{axis}': {n_pictures // 2}}}."
        )
    if not 0 <= index[axis] < n_pictures:
        raise TileError(
            f"There is no {axis}={index[axis]} in {name}; {axis} goes from 0 to {n_pictures - 1}."
        )
    return {axis}, index[axis]


def _to_array(image: Image.Image) -> tuple[NDArray[Any], list[str]]:
    """Return a decoded image as an array (M, N) or (M, N, C), in grey or RGB."""
    if image.mode in AS_THEY_ARE:
        return np.asarray(image), []
    if image.mode in PALETTES:
        has_alpha = image.mode == "PA" or "transparency" in image.info
        return np.asarray(image.convert("RGBA" if has_alpha else "RGB")), []
    note = f"The colours were converted from {image.mode} to RGB."
    return np.asarray(image.convert("RGB")), [note]


def _is_deep_png(path: Path, image: Image.Image) -> bool:
    """Whether this is a PNG of 16 bit in colour, which Pillow would cut down to 8."""
    if image.format != "PNG" or image.mode not in ("LA", "RGB", "RGBA"):
        return False
    with path.open("rb") as file:
        header = file.read(26)  # signature, then the first chunk: columns, rows, bits
    return header[24] == 16


def _read_deep_png(path: Path) -> NDArray[Any]:
    from imagecodecs import png_decode

    return np.asarray(png_decode(path.read_bytes()))


def _scale(image: Image.Image) -> Scale:
    dpi = image.info.get("dpi")
    return NO_SCALE if dpi is None else scale_from_resolution(dpi[1], dpi[0], INCH)
