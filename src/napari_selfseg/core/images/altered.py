"""A tile as another laboratory or slide would show it: paler, darker, with pen, glass, at 20x."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_selfseg.core.images.drawn import GLASS

Ink = Literal["blue", "green", "red", "black"]

PALE, DARK = 0.5, 1.6  # times the optical density of a usual section
INKS: dict[Ink, tuple[float, float, float]] = {  # transmitted red, green, blue
    "blue": (0.15, 0.25, 0.65),
    "green": (0.10, 0.50, 0.30),
    "red": (0.80, 0.12, 0.20),
    "black": (0.08, 0.08, 0.10),
}
STROKE_UM = 40.0  # width of a stroke; a real one is 10 to 50 times as wide, as is a real slide
FRINGE_UM = 1.5  # in which ink thins out
STREAKS = 0.06  # standard deviation of the thickness of ink, relative


def with_density(rgb: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Return an RGB tile (M, N, 3) with its optical density times ``factor``.

    A section that is thinner or stained for a shorter time, after Lambert and Beer: light is
    raised to the power of ``factor``, relative to that of glass, which stays as it is.
    """
    light = np.clip(rgb.astype(np.float32) / 255, 1 / 255, 1) / GLASS
    return _as_uint8(np.asarray(GLASS * light**factor, dtype=np.float32))


def pale(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an RGB tile (M, N, 3) with half the stain."""
    return with_density(rgb, PALE)


def dark(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an RGB tile (M, N, 3) with 1.6 times the stain."""
    return with_density(rgb, DARK)


def with_glass(rgb: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    """Return an RGB tile (M, N, 3) whose right half is empty glass with a camera's noise."""
    rows, columns = rgb.shape[:2]
    noise = np.random.default_rng(seed).normal(0, 0.007, (rows, columns - columns // 2, 3))
    altered = rgb.copy()
    altered[:, columns // 2 :] = _as_uint8(GLASS + noise.astype(np.float32))
    return altered


def with_pen(
    rgb: NDArray[np.uint8], ink: Ink, um_per_px: float = 0.25, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a tile with a stroke of pen from left to right, and where it is.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (M, N, 3)
    ink : {"blue", "green", "red", "black"}
    um_per_px : float
        Microns per pixel; the stroke is 40 µm wide, and at most a third of the tile.
    seed : int
        Of the streaks in the ink.

    Returns
    -------
    rgb : ndarray of uint8, shape (M, N, 3)
    pen : ndarray of bool, shape (M, N)
        Where the ink has at least half of its thickness.
    """
    rows, columns = rgb.shape[:2]
    half = min(STROKE_UM / um_per_px, rows / 3) / 2
    row, column = np.mgrid[:rows, :columns].astype(np.float32)
    middle = rows / 2 + rows / 12 * np.sin(2 * np.pi * column / columns)
    beyond = (np.abs(row - middle) - half) * np.float32(um_per_px / FRINGE_UM)
    thickness = 1 / (1 + np.exp(np.clip(4 * beyond, -30, 30)))
    rng = np.random.default_rng(seed)
    streaks = ndimage.gaussian_filter(
        rng.standard_normal((rows, columns), dtype=np.float32), (2, 40), mode="reflect"
    )
    streaks *= STREAKS / max(float(streaks.std()), 1e-6)
    density = (
        -np.log(np.array(INKS[ink], dtype=np.float32)) * (thickness * (1 + streaks))[..., None]
    )
    return _as_uint8(rgb.astype(np.float32) / 255 * np.exp(-density)), thickness > 0.5


def at_half_scale(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an RGB tile (M, N, 3) with half the pixels per micron: (M // 2, N // 2, 3).

    Means of squares of 2 px, as a 20x objective would see what a 40x one saw.
    """
    rows, columns = rgb.shape[0] // 2, rgb.shape[1] // 2
    squares = rgb[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, 3)
    return _as_uint8(squares.mean(axis=(1, 3), dtype=np.float32) / 255)


def labels_at_half_scale(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return the labels (M, N) that go with `at_half_scale`: (M // 2, N // 2)."""
    rows, columns = labels.shape[0] // 2, labels.shape[1] // 2
    return labels[: 2 * rows : 2, : 2 * columns : 2]


def _as_uint8(light: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.rint(light * 255), 0, 255).astype(np.uint8)
