"""A drawn tile of three kinds of tissue whose places are known: glands, stroma, glass."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_selfseg.core.images.drawn import EOSIN, GLASS, HAEMATOXYLIN

GLAND, STROMA, EMPTY = 1, 2, 3  # as they are numbered: most haematoxylin first
CENTRES = ((0.28, 0.3), (0.7, 0.55))  # of the glands, as shares of rows and columns
RADIUS, LUMEN = 0.19, 0.06  # as shares of the shorter side
GLASS_FROM = 0.82  # of the columns


def drawn_regions(rows=240, columns=300, um_per_px=1.0, seed=0):
    """Return an RGB tile, uint8 (rows, columns, 3), and its classes, uint8 (rows, columns).

    Glands are rings of blue dots around a small white lumen in pink stroma; the right is glass.
    """
    rng = np.random.default_rng(seed)
    place = np.indices((rows, columns))
    classes = np.full((rows, columns), STROMA, np.uint8)
    side = min(rows, columns)
    for row, column in CENTRES:
        away = np.hypot(place[0] - row * rows, place[1] - column * columns)
        classes[away < RADIUS * side] = GLAND
        classes[away < LUMEN * side] = EMPTY
    classes[:, round(GLASS_FROM * columns) :] = EMPTY
    dots = ndimage.gaussian_filter(rng.standard_normal((rows, columns)), 2 / um_per_px)
    dots = dots / dots.std() > 0.3
    haematoxylin = np.where(classes == GLAND, 0.25 + 0.45 * dots, 0.04)
    haematoxylin[classes == EMPTY] = 0
    eosin = np.select([classes == STROMA, classes == GLAND], [0.35, 0.12], 0.0)
    density = haematoxylin[..., None] * HAEMATOXYLIN + eosin[..., None] * EOSIN
    light = GLASS * 10.0**-density + rng.normal(0, 0.01, (rows, columns, 1))
    return np.clip(np.rint(light * 255), 0, 255).astype(np.uint8), classes
