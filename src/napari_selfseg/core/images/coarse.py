"""A tile on a grid of about 1 µm, where large things are found fast, and the way back."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_selfseg.core.images.stain import is_dark_field

GRID_UM = 1.0  # side of a square of the grid; nuclei are 5 to 10 of them across
USUAL_UM_PER_PX = 0.25  # of a 40x scan, where nobody knows the scale
BAND = 64  # rows that noise is looked for in
SPREAD_UM = 5.0  # side of the window in which brightness varies or does not


class CoarseTile:
    """The means of squares of about 1 µm, and what is measured on them.

    Pixels larger than that are squares themselves. Values that are no numbers count as white.

    Parameters
    ----------
    pixels : ndarray of float32, shape (M, N, C)
        Intensity in 0..1, not empty.
    um_per_px : float, optional
        Microns per pixel; without it 0.25.

    Attributes
    ----------
    means : ndarray of float32, shape (m, n, C)
    factor : int
        Pixels per side of a square.
    um : float
        Microns per side of a square.
    """

    def __init__(self, pixels: NDArray[np.float32], um_per_px: float | None = None) -> None:
        um_per_px = um_per_px or USUAL_UM_PER_PX
        self.factor = max(1, round(GRID_UM / um_per_px))
        self.um = self.factor * um_per_px
        self._shape = (pixels.shape[0], pixels.shape[1])
        means = _square_means(pixels, self.factor)
        # Channels first in memory: then what is reduced over them is four times as fast.
        planes = np.ascontiguousarray(np.moveaxis(means, 2, 0))
        planes = np.clip(np.nan_to_num(planes, nan=1.0), 0.0, 1.0)
        self.means: NDArray[np.float32] = np.moveaxis(planes, 0, 2)

    @cached_property
    def brightness(self) -> NDArray[np.float32]:
        """Mean of the channels, (m, n)."""
        return np.asarray(self.means.mean(axis=2))

    @cached_property
    def chroma(self) -> NDArray[np.float32]:
        """How far the channels are apart, as a share of the largest, 0..1, (m, n)."""
        return relative_chroma(self.means)

    @cached_property
    def is_dark_field(self) -> bool:
        """Whether the background is dark in all channels; ink and dark stain are so in some."""
        return is_dark_field(self.means.max(axis=2, keepdims=True))

    @cached_property
    def spread(self) -> NDArray[np.float32]:
        """Standard deviation of brightness within 5 µm, (m, n); at least 3 squares."""
        side = max(3, 2 * round(SPREAD_UM / self.um / 2) + 1)
        values = self.brightness.astype(np.float64)  # squares of float32 would cancel
        mean = ndimage.uniform_filter(values, side)
        variance = ndimage.uniform_filter(values**2, side) - mean**2
        return np.asarray(np.sqrt(np.maximum(variance, 0)), dtype=np.float32)

    def squares(self, length_um: float) -> int:
        """Return a length in squares, at least 1."""
        return max(1, round(length_um / self.um))

    def full(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask (m, n) of squares as a mask (M, N) of pixels, with smooth outlines."""
        rows, columns = self._shape
        if self.factor == 1:
            return mask
        soft = mask.astype(np.float32)
        for axis, length in ((0, rows), (1, columns)):
            soft = _stretched(soft, axis, self.factor, length)
        return np.asarray(soft > 0.5)


def relative_chroma(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far channels (..., C) are apart, as a share of the largest: (...), 0..1."""
    largest = colours.max(axis=-1)
    return np.asarray((largest - colours.min(axis=-1)) / np.maximum(largest, 1e-6))


def camera_noise(pixels: NDArray[np.float32]) -> float:
    """Estimate the standard deviation of pixel noise in the mean of the channels.

    After Immerkær (1996, "Fast noise variance estimation"): the difference of two Laplacians is
    blind to slopes and edges and has 6 times the noise of a pixel. Here the lower quartile
    replaces the mean, since tissue has more structure than his photographs.

    Parameters
    ----------
    pixels : ndarray of float32, shape (M, N, C)
        Intensity in 0..1.
    """
    if min(pixels.shape[:2]) < 3:
        return 0.0
    steps = []
    for row in range(0, len(pixels) - 2, 3 * BAND):  # a third of a tile says enough
        brightness = pixels[row : row + BAND].mean(axis=2)
        steps.append(np.abs(np.diff(np.diff(brightness, n=2, axis=0), n=2, axis=1)).ravel())
    quartile = float(np.quantile(np.nan_to_num(np.concatenate(steps)), 0.25))
    return quartile / (6 * 0.3186)  # a normal value is within 0.3186 sigma in one case of four


def _square_means(pixels: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return the means of squares of ``factor`` px; the last ones are of what is left."""
    if factor == 1:
        return np.asarray(pixels, dtype=np.float32)
    means = pixels
    for axis in (0, 1):  # one axis after the other: sums of long runs are fast
        starts = np.arange(0, pixels.shape[axis], factor)
        sums = np.add.reduceat(means, starts, axis=axis)
        lengths = np.diff(np.append(starts, pixels.shape[axis])).astype(np.float32)
        shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
        means = np.asarray(sums / lengths.reshape(shape), dtype=np.float32)
    return means


def _stretched(
    values: NDArray[np.float32], axis: int, factor: int, length: int
) -> NDArray[np.float32]:
    """Interpolate linearly along an axis, from the centres of squares to those of pixels."""
    at = (np.arange(length, dtype=np.float32) + 0.5) / factor - 0.5
    at = np.clip(at, 0, values.shape[axis] - 1)
    low = np.floor(at).astype(np.intp)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    weight = (at - low).astype(np.float32)
    weight = weight[:, None] if axis == 0 else weight[None, :]
    first, second = np.take(values, low, axis), np.take(values, high, axis)
    return np.asarray(first + (second - first) * weight)
