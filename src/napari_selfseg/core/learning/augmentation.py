"""Variations of a crop that change what it looks like and not what it shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.images.stain import DARKEST

OFFSET = 0.03  # standard deviation of what is added to the optical density, natural units


def stain_jitter(
    pixels: NDArray[np.float32], rng: np.random.Generator, strength: float
) -> NDArray[np.float32]:
    """Return the pixels as another staining might have coloured them.

    The optical densities of the channels are scaled together, by up to 1.5 times the strength,
    mixed with each other (standard deviation half the strength), and shifted a little. A mixture
    of densities is what another pair of stain vectors would give (Tellez et al., Medical Image
    Analysis 2019, arXiv 1902.06543, vary the stains in the same space).

    Parameters
    ----------
    pixels : ndarray, shape (M, N, C)
        Intensity in 0..1.
    rng : numpy.random.Generator
    strength : float
        0 changes nothing but the shift.

    Returns
    -------
    ndarray of float32, shape (M, N, C)
        In 0..1.
    """
    n = pixels.shape[2]
    scale = rng.uniform(1 - 1.5 * strength, 1 + 1.5 * strength)
    mixing = np.eye(n) * scale + rng.normal(0, strength / 2, (n, n))
    density = -np.log(np.clip(pixels, DARKEST, 1)) @ mixing.T.astype(np.float32)
    density = density + rng.normal(0, OFFSET, n)
    varied = np.exp(-np.clip(density, 0, -np.log(DARKEST)))
    return np.asarray(varied, dtype=np.float32)


def turned(array: NDArray[Any], turn: int) -> NDArray[Any]:
    """Return one of the eight orientations of a square array (M, M, ...), numbered from 0."""
    rotated = np.rot90(array, turn % 4)
    return rotated[:, ::-1] if turn >= 4 else rotated
