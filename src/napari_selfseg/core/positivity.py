"""Which objects are DAB-positive: brown by more than a threshold, on average."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.images.dab import dab
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.object_table import ObjectTable

POSITIVE_OD = 0.2  # optical density of DAB; what QuPath's positive cell detection starts with
OD_OF_UNIT = 6.0  # scikit-image divides densities by that of a millionth of the light
STRIP = 1024  # rows that are read at a time


def dab_density(tile: Tile) -> NDArray[np.float16]:
    """Return the optical density (decadic) of DAB of an RGB tile, (M, N), 0 where there is none."""
    density = np.empty(tile.shape, np.float16)
    for start in range(0, tile.shape[0], STRIP):
        rows = slice(start, min(start + STRIP, tile.shape[0]))
        density[rows] = np.maximum(OD_OF_UNIT * dab(tile.read(rows)), 0)
    return density


def is_positive(
    table: ObjectTable, density: NDArray[np.floating], threshold: float = POSITIVE_OD
) -> NDArray[np.bool_]:
    """Return which objects have more DAB than the threshold, on average, (n,)."""
    return np.asarray(table.sums(density) > threshold * table.area)
