"""File > Save of napari: a labels or confidence layer as a file that knows its microns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from napari.layers import Image
from numpy.typing import NDArray

from napari_selfseg.session import label_files
from napari_selfseg.widgets.image_layers import um_per_px_of

TRANSFORM = ("affine", "rotate", "scale", "shear", "translate", "units")


def write_labels(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a labels layer as TIFF or PNG (npe2 writer for one layer).

    Parameters
    ----------
    path : str
        Ends with .tif, .tiff or .png.
    data : array of integers, shape (M, N)
    meta : mapping
        The layer's attributes; its transform and units give the µm/px.

    Returns
    -------
    list of str
        The file written.

    Raises
    ------
    StoreError
        If the layer is no label image with rows and columns, or the disk refuses; one sentence.
    """
    label_files.write_labels(path, _whole(data, meta), _um_per_px(meta))
    return [path]


def write_image(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write an image layer as TIFF (npe2 writer for one layer).

    Confidence maps, (M, N) or (K, M, N) in 0..1, become float32; every other image keeps its
    pixels as they are, because napari may choose this writer for any of them.

    Returns
    -------
    list of str
        The file written.

    Raises
    ------
    StoreError
        If the disk refuses; one sentence.
    """
    pixels, um_per_px = _whole(data, meta), _um_per_px(meta)
    if not meta.get("rgb") and _is_confidence(pixels):
        label_files.write_confidence(path, pixels, um_per_px)
        return [path]
    resolution: dict[str, Any] = {}
    if um_per_px is not None:
        per_cm = label_files.UM_PER_CM / um_per_px
        resolution = {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
    with label_files.written_beside(Path(path)) as beside:
        tifffile.imwrite(
            beside,
            pixels,
            photometric="rgb" if meta.get("rgb") else "minisblack",
            compression="zlib",
            **resolution,
        )
    return [path]


def _is_confidence(pixels: NDArray[Any]) -> bool:
    if pixels.ndim not in (2, 3) or not np.issubdtype(pixels.dtype, np.floating):
        return False
    # a NaN compares false
    return bool(pixels.min(initial=0) >= 0 and pixels.max(initial=0) <= 1)


def _whole(data: Any, meta: Mapping[str, Any]) -> NDArray[Any]:
    """Return a layer's pixels in memory, those of a pyramid at full resolution."""
    multiscale = meta.get("multiscale", isinstance(data, list))
    return np.asarray(data[0] if multiscale else data)


def _um_per_px(meta: Mapping[str, Any]) -> float | None:
    """Return the µm/px that a layer's attributes mean; None for pixels or oblong ones."""
    transform = {key: meta[key] for key in TRANSFORM if meta.get(key) is not None}
    n_axes = len(transform["scale"]) if "scale" in transform else 2
    return um_per_px_of(Image(np.zeros((1,) * n_axes, np.uint8), **transform))
