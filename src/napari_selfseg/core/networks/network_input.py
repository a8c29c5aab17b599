"""From pixels to what a network reads: one rule for training and for prediction."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.images.stain import DARKEST, optical_density

if TYPE_CHECKING:
    from torch import Tensor

FLOOR = 0.05  # no pixel is 0, so that attention (a product) can always change it


def network_input(pixels: NDArray[np.float32], image_space: str = "rgb") -> NDArray[np.float32]:
    """Return the network's input of a tile.

    Parameters
    ----------
    pixels : ndarray, shape (M, N, C)
        Intensity in 0..1.
    image_space : {"rgb", "optical-density"}

    Returns
    -------
    ndarray of float32, shape (C, M, N)
        0.95 x + 0.05, in 0.05..1 (Boserup and Selvan, 2023).
    """
    if image_space == "optical-density":
        pixels = optical_density(pixels)
    scaled = pixels * np.float32(1 - FLOOR) + np.float32(FLOOR)
    return np.ascontiguousarray(np.moveaxis(scaled, -1, 0))


def seen_as(x: Tensor, image_space: str, wanted: str) -> Tensor:
    """Return a network's input in one image space as another network reads it.

    Parameters
    ----------
    x : Tensor, any shape
        What `network_input` gives in ``image_space``.
    image_space, wanted : {"rgb", "optical-density"}
    """
    if image_space == wanted:
        return x
    values = ((x - FLOOR) / (1 - FLOOR)).clamp(0, 1)
    darkest = math.log(DARKEST)
    if wanted == "optical-density":
        values = values.clamp(min=DARKEST).log() / darkest
    else:
        values = (values * darkest).exp()
    return values * (1 - FLOOR) + FLOOR
