"""TIFF, OME-TIFF, ImageJ and slide files that are TIFFs: opened lazily with tifffile."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_selfseg.core.images.raster import RawImage, check_raster, open_raster
from napari_selfseg.core.images.scale import (
    TIFF_UNITS,
    Scale,
    scale_from_description,
    scale_from_imagej,
    scale_from_ome,
    scale_from_resolution,
)
from napari_selfseg.core.images.tile import TileError

CHUNK = 1024  # px; tiles of a file are read in groups of about this size
PAGES_CHECKED = 32  # at either end of a series, for missing data
NOT_TISSUE = ("label", "macro", "thumbnail")  # names of the other pictures in slide files

PHOTOMETRIC, COMPRESSION = tifffile.PHOTOMETRIC, tifffile.COMPRESSION
JPEGS = (COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.ALT_JPEG)  # decoded as RGB
PILLOW_COLOURS = (PHOTOMETRIC.PALETTE, PHOTOMETRIC.SEPARATED, PHOTOMETRIC.CIELAB)
SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF and BigTIFF, both byte orders


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a TIFF, whatever it is called."""
    return head[:4] in SIGNATURES


def open_tiff(
    path: Path, index: Mapping[str, int] | None = None, headers_only: bool = False
) -> tuple[RawImage, set[str]]:
    """Open the largest image of a TIFF; labels, macros and thumbnails are left out.

    Parameters
    ----------
    path : Path
        Of a TIFF.
    index : mapping of str to int, optional
        Which picture to take, as in `open_raster`, where Pillow has to read the file.
    headers_only : bool
        Whether the caller only wants to know if this can be read.

    Returns
    -------
    raw : RawImage
        With dask arrays, from which nothing was read yet.
    used : set of str
        The keys of `index` that were used.

    Raises
    ------
    TileError
        If the file is truncated or its colours are of an unusual kind.
    """
    with tifffile.TiffFile(path) as tiff:
        number, series = _main_series(tiff)
        page = series.keyframe
        _check_complete(tiff, series, path.name)
        scale = _scale(tiff, number, page)
        if _is_for_pillow(page):
            if headers_only:
                check_raster(path)
                return RawImage((np.empty((1, 1), np.uint8),), "YX"), set(index or ())
            raw, used = open_raster(path, index)
            return replace(raw, scale=scale), used
        levels = tuple(
            _lazy_array(path, number, k, level.axes, page) for k, level in enumerate(series.levels)
        )
        notes: tuple[str, ...] = ()
        n_others = sum(1 for other in tiff.series if _is_tissue(other)) - 1
        if n_others > 0:
            notes = (f"The largest of {n_others + 1} images in the file was taken.",)
        return (
            RawImage(
                levels,
                _letters(series.axes, series.shape),
                scale,
                white=_stated_white(page),
                lazy=bool(page.is_tiled),
                orientation=int(page.tags.valueof(274, 1)),
                premultiplied=tifffile.EXTRASAMPLE.ASSOCALPHA in page.extrasamples,
                dark_is_high=page.photometric == PHOTOMETRIC.MINISWHITE,
                notes=notes,
            ),
            set(),
        )


def _main_series(tiff: Any) -> tuple[int, Any]:
    """Return the series with the most pixels in a plane that shows tissue, and its number."""
    candidates = [(k, s) for k, s in enumerate(tiff.series) if _is_tissue(s)]
    return max(candidates, key=lambda found: _plane_size(found[1]))


def _is_tissue(series: Any) -> bool:
    named = series.name.lower().startswith(NOT_TISSUE)
    return not named and "Y" in series.axes and "X" in series.axes


def _plane_size(series: Any) -> int:
    return math.prod(n for n, a in zip(series.shape, series.axes, strict=True) if a in "YX")


def _letters(axes: str, shape: tuple[int, ...]) -> str:
    """Name the axes that tifffile cannot name: planes of three are colours, others a stack."""
    sizes = dict(zip(axes, shape, strict=True))
    if sizes.get("Q") == 3 and not {"S", "C"} & set(axes):
        axes = axes.replace("Q", "C")
    for unnamed in "QI":  # an axis without a name; a sequence of pages
        if "Z" not in axes:
            axes = axes.replace(unnamed, "Z")
    return axes


def _check_complete(tiff: Any, series: Any, name: str) -> None:
    """Raise `TileError` if the file ends before the pixels it speaks of."""
    pages = [page for page in series.pages[:PAGES_CHECKED] if page is not None]
    pages += [page for page in series.pages[-PAGES_CHECKED:] if page is not None]
    end = 0
    for page in pages:
        segments = zip(page.dataoffsets, page.databytecounts, strict=False)
        end = max(end, max((start + size for start, size in segments), default=0))
    if end > tiff.filehandle.size:
        raise TileError(
            f"{name} is incomplete: {end - tiff.filehandle.size} bytes are missing at its end; "
            "copy it again."
        )


def _is_for_pillow(page: Any) -> bool:
    """Whether the colours are of a kind that Pillow converts and tifffile does not."""
    if page.photometric == PHOTOMETRIC.YCBCR:
        return page.compression not in JPEGS
    return page.photometric in PILLOW_COLOURS


def _lazy_array(path: Path, series: int, level: int, axes: str, page: Any) -> Any:
    """Return one level as a dask array: in groups of tiles, or page by page."""
    import dask.array as da
    import zarr

    store = tifffile.imread(
        path,
        aszarr=True,
        series=series,
        level=level,
        chunkmode=None if page.is_tiled else "page",
    )
    array = zarr.open_array(store, mode="r")
    chunks = [
        chunk * max(1, CHUNK // chunk) if axis in "YX" else chunk
        for chunk, axis in zip(array.chunks, axes, strict=True)
    ]
    # A name of its own: viewers cache chunks by name, and two stores may look alike.
    lazy = da.from_array(array, chunks=chunks, name=False)  # type: ignore[no-untyped-call]
    if page.compression == COMPRESSION.APERIO_JP2000_YCBC and axes[-1] == "S":
        lazy = lazy.map_blocks(_rgb_of_ycbcr, dtype=lazy.dtype)
    return lazy


def _rgb_of_ycbcr(block: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert YCbCr of full range (JFIF), shape (..., 3), to RGB.

    Aperio's compression 33003 holds such colours without saying so inside.
    """
    luma, blue, red = np.moveaxis(block.astype(np.float32), -1, 0)
    blue, red = blue - 128, red - 128
    rgb = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
    rounded: NDArray[np.float32] = np.rint(np.stack(rgb, axis=-1))
    return np.clip(rounded, 0, 255).astype(np.uint8)


def _stated_white(page: Any) -> float | None:
    """Return the value of white if the file says that it uses, say, 12 of 16 bits."""
    bits = page.bitspersample
    if page.dtype.kind == "u" and isinstance(bits, int) and 1 < bits < page.dtype.itemsize * 8:
        return float(2**bits - 1)
    return None


def _scale(tiff: Any, number: int, page: Any) -> Scale:
    """Return what the file says in the most reliable place that says anything."""
    rows, columns = page.tags.valueof(283), page.tags.valueof(282)
    unit = int(page.tags.valueof(296, 2))
    if tiff.is_ome and tiff.ome_metadata:
        stated = scale_from_ome(tiff.ome_metadata, number)
    elif tiff.is_imagej:
        stated = scale_from_imagej((tiff.imagej_metadata or {}).get("unit"), rows, columns)
    else:
        stated = scale_from_description(page.description)
    if stated.um_per_px is not None:
        return stated
    printed = scale_from_resolution(rows, columns, TIFF_UNITS.get(unit))
    return Scale(printed.um_per_px, stated.notes + printed.notes)
