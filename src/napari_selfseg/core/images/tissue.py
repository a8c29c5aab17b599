"""Whether there is anything to learn from in a tile: too small, blank, saturated."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.images.stain import is_dark_field
from napari_selfseg.core.images.tile import Tile, TileError

STRIDES = 3  # between the patches of a crop that can still be contrasted
BLOCK = 256  # px; small enough for one nucleus to show in the percentiles of a block
POOL = 4  # px; averaging takes camera and JPEG noise away, and leaves nuclei
TAILS = (0.5, 99.5)  # percent, between which contrast is measured
CONTRAST = 0.05  # of white: 13 grey levels in 8 bit
DARK_CONTRAST = 0.15  # of the bright end, in images with a dark background, which may be dim
NOISE = 2.5  # standard deviations; pooled noise alone spreads over 1.3 of them
SATURATED = (0.004, 0.996)  # at or beyond these a value is black or white
UNSATURATED = 0.005  # share of a block's pixels that must lie between


def check_content(tile: Tile, patch_px: int, stride_px: int) -> None:
    """Raise if a tile is too small, blank or saturated; cheap where it is not.

    Parameters
    ----------
    tile : Tile
        To be learned from; may be lazy.
    patch_px, stride_px : int
        Side of a patch and distance between patches, in pixels.

    Raises
    ------
    TileError
        With one sentence on what to do.
    """
    rows, columns = tile.shape
    needed = patch_px + STRIDES * stride_px
    if min(rows, columns) < needed:
        raise TileError(
            f"{tile.name} has {rows} × {columns} px, but patches of {patch_px} px with a stride "
            f"of {stride_px} px need {needed} × {needed} px: choose a larger region or a smaller "
            "patch."
        )
    check_tissue(tile)


def check_tissue(tile: Tile) -> None:
    """Raise if a tile is blank or saturated.

    The tile is looked at in blocks, in an order that spreads over it, and the first block with
    content ends the search. Only a blank tile is read whole.

    Raises
    ------
    TileError
        With one sentence on what to do.
    """
    any_contrast = False
    for block in _blocks(tile):
        contrast = _has_contrast(block)
        if contrast and not _is_saturated(block):
            return
        any_contrast = any_contrast or contrast
    if any_contrast:
        raise TileError(
            f"{tile.name} is saturated: nearly all its pixels are pure black or white; choose an "
            "image with grey values, not a mask."
        )
    raise TileError(
        f"{tile.name} looks blank: its brightness hardly varies; choose a region with tissue."
    )


def _blocks(tile: Tile) -> Iterator[NDArray[np.float32]]:
    """Yield the blocks of a tile as (m, n, C) in 0..1, in an order that spreads over it."""
    rows, columns = tile.shape
    corners = [(r, c) for r in _starts(rows) for c in _starts(columns)]
    order = np.random.default_rng(0).permutation(len(corners))
    for k in order:
        row, column = corners[k]
        yield tile.read(slice(row, row + BLOCK), slice(column, column + BLOCK))


def _starts(length: int) -> list[int]:
    """Return where blocks begin along an axis; the last one ends at the tile's end."""
    last = max(0, length - BLOCK)
    return [*range(0, last, BLOCK), last]


def _has_contrast(block: NDArray[np.float32]) -> bool:
    """Whether any channel varies by more than noise within a block."""
    low, high = np.percentile(_pooled(block), TAILS, axis=(0, 1))
    needed = DARK_CONTRAST * np.maximum(high, 1e-6) if is_dark_field(block) else CONTRAST
    return bool(np.any(high - low > np.maximum(needed, NOISE * _noise(block))))


def _noise(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the standard deviation of noise per channel, from the steps between neighbours."""
    steps: NDArray[np.float32] = np.abs(np.diff(block, axis=1)).mean(axis=(0, 1))
    return steps * np.float32(np.sqrt(np.pi) / 2)  # of normal noise, |a - b| is 2/sqrt(pi) sigma


def _pooled(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of squares of `POOL` px."""
    rows, columns = (side // POOL * POOL for side in block.shape[:2])
    squares = block[:rows, :columns].reshape(rows // POOL, POOL, columns // POOL, POOL, -1)
    means: NDArray[np.float32] = squares.mean(axis=(1, 3))
    return means


def _is_saturated(block: NDArray[np.float32]) -> bool:
    """Whether next to no pixel has a value between black and white."""
    between = ((block > SATURATED[0]) & (block < SATURATED[1])).any(axis=2)
    return bool(between.mean() < UNSATURATED)
