"""The tile: the image region that is given to the network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TileError(ValueError):
    """An image that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class Tile:
    """An image region, lazy or in memory, with its physical scale.

    Parameters
    ----------
    pixels : array, shape (M, N, C)
        Rows, columns and C = 1 (grey) or 3 (RGB) channels; numpy or dask, any real dtype.
    white : float
        The pixel value that means 1.0 (255 for 8 bit, 65535 for 16 bit, 4095 for 12 in 16).
    um_per_px : float, optional
        Microns per pixel; None when nobody knows.
    name : str
        What the user calls this tile; a file stem or a layer name, never a path.
    notes : tuple of str
        Sentences about what reading had to assume or change, shown to the user.
    """

    pixels: Any
    white: float
    um_per_px: float | None = None
    name: str = "tile"
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (M, N)."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])

    @property
    def n_channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return int(self.pixels.shape[2])

    def read(self, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.float32]:
        """Read a region as float32 in 0..1, shape (m, n, C)."""
        region = np.asarray(self.pixels[rows, columns])
        scaled = region.astype(np.float32) / np.float32(self.white)
        return np.clip(scaled, 0.0, 1.0, out=scaled)

    def crop(self, rows: slice, columns: slice) -> Tile:
        """Return the region as a tile of its own; nothing is read yet."""
        return replace(self, pixels=self.pixels[rows, columns])

    def sha256(self) -> str:
        """Return the SHA-256 of shape, dtype and pixel bytes, in hexadecimal.

        The same pixels give the same hash whatever file they came from.
        """
        digest = hashlib.sha256()
        digest.update(f"{tuple(self.pixels.shape)} {self.pixels.dtype}".encode())
        for start in range(0, self.shape[0], 1024):
            rows = np.asarray(self.pixels[start : start + 1024])
            digest.update(np.ascontiguousarray(rows).tobytes())
        return digest.hexdigest()
