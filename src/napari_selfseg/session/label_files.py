"""Label images and confidence maps on disk, with the size of a pixel, for Fiji and QuPath."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_selfseg.core.atomic import atomic_file, why_not_written

UM_PER_CM = 10_000
UM_PER_INCH = 25_400
TIFF, PNG = (".tif", ".tiff"), (".png",)
MAX_IN_PNG = np.iinfo(np.uint16).max


class StoreError(Exception):
    """Something could not be stored or opened; the message is one sentence for the user."""


def write_labels(path: str | Path, labels: NDArray[Any], um_per_px: float | None = None) -> None:
    """Write a label image as TIFF, or as 16-bit PNG, with its resolution.

    Parameters
    ----------
    path : path
        Ends with .tif, .tiff or .png. Written beside and then renamed.
    labels : ndarray of integers, shape (M, N)
        0 is background. TIFF keeps uint8, uint16 and int32; others take the smallest of them
        that fits.
    um_per_px : float, optional
        Stored as pixels per centimetre (TIFF) or metre (PNG); without it nothing is stored.

    Raises
    ------
    StoreError
        If the ending is another one, there are too many objects for a PNG, or the file cannot
        be written.
    """
    path = Path(path)
    numbers = _label_numbers(labels)
    suffix = checked_suffix(path, TIFF + PNG, "Labels")
    if suffix in PNG:
        most = int(numbers.max(initial=0))
        if most > MAX_IN_PNG:
            raise StoreError(
                f"A PNG holds at most {MAX_IN_PNG:,} objects and this one would need {most:,}; "
                "choose a name that ends with .tif."
            )
        dpi = None if um_per_px is None else (UM_PER_INCH / um_per_px,) * 2
        image = Image.fromarray(numbers.astype(np.uint16))
        with written_beside(path) as beside:
            image.save(beside, format="PNG", **({} if dpi is None else {"dpi": dpi}))
        return
    _write_tiff(path, numbers, um_per_px)


def write_confidence(
    path: str | Path, confidence: NDArray[Any], um_per_px: float | None = None
) -> None:
    """Write confidence as float32 TIFF, (M, N) or (K, M, N); 16-bit floats open in few programs.

    Raises
    ------
    StoreError
        If the ending is not .tif or .tiff, or the file cannot be written.
    """
    path = Path(path)
    checked_suffix(path, TIFF, "Confidence maps")
    _write_tiff(path, np.asarray(confidence, dtype=np.float32), um_per_px)


def read_labels(path: str | Path) -> NDArray[Any]:
    """Read a label image or a mask, TIFF or PNG: integers, shape (M, N).

    Raises
    ------
    StoreError
        If it cannot be read, is not a 2-D image, or does not hold whole numbers.
    """
    path = Path(path)
    try:
        if path.suffix.lower() in TIFF:
            labels = np.asarray(tifffile.imread(path))
        else:
            with Image.open(path) as image:
                labels = np.asarray(image)
    except FileNotFoundError as error:
        raise StoreError(f"There is no file {path}.") from error
    except Exception as error:  # the readers raise many kinds for a damaged file
        raise StoreError(f"{path.name} is damaged or is no label image.") from error
    if labels.ndim == 3 and labels.shape[2] in (3, 4) and _is_grey(labels):
        labels = labels[..., 0]
    if labels.ndim != 2:
        raise StoreError(f"{path.name} is no label image: it has the shape {labels.shape}.")
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer):
        raise StoreError(f"{path.name} is no label image: it holds fractions.")
    return labels


def read_confidence(path: str | Path) -> NDArray[np.float16]:
    """Read confidence maps, shape (K, M, N).

    Raises
    ------
    StoreError
        If the file is damaged or holds no numbers of 0..1.
    """
    path = Path(path)
    try:
        maps = np.asarray(tifffile.imread(path))
    except Exception as error:  # the readers raise many kinds for a damaged file
        raise StoreError(f"{path.name} is damaged or is no confidence map.") from error
    if maps.ndim < 2 or not np.issubdtype(maps.dtype, np.floating):
        raise StoreError(f"{path.name} is no confidence map.")
    maps = maps.reshape((-1, *maps.shape[-2:]))
    if not (np.isfinite(maps).all() and maps.min() >= 0 and maps.max() <= 1):
        raise StoreError(f"{path.name} is no confidence map: its numbers are not in 0..1.")
    return maps.astype(np.float16)


def checked_suffix(path: Path, allowed: tuple[str, ...], what: str) -> str:
    """Return the ending of a path in lower case, or raise `StoreError`."""
    suffix = path.suffix.lower()
    if suffix not in allowed:
        endings = " or ".join(dict.fromkeys(".tif" if s == ".tiff" else s for s in allowed))
        raise StoreError(f"{what} are written as {endings}, but the name is {path.name}.")
    return suffix


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Like `atomic_file`, but what the disk refuses is a `StoreError` of one sentence."""
    try:
        with atomic_file(path) as beside:
            yield beside
    except OSError as error:
        raise StoreError(f"{path} could not be written: {why_not_written(error)}.") from error


def _write_tiff(path: Path, image: NDArray[Any], um_per_px: float | None) -> None:
    scale: dict[str, Any] = {}
    if um_per_px is not None:
        per_cm = UM_PER_CM / um_per_px
        # centimetres are in the TIFF standard; micrometres are not, and few programs know them
        scale = {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
    with written_beside(path) as beside:
        tifffile.imwrite(
            beside,
            image,
            photometric="minisblack",
            compression="zlib",
            software="napari-selfseg",
            metadata={"axes": "CYX"[-image.ndim :]},
            **scale,
        )


def _label_numbers(labels: NDArray[Any]) -> NDArray[Any]:
    labels = np.asarray(labels)
    if labels.ndim != 2:
        raise StoreError(f"A label image has rows and columns, this one has shape {labels.shape}.")
    if labels.dtype in (np.uint8, np.uint16, np.int32) and labels.min(initial=0) >= 0:
        return labels
    least, most = int(labels.min(initial=0)), int(labels.max(initial=0))
    if least < 0 or most > np.iinfo(np.int32).max:
        raise StoreError("Labels must be whole numbers from 0 to 2,147,483,647.")
    for dtype in (np.uint8, np.uint16, np.int32):
        if most <= np.iinfo(dtype).max:
            return labels.astype(dtype)
    raise AssertionError


def _is_grey(image: NDArray[Any]) -> bool:
    return bool((image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all())
