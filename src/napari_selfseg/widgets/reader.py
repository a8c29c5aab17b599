"""napari's reader: image files with their µm/px, lazily where the file allows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_selfseg.core.images.reading import can_read, read_pyramid
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.widgets.image_layers import OWN

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".svs")

Layers = list[tuple[Any, dict[str, Any], str]]


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], Layers] | None:
    """Return a reader for a tile, or None to leave the file to others; reads headers only.

    Parameters
    ----------
    path : str or sequence of str
        Several paths are a stack, which a tile is not; folders are not images.
    """
    if not isinstance(path, str | Path):
        return None
    if not str(path).lower().endswith(ENDINGS) or not can_read(path):
        return None
    return layers_of


def layers_of(path: str | Path | Sequence[str]) -> Layers:
    """Read an image file as one napari layer: data, its keywords and "image".

    A pyramid becomes a multiscale layer; tiled files stay on disk.

    Raises
    ------
    TileError
        If it cannot be read; one sentence, which napari shows.
    """
    if not isinstance(path, str | Path):
        path = path[0]
    tiles = [_displayable(tile) for tile in read_pyramid(path)]
    first = tiles[0]
    is_rgb = first.n_channels == 3
    data = [tile.pixels if is_rgb else tile.pixels[..., 0] for tile in tiles]
    keywords: dict[str, Any] = {
        "name": first.name,
        "rgb": is_rgb,
        "multiscale": len(data) > 1,
        "metadata": {
            OWN: {"white": first.white, "dtype": str(first.pixels.dtype), "notes": first.notes}
        },
    }
    if not is_rgb:
        keywords["contrast_limits"] = (0.0, first.white)
    if first.um_per_px is not None:
        keywords["scale"] = (first.um_per_px, first.um_per_px)
        keywords["units"] = ("µm", "µm")
    return [(data if len(data) > 1 else data[0], keywords, "image")]


def _displayable(tile: Tile) -> Tile:
    """Return a tile whose white is what napari shows as white.

    napari shows RGB of 16 bit as if all bits were used, and floats as 0..1: 12 bit in 16 would
    be nearly black.
    """
    dtype = tile.pixels.dtype
    full = 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
    if tile.n_channels == 1 or tile.white == full:
        return tile
    stretched = tile.pixels * np.float32(full / tile.white)
    if dtype.kind != "f":
        stretched = (stretched.clip(0, full) + np.float32(0.5)).astype(dtype)
    return Tile(stretched, full, tile.um_per_px, tile.name, tile.notes)
